"""Linear networks at a minimum: deep models whose RLCT is known for all widths and depths."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from slt import analytic
from slt.analytic import Entry
from slt.analytic.checks import integer, integers, positive
from slt.errors import InputError, SettingsError
from slt.toys.factors import balanced_factors, factors_of_ranks
from slt.toys.products import as_default, squared_distance
from slt.toys.second_moments import SecondMomentLoss, least_squares, of_rank
from slt.toys.toy import Toy, known, rows


class DeepLinear(nn.Module):
    """The network x -> W_L ... W_1 x, and the true matrix that it should be.

    Attributes:
        layers: W_1, ..., W_L; W_l has shape (n_l, n_(l-1)).
        truth: T, shape (n_L, n_0).
    """

    truth: Tensor

    def __init__(self, layers: Sequence[Tensor], truth: Tensor) -> None:
        """Start at the given layers, copied."""
        super().__init__()
        self.layers = nn.ParameterList([nn.Parameter(layer.detach().clone()) for layer in layers])
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("truth", truth.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's output, shape (..., n_L), for inputs of shape (..., n_0)."""
        return x @ self.product().T

    def product(self) -> Tensor:
        """W_L ... W_1, shape (n_L, n_0)."""
        return reduce(lambda below, layer: layer @ below, self.layers)


def deep_linear(
    widths: Sequence[int],
    rank: int = 0,
    *,
    factor_ranks: Sequence[int] | None = None,
    noise: float | None = None,
    n: int = 1000,
    seed: int = 0,
) -> Toy:
    """The toy with K(w) = ||W_L ... W_1 - T||_F^2, at a balanced w* or at another point of the fibre.

    The truth T, shape (n_L, n_0), is the same for every seed: ones in the first `rank` places of its
    diagonal, else zeros. At the balanced w* every factor is W_l = Q_l Q_(l-1)^T, with Q_l of shape (n_l, rank) and
    orthonormal columns: each has exactly the rank of T, and its nonzero singular values are 1, equal shares
    of those of T. With `factor_ranks` the factors have these ranks, their nonzero singular values still being 1, and
    what exceeds the rank of T cancels in the product. The seed chooses Q_l of the hidden layers; that turns the
    hidden coordinates, and leaves the law of K under one precision for each layer as it is.

    With `noise` the loss is that of n rows y = T x + noise e, x and e standard normal: L_n(w) = mean |y - W x|^2 with
    W the product, less L_n(w*), from the second moments of the rows, so that what comes from the data can be told from
    what comes from an estimator. Its minimum w* is then the least-squares solution of the highest rank h that the
    widths allow, in balanced factors. Noise leaves it no lower rank, so the zeros of K near w* are a smooth manifold,
    and lambda is (h (n_0 + n_L) - h^2) / 2: that of a truth of rank h, whatever the rank of T.

    Args:
        widths: (n_0, ..., n_L), each >= 1: the input first, the output last.
        rank: The rank of T, from 0 to the smallest width.
        factor_ranks: The ranks of W_1*, ..., W_L*; None is the balanced point, where all are `rank`.
        noise: The standard deviation of the noise in each output, > 0; None is the population loss.
        n: The number of data rows, >= 2; with noise, at least n_0.
        seed: Chooses the hidden coordinates and the rows, >= 0; torch's global generator is not touched.

    Returns:
        The toy. At the balanced point the local value is the global one (Aoyagi, 2024); elsewhere `exact` is the
        local value of `slt.analytic.deep_linear`, None where that is not known.

    Raises:
        InputError: If the widths or the rank are out of range, no factors of these ranks have such a product, or
            `factor_ranks` are given beside noise.
        SettingsError: If n is not an integer >= 2, smaller than n_0 with noise, or the seed not an integer >= 0, or
            the noise not positive and finite.

    >>> deep_linear((5, 5, 5), rank=2)
    Toy(deep_linear((5, 5, 5), rank=2); 50 parameters, n=1000, exact rlct 23/2, multiplicity 2)
    >>> deep_linear((5, 5, 5), rank=2, factor_ranks=(2, 5)).exact.value
    Fraction(25, 2)
    """
    sizes = integers("widths", widths, 1, at_least=2)
    if noise is not None:
        if factor_ranks is not None:
            raise InputError(f"factor_ranks must be None with noise, where the data choose w*, got {factor_ranks}.")
        return _fitted_toy(sizes, integer("rank", rank, 0), positive("noise", noise), n, seed)
    ranks = None if factor_ranks is None else integers("factor_ranks", factor_ranks, 0)
    exact = known(lambda: analytic.deep_linear(sizes, rank, factor_ranks=ranks))
    return _linear_toy(f"deep_linear({sizes}, rank={rank}", sizes, rank, ranks, exact, n, seed)


def reduced_rank_regression(
    inputs: int,
    outputs: int,
    hidden: int,
    rank: int = 0,
    *,
    factor_ranks: Sequence[int] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> Toy:
    """The toy with K(A, B) = ||B A - T||_F^2: `deep_linear` with one hidden layer, in the names of regression.

    Args:
        inputs: N >= 1.
        outputs: M >= 1.
        hidden: H >= 1; A has shape (H, N) and B shape (M, H).
        rank: The rank of T, from 0 to the smallest of the three.
        factor_ranks: (a, b), the ranks of A* and B*; None is the balanced point, where both are `rank`.
        n: The number of data rows, >= 2.
        seed: Chooses the hidden coordinates, >= 0; torch's global generator is not touched.

    Returns:
        The toy, with the exact local RLCT at w*: at the balanced point the global one (Aoyagi & Watanabe, 2005).

    Raises:
        InputError: If a size is no integer >= 1, or a rank is one that no such matrices have.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> reduced_rank_regression(5, 4, 3, rank=1)
    Toy(reduced_rank_regression(5, 4, 3, rank=1); 27 parameters, n=1000, exact rlct 7, multiplicity 2)
    """
    ranks = None if factor_ranks is None else integers("factor_ranks", factor_ranks, 0)
    exact = analytic.reduced_rank_regression(inputs, outputs, hidden, rank, factor_ranks=ranks)
    name = f"reduced_rank_regression({inputs}, {outputs}, {hidden}, rank={rank}"
    return _linear_toy(name, (inputs, hidden, outputs), rank, ranks, exact, n, seed)


def _linear_toy(
    name: str,
    widths: tuple[int, ...],
    rank: int,
    ranks: tuple[int, ...] | None,
    exact: Entry | None,
    n: int,
    seed: int,
) -> Toy:
    """The toy at factors of these ranks, balanced ones for None; what they are has been checked."""
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    layers = factors_of_ranks(widths, rank, ranks or (rank,) * (len(widths) - 1), generator)
    model = DeepLinear([as_default(layer) for layer in layers], as_default(_truth(widths, rank)))
    shown = ")" if ranks is None else f", factor_ranks={ranks})"
    return Toy(model, rows(n), squared_distance, exact, name + shown)


def _fitted_toy(widths: tuple[int, ...], rank: int, noise: float, n: int, seed: int) -> Toy:
    """The toy at the least-squares solution of noisy rows."""
    analytic.deep_linear(widths, rank)  # refuses a rank that is too high
    if integer("n", n, 2, SettingsError) < widths[0]:
        raise SettingsError(f"n must be at least the inputs ({widths[0]}) with noise, got {n}.")
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    highest, truth = min(widths), _truth(widths, rank)
    second, target = least_squares(truth, noise, n, generator)
    layers = balanced_factors(of_rank(target, second, highest), widths, highest, generator)
    model = DeepLinear([as_default(layer) for layer in layers], as_default(truth))
    loss = SecondMomentLoss(second, target, start=model)
    name = f"deep_linear({widths}, rank={rank}, noise={noise:g})"
    return Toy(model, rows(n), loss, analytic.deep_linear(widths, highest), name)


def _truth(widths: tuple[int, ...], rank: int) -> Tensor:
    """T in float64, shape (n_L, n_0): ones in the first places of its diagonal."""
    truth = torch.zeros(widths[-1], widths[0], dtype=torch.float64, device="cpu")
    truth.diagonal()[:rank] = 1
    return truth
