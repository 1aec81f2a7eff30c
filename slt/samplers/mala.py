"""The Metropolis-adjusted Langevin algorithm on the full data."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, clone, inner, per_chain
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers._adaptation import StepSearch
from slt.samplers._mass import Mass
from slt.samplers.hmc import State, accept_or_stay, search_step
from slt.samplers.preconditioning import Diagonal, Learning, check_preconditioner, start_metric
from slt.samplers.protocol import AUTO, Auto, Info


class Tuning(NamedTuple):
    """What warmup decides; the metric is shared by all chains."""

    step_size: Tensor
    metric: Params


class Adaptation(NamedTuple):
    """What warmup has seen."""

    search: StepSearch | None
    learning: Learning | None


@dataclass(frozen=True)
class MALA:
    r"""Langevin steps with a Metropolis test (Roberts & Tweedie, 1996), exact at any step size.

    .. math:: w' = w - \tfrac{\epsilon}{2} P\, \nabla U(w) + \sqrt{\epsilon P}\, \xi

    is accepted with probability min(1, p(w') q(w | w') / (p(w) q(w' | w))), q being the density of this proposal. It
    is `HMC` with a single leapfrog; where directions differ in scale it needs many more gradients.

    Args:
        step_size: epsilon, in (parameter unit)^2 where P is 1; AUTO finds it in warmup.
        target_acceptance: Mean acceptance that AUTO aims at.
        preconditioner: P: "localizer", the localizer's unit squared, scaled to mean 1; "diagonal", the variances seen
            in warmup; or a `Diagonal` of one's own.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> MALA(target_acceptance=0.9)
    MALA(step_size=AUTO, target_acceptance=0.9, preconditioner='localizer')
    """

    step_size: float | Auto = AUTO
    target_acceptance: float = 0.8
    preconditioner: Literal["localizer", "diagonal"] | Diagonal = "localizer"

    full_data = True
    uniforms = 1
    unadjusted = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.step_size, Auto) and not 0 < self.step_size < math.inf:
            raise SettingsError(f"step_size must be positive and finite, got {self.step_size}.")
        if not 0 < self.target_acceptance < 1:
            raise SettingsError(f"target_acceptance must be in (0, 1), got {self.target_acceptance}.")
        check_preconditioner("preconditioner", self.preconditioner, ("localizer", "diagonal"), (Diagonal,))

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning, Adaptation | None]:
        """Evaluate at w; without a step size, search for one that is about right there."""
        state = State(w, *posterior.evaluate(w))
        own, learning = start_metric(self.preconditioner, posterior, w)
        metric = clone(posterior.metric) if own is None else own
        search = None
        if isinstance(self.step_size, Auto):
            step_size = search_step(posterior, state, Mass(metric), nbeta, random).square()
            search = StepSearch.start(step_size)
        else:
            step_size = torch.full_like(nbeta, self.step_size)
        adaptation = None if search is None and learning is None else Adaptation(search, learning)
        return state, Tuning(step_size, metric), adaptation

    def step(
        self, posterior: Posterior, state: State, tuning: Tuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Propose, and accept or stay."""
        noise = {name: random.normal(t, name) for name in state.w}
        force = posterior.force(state.w, state.grad, nbeta)
        proposal = propose(state.w, force, noise, tuning.metric, tuning.step_size)
        end = State(proposal, *posterior.evaluate(proposal))
        back = reverse_noise(noise, force, posterior.force(end.w, end.grad, nbeta), tuning.metric, tuning.step_size)
        energy_error = posterior.energy(end.w, end.excess, nbeta) - posterior.energy(state.w, state.excess, nbeta)
        error = energy_error + (inner(back, back) - inner(noise, noise)) / 2
        uniform = random.uniform(t)[:, 0].to(nbeta.device)
        return accept_or_stay(posterior, state, end, error, uniform, force)

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
        """Move the step toward the acceptance target; take the position in where the metric is learned."""
        search, learning = adaptation
        if search is not None:
            search, step_size = search.update(info.acceptance, self.target_acceptance, tuning.step_size)
            tuning = tuning._replace(step_size=step_size)
        return Adaptation(search, None if learning is None else learning.observe(state.w)), tuning

    def pool(self, adaptation: Adaptation, tuning: Tuning, alive: Tensor) -> tuple[Adaptation, Tuning]:
        """Share the step among the living chains; take the metric from what they have seen."""
        search, learning = adaptation
        ratio = None
        if learning is not None:
            learning, metric, ratio = learning.pool("diagonal", tuning.metric, alive)
            tuning = tuning._replace(metric=metric)
        if search is not None:
            restart = ratio is not None
            search, step_size = search.pool(tuning.step_size, self.target_acceptance, alive, restart=restart)
            tuning = tuning._replace(step_size=step_size)
        return Adaptation(search, learning), tuning


def propose(w: Params, force: Params, noise: Params, metric: Params, step_size: Tensor) -> Params:
    """Return w - (step_size / 2) P grad U + sqrt(step_size P) xi."""
    proposal = {}
    for name, leaf in w.items():
        size = per_chain(step_size, leaf) * metric[name]
        proposal[name] = leaf - size / 2 * force[name] + size.sqrt() * noise[name]
    return proposal


def reverse_noise(noise: Params, force: Params, end_force: Params, metric: Params, step_size: Tensor) -> Params:
    """Return the noise that would lead back, up to its sign: xi - (sqrt(step_size P) / 2) (grad U + grad U').

    Written with the two gradients, not with w' - w: a small step loses its digits there.
    """
    back = {}
    for name, xi in noise.items():
        root = (per_chain(step_size, xi) * metric[name]).sqrt()
        back[name] = xi - root / 2 * (force[name] + end_force[name])
    return back
