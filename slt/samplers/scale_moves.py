"""Scale moves beside an exact sampler: distances from w* and from zero, made larger or smaller by a factor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, cut_like, side_by_side, where
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers.hmc import State, acceptance_probability
from slt.samplers.protocol import Info, Sampler

_WORD = 0x5CA1E  # tells the random numbers of these moves from those of the sampler beside them
_UNIFORMS = 8  # numbers that one move draws
_SMALLEST, _LARGEST = 0.03, 3.0  # standard deviations of s, drawn alike in their logarithm
_REFLECTED = 0.15  # share of the moves that also change sides


@dataclass(frozen=True)
class ScaleMoves:
    r"""Scale moves after each step of an exact sampler, themselves exact.

    The posterior of a singular model is wide where one weight is small and narrow where it is large, over many orders
    of magnitude; a sampler that moves by a step of one size is slow there. A scale move takes

    .. math:: w_i \leftarrow c_i \pm e^{a_i s} (w_i - c_i)

    and is accepted with probability

    .. math:: \min\Big(1, \exp\Big(U(w) - U(w') + s \sum_i a_i\Big)\Big),

    the last term being the logarithm of its Jacobian. The number s is normal around 0, with a standard deviation
    drawn from 0.03 to 3 at each move, so that a move and the way back are equally likely. The powers a are, one
    kind as often as another: 1 for a single weight; 1 and -1 for two weights; 1 for a parameter tensor; 1 and -1 for
    two tensors; or normal numbers for all weights. The point c is w* or zero, in turn by chance, and of 100 moves 15
    take the minus sign, with which every weight that is moved changes sides.

    Each move costs one evaluation of the loss on all the data, and counts as a gradient. Of a step the trace
    tells the acceptance of the sampler beside; it calls diverging what that sampler lost and no scale move made good.

    Args:
        inner: The exact sampler that takes the steps: `slt.HMC`, `slt.MALA`, or one whose State holds w, excess and
            grad and nothing else.
        moves: Scale moves after each step.

    Raises:
        SettingsError: If the sampler is not exact, or not one beside which scale moves can be made; or `moves` is no
            positive integer.

    >>> import slt
    >>> ScaleMoves(slt.MALA(), moves=1)
    ScaleMoves(inner=MALA(step_size=AUTO, target_acceptance=0.8, preconditioner='localizer'), moves=1)
    """

    inner: Sampler
    moves: int = 3

    full_data = True
    unadjusted = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if isinstance(self.moves, bool) or not isinstance(self.moves, int) or self.moves < 1:
            raise SettingsError(f"moves must be a positive integer, got {self.moves!r}.")
        name = repr(self.inner) if isinstance(self.inner, str | type) else type(self.inner).__name__
        if isinstance(self.inner, ScaleMoves):
            raise SettingsError("scale moves stand beside another sampler, got ScaleMoves; take more by moves=.")
        if isinstance(self.inner, type) or not hasattr(self.inner, "unadjusted"):
            raise SettingsError(f"ScaleMoves needs a sampler such as slt.HMC() or slt.MALA(), got {name}.")
        if self.inner.unadjusted or not self.inner.full_data:
            raise SettingsError(
                "ScaleMoves needs a sampler that is exact and uses all the data, such as slt.HMC() or slt.MALA(): "
                f"beside another one they would sample neither its law nor the right one. Got {name}."
            )

    @property
    def uniforms(self) -> int:
        """As the sampler beside says; the moves have numbers of their own."""
        return self.inner.uniforms

    def init(self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random) -> tuple[Any, Any, Any | None]:
        """Begin as the sampler beside does.

        Returns:
            State, tuning and adaptation of that sampler.

        Raises:
            SettingsError: If its State holds something else than w, excess and grad.
        """
        state, tuning, adaptation = self.inner.init(posterior, w, nbeta, random)
        held = getattr(state, "_fields", ())
        if set(held) != set(State._fields):
            raise SettingsError(
                "ScaleMoves needs a sampler whose State holds w, excess and grad and nothing else, got "
                f"{type(self.inner).__name__} with {', '.join(held) or type(state).__name__}."
            )
        return state, tuning, adaptation

    def step(
        self, posterior: Posterior, state: Any, tuning: Any, nbeta: Tensor, random: Random, t: int
    ) -> tuple[Any, Info]:
        """Step as the sampler beside does, and move from there."""
        state, info = self.inner.step(posterior, state, tuning, nbeta, random, t)
        for move in self._drawn(posterior, state.w, random, t):
            state, accepted = _moved(posterior, state, nbeta, move)
            info = info._replace(diverging=info.diverging & ~accepted)
        return state, info

    def _drawn(self, posterior: Posterior, w: Params, random: Random, t: int) -> list["_Move"]:
        """Draw the moves of a step, which do not depend on where the chains are."""
        numbers = random.beside(_WORD, _UNIFORMS * self.moves)
        noise = [
            side_by_side({name: numbers.normal(t * self.moves + k, name) for name in w}) for k in range(self.moves)
        ]
        uniforms = numbers.uniform(t).to(noise[0].device).unflatten(1, (self.moves, _UNIFORMS)).swapaxes(0, 1)
        sizes = [size for leaf in posterior.evaluator.leaves.values() for size in leaf]
        powers = choose_powers(uniforms, torch.stack(noise), sizes) * choose_size(uniforms).unsqueeze(2)
        at_zero, reflected = uniforms[..., 5] < 0.5, uniforms[..., 6] < _REFLECTED
        factors = torch.exp(powers) * torch.where(reflected.unsqueeze(2) & (powers != 0), -1.0, 1.0)
        columns = (factors, at_zero, log_jacobian(powers), uniforms[..., 7])
        return [_Move(*(column[k] for column in columns)) for k in range(self.moves)]

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Any,
        state: Any,
        tuning: Any,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Any, Any]:
        """Adapt as the sampler beside does: the moves have nothing to find."""
        return self.inner.adapt(posterior, adaptation, state, tuning, info, nbeta, random, t)

    def pool(self, adaptation: Any, tuning: Any, alive: Tensor) -> tuple[Any, Any]:
        """Pool as the sampler beside does."""
        return self.inner.pool(adaptation, tuning, alive)


class _Move(NamedTuple):
    """What one scale move does in every chain."""

    factors: Tensor
    """By which every distance grows; 1 where a weight stays; (chains, d)."""
    at_zero: Tensor
    """Whether distances are those from zero, not from w*; (chains,)."""
    log_jacobian: Tensor
    uniform: Tensor
    """Below which an acceptance must not be."""


def _moved(posterior: Posterior, state: Any, nbeta: Tensor, move: _Move) -> tuple[Any, Tensor]:
    """Propose one scale move in every chain; return where they go, and which accept."""
    w = scaled(state.w, posterior.center, move.factors, move.at_zero)
    excess, grad = posterior.evaluate(w)
    error = posterior.energy(w, excess, nbeta) - posterior.energy(state.w, state.excess, nbeta)
    accepted = move.uniform < acceptance_probability(error - move.log_jacobian)
    return type(state)(
        w=where(accepted, w, state.w),
        excess=torch.where(accepted, excess, state.excess),
        grad=where(accepted, grad, state.grad),
    ), accepted


def choose_powers(uniforms: Tensor, noise: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return a, (..., d): of one or two weights or tensors, or of all weights, from (..., 8) uniform numbers."""
    kind = (uniforms[..., :1] * 5).long()
    tensors = torch.repeat_interleave(torch.tensor(sizes, device=noise.device))
    powers = noise
    for number, groups in ((0, torch.arange(sum(sizes), device=noise.device)), (2, tensors)):
        count = len(sizes) if number else sum(sizes)
        first = _one_of(uniforms[..., 1:2], count)
        second = (first + 1 + _one_of(uniforms[..., 2:3], max(count - 1, 1))) % count
        one = (groups == first).double()
        two = one - (groups == second).double() if count > 1 else one
        powers = torch.where(kind == number, one, torch.where(kind == number + 1, two, powers))
    return powers


def choose_size(uniforms: Tensor) -> Tensor:
    """Return s, (...): normal, with a standard deviation of its own each time, from (..., 8) uniform numbers."""
    width = _SMALLEST * (_LARGEST / _SMALLEST) ** uniforms[..., 4]
    return width * torch.special.ndtri(uniforms[..., 3].clamp(min=torch.finfo(torch.float64).tiny))


def log_jacobian(powers: Tensor) -> Tensor:
    """Return the logarithm of the factor by which a move stretches volumes, (...)."""
    return powers.sum(-1)


def scaled(w: Params, center: Params, factors: Tensor, at_zero: Tensor) -> Params:
    """Return c + factors (w - c), c being zero or w*; what has the factor 1 stays to the bit."""
    there = side_by_side(w)
    pivot = torch.where(at_zero.unsqueeze(1), 0.0, side_by_side(center))
    return cut_like(there + (factors - 1) * (there - pivot), w)


def _one_of(uniform: Tensor, count: int) -> Tensor:
    return (uniform * count).long().clamp(max=count - 1)
