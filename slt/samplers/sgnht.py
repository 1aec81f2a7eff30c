"""The stochastic gradient Nose-Hoover thermostat."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, inner, per_chain
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers._adaptation import Curvature, localizer_frequency, mean_over
from slt.samplers.preconditioning import Diagonal, Learning, check_preconditioner, start_metric
from slt.samplers.protocol import AUTO, Auto, Info
from slt.samplers.sgld import force_on, start_curvature

_PROBE_EVERY = 4  # warmup steps between two looks at the curvature, each of two gradients
_FRACTION = 0.25  # step size times the largest frequency; the method is stable below 2


class State(NamedTuple):
    """Where the chains are, how they move, and what holds them back."""

    w: Params
    momentum: Params
    """In units of the square root of the metric: standard normal at the right temperature."""
    friction: Tensor


class Tuning(NamedTuple):
    """What warmup decides."""

    step_size: Tensor
    diffusion: Tensor


class MetricTuning(NamedTuple):
    """The same with a metric other than the localizer's, shared by all chains."""

    step_size: Tensor
    diffusion: Tensor
    metric: Params


class Adaptation(NamedTuple):
    """What warmup has seen."""

    curvature: Curvature | None
    """None where the step size is given."""
    learning: Learning | None
    """None where the metric is given."""


@dataclass(frozen=True)
class SGNHT:
    r"""The stochastic gradient Nose-Hoover thermostat (Ding et al., 2014).

    .. math:: dw = P^{1/2} p\,dt,\quad dp = -P^{1/2} \nabla U\,dt - \xi p\,dt + \sqrt{2A}\,dB,\quad
              d\xi = A^2 \big(|p|^2 / d - 1\big)\,dt

    The friction xi, one number a chain, grows while the momenta are too hot: it absorbs the noise of minibatch
    gradients as far as that is the same in all directions. It settles within 1/A; the original has 1 in place of A^2,
    which fixes a unit of time. A step is split symmetrically (Leimkuhler & Shang, 2016): a
    kick by the whole step, half a glide, the thermostat, half a glide, at one gradient.

    There is no closed form for its step bias. Without gradient noise it is of second order in the step; noise that
    differs between directions leaves one of first order, which the trace does not measure: compare two step sizes.

    Args:
        step_size: Time of one step; AUTO: a quarter over the largest frequency seen in warmup.
        diffusion: A, friction at rest, 1/time. AUTO: the frequency of the localizer, and a tenth of the largest
            frequency at least.
        preconditioner: P: "localizer", the localizer's unit squared, scaled to mean 1; "diagonal", the variances seen
            in warmup; or a `Diagonal` of one's own.
        control_variate: Whether gradient and excess have their first order at w* as control variate: twice the cost,
            and less noise where the draws stay close to w*.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> SGNHT(step_size=0.01).diffusion
    AUTO
    """

    step_size: float | Auto = AUTO
    diffusion: float | Auto = AUTO
    preconditioner: Literal["localizer", "diagonal"] | Diagonal = "localizer"
    control_variate: bool = False

    full_data = False
    uniforms = 0
    unadjusted = True

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, value in (("step_size", self.step_size), ("diffusion", self.diffusion)):
            if not isinstance(value, Auto) and not 0 < value < math.inf:
                raise SettingsError(f"{name} must be positive and finite, got {value}.")
        check_preconditioner("preconditioner", self.preconditioner, ("localizer", "diagonal"), (Diagonal,))

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning | MetricTuning, Adaptation | None]:
        """Start at rest at w; where something is to be found, look at the curvature there."""
        metric, learning = start_metric(self.preconditioner, posterior, w)
        curvature = None
        step_size, diffusion = (
            torch.full_like(nbeta, 1.0 if isinstance(x, Auto) else x) for x in (self.step_size, self.diffusion)
        )
        if isinstance(self.step_size, Auto) or isinstance(self.diffusion, Auto):
            curvature = start_curvature(posterior, metric or posterior.metric, w, nbeta, random)
        if curvature is not None and isinstance(self.diffusion, Auto):
            least = torch.full_like(nbeta, localizer_frequency(posterior, posterior.metric))
            diffusion = torch.maximum(least, 0.1 * curvature.largest.sqrt())
        if curvature is not None and isinstance(self.step_size, Auto):
            step_size = _FRACTION / curvature.largest.sqrt()
        else:
            curvature = None
        state = State(w, {name: torch.zeros_like(leaf) for name, leaf in w.items()}, diffusion.clone())
        tuning = Tuning(step_size, diffusion)
        adaptation = None if curvature is None and learning is None else Adaptation(curvature, learning)
        return state, tuning if metric is None else MetricTuning(step_size, diffusion, metric), adaptation

    def step(
        self, posterior: Posterior, state: State, tuning: Tuning | MetricTuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Kick, glide, thermostat, glide; writes into the state and the gradient."""
        w, momentum, friction = state
        evaluate = posterior.controlled if self.control_variate else posterior.evaluate
        excess, gradient = evaluate(w, random.rows(t))
        force = posterior.force(w, gradient, nbeta, out=True)
        info = Info(
            excess=excess,
            acceptance=torch.ones_like(excess),
            diverging=torch.zeros_like(excess, dtype=torch.bool),
            virial=posterior.virial(w, force),
            surplus=torch.full_like(excess, math.nan),  # not known
        )
        metric = _metric(posterior, tuning)
        kick(momentum, force, metric, tuning.step_size)
        glide(w, momentum, metric, tuning.step_size / 2)
        pace = tuning.diffusion.square() * tuning.step_size / 2
        friction = friction + pace * heat(momentum, posterior.dimension)
        cool(momentum, friction, tuning, random, t)
        friction = friction + pace * heat(momentum, posterior.dimension)
        glide(w, momentum, metric, tuning.step_size / 2)
        return State(w, momentum, friction), info

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Adaptation,
        state: State,
        tuning: Tuning | MetricTuning,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Adaptation, Tuning | MetricTuning]:
        """Now and then look at the curvature, and step no farther than it allows."""
        curvature, learning = adaptation
        if learning is not None:
            learning = learning.observe(state.w)
        if curvature is not None:
            if t % _PROBE_EVERY == 0:
                force = force_on(posterior, nbeta, random.rows(t))
                curvature = curvature.update(force, state.w, _metric(posterior, tuning), tuning.step_size)
            allowed = _FRACTION / curvature.largest.sqrt()
            tuning = tuning._replace(step_size=torch.minimum(tuning.step_size, allowed))
        return Adaptation(curvature, learning), tuning

    def pool(
        self, adaptation: Adaptation, tuning: Tuning | MetricTuning, alive: Tensor
    ) -> tuple[Adaptation, Tuning | MetricTuning]:
        """Give all chains the step that the stiffest of them allows; take the metric from what they have seen."""
        curvature, learning = adaptation
        living = alive if curvature is None else alive & (curvature.largest > 0)
        if not bool(living.any()):
            return adaptation, tuning
        if curvature is not None:
            step_size = _FRACTION / curvature.largest[living].max().sqrt()
            tuning = tuning._replace(step_size=step_size.expand_as(tuning.step_size).clone())
        tuning = tuning._replace(diffusion=mean_over(tuning.diffusion, living))
        if learning is not None and isinstance(tuning, MetricTuning):
            learning, metric, ratio = learning.pool("diagonal", tuning.metric, alive)
            tuning = tuning._replace(metric=metric)
            if ratio is not None and curvature is not None:
                curvature = curvature._replace(largest=torch.zeros_like(curvature.largest))
                tuning = tuning._replace(step_size=tuning.step_size / ratio.clamp(min=1.0).sqrt())
        return Adaptation(curvature, learning), tuning


def kick(momentum: Params, force: Params, metric: Params, step_size: Tensor) -> None:
    """Subtract step_size P^{1/2} grad U from p, in place."""
    for name, p in momentum.items():
        p.addcmul_(per_chain(step_size, p) * metric[name].sqrt(), force[name], value=-1)


def glide(w: Params, momentum: Params, metric: Params, step_size: Tensor) -> None:
    """Add step_size P^{1/2} p to w, in place."""
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name].sqrt(), momentum[name])


def heat(momentum: Params, dimension: int) -> Tensor:
    """Return |p|^2 / d - 1, (chains,)."""
    return inner(momentum, momentum) / dimension - 1


def cool(momentum: Params, friction: Tensor, tuning: Tuning | MetricTuning, random: Random, t: int) -> None:
    """Follow dp = -xi p dt + sqrt(2A) dB exactly for one step, in place.

    The variance A (1 - e^(-2 xi h)) / xi holds for a friction of either sign, and is 2 A h at 0.
    """
    h = tuning.step_size
    spent = 2 * friction * h
    share = torch.where(spent.abs() < 1e-8, torch.ones_like(spent), -torch.expm1(-spent) / spent)
    spread = (2 * tuning.diffusion * h * share).sqrt()
    for name, p in momentum.items():
        p.mul_(per_chain(torch.exp(-friction * h), p)).addcmul_(per_chain(spread, p), random.normal(t, name))


def _metric(posterior: Posterior, tuning: Tuning | MetricTuning) -> Params:
    return tuning.metric if isinstance(tuning, MetricTuning) else posterior.metric
