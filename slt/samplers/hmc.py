"""Hamiltonian Monte Carlo on the full data."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, Rows, clone, inner, per_chain, side_by_side, where
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.posterior.localization import is_number
from slt.samplers._adaptation import DualAverage, Moments, StepSearch, localizer_frequency
from slt.samplers._mass import Covariance, Dense, Directions, Mass
from slt.samplers.preconditioning import Diagonal, Learning, check_preconditioner
from slt.samplers.protocol import AUTO, Auto, Info

DIVERGENCE = 1000.0  # energy error in nats beyond which a trajectory has left the hills (Stan's threshold)
_DENSEST = 512  # parameters of which a chain may hold a matrix
_SEARCH = 60  # doublings or halvings of the first step at most
_TURN = math.pi / 2  # radians of the localizer's own oscillation, beyond which a trajectory comes back


class State(NamedTuple):
    """Where the chains are, and what they know of that place."""

    w: Params
    excess: Tensor
    grad: Params


class Tuning(NamedTuple):
    """What warmup decides; `inverse_mass` is shared by all chains, and so is the mean number of leapfrogs."""

    step_size: Tensor
    leapfrogs: Tensor
    inverse_mass: Params


class LowRankTuning(NamedTuple):
    """The same with a few stiff directions, shared by all chains."""

    step_size: Tensor
    leapfrogs: Tensor
    inverse_mass: Params
    basis: Rows


class DenseTuning(NamedTuple):
    """The same with a mass that is a whole matrix: M^{-1} = R^T R, shared by all chains."""

    step_size: Tensor
    leapfrogs: Tensor
    factor: Rows
    """R, upper triangular, (d, entries) a leaf."""


AnyTuning = Tuning | LowRankTuning | DenseTuning


class Adaptation(NamedTuple):
    """What warmup has seen."""

    search: StepSearch | None
    learning: Learning | None
    directions: Directions | None
    covariance: Covariance | None
    frequency: Tensor
    """Of the localizer's own oscillation in this mass, radians a unit of time; (chains,)."""
    most: int
    """Leapfrogs of a trajectory in the mean."""


@dataclass(frozen=True)
class HMC:
    r"""Hamiltonian Monte Carlo (Duane et al., 1987; Neal, 2011), exact at any step size.

    A step draws a momentum p ~ N(0, M), follows L leapfrog steps

    .. math:: p \mathrel{-}= \tfrac{\epsilon}{2} \nabla U,\quad w \mathrel{+}= \epsilon M^{-1} p,\quad
              p \mathrel{-}= \tfrac{\epsilon}{2} \nabla U

    and accepts with probability min(1, exp(-change of U + p.M^{-1}p / 2)). The step of a trajectory is
    epsilon u^jitter with u uniform in (0, 1): a singular posterior has no single scale, and a chain that came into a
    narrow place leaves it by a short step, of which there are some at every scale. The number of leapfrogs is drawn
    from half to one and a half times its mean.

    Args:
        step_size: epsilon in units of sqrt(M w^2); AUTO finds it in warmup by dual averaging.
        leapfrogs: Mean number of leapfrog steps, one gradient on all the data each. Where the step is AUTO it is the
            most there are: no more than the dimension and three are taken, and fewer where fewer of the longest step
            make a quarter turn of the localizer's own oscillation, beyond which a trajectory comes back.
        target_acceptance: Mean acceptance that AUTO aims at.
        jitter: Power of the uniform number by which a trajectory's step is shortened, >= 0; 0 leaves it.
        mass: "localizer", M^{-1} = the localizer's unit squared; "diagonal", variances seen in warmup; "low_rank", the
            localizer with one stiff direction a chain, found in warmup from the mean Hessian of the posterior (one more
            gradient a step there); "dense", the whole covariance seen in warmup, for at most 512 parameters; or a
            `Diagonal` of one's own.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> HMC(leapfrogs=4).target_acceptance
    0.8
    """

    step_size: float | Auto = AUTO
    leapfrogs: int = 8
    target_acceptance: float = 0.8
    jitter: float = 1.0
    mass: Literal["localizer", "diagonal", "low_rank", "dense"] | Diagonal = "localizer"

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
        if not is_number(self.jitter) or not 0 <= self.jitter < math.inf:
            raise SettingsError(f"jitter must be a number >= 0, got {self.jitter!r}.")
        check_preconditioner("mass", self.mass, ("localizer", "diagonal", "low_rank", "dense"), (Diagonal,))

    def init(
        self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random
    ) -> tuple[State, Tuning | LowRankTuning | DenseTuning, Adaptation | None]:
        """Evaluate at w; without a step size, search for one that is about right there.

        Returns:
            State, tuning and adaptation.

        Raises:
            SettingsError: If the mass is to be dense, of more parameters than that is for.
        """
        if self.mass == "dense" and posterior.dimension > _DENSEST:
            raise SettingsError(
                f'mass="dense" holds a matrix of the parameters for each chain: at most {_DENSEST} may move, got '
                f'{posterior.dimension:,}. Take mass="diagonal" or "low_rank".'
            )
        state = State(w, *posterior.evaluate(w))
        diagonal = self.mass.lay_out(posterior) if isinstance(self.mass, Diagonal) else clone(posterior.metric)
        learning = Learning(0, Moments.start(w)) if self.mass == "diagonal" else None
        directions = Directions.start(w, random) if self.mass == "low_rank" else None
        covariance = Covariance.start(w) if self.mass == "dense" else None
        search = None
        if isinstance(self.step_size, Auto):
            step_size = search_step(posterior, state, Mass(diagonal), nbeta, random)
            search = StepSearch.start(step_size)
        else:
            step_size = torch.full_like(nbeta, self.step_size)
        # A few parameters have few scales: what is more than a turn along the one goes nowhere along another.
        most = self.leapfrogs if search is None else min(self.leapfrogs, posterior.dimension + 3)
        tuning = Tuning(step_size, torch.full_like(nbeta, most), diagonal)
        if self.mass == "low_rank":
            tuning = LowRankTuning(*tuning, {name: leaf[:0] for name, leaf in w.items()})
        if self.mass == "dense":
            whole = {name: leaf.expand(1, w[name].shape[1]) for name, leaf in diagonal.items()}
            factor = Dense.of(side_by_side(whole).squeeze(0).diag(), w).factor
            tuning = DenseTuning(tuning.step_size, tuning.leapfrogs, factor)
        if search is None and learning is None and directions is None and covariance is None:
            return state, tuning, None
        frequency = torch.full_like(nbeta, localizer_frequency(posterior, diagonal))
        return state, tuning, Adaptation(search, learning, directions, covariance, frequency, most)

    def step(
        self, posterior: Posterior, state: State, tuning: AnyTuning, nbeta: Tensor, random: Random, t: int
    ) -> tuple[State, Info]:
        """Follow one trajectory and accept or stay."""
        uniform = random.uniform(t).to(nbeta.device)
        step_size = tuning.step_size * uniform[:, 0] ** self.jitter
        leapfrogs = max(1, round(float(tuning.leapfrogs.max()) * (0.5 + random.common(t))))
        mass = _mass(tuning)
        momentum = mass.draw(state.w, random, t)
        before = posterior.energy(state.w, state.excess, nbeta) + mass.kinetic(momentum)
        end, momentum = trajectory(posterior, state, momentum, mass, step_size, nbeta, leapfrogs)
        after = posterior.energy(end.w, end.excess, nbeta) + mass.kinetic(momentum)
        force = posterior.force(state.w, state.grad, nbeta)
        return accept_or_stay(posterior, state, end, after - before, uniform[:, 1], force)

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Adaptation,
        state: State,
        tuning: AnyTuning,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Adaptation, AnyTuning]:
        """Move the step toward the acceptance target; learn where the mass is learned."""
        search, learning, directions, covariance, frequency, most = adaptation
        step_size = tuning.step_size
        if search is not None:
            search, step_size = search.update(info.acceptance, self.target_acceptance, step_size)
        mass = _mass(tuning)
        if learning is not None or covariance is not None:
            frequency = torch.full_like(nbeta, localizer_frequency(posterior, mass.diagonal))
        if learning is not None:
            learning = learning.observe(state.w)
        if covariance is not None:
            covariance = covariance.observe(posterior.away(state.w))
        if directions is not None and isinstance(mass, Mass):
            # a step is a length in units of the mass's square root, so is this
            radius = step_size / math.sqrt(posterior.dimension)
            directions = directions.observe(posterior, mass, state.w, state.grad, nbeta, radius)
        adaptation = Adaptation(search, learning, directions, covariance, frequency, most)
        return adaptation, tuning._replace(step_size=step_size)

    def pool(self, adaptation: Adaptation, tuning: AnyTuning, alive: Tensor) -> tuple[Adaptation, AnyTuning]:
        """Share the step among the living chains; take the mass from what they have seen."""
        search, learning, directions, covariance, frequency, most = adaptation
        changed, learned, shrunk = False, None, 1.0
        if learning is not None and isinstance(tuning, Tuning):
            learning, inverse_mass, ratio = learning.pool("diagonal", tuning.inverse_mass, alive)
            changed = ratio is not None
            tuning = tuning._replace(inverse_mass=inverse_mass)
        if directions is not None and isinstance(tuning, LowRankTuning):
            directions, basis = directions.pool(alive)
            if basis is not None:
                tuning, changed = tuning._replace(basis=basis), True
        if covariance is not None and isinstance(tuning, DenseTuning):
            covariance, learned, shrunk = covariance.pool(Dense(tuning.factor), alive)
            if learned is not None:
                tuning, changed = tuning._replace(factor=learned.factor), True
        if search is not None:
            search, step_size = search.pool(tuning.step_size, self.target_acceptance, alive, restart=changed)
            if learned is not None:
                # What shrank most was what held the step down: its own step stays, up to that of a round posterior.
                step_size = (step_size / shrunk).clamp(max=1.0).maximum(step_size)
                search = search._replace(dual=DualAverage.start(step_size))
            angle = frequency * step_size  # of the longest leapfrog, in radians
            tuning = tuning._replace(step_size=step_size, leapfrogs=(_TURN / angle).clamp(1, most))
        return Adaptation(search, learning, directions, covariance, frequency, most), tuning


def _mass(tuning: AnyTuning) -> Mass | Dense:
    if isinstance(tuning, DenseTuning):
        return Dense(tuning.factor)
    # A basis without rows, before any was found, is passed over.
    rows = tuning.basis if isinstance(tuning, LowRankTuning) else None
    return Mass(tuning.inverse_mass, rows if rows and next(iter(rows.values())).shape[0] else None)


def acceptance_probability(energy_error: Tensor) -> Tensor:
    """Return min(1, exp(-error)); a proposal that is not finite has none."""
    return torch.exp(-energy_error.clamp(min=0)).nan_to_num(nan=0.0)


def accept_or_stay(
    posterior: Posterior, state: State, end: State, energy_error: Tensor, uniform: Tensor, force: Params
) -> tuple[State, Info]:
    """Accept the end of a proposal where `uniform` allows its energy error; tell of the place that it left.

    Args:
        posterior: What is sampled.
        state: Where the chains are; `force` is grad U there.
        end: What is proposed.
        energy_error: By which the proposal does not conserve energy, (chains,), nats.
        uniform: A uniform number a chain.
        force: See `state`.

    Returns:
        Where the chains go, and what is told of where they were.
    """
    acceptance = acceptance_probability(energy_error)
    accepted = uniform < acceptance
    away = posterior.away(state.w)
    info = Info(
        excess=state.excess,
        acceptance=acceptance,
        diverging=~(energy_error < DIVERGENCE),
        virial=inner(away, force),
        surplus=torch.zeros_like(state.excess),
        felt=posterior.felt_virial(away, force),
    )
    chosen = State(
        where(accepted, end.w, state.w),
        torch.where(accepted, end.excess, state.excess),
        where(accepted, end.grad, state.grad),
    )
    return chosen, info


def kick(momentum: Params, force: Params, step_size: Tensor) -> Params:
    """Return p - step_size grad U."""
    return {name: p - per_chain(step_size, p) * force[name] for name, p in momentum.items()}


def glide(w: Params, velocity: Params, step_size: Tensor) -> Params:
    """Return w + step_size M^{-1} p."""
    return {name: torch.addcmul(leaf, per_chain(step_size, leaf), velocity[name]) for name, leaf in w.items()}


def trajectory(
    posterior: Posterior,
    state: State,
    momentum: Params,
    mass: Mass | Dense,
    step_size: Tensor,
    nbeta: Tensor,
    leapfrogs: int,
) -> tuple[State, Params]:
    """Follow the leapfrog; return the end state and momentum."""
    force = posterior.force(state.w, state.grad, nbeta)
    momentum = kick(momentum, force, step_size / 2)
    for left in reversed(range(leapfrogs)):
        w = glide(state.w, mass.velocity(momentum), step_size)
        state = State(w, *posterior.evaluate(w))
        force = posterior.force(w, state.grad, nbeta)
        momentum = kick(momentum, force, step_size if left else step_size / 2)
    return state, momentum


def search_step(posterior: Posterior, state: State, mass: Mass, nbeta: Tensor, random: Random) -> Tensor:
    """Double or halve each chain's step until one leapfrog's acceptance crosses one half."""
    momentum = mass.draw(state.w, random, 0)
    before = posterior.energy(state.w, state.excess, nbeta) + mass.kinetic(momentum)
    step_size = torch.full_like(nbeta, 0.1)
    grow: Tensor | None = None
    settled = torch.zeros_like(nbeta, dtype=torch.bool)
    for _ in range(_SEARCH):
        end, p = trajectory(posterior, state, momentum, mass, step_size, nbeta, 1)
        after = posterior.energy(end.w, end.excess, nbeta) + mass.kinetic(p)
        good = acceptance_probability(after - before) > 0.5
        grow = good if grow is None else grow
        settled |= good != grow
        if bool(settled.all()):
            break
        factor = torch.where(grow, 2.0, 0.5)
        step_size = torch.where(settled, step_size, step_size * factor)
    return step_size
