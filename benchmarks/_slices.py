"""References for any toy: elliptical slice sampling (Murray, Adams and MacKay, 2010), which has no setting at all.

The posterior is the localizer, a Gaussian around w*, times exp(-nbeta K). A step draws an ellipse through the present
point and a draw of the localizer, and a point on it above a random level of the likelihood: no gradient, no step
size, nothing that is rejected. It shares nothing with slt's samplers; many chains run at once.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from math import pi
from typing import Any

import torch
from _gibbs import SCATTER, collect
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

Array = NDArray[Any]
Loss = Callable[[Tensor], Tensor]


def flat_loss(model: torch.nn.Module, data: Any, loss: Any) -> tuple[Loss, Tensor]:
    """K(w) - K(w*) of all parameters end to end, (chains, d) to (chains,), and w*; in float64."""

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.loss = deepcopy(model), loss  # the toy stays in its own dtype

        def forward(self) -> Tensor:
            return self.loss(self.model, data)

    whole = Whole().double()
    tensors = dict(whole.named_parameters())
    center = torch.cat([tensor.detach().reshape(-1) for tensor in tensors.values()])

    def one(w: Tensor) -> Tensor:
        pieces = w.split([tensor.numel() for tensor in tensors.values()])
        leaves = {name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)}
        return functional_call(whole, leaves, ())

    with torch.no_grad():
        lowest = one(center)
    return lambda w: vmap(one)(w) - lowest, center


def record(
    loss: Loss,
    center: Tensor,
    nbeta: float,
    precision: Tensor,
    *,
    chains: int,
    draws: int,
    burn_in: int,
    seed: int,
    hot: bool = False,
) -> tuple[Array, Array]:
    """Collect nbeta K and |w - w*|^2 after every step that follows the burn-in, each of shape (chains, draws).

    Args:
        loss: K, (chains, d) to (chains,).
        center: w*, (d,).
        nbeta: Inverse temperature times n.
        precision: gamma of each parameter, (d,), > 0.
        chains: Chains at once.
        draws: Steps that count.
        burn_in: Steps before them.
        seed: Of the noise.
        hot: Start at points scattered around w*.

    Returns:
        Both.
    """
    return collect(steps(loss, center, nbeta, precision, chains=chains, seed=seed, hot=hot), burn_in, draws)


@torch.no_grad()
def steps(
    loss: Loss, center: Tensor, nbeta: float, precision: Tensor, *, chains: int, seed: int, hot: bool
) -> Iterator[tuple[Array, Array]]:
    """Step without end; see `record`.

    Yields:
        nbeta K and |w - w*|^2 after each step, each of shape (chains,).
    """
    generator = torch.Generator().manual_seed(2 * seed + hot)
    scale = precision.double().rsqrt()

    def noise() -> Tensor:
        return scale * torch.randn(chains, len(center), generator=generator, dtype=torch.float64)

    def uniform() -> Tensor:
        return torch.rand(chains, generator=generator, dtype=torch.float64)

    away = SCATTER * noise() if hot else torch.zeros(chains, len(center), dtype=torch.float64)
    energy = nbeta * loss(center + away)
    while True:
        away, energy = _step(lambda w: nbeta * loss(center + w), away, energy, noise(), uniform)
        yield energy.numpy(), away.square().sum(1).numpy()


def _step(
    energy_at: Loss, away: Tensor, energy: Tensor, other: Tensor, uniform: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Shrink the bracket of each chain until its point lies above the level."""
    level = energy - uniform().log()
    angle = 2 * pi * uniform()
    low, high = angle - 2 * pi, angle.clone()
    found, at = away.clone(), energy.clone()
    open_ = torch.ones_like(energy, dtype=torch.bool)
    while bool(open_.any()):
        rows = open_.nonzero()[:, 0]
        turn = angle[rows, None]
        trial = away[rows] * turn.cos() + other[rows] * turn.sin()
        tried = energy_at(trial)
        good = tried < level[rows]
        found[rows[good]], at[rows[good]] = trial[good], tried[good]
        open_[rows[good]] = False
        left = rows[~good]
        below = angle[left] < 0
        low[left[below]], high[left[~below]] = angle[left[below]], angle[left[~below]]
        angle[left] = low[left] + (high[left] - low[left]) * uniform()[left]
    return found, at
