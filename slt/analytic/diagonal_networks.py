"""Networks of products of scalars, and of vectors: sums and products of losses in separate parameters."""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import add, mul

from slt.analytic.checks import integer, integers
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def diagonal_linear(dimension: int, zeros: int = 0, layers: int = 2) -> Entry:
    r"""The diagonal linear network :math:`K(u) = \sum_{i=1}^d \big(\prod_{l=1}^L u_{li} - \theta_i\big)^2`.

    With z of the theta_i equal to 0:

    .. math:: \lambda = \frac{d}{2}, \qquad m = 1 + z\,(L - 1)

    Args:
        dimension: d >= 1.
        zeros: z, from 0 to d.
        layers: L >= 1.

    Returns:
        The exact lambda and m: a sum over i of a normal crossing (theta_i = 0) or a regular loss.

    Raises:
        InputError: If a number is no integer in its range.

    >>> diagonal_linear(5, zeros=2, layers=3).rlct
    RLCT(5/2, 5)
    """
    d, z, depth = integer("dimension", dimension, 1), integer("zeros", zeros, 0), integer("layers", layers, 1)
    if z > d:
        raise InputError(f"zeros must be at most the dimension ({d}), got {z}.")
    line = RLCT(Fraction(1, 2), 1)
    return Entry(
        rlct=reduce(add, [reduce(mul, [line] * depth)] * z + [line] * (d - z)),
        family="diagonal linear network",
        parameters={"dimension": d, "zeros": z, "layers": depth},
        K="sum_i (prod_l u_li - theta_i)^2",
        domain="all u, or any part that holds the most degenerate zeros of K",
        prior="positive and continuous on the most degenerate zeros of K",
        source="elementary: sums and products of losses in separate parameters",
        conditions="none",
    )


def rank_one_tensor(dimensions: Sequence[int]) -> Entry:
    r"""The rank-one tensor at truth 0, :math:`K(v) = \prod_i |v_i|^2 = \|v_1 \otimes \cdots \otimes v_k\|^2`.

    .. math:: \lambda = \frac12 \min_i d_i, \qquad m = \#\{i : \text{the minimum is reached}\}

    Args:
        dimensions: d_i >= 1 of the vectors v_i, shape (k,).

    Returns:
        The exact lambda and m: a product of losses in separate parameters.

    Raises:
        InputError: If there is no dimension, or one is no integer >= 1.

    >>> rank_one_tensor((2, 2, 3)).rlct
    RLCT(1, 2)
    """
    d = integers("dimensions", dimensions, 1)
    return Entry(
        rlct=product_of_norms(*d),
        family="rank-one tensor",
        parameters={"dimensions": d},
        K="prod_i |v_i|^2",
        domain="all v, or any part that holds 0",
        prior="positive and continuous at 0",
        source="elementary: products of losses in separate parameters",
        conditions="none",
    )


def product_of_norms(*dimensions: int) -> RLCT:
    """The RLCT of prod_i |v_i|^2."""
    return reduce(mul, (RLCT(Fraction(d, 2), 1) for d in dimensions))
