"""Whether a polynomial K(x, y) is >= 0 near 0, decided in fractions."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from slt.analytic._faces import positive_on_faces
from slt.analytic._plane import Point, corners
from slt.analytic._roots import roots_between
from slt.analytic.finite import algebra
from slt.errors import InputError


def require_nonnegative(terms: Mapping[Point, Fraction]) -> None:
    """Refuse a K that takes negative values arbitrarily near 0; this is decided for every polynomial.

    Where no face of the Newton polygon settles it, the factors of odd power in K = c prod g_i^(p_i) do: as a g_i
    is without repeated factors it changes its sign on every real branch, so none may have one.

    Args:
        terms: The coefficients; K(0, 0) = 0.

    Raises:
        InputError: If there are such values.
    """
    if positive_on_faces(_boundary(terms), orthant=False):
        return
    plane = algebra.from_terms(terms)
    factors = algebra.squarefree(plane)
    sign = algebra.leading_constant(plane, factors)
    for factor in (factor for factor, power in factors if power % 2):
        place = _lonely(factor) if algebra.value(factor, Fraction(0), Fraction(0)) == 0 else Fraction(0)
        if place is None:
            raise InputError("K must be >= 0 near 0, but it changes its sign on a curve through 0.")
        sign *= 1 if algebra.value(factor, place, Fraction(0)) > 0 else -1
    if sign < 0:
        raise InputError("K must be >= 0 near 0, but it is negative there.")


def _boundary(terms: Mapping[Point, Fraction]) -> dict[Point, Fraction]:
    """The terms on corners and edges of the Newton polygon."""
    polygon = corners({point: 1 for point in terms})
    on = set(polygon)
    for (i, j), (right, below) in pairwise(polygon):
        p, q = j - below, right - i
        on |= {point for point in terms if p * point[0] + q * point[1] == p * i + q * j}
    return {point: terms[point] for point in on}


def _lonely(f: algebra.Plane) -> Fraction | None:
    """For f(0, 0) = 0 without repeated factors, an x > 0 with f(x, 0) as near 0; None if f has a real branch there.

    In a rectangle about 0 that no other root at x = 0, no meeting of roots and no root that enters from above
    or below disturbs, the roots y of f(x, .) are as many for all x of one sign: those of its branches.

    Returns:
        A point of the rectangle, or None.
    """
    column = [row[0] if row else Fraction(0) for row in f]
    if not any(column):
        return None  # x divides f
    height = _free(column)
    edges = [algebra.at_height(f, y) for y in (height, -height)]
    width = min(map(_free, (algebra.discriminant(f), *edges)))
    for x in (width, -width):
        line = [algebra.evaluate(row, x) for row in f]
        while line[-1] == 0:
            line.pop()
        if roots_between(line, -height, height):
            return None
    return width


def _free(p: Sequence[Fraction]) -> Fraction:
    """A power of 2 up to which p has no root but perhaps 0: half of Cauchy's bound, or less."""
    first, *others = [abs(c) for c in p if c]
    bound = first / (2 * (first + max(others, default=Fraction(0))))
    return Fraction(1, 1 << (bound.denominator // bound.numerator).bit_length())
