"""RLCTs in the plane: from the Newton polygon, in coordinates in which it tells the truth."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import comb, gcd, lcm

from slt.analytic._roots import real_roots
from slt.analytic.finite import algebra
from slt.analytic.rlct import RLCT

Point = tuple[int, int]
Terms = Mapping[Point, int]

_PATIENCE = 8
"""Shifts after which it is asked whether only one branch is left. Branches mostly part much sooner."""


def rlct_at_zero(terms: Terms) -> RLCT:
    """The RLCT of K(x, y) = sum c x^i y^j at 0, of |K| if it has signs.

    The Newton polygon gives it unless the edge that the diagonal meets, at (d, d), has a root y = c x^q of
    multiplicity n > d. There is at most one such root, so c is rational, and q or 1/q is an integer; then the
    root is made the new axis. After finitely many steps none is left (Varchenko 1976), or a single branch is.

    Args:
        terms: The coefficients, at least one; none at (0, 0).

    Returns:
        lambda and m.
    """
    shifts: list[_Shift] = []
    parts: list[tuple[Terms, int]] = []
    moved = terms
    while True:
        polygon = corners(moved)
        known = _without_edge(polygon)
        if known is not None:
            return known
        edge = _Edge.across_the_diagonal(moved, polygon)
        highest = [(factor, n) for factor, n in edge.roots() if n >= edge.distance]
        if not highest:
            return RLCT(1 / edge.distance, 1)
        ((factor, n),) = highest
        if n == edge.distance:
            # through this root the diagonal would meet a corner; but not through a pair of complex ones
            return RLCT(1 / edge.distance, 2 if real_roots(list(factor))[0] else 1)
        shift = edge.shift(-factor[0] / factor[1])
        if len(shifts) == _PATIENCE:
            parts = [(_replayed(part, shifts), power) for part, power in _factors(terms)]
        if parts and sum(_multiplicity(part, shift) for part, _ in parts) == 1:
            return RLCT(Fraction(1, n), 1)  # K = (y - phi(x))^n times what is not 0 on this branch but at 0
        moved = shift.applied(moved)
        parts = [(shift.applied(part), power) for part, power in parts]
        shifts.append(shift)


def corners(terms: Terms) -> list[Point]:
    """The corners of the Newton polygon, from left to right.

    Returns:
        Points (i, j), i rising and j falling.

    >>> corners({(4, 0): 1, (2, 2): 1, (0, 4): 1, (3, 3): 1, (1, 1): 1})
    [(0, 4), (1, 1), (4, 0)]
    """
    found: list[Point] = []
    for i, j in sorted(terms):
        if found and j >= found[-1][1]:
            continue
        while len(found) > 1 and _turn(found[-2], found[-1], (i, j)) <= 0:
            found.pop()
        found.append((i, j))
    return found


def integral(terms: Mapping[Point, Fraction]) -> dict[Point, int]:
    """The same polynomial times a positive number that makes its coefficients integers."""
    common = lcm(*(c.denominator for c in terms.values()))
    return {point: int(c * common) for point, c in terms.items()}


def _turn(a: Point, b: Point, c: Point) -> int:
    """Positive where the way a, b, c turns left."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


def _without_edge(polygon: list[Point]) -> RLCT | None:
    """The answer where the diagonal meets a corner, or one of the two rays."""
    for i, j in polygon:
        if i == j:
            return RLCT(Fraction(1, i), 2)
    (left, above), (right, below) = polygon[0], polygon[-1]
    if left > above:
        return RLCT(Fraction(1, left), 1)
    return RLCT(Fraction(1, below), 1) if below > right else None


@dataclass(frozen=True)
class _Shift:
    """The new coordinate b y - a x^q in place of y; with x and y exchanged if `swapped`."""

    a: int
    b: int
    q: int
    swapped: bool

    def applied(self, terms: Terms) -> dict[Point, int]:
        """The polynomial in the new coordinates, times a power of b."""
        out: defaultdict[Point, int] = defaultdict(int)
        top = max((i if self.swapped else j) for i, j in terms)
        for (i, j), c in terms.items():
            if self.swapped:
                i, j = j, i
            for k in range(j + 1):
                new = i + self.q * (j - k)
                out[(k, new) if self.swapped else (new, k)] += c * comb(j, k) * self.a ** (j - k) * self.b ** (top - j)
        return {point: c for point, c in out.items() if c}


@dataclass(frozen=True)
class _Edge:
    """An edge of weight p i + q j = w, p and q without a common factor: part of K, a product of y^p - T x^q.

    Attributes:
        p: The weight of x.
        q: The weight of y.
        line: The polynomial in T, lowest degree first; neither end is 0.
        distance: d, for (d, d) on the edge.
    """

    p: int
    q: int
    line: algebra.Line
    distance: Fraction

    @classmethod
    def across_the_diagonal(cls, terms: Terms, polygon: list[Point]) -> "_Edge":
        (i, j), (right, below) = next((a, b) for a, b in pairwise(polygon) if b[0] > b[1])
        p, q = j - below, right - i
        steps = gcd(p, q)
        p, q = p // steps, q // steps
        line = [Fraction(terms.get((right - k * q, below + k * p), 0)) for k in range(steps + 1)]
        return cls(p, q, tuple(line), Fraction(p * i + q * j, p + q))

    def roots(self) -> list[tuple[algebra.Line, int]]:
        """Polynomials without repeated roots, and the multiplicities of theirs."""
        return algebra.squarefree_in_x(self.line)

    def shift(self, root: Fraction) -> _Shift:
        """Make y - T x^q, or y^p / T - x, the new coordinate; p or q is 1."""
        root, swapped = (root, False) if self.p == 1 else (1 / root, True)
        return _Shift(root.numerator, root.denominator, max(self.p, self.q), swapped)


def _factors(terms: Terms) -> list[tuple[dict[Point, int], int]]:
    """K without its repetitions: polynomials that share no branch and have none twice, with their powers."""
    plane = algebra.from_terms({point: Fraction(c) for point, c in terms.items()})
    found = []
    for factor, power in algebra.squarefree(plane):
        listed = {(i, j): c for j, row in enumerate(factor) for i, c in enumerate(row) if c}
        found.append((integral(listed), power))
    return found


def _replayed(terms: Terms, shifts: list[_Shift]) -> Terms:
    for shift in shifts:
        terms = shift.applied(terms)
    return terms


def _multiplicity(terms: Terms, shift: _Shift) -> int:
    """How many branches begin like y = (a / b) x^q: the order in y of what the shift leaves of lowest weight."""
    own = {(j, i): c for (i, j), c in terms.items()} if shift.swapped else terms
    lowest = min(i + shift.q * j for i, j in own)
    part = {(i, j): c for (i, j), c in own.items() if i + shift.q * j == lowest}
    return min(j for _, j in _Shift(shift.a, shift.b, shift.q, swapped=False).applied(part))
