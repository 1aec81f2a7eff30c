"""Networks of products of scalars, and of vectors: sums and products of losses in separate parameters."""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import add, mul

from slt.analytic.checks import integer, integers
from slt.analytic.entry import Entry
from slt.analytic.finite.compose import add as plus
from slt.analytic.finite.compose import multiply as times
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Law
from slt.analytic.finite.placed import Placed
from slt.analytic.finite.quadratic import Quadratic
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
        law=_crossings(d, depth) if z == d else None,
    )


def _crossings(dimension: int, layers: int) -> Law:
    """A sum of one crossing for each i, where the parameters are listed layer by layer."""
    line: Law = NormalCrossing((2.0,) * layers, (0.0,) * layers) if layers > 1 else Quadratic((2.0,))
    order = tuple(layer * dimension + i for i in range(dimension) for layer in range(layers))
    return Placed(reduce(plus, [line] * dimension), order, dimension * layers)


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
        law=norms_law(*d),
    )


def norms_law(*sizes: int) -> Law:
    """The law of prod_i |v_i|^2, the entries of v_1 coming first."""
    return reduce(times, (Quadratic((2.0,) * size) for size in sizes))


def product_of_norms(*dimensions: int) -> RLCT:
    """The RLCT of prod_i |v_i|^2."""
    return reduce(mul, (RLCT(Fraction(d, 2), 1) for d in dimensions))
