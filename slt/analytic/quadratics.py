"""Losses that are sums of squares in suitable coordinates: regular models, and those with flat directions."""

from collections.abc import Sequence
from fractions import Fraction

from slt.analytic.checks import as_curvatures, integer
from slt.analytic.entry import Entry
from slt.analytic.finite.quadratic import Quadratic
from slt.analytic.rlct import RLCT
from slt.errors import InputError

_SOURCE = "Laplace's method; Watanabe (2009), Algebraic Geometry and Statistical Learning Theory"


def regular(dimension: int, *, curvatures: Sequence[float] | None = None) -> Entry:
    """A regular model: the Hessian of K at its isolated zero is positive definite, and the RLCT is d/2.

    Args:
        dimension: The number d of parameters, 0 or more.
        curvatures: h_i > 0, shape (d,), of the K = 1/2 sum_i h_i w_i^2 that the answers at finite n are about;
            None means all 1. The RLCT is that of every regular K.

    Returns:
        d/2 with multiplicity 1 (Laplace's method; Watanabe, 2009).

    Raises:
        InputError: If `dimension` is not an integer >= 0, or the curvatures are not d numbers > 0.

    >>> regular(3)
    Entry(value=3/2, multiplicity=1, family='regular model', dimension=3)
    """
    d = integer("dimension", dimension, 0)
    return Entry(
        rlct=RLCT(Fraction(d, 2), 1),
        family="regular model",
        parameters={"dimension": d} | ({} if curvatures is None else {"curvatures": tuple(curvatures)}),
        K="K(w) with K(w*) = 0; at finite n 1/2 sum_i h_i w_i^2",
        domain="a neighbourhood of w* in R^d",
        prior="positive and continuous at w*",
        source=_SOURCE,
        conditions="the Hessian of K at w* is positive definite",
        law=_normal_form(d, d, curvatures),
    )


def minimally_singular(dimension: int, rank: int, *, curvatures: Sequence[float] | None = None) -> Entry:
    """A loss whose zeros near w* form a smooth manifold of codimension r, the rank of the Hessian.

    The RLCT is r/2: every direction counts half, but those along the zeros nothing.

    Args:
        dimension: The number d of parameters, 0 or more.
        rank: r, from 0 to d.
        curvatures: h_i > 0, shape (r,), of the K = 1/2 sum_(i <= r) h_i w_i^2 that the answers at finite n are
            about; None means all 1. The RLCT is that of every such K.

    Returns:
        r/2 with multiplicity 1 (Laplace's method across the manifold; Watanabe, 2009).

    Raises:
        InputError: If a number is no integer in its range, or the curvatures are not r numbers > 0.

    >>> minimally_singular(5, rank=2).rlct
    RLCT(1, 1)
    """
    d, r = integer("dimension", dimension, 0), integer("rank", rank, 0)
    if r > d:
        raise InputError(f"rank must be at most the dimension ({d}), got {r}.")
    return Entry(
        rlct=RLCT(Fraction(r, 2), 1),
        family="minimally singular model",
        parameters={"dimension": d, "rank": r} | ({} if curvatures is None else {"curvatures": tuple(curvatures)}),
        K="K(w) with zeros that form a smooth manifold of dimension d - r; at finite n 1/2 sum_(i <= r) h_i w_i^2",
        domain="a neighbourhood of w* in R^d",
        prior="positive and continuous at w*",
        source=_SOURCE,
        conditions="the Hessian of K at w* has rank r",
        law=_normal_form(d, r, curvatures),
    )


def _normal_form(dimension: int, rank: int, curvatures: Sequence[float] | None) -> Quadratic | None:
    """The quadratic in the first coordinates; None without parameters, as then there is no prior."""
    if curvatures is None:
        h = (1.0,) * rank
    elif not len(curvatures):
        h = ()
    else:
        h = as_curvatures(curvatures)
    if len(h) != rank or not all(h):
        raise InputError(f"curvatures must be {rank} numbers > 0, got {curvatures!r}.")
    return Quadratic(h + (0.0,) * (dimension - rank)) if dimension else None


def quadratic(curvatures: int | Sequence[float]) -> Entry:
    """The quadratic loss K(w) = 1/2 sum_i h_i w_i^2, whose RLCT is half the number of nonzero h_i.

    The same holds for every loss that is `minimally_singular`.

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
