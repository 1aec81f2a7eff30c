"""Random deep linear networks with data: a benchmark of estimators at the size of small networks, with seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from slt import analytic
from slt.analytic import Entry
from slt.analytic.checks import integer
from slt.errors import InputError, SettingsError
from slt.toys.linear_networks import DeepLinear
from slt.toys.products import as_default
from slt.toys.second_moments import SecondMomentLoss, second_moments
from slt.toys.toy import Toy, known, rows

SizeClass = Literal["1K", "10K", "100K"]


@dataclass(frozen=True)
class _Ranges:
    """What a class draws from, both ends included."""

    widths: tuple[int, int]
    layers: tuple[int, int]
    n: int


_CLASSES: dict[str, _Ranges] = {
    "1K": _Ranges((5, 50), (2, 5), 100_000),
    "10K": _Ranges((5, 100), (2, 10), 100_000),
    "100K": _Ranges((50, 500), (2, 10), 1_000_000),
}
_HALF_WIDTH = 10.0
"""Of the interval of each input."""


@dataclass(frozen=True, repr=False, eq=False)
class RandomDeepLinear(Toy):
    """A random deep linear network at its true parameter.

    Attributes:
        hessian_rank: The rank of the loss's Hessian at w*; half of it is a lower bound of the local lambda there.
        formula: The global value of the loss, which the local one is not below.
        formula_holds: Whether the global value is the local one at w*: False where half the Hessian's rank exceeds it,
            or the local value is known and another; True where that is known and the same; None where neither is.
    """

    hessian_rank: int
    formula: Entry
    formula_holds: bool | None


def random_deep_linear(size: SizeClass = "1K", *, seed: int = 0) -> RandomDeepLinear:
    """A deep linear network of random shape and ranks, with its loss on n random inputs, at its true parameter.

    The number of layers and each width are uniform on 2-5 and 5-50 for "1K", 2-10 and 5-100 for "10K", 2-10 and
    50-500 for "100K"; n is 1e5, 1e5 and 1e6. W_l has entries N(0, 1/n_(l-1)); with probability 1/2 it is projected to
    its first k singular directions, k uniform from 0 to one less than it has. The truth T is their product, and
    the loss is half the mean of |f(x) - T x|^2 over inputs uniform on [-10, 10], held as second moments.

    Args:
        size: The class, named for about how many parameters its networks have.
        seed: Chooses network and inputs, >= 0; torch's global generator is not touched.

    Returns:
        The toy. Its `exact` is the local value at w* where that is known: with one hidden layer, or where every
        factor has the rank of T; else None.

    Raises:
        InputError: If there is no such class.
        SettingsError: If the seed is not an integer >= 0.

    >>> toy = random_deep_linear("1K", seed=3)
    >>> toy.loss(toy.model, toy.data).item()
    0.0
    >>> toy.hessian_rank / 2 <= toy.formula.value or toy.formula_holds is False
    True
    """
    if size not in _CLASSES:
        raise InputError(f"size must be one of {', '.join(get_args(SizeClass))}, got {size!r}.")
    ranges = _CLASSES[size]
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    layers = _uniform(ranges.layers, generator)
    widths = [_uniform(ranges.widths, generator) for _ in range(layers + 1)]
    drawn = [_layer(below, above, generator) for below, above in pairwise(widths)]
    second = _input_moments(widths[0], ranges.n, generator)
    matrices = [as_default(matrix) for matrix, _ in drawn]
    model = DeepLinear(matrices, matrices[0].new_zeros(widths[-1], widths[0]))
    model.truth.copy_(model.product().detach())
    # the ranks are those of generic factors: a product of random ones has the smallest that its parts allow
    ranks = [rank for _, rank in drawn]
    formula = analytic.deep_linear(widths, min(ranks))
    local = known(lambda: analytic.deep_linear(widths, min(ranks), factor_ranks=ranks))
    found = tangent_dimension(widths, ranks)
    holds = None if local is None else local.rlct == formula.rlct
    if 2 * formula.value < found:
        holds = False
    return RandomDeepLinear(
        model=model,
        data=rows(ranges.n),
        loss=SecondMomentLoss(second / 2, model.truth),
        exact=local,
        name=f"random_deep_linear({size!r}, seed={seed})",
        hessian_rank=found,
        formula=formula,
        formula_holds=holds,
    )


def tangent_dimension(widths: Sequence[int], ranks: Sequence[int]) -> int:
    """The rank of the product map's derivative at generic factors of these ranks.

    The derivative reaches the sum over l of U_l (x) V_l, with U_l the image of the layers above l, which grows with
    l, and V_l the row space of those below, which shrinks: sum of (dim U_l - dim U_(l-1)) dim V_l.

    Args:
        widths: (n_0, ..., n_L).
        ranks: Those of W_1, ..., W_L.

    Returns:
        The dimension, which is the rank of the loss's Hessian at w*.

    >>> tangent_dimension((5, 5, 5), (2, 2))  # r (n_0 + n_L) - r^2
    16
    """
    above = [min(ranks[level + 1 :], default=widths[-1]) for level in range(len(ranks))]
    below = [min(ranks[:level], default=widths[0]) for level in range(len(ranks))]
    return sum((here - before) * b for before, here, b in zip([0, *above], above, below, strict=False))


def _uniform(ends: tuple[int, int], generator: torch.Generator) -> int:
    return int(torch.randint(ends[0], ends[1] + 1, (), generator=generator, device="cpu"))


def _layer(below: int, above: int, generator: torch.Generator) -> tuple[Tensor, int]:
    """A random layer in float64, shape (above, below), and its rank."""
    matrix = torch.randn(above, below, dtype=torch.float64, generator=generator, device="cpu") / below**0.5
    most = min(above, below)
    reduced = _uniform((0, 1), generator)
    rank = _uniform((0, most - 1), generator) if reduced else most
    if reduced:
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        matrix = (u[:, :rank] * s[:rank]) @ v[:rank]
    return matrix, rank


def _input_moments(inputs: int, n: int, generator: torch.Generator) -> Tensor:
    def draw(count: int) -> Tensor:
        x = torch.rand(count, inputs, dtype=torch.float64, generator=generator, device="cpu")
        return (2 * x - 1) * _HALF_WIDTH

    return second_moments(draw, n)
