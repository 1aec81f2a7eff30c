"""Stochastic gradient Langevin dynamics: preconditioned, of second order, with a control variate."""

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
from slt.samplers.preconditioning import (
    Diagonal,
    Learning,
    Preconditioner,
    RMSprop,
    check_preconditioner,
    start_metric,
)
from slt.samplers.protocol import AUTO, Auto, Info

_PROBE_EVERY = 4  # warmup steps between two looks at the curvature, each of two gradients
_START_PROBES = 8  # power iterations at w*, before the first step
_FRACTION = (0.01, 0.5)  # bounds of step_size times the largest curvature; the method is stable below 4


class State(NamedTuple):
    """Where the chains are."""

    w: Params
    second: Params | None = None
    """RMSprop's running mean of squared gradients; None without it."""


class Tuning(NamedTuple):
    """What warmup decides."""

    step_size: Tensor


class MetricTuning(NamedTuple):
    """The same with a metric other than the localizer's, shared by all chains."""

    step_size: Tensor
    metric: Params


class Adaptation(NamedTuple):
    """What warmup has seen."""

    curvature: Curvature | None
    """None where the step size is given."""
    bias: Tensor
    """Sum over this round's steps of the step bias of the LLC per unit of step size; (chains,)."""
    value: Tensor
    """Sum over this round's steps of nbeta times the excess; (chains,)."""
    learning: Learning | None
    """None where the metric is given."""


@dataclass(frozen=True)
class SGLD:
    r"""Unadjusted Langevin steps on minibatch gradients (Welling & Teh, 2011).

    .. math:: w' = w - \tfrac{\epsilon}{2} P\, \nabla U(w) + \sqrt{\epsilon P}\, \xi_t

    U is evaluated on the step's rows. The step is not corrected: on a quadratic the energy along a direction of
    curvature H = nbeta h + gamma (P = 1), with gradient noise of variance c, is
    1/2 (nbeta h / H) (1 + epsilon c / 4) / (1 - epsilon H / 4).

    With `second_order` the noise is (xi_t + xi_(t+1)) / 2 (Leimkuhler & Matthews, 2013). It costs nothing, and on a
    quadratic without gradient noise leaves no bias at all: the energy is
    1/2 (nbeta h / H) (1 + (epsilon c / 4) / (1 - epsilon H / 4)). What gradient noise does stays of first order.

    The trace tells the step bias that the run itself shows. Where the localizer is much stiffer than the loss, it
    counts gradient noise along directions that the loss does not feel, and is an upper bound.

    Args:
        step_size: epsilon, in (parameter unit)^2 where P is 1. AUTO: the largest for which the step bias of the LLC
            stays at `bias`, between 0.01 and 0.5 over the largest curvature seen in warmup.
        bias: Relative step bias of the LLC that AUTO aims at.
        preconditioner: P. "localizer": the localizer's unit squared, scaled to mean 1 (1 for an isotropic localizer);
            "diagonal": the variances seen in warmup; an `RMSprop`; or a `Diagonal` of one's own.
        second_order: Whether noise is averaged over two steps.
        control_variate: Whether gradient and excess have their first order at w* as control variate: twice the cost,
            and less noise where the draws stay close to w*.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> SGLD(step_size=1e-4)
    SGLD(step_size=0.0001, bias=0.02, preconditioner='localizer', second_order=False, control_variate=False)
    """

    step_size: float | Auto = AUTO
    bias: float = 0.02
    preconditioner: Preconditioner = "localizer"
    second_order: bool = False
    control_variate: bool = False

    full_data = False
    uniforms = 0
    unadjusted = True

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.step_size, Auto) and not 0 < self.step_size < math.inf:
            raise SettingsError(f"step_size must be positive and finite, got {self.step_size}.")
        if not 0 < self.bias < 1:
            raise SettingsError(f"bias must be in (0, 1), got {self.bias}.")
        check_preconditioner("preconditioner", self.preconditioner, ("localizer", "diagonal"), (RMSprop, Diagonal))

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning | MetricTuning, Adaptation | None]:
        """Start at w; without a step size, look at the curvature there."""
        metric, learning = start_metric(self.preconditioner, posterior, w)
        state = State(w, self.preconditioner.start(w) if isinstance(self.preconditioner, RMSprop) else None)
        curvature = None
        if isinstance(self.step_size, Auto):
            curvature = start_curvature(posterior, self._metric(posterior, state, metric), w, nbeta, random)
            step_size = 0.1 / curvature.largest
        else:
            step_size = torch.full_like(nbeta, self.step_size)
        tuning = Tuning(step_size) if metric is None else MetricTuning(step_size, metric)
        if curvature is None and learning is None:
            return state, tuning, None
        zero = torch.zeros_like(nbeta)
        return state, tuning, Adaptation(curvature, zero, zero.clone(), learning)

    def step(
        self, posterior: Posterior, state: State, tuning: Tuning | MetricTuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Take one step, writing into the state and the gradient."""
        w, second = state
        evaluate = posterior.controlled if self.control_variate else posterior.evaluate
        excess, gradient = evaluate(w, random.rows(t))
        if second is not None and isinstance(self.preconditioner, RMSprop):
            second = self.preconditioner.update(second, gradient)
        metric = self._metric(posterior, state, getattr(tuning, "metric", None))
        force = posterior.force(w, gradient, nbeta, out=True)
        away = posterior.away(w)
        shared = {name: random.normal(t, name) for name in w} if self.second_order else None
        bias = StepBias(metric, tuning.step_size, shared)
        info = Info(
            excess=excess,
            acceptance=torch.ones_like(excess),
            diverging=torch.zeros_like(excess, dtype=torch.bool),
            virial=inner(away, force),
            surplus=bias.of_loss(posterior, away, force),
            felt=bias.felt(posterior, away, force) if metric is posterior.metric else None,
        )
        drift(w, force, metric, tuning.step_size)
        if shared is None:
            diffuse(w, force, metric, tuning.step_size, random, t)
        else:
            diffuse_twice(w, shared, metric, tuning.step_size, random, t)
        return State(w, second), info

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
        """Collect the step bias; now and then look at the curvature, and step no farther than it allows."""
        curvature, bias, value, learning = adaptation
        if learning is not None:
            learning = learning.observe(state.w, state.second)
        if curvature is not None:
            if t % _PROBE_EVERY == 0:
                force = force_on(posterior, nbeta, random.rows(t))
                metric = self._metric(posterior, state, getattr(tuning, "metric", None))
                curvature = curvature.update(force, state.w, metric, tuning.step_size.sqrt())
            bias = bias + info.surplus / (2 * tuning.step_size)
            value = value + nbeta * info.excess
            tuning = tuning._replace(step_size=torch.minimum(tuning.step_size, _FRACTION[1] / curvature.largest))
        return Adaptation(curvature, bias, value, learning), tuning

    def pool(
        self, adaptation: Adaptation, tuning: Tuning | MetricTuning, alive: Tensor
    ) -> tuple[Adaptation, Tuning | MetricTuning]:
        """Set one step for all chains: the one whose bias is `bias`, within the bounds of the curvature."""
        if adaptation.curvature is not None:
            adaptation, step_size = self._pool_step(adaptation, adaptation.curvature, tuning.step_size, alive)
            tuning = tuning._replace(step_size=step_size)
        if adaptation.learning is None or not isinstance(tuning, MetricTuning):
            return adaptation, tuning
        learning, metric, ratio = adaptation.learning.pool(self.preconditioner, tuning.metric, alive)
        adaptation, tuning = adaptation._replace(learning=learning), tuning._replace(metric=metric)
        if ratio is not None and adaptation.curvature is not None:
            # In the new metric the curvature is at most so much larger: no step leaves the stable range meanwhile.
            forgotten = adaptation.curvature._replace(largest=torch.zeros_like(adaptation.curvature.largest))
            adaptation = adaptation._replace(curvature=forgotten)
            tuning = tuning._replace(step_size=tuning.step_size / ratio.clamp(min=1.0))
        return adaptation, tuning

    def _pool_step(
        self, adaptation: Adaptation, curvature: Curvature, step_size: Tensor, alive: Tensor
    ) -> tuple[Adaptation, Tensor]:
        living = alive & torch.isfinite(adaptation.bias + adaptation.value)
        if not bool(living.any()):
            return adaptation, step_size
        largest = float(curvature.largest[living].max())
        bias, value = float(adaptation.bias[living].sum()), float(adaptation.value[living].sum())
        if not (value > 0 or bias > 0) or not largest > 0:
            return adaptation, step_size  # chains that have not left a point without gradients say nothing
        low, high = (f / largest for f in _FRACTION)
        wanted = self.bias * max(value, 0.0) / bias if bias > 0 else high
        pooled = mean_over(torch.full_like(step_size, min(max(wanted, low), high)), living)
        zero = torch.zeros_like(step_size)
        return adaptation._replace(bias=zero, value=zero.clone()), pooled

    def _metric(self, posterior: Posterior, state: State, own: Params | None) -> Params:
        if own is not None:
            return own
        if state.second is not None and isinstance(self.preconditioner, RMSprop):
            return self.preconditioner.metric(state.second)
        return posterior.metric


def start_curvature(posterior: Posterior, metric: Params, w: Params, nbeta: Tensor, random: Random) -> Curvature:
    """Look at the curvature at w* on the rows of the first steps."""
    probe = {name: random.normal(0, name).clone() for name in w}
    length = inner(probe, probe).sqrt()
    probe = {name: p / per_chain(length, p) for name, p in probe.items()}
    curvature = Curvature(probe, torch.zeros_like(nbeta))
    radius = torch.full_like(nbeta, 1e-2 / math.sqrt(posterior.dimension))
    for i in range(_START_PROBES):
        curvature = curvature.update(force_on(posterior, nbeta, random.rows(i)), w, metric, radius)
    # Where neither loss nor localizer bends, a unit of curvature keeps the first steps finite.
    return curvature._replace(largest=curvature.largest.clamp(min=1.0))


def drift(w: Params, force: Params, metric: Params, step_size: Tensor) -> None:
    """Move w by -(step_size / 2) P grad U, in place."""
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name], force[name], value=-0.5)


def diffuse(w: Params, spent: Params, metric: Params, step_size: Tensor, random: Random, t: int) -> None:
    """Add sqrt(step_size P) noise to w, in place; the spent force lends its memory to the noise."""
    for name, leaf in w.items():
        noise = random.normal(t, name, out=spent[name])
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), noise)


def diffuse_twice(w: Params, shared: Params, metric: Params, step_size: Tensor, random: Random, t: int) -> None:
    """Add sqrt(step_size P) times the mean of this step's noise and the next one's to w, in place."""
    for name, leaf in w.items():
        both = shared[name] + random.normal(t + 1, name)
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), both, value=0.5)


class StepBias(NamedTuple):
    r"""What a step adds to the virial, as a vector whose product with the force it is.

    .. math:: \tfrac{\epsilon}{4} P \nabla U - \tfrac{\sqrt{\epsilon}}{2} P^{1/2} \xi_t

    with the second term for averaged noise alone, of which xi_t is already in w. In a stationary run the mean of its
    product with grad U is E[(w - w*) . grad U] - d exactly.
    """

    metric: Params
    step_size: Tensor
    shared: Params | None
    """xi_t of averaged noise; None without it."""

    def leaf(self, name: str, force: Tensor) -> Tensor:
        """Return one leaf of the vector."""
        size = per_chain(self.step_size, force) * self.metric[name]
        added = size / 4 * force
        return added if self.shared is None else added - size.sqrt() / 2 * self.shared[name]

    def of_loss(self, posterior: Posterior, away: Params, force: Params) -> Tensor:
        """Return the loss's share of it, (chains,).

        On a quadratic without gradient noise half of it is the bias of the LLC. The localizer's share is left out: in
        a large model it would drown the loss's.
        """
        total = torch.zeros_like(self.step_size)
        for name, f in force.items():
            loss = f - posterior.precision[name] * away[name]
            total += (loss * self.leaf(name, f)).sum(dim=1, dtype=torch.float64)
        return total

    def felt(self, posterior: Posterior, away: Params, force: Params) -> Tensor | None:
        """Return the virial of the directions in which the loss is felt, less what a step in their unit adds to it."""
        if posterior.felt is None:
            return None
        return posterior.felt_virial({name: a - self.leaf(name, force[name]) for name, a in away.items()}, force)


def force_on(posterior: Posterior, nbeta: Tensor, rows: Tensor | None) -> Callable[[Params], Params]:
    """Return grad U on fixed rows, as a function of w."""

    def force(w: Params) -> Params:
        return posterior.force(w, posterior.evaluate(w, rows).grad, nbeta, out=True)

    return force
