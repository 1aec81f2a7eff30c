"""Hamiltonian Monte Carlo on the full data."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, clone, inner, per_chain, where
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers._adaptation import DualAverage, Moments, mean_over
from slt.samplers.protocol import AUTO, Auto, Info

_DIVERGENCE = 1000.0  # energy error in nats beyond which a trajectory has left the hills (Stan's threshold)
_SEARCH = 60  # doublings or halvings of the first step at most


class State(NamedTuple):
    """Where the chains are, and what they know of that place."""

    w: Params
    excess: Tensor
    grad: Params


class Tuning(NamedTuple):
    """What warmup decides; `inverse_mass` is shared by all chains."""

    step_size: Tensor
    inverse_mass: Params


class Adaptation(NamedTuple):
    """What warmup has seen."""

    dual: DualAverage
    moments: Moments | None


@dataclass(frozen=True)
class HMC:
    r"""Hamiltonian Monte Carlo (Duane et al., 1987; Neal, 2011), exact at any step size.

    A step draws a momentum p ~ N(0, M), follows L leapfrog steps

    .. math:: p \mathrel{-}= \tfrac{\epsilon}{2} \nabla U,\quad w \mathrel{+}= \epsilon M^{-1} p,\quad
              p \mathrel{-}= \tfrac{\epsilon}{2} \nabla U

    and accepts with probability min(1, exp(-change of U + p.M^{-1}p / 2)). The step is jittered log-uniformly,
    epsilon exp(uniform(jitter)), because a singular posterior has no single scale; the number of leapfrogs is
    drawn from half to one and a half times its mean.

    Args:
        step_size: epsilon in units of sqrt(M w^2); AUTO finds it in warmup by dual averaging.
        leapfrogs: Mean number of leapfrog steps, one gradient on all the data each.
        target_acceptance: Mean acceptance that AUTO aims at.
        jitter: Lowest and highest logarithm of the factor on the step.
        mass: "localizer", M^{-1} = the localizer's unit squared; or "diagonal", variances seen in warmup.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> HMC(leapfrogs=4).target_acceptance
    0.8
    """

    step_size: float | Auto = AUTO
    leapfrogs: int = 8
    target_acceptance: float = 0.8
    jitter: tuple[float, float] = (-2.0, 0.5)
    mass: Literal["localizer", "diagonal"] = "localizer"

    full_data = True
    uniforms = 2
    unadjusted = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.step_size, Auto) and not 0 < self.step_size < math.inf:
            raise SettingsError(f"step_size must be positive and finite, got {self.step_size}.")
        if isinstance(self.leapfrogs, bool) or not isinstance(self.leapfrogs, int) or self.leapfrogs < 1:
            raise SettingsError(f"leapfrogs must be a positive integer, got {self.leapfrogs!r}.")
        if not 0 < self.target_acceptance < 1:
            raise SettingsError(f"target_acceptance must be in (0, 1), got {self.target_acceptance}.")
        if len(self.jitter) != 2 or not -math.inf < self.jitter[0] <= self.jitter[1] < math.inf:
            raise SettingsError(f"jitter must be (low, high) with low <= high, got {self.jitter}.")
        if self.mass not in ("localizer", "diagonal"):
            raise SettingsError(f'mass must be "localizer" or "diagonal", got {self.mass!r}.')

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning, Adaptation | None]:
        """Evaluate at w; without a step size, search for one that is about right there."""
        state = State(w, *posterior.evaluate(w))
        inverse_mass = clone(posterior.metric)
        moments = Moments.start(w) if self.mass == "diagonal" else None
        if not isinstance(self.step_size, Auto):
            tuning = Tuning(torch.full_like(nbeta, self.step_size), inverse_mass)
            if moments is None:
                return state, tuning, None
            return state, tuning, Adaptation(DualAverage.start(tuning.step_size), moments)
        step_size = _search_step(posterior, state, inverse_mass, nbeta, random)
        return state, Tuning(step_size, inverse_mass), Adaptation(DualAverage.start(step_size), moments)

    def step(
        self, posterior: Posterior, state: State, tuning: Tuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Follow one trajectory and accept or stay."""
        uniform = random.uniform(t).to(nbeta.device)
        low, high = self.jitter
        step_size = tuning.step_size * torch.exp(low + (high - low) * uniform[:, 0])
        leapfrogs = max(1, round(self.leapfrogs * (0.5 + random.common(t))))
        momentum = draw_momentum(state.w, tuning.inverse_mass, random, t)
        before = posterior.energy(state.w, state.excess, nbeta) + kinetic(momentum, tuning.inverse_mass)
        end, momentum = trajectory(posterior, state, momentum, tuning.inverse_mass, step_size, nbeta, leapfrogs)
        after = posterior.energy(end.w, end.excess, nbeta) + kinetic(momentum, tuning.inverse_mass)
        acceptance = acceptance_probability(after - before)
        accepted = uniform[:, 1] < acceptance
        force = posterior.force(state.w, state.grad, nbeta)
        info = Info(
            excess=state.excess,
            acceptance=acceptance,
            diverging=~(after - before < _DIVERGENCE),
            virial=posterior.virial(state.w, force),
            surplus=torch.zeros_like(state.excess),
        )
        chosen = State(
            where(accepted, end.w, state.w),
            torch.where(accepted, end.excess, state.excess),
            where(accepted, end.grad, state.grad),
        )
        return chosen, info

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
        """Average the step toward the acceptance target; take the position in where the mass is learned."""
        moments = None if adaptation.moments is None else adaptation.moments.update(state.w)
        if not isinstance(self.step_size, Auto):
            return Adaptation(adaptation.dual, moments), tuning
        dual = adaptation.dual.update(info.acceptance, self.target_acceptance)
        return Adaptation(dual, moments), tuning._replace(step_size=dual.log_step.exp())

    def pool(self, adaptation: Adaptation, tuning: Tuning, alive: Tensor) -> tuple[Adaptation, Tuning]:
        """Give all chains the mean log step of the living; take the mass from their spread."""
        dual, moments = adaptation
        if isinstance(self.step_size, Auto):
            tuning = tuning._replace(step_size=mean_over(dual.log_average, alive).exp())
            dual = DualAverage.start(tuning.step_size)._replace(
                anchor=tuning.step_size.log(), log_average=tuning.step_size.log()
            )
        if moments is not None and bool(alive.any()):
            tuning = tuning._replace(inverse_mass=_variances(moments, tuning.inverse_mass, alive))
            moments = Moments.start(moments.mean)
        return Adaptation(dual, moments), tuning


def draw_momentum(w: Params, inverse_mass: Params, random: Random, t: int) -> Params:
    """Draw p ~ N(0, M)."""
    return {name: random.normal(t, name) / inverse_mass[name].sqrt() for name in w}


def kinetic(momentum: Params, inverse_mass: Params) -> Tensor:
    """Return p . M^{-1} p / 2, (chains,), float64."""
    return 0.5 * inner(momentum, momentum, inverse_mass)


def acceptance_probability(energy_error: Tensor) -> Tensor:
    """Return min(1, exp(-error)); a proposal that is not finite has none."""
    return torch.exp(-energy_error.clamp(min=0)).nan_to_num(nan=0.0)


def kick(momentum: Params, force: Params, step_size: Tensor) -> Params:
    """Return p - step_size grad U."""
    return {name: p - per_chain(step_size, p) * force[name] for name, p in momentum.items()}


def glide(w: Params, momentum: Params, inverse_mass: Params, step_size: Tensor) -> Params:
    """Return w + step_size M^{-1} p."""
    return {
        name: torch.addcmul(leaf, per_chain(step_size, leaf) * inverse_mass[name], momentum[name])
        for name, leaf in w.items()
    }


def trajectory(
    posterior: Posterior,
    state: State,
    momentum: Params,
    inverse_mass: Params,
    step_size: Tensor,
    nbeta: Tensor,
    leapfrogs: int,
) -> tuple[State, Params]:
    """Follow the leapfrog; return the end state and momentum."""
    force = posterior.force(state.w, state.grad, nbeta)
    momentum = kick(momentum, force, step_size / 2)
    for left in reversed(range(leapfrogs)):
        w = glide(state.w, momentum, inverse_mass, step_size)
        state = State(w, *posterior.evaluate(w))
        force = posterior.force(w, state.grad, nbeta)
        momentum = kick(momentum, force, step_size if left else step_size / 2)
    return state, momentum


def _search_step(posterior: Posterior, state: State, inverse_mass: Params, nbeta: Tensor, random: Random) -> Tensor:
    """Double or halve each chain's step until one leapfrog's acceptance crosses one half."""
    momentum = draw_momentum(state.w, inverse_mass, random, 0)
    before = posterior.energy(state.w, state.excess, nbeta) + kinetic(momentum, inverse_mass)
    step_size = torch.full_like(nbeta, 0.1)
    grow: Tensor | None = None
    settled = torch.zeros_like(nbeta, dtype=torch.bool)
    for _ in range(_SEARCH):
        end, p = trajectory(posterior, state, momentum, inverse_mass, step_size, nbeta, 1)
        after = posterior.energy(end.w, end.excess, nbeta) + kinetic(p, inverse_mass)
        good = acceptance_probability(after - before) > 0.5
        grow = good if grow is None else grow
        settled |= good != grow
        if bool(settled.all()):
            break
        factor = torch.where(grow, 2.0, 0.5)
        step_size = torch.where(settled, step_size, step_size * factor)
    return step_size


def _variances(moments: Moments, known: Params, alive: Tensor) -> Params:
    """Return variances over the living chains' positions, shrunk a little toward what is known (Stan's rule)."""
    found = {}
    for name, squares in moments.squares.items():
        mean = moments.mean[name][alive]
        count = moments.positions * mean.shape[0]
        between = moments.positions * (mean - mean.mean(0)).square().sum(0)
        variance = ((squares[alive].sum(0) + between) / max(count - 1, 1)).unsqueeze(0)
        weight = count / (count + 5)
        found[name] = weight * variance + (1 - weight) * 1e-3 * known[name]
    return found
