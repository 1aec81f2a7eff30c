"""Matrices of given ranks whose product is a given one: points of the fibre of a linear network."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def factors_of_ranks(
    widths: Sequence[int], rank: int, ranks: Sequence[int], generator: torch.Generator
) -> list[Tensor]:  # fmt: skip
    """Factors of the given ranks; their product has ones in the first `rank` places of its diagonal, else zeros.

    All nonzero singular values of the factors are 1. The factors so far carry the first p_l coordinates of the inputs
    through to layer l, each in its own hidden direction; p_l falls as fast as the ranks allow, down to `rank`. The
    rest of a factor's rank joins directions that nothing reaches to ones that lead nowhere.

    Args:
        widths: (n_0, ..., n_L).
        rank: The rank of the product.
        ranks: Those of the factors; a product of this rank must be possible (else the shapes below do not fit).
        generator: Draws the hidden directions.

    Returns:
        W_l in float64, shapes (n_l, n_(l-1)).
    """
    carried = [widths[0]]
    for width, of_factor in zip(widths[:-1], ranks, strict=True):
        carried.append(max(rank, carried[-1] + of_factor - width))
    loose = [of_factor - through for of_factor, through in zip(ranks, carried[1:], strict=True)]
    # directions that are written at layer l, and read: all that are carried, and the loose ones beside them
    needed = [max(wrote, p + more) for wrote, p, more in zip(ranks, carried[1:], [*loose[1:], 0], strict=True)]
    factors = []
    for layer, (below, above) in enumerate(pairwise(_frames(widths, [ranks[0], *needed], generator))):
        through, start = carried[layer + 1], carried[layer]
        read = torch.cat([below[:, :through], below[:, start : start + loose[layer]]], 1)
        factors.append(above[:, : ranks[layer]] @ read.T)
    return factors


def balanced_factors(matrix: Tensor, widths: Sequence[int], rank: int, generator: torch.Generator) -> list[Tensor]:
    """Factors of a matrix that share its singular values evenly.

    Args:
        matrix: U diag(s) V^T in float64, shape (n_L, n_0), of this rank.
        widths: (n_0, ..., n_L), none below the rank.
        rank: How many singular values it has.
        generator: Draws the hidden directions Q_l.

    Returns:
        W_l = Q_l diag(s)^(1/L) Q_(l-1)^T, shapes (n_l, n_(l-1)), with Q_0 = V and Q_L = U.
    """
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    hidden = _frames(widths, [rank] * len(widths), generator)[1:-1]
    share = s[:rank] ** (1 / (len(widths) - 1))
    return [(above * share) @ below.T for below, above in pairwise([v[:rank].T, *hidden, u[:, :rank]])]


def _frames(widths: Sequence[int], columns: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Q_0, ..., Q_L in float64, orthonormal columns: coordinate vectors at both ends, random ones between."""
    ends = {0, len(widths) - 1}
    return [
        torch.eye(width, count, dtype=torch.float64, device="cpu")
        if layer in ends
        else torch.linalg.qr(torch.randn(width, count, dtype=torch.float64, generator=generator, device="cpu")).Q
        for layer, (width, count) in enumerate(zip(widths, columns, strict=True))
    ]
