"""Stochastic gradient Langevin dynamics."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, inner, per_chain
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers._adaptation import Curvature, mean_over
from slt.samplers.protocol import AUTO, Auto, Info

_PROBE_EVERY = 4  # warmup steps between two looks at the curvature, each of two gradients
_START_PROBES = 8  # power iterations at w*, before the first step
_FRACTION = (0.01, 0.5)  # bounds of step_size times the largest curvature; the method is stable below 4


class State(NamedTuple):
    """Where the chains are."""

    w: Params


class Tuning(NamedTuple):
    """What warmup decides."""

    step_size: Tensor


class Adaptation(NamedTuple):
    """What warmup has seen."""

    curvature: Curvature
    bias: Tensor
    """Sum over this round's steps of the step bias of the LLC per unit of step size; (chains,)."""
    value: Tensor
    """Sum over this round's steps of nbeta times the excess; (chains,)."""


@dataclass(frozen=True)
class SGLD:
    r"""Unadjusted Langevin steps on minibatch gradients (Welling & Teh, 2011).

    .. math:: w' = w - \tfrac{\epsilon}{2} P\, \nabla U(w) + \sqrt{\epsilon P}\, \xi

    U is evaluated on the step's rows; P is the localizer's unit squared, scaled to mean 1 (1 for an isotropic
    localizer). The step is not corrected: on a quadratic the energy along a direction of curvature
    H = nbeta h + gamma, with gradient noise of variance c, is
    1/2 (nbeta h / H) (1 + epsilon c / 4) / (1 - epsilon H / 4), and the trace tells how large this bias is.

    Args:
        step_size: epsilon, in (parameter unit)^2. AUTO: the largest for which the step bias of the LLC stays at
            `bias`, between 0.01 and 0.5 over the largest curvature seen in warmup.
        bias: Relative step bias of the LLC that AUTO aims at.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> SGLD(step_size=1e-4)
    SGLD(step_size=0.0001, bias=0.02)
    """

    step_size: float | Auto = AUTO
    bias: float = 0.02

    full_data = False
    uniforms = 0
    unadjusted = True

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.step_size, Auto) and not 0 < self.step_size < math.inf:
            raise SettingsError(f"step_size must be positive and finite, got {self.step_size}.")
        if not 0 < self.bias < 1:
            raise SettingsError(f"bias must be in (0, 1), got {self.bias}.")

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning, Adaptation | None]:
        """Start at w; without a step size, look at the curvature there."""
        if not isinstance(self.step_size, Auto):
            return State(w), Tuning(torch.full_like(nbeta, self.step_size)), None
        probe = {name: random.normal(0, name).clone() for name in w}
        length = inner(probe, probe).sqrt()
        probe = {name: p / per_chain(length, p) for name, p in probe.items()}
        curvature = Curvature(probe, torch.zeros_like(nbeta))
        for i in range(_START_PROBES):
            radius = torch.full_like(nbeta, 1e-2 / math.sqrt(posterior.dimension))
            curvature = curvature.update(_force_on(posterior, nbeta, random.rows(i)), w, posterior.metric, radius)
        # Where neither loss nor localizer bends, a unit of curvature keeps the first steps finite.
        curvature = curvature._replace(largest=curvature.largest.clamp(min=1.0))
        zero = torch.zeros_like(nbeta)
        return State(w), Tuning(0.1 / curvature.largest), Adaptation(curvature, zero, zero.clone())

    def step(
        self, posterior: Posterior, state: State, tuning: Tuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Take one step, writing into the state and the gradient."""
        w = state.w
        excess, gradient = posterior.evaluate(w, random.rows(t))
        force = posterior.force(w, gradient, nbeta, out=True)
        away = posterior.away(w)
        info = Info(
            excess=excess,
            acceptance=torch.ones_like(excess),
            diverging=torch.zeros_like(excess, dtype=torch.bool),
            virial=inner(away, force),
            surplus=tuning.step_size / 4 * loss_power(posterior, away, force),
        )
        drift(w, force, posterior.metric, tuning.step_size)
        diffuse(w, force, posterior.metric, tuning.step_size, random, t)
        return State(w), info

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Adaptation,
        state: State,
        tuning: Tuning,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Adaptation, Tuning]:
        """Collect the step bias; now and then look at the curvature, and step no farther than it allows."""
        curvature = adaptation.curvature
        if t % _PROBE_EVERY == 0:
            force = _force_on(posterior, nbeta, random.rows(t))
            curvature = curvature.update(force, state.w, posterior.metric, tuning.step_size.sqrt())
        step_size = torch.minimum(tuning.step_size, _FRACTION[1] / curvature.largest)
        adaptation = Adaptation(
            curvature,
            adaptation.bias + info.surplus / (2 * tuning.step_size),
            adaptation.value + nbeta * info.excess,
        )
        return adaptation, Tuning(step_size)

    def pool(self, adaptation: Adaptation, tuning: Tuning, alive: Tensor) -> tuple[Adaptation, Tuning]:
        """Set one step for all chains: the one whose bias is `bias`, within the bounds of the curvature."""
        curvature = adaptation.curvature
        living = alive & torch.isfinite(adaptation.bias + adaptation.value)
        if not bool(living.any()):
            return adaptation, tuning
        largest = curvature.largest[living].max()
        bias, value = adaptation.bias[living].sum(), adaptation.value[living].sum().clamp(min=0)
        if not float(bias) > 0:  # chains that have not left a point without gradients say nothing
            return adaptation, tuning
        step_size = (self.bias * value / bias).clamp(*(f / float(largest) for f in _FRACTION))
        zero = torch.zeros_like(tuning.step_size)
        pooled = mean_over(step_size.expand_as(zero), living)
        return Adaptation(curvature, zero, zero.clone()), Tuning(pooled)


def drift(w: Params, force: Params, metric: Params, step_size: Tensor) -> None:
    """Move w by -(step_size / 2) P grad U, in place."""
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name], force[name], value=-0.5)


def diffuse(w: Params, spent: Params, metric: Params, step_size: Tensor, random: Random, t: int) -> None:
    """Add sqrt(step_size P) noise to w, in place; the spent force lends its memory to the noise."""
    for name, leaf in w.items():
        noise = random.normal(t, name, out=spent[name])
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), noise)


def loss_power(posterior: Posterior, away: Params, force: Params) -> Tensor:
    """Return (nbeta grad L) . P grad U: a quarter of it times the step is the surplus of the loss's virial.

    On a quadratic, half that surplus is the bias of the LLC. The localizer's share is left out: in a large
    model it would drown the loss's.
    """
    pull = {name: gamma * posterior.metric[name] for name, gamma in posterior.precision.items()}
    return inner(force, force, posterior.metric) - inner(away, force, pull)


def _force_on(posterior: Posterior, nbeta: Tensor, rows: Tensor | None) -> Callable[[Params], Params]:
    def force(w: Params) -> Params:
        return posterior.force(w, posterior.evaluate(w, rows).grad, nbeta, out=True)

    return force
