"""Losses that are sums of squares in suitable coordinates: regular models, and those with flat directions."""

from collections.abc import Sequence
from fractions import Fraction

from slt.analytic.checks import as_curvatures, integer
from slt.analytic.entry import Entry
from slt.analytic.finite.quadratic import Quadratic
from slt.analytic.rlct import RLCT

_SOURCE = "Laplace's method; Watanabe (2009), Algebraic Geometry and Statistical Learning Theory"


def regular(dimension: int) -> Entry:
    """A regular model: the Hessian of K at its isolated zero is positive definite, and the RLCT is d/2.

    Args:
        dimension: The number d of parameters, 0 or more.

    Returns:
        d/2 with multiplicity 1 (Laplace's method; Watanabe, 2009).

    Raises:
        InputError: If `dimension` is not an integer >= 0.

    >>> regular(3)
    Entry(value=3/2, multiplicity=1, family='regular model', dimension=3)
    """
    d = integer("dimension", dimension, 0)
    return Entry(
        rlct=RLCT(Fraction(d, 2), 1),
        family="regular model",
        parameters={"dimension": d},
        K="K(w) with K(w*) = 0",
        domain="a neighbourhood of w* in R^d",
        prior="positive and continuous at w*",
        source=_SOURCE,
        conditions="the Hessian of K at w* is positive definite",
    )


def quadratic(curvatures: int | Sequence[float]) -> Entry:
    """The quadratic loss K(w) = 1/2 sum_i h_i w_i^2, whose RLCT is half the number of nonzero h_i.

    The same holds near w* whenever the zeros of K form a smooth manifold whose codimension is the rank of the
    Hessian ("minimally singular").

    Args:
        curvatures: h_i >= 0, shape (d,), in nats per squared parameter unit. An int d means d ones.

    Returns:
        rank/2 with multiplicity 1 (Laplace's method in the curved directions; Watanabe, 2009).

    Raises:
        InputError: If `curvatures` is neither an integer >= 1 nor a nonempty sequence of finite numbers >= 0.

    >>> quadratic([4.0, 1.0, 0.0]).value
    Fraction(1, 1)
    """
    h = as_curvatures(curvatures)
    return Entry(
        rlct=RLCT(Fraction(sum(x > 0 for x in h), 2), 1),
        family="quadratic",
        parameters={"curvatures": h},
        K="1/2 sum_i h_i w_i^2",
        domain="a neighbourhood of w* = 0 in R^d",
        prior="positive and continuous at w* = 0",
        source=_SOURCE,
        conditions="none",
        law=Quadratic(h),
    )
