"""Deep linear networks at a balanced minimum: deep models whose RLCT is known for all widths and depths."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn

from slt import analytic
from slt.analytic.checks import integer, integers
from slt.errors import SettingsError
from slt.toys.toy import Toy, rows


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


def squared_distance(model: DeepLinear, batch: tuple[Tensor, ...]) -> Tensor:
    """K = ||W_L ... W_1 - T||_F^2 in nats, a scalar, whatever the batch."""
    return (model.product() - model.truth).square().sum()


def deep_linear(widths: Sequence[int], rank: int = 0, *, n: int = 1000, seed: int = 0) -> Toy:
    """The toy with K(w) = ||W_L ... W_1 - T||_F^2, at a balanced w*.

    The truth T, shape (n_L, n_0), is the same for every seed: ones in the first `rank` places of its
    diagonal, else zeros. At w* every factor is W_l = Q_l Q_(l-1)^T, with Q_l of shape (n_l, rank) and
    orthonormal columns: each has exactly the rank of T, and its nonzero singular values are 1, equal shares
    of those of T. The seed chooses Q_l of the hidden layers; that turns the hidden coordinates, and leaves
    the law of K under one precision for each layer as it is.

    Args:
        widths: (n_0, ..., n_L), each >= 1: the input first, the output last.
        rank: The rank of T, from 0 to the smallest width.
        n: The number of data rows, >= 2.
        seed: Chooses the hidden coordinates, >= 0; torch's global generator is not touched.

    Returns:
        The toy, with its exact RLCT (Aoyagi, 2024).

    Raises:
        InputError: If the widths or the rank are out of range.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> deep_linear((5, 5, 5), rank=2)
    Toy(deep_linear((5, 5, 5), rank=2); 50 parameters, n=1000, exact rlct 23/2, multiplicity 2)
    """
    sizes = integers("widths", widths, 1, at_least=2)
    exact = analytic.deep_linear(sizes, rank)
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    frames = _frames(sizes, rank, generator)
    layers = [above @ below.T for below, above in pairwise(frames)]
    truth = frames[-1] @ frames[0].T
    model = DeepLinear([_as_default(layer) for layer in layers], _as_default(truth))
    return Toy(model, rows(n), squared_distance, exact, f"deep_linear({sizes}, rank={rank})")


def _frames(widths: tuple[int, ...], rank: int, generator: torch.Generator) -> list[Tensor]:
    """Q_0, ..., Q_L in float64, shapes (n_l, rank): coordinate vectors at both ends, random ones between."""
    ends = {0, len(widths) - 1}
    return [
        torch.eye(width, rank, dtype=torch.float64, device="cpu")
        if layer in ends
        else torch.linalg.qr(torch.randn(width, rank, dtype=torch.float64, generator=generator, device="cpu")).Q
        for layer, width in enumerate(widths)
    ]


def _as_default(tensor: Tensor) -> Tensor:
    """The tensor in the dtype and on the device that torch gives new tensors."""
    return tensor.to(device=torch.get_default_device(), dtype=torch.get_default_dtype())
