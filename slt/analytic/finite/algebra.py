"""Exact arithmetic on polynomials in x and y, enough to find where a loss K(x, y) vanishes and how often.

A polynomial in x is a tuple of Fractions, lowest degree first, without trailing zeros. A polynomial in x and y is
a tuple of polynomials in x, one for each power of y. Zero is the empty tuple.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import count
from math import lcm

from slt.analytic import _discriminant
from slt.analytic._integers import common_divisor, whole

Line = tuple[Fraction, ...]
Plane = tuple[Line, ...]


def from_terms(terms: Mapping[tuple[int, int], Fraction]) -> Plane:
    """The polynomial sum of c x^i y^j over {(i, j): c}."""
    rows = 1 + max((j for _, j in terms), default=-1)
    columns = 1 + max((i for i, _ in terms), default=-1)
    return _strip(tuple(_strip(tuple(terms.get((i, j), Fraction(0)) for i in range(columns))) for j in range(rows)))


def transpose(f: Plane) -> Plane:
    """The same polynomial with x and y exchanged."""
    return from_terms({(j, i): c for j, row in enumerate(f) for i, c in enumerate(row)})


def _strip(p: tuple) -> tuple:
    end = len(p)
    while end and not p[end - 1]:
        end -= 1
    return p[:end]


def multiply(p: Line, q: Line) -> Line:
    """The product of two polynomials in x."""
    out = [Fraction(0)] * max(len(p) + len(q) - 1, 0)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            out[i + j] += a * b
    return _strip(tuple(out))


def _subtract(p: Line, q: Line) -> Line:
    n = max(len(p), len(q))
    a, b = (tuple(r) + (Fraction(0),) * (n - len(r)) for r in (p, q))
    return _strip(tuple(s - t for s, t in zip(a, b, strict=True)))


def divide(p: Line, q: Line) -> tuple[Line, Line]:
    """Quotient and remainder of p by q, polynomials in x."""
    rest, quotient = list(p), [Fraction(0)] * max(len(p) - len(q) + 1, 0)
    for shift in range(len(p) - len(q), -1, -1):
        quotient[shift] = rest[shift + len(q) - 1] / q[-1]
        for i, b in enumerate(q):
            rest[shift + i] -= quotient[shift] * b
    return _strip(tuple(quotient)), _strip(tuple(rest))


def gcd(p: Line, q: Line) -> Line:
    """The greatest common divisor of two polynomials in x, with leading coefficient 1; of 0 and 0 it is 0."""
    common = common_divisor(whole(p), whole(q))
    return tuple(Fraction(c, common[-1]) for c in common)


def derivative(p: Line) -> Line:
    """dp/dx."""
    return tuple(i * c for i, c in enumerate(p))[1:]


def evaluate(p: Sequence[Fraction], x: Fraction) -> Fraction:
    """p(x)."""
    value = Fraction(0)
    for c in reversed(p):
        value = value * x + c
    return value


def shifted(p: Line, center: Fraction) -> Line:
    """The polynomial in d that is p(center + d)."""
    out: list[Fraction] = []
    for c in reversed(p):
        out = [a * center + b for a, b in zip([*out, Fraction(0)], [Fraction(0), *out], strict=True)]
        out[0] += c
    return _strip(tuple(out))


# ---------------------------------------------------------------- in y, with coefficients that are polynomials in x


def _content(f: Plane) -> Line:
    common: Line = ()
    for row in f:
        common = gcd(common, row) if common or row else ()
    return common


def _primitive(f: Plane) -> Plane:
    """The polynomial over the common factor of its coefficients, the leading number 1, so that numbers stay small."""
    if not f:
        return ()
    common = tuple(f[-1][-1] * c for c in _content(f))
    return tuple(divide(row, common)[0] for row in f)


def _derivative_in_y(f: Plane) -> Plane:
    return tuple(tuple(j * c for c in row) for j, row in enumerate(f))[1:]


def _gcd_in_y(f: Plane, g: Plane) -> Plane:
    """The primitive greatest common divisor of two primitive polynomials.

    Interpolated from those at many x, which are right, but for a factor, wherever their degree is smallest;
    Euclid's algorithm in both variables would drown in its coefficients.

    Returns:
        The divisor; ((1,),) if there is no other.
    """
    lead = gcd(f[-1], g[-1])
    enough = len(lead) + min(max(len(row) for row in h) for h in (f, g)) - 1
    found: list[tuple[Fraction, Line]] = []
    integers = (Fraction(x) for size in count() for x in {size, -size})
    while True:
        x = next(integers)
        if not (evaluate(f[-1], x) and evaluate(g[-1], x)):
            continue
        common = gcd(*(_strip(tuple(evaluate(row, x) for row in h)) for h in (f, g)))
        if len(common) == 1:
            return ((Fraction(1),),)
        if found and len(common) != len(found[0][1]):
            if len(common) > len(found[0][1]):
                continue
            found = []
        found.append((x, tuple(c * evaluate(lead, x) for c in common)))
        if len(found) >= enough:
            rows = zip(*(values for _, values in found), strict=True)
            whole = _primitive(tuple(_interpolate([(x, c) for (x, _), c in zip(found, r, strict=True)]) for r in rows))
            if _divides(whole, f) and _divides(whole, g):
                return whole
            found = []


def _divides(g: Plane, f: Plane) -> bool:
    """Whether f is a multiple of the primitive g."""
    return len(g) <= len(f) and _times(_divide_in_y(f, g), g) == f


def _times(f: Plane, g: Plane) -> Plane:
    rows: list[Line] = [()] * (len(f) + len(g) - 1)
    for j, row in enumerate(f):
        for k, other in enumerate(g):
            rows[j + k] = _subtract(rows[j + k], multiply(row, tuple(-c for c in other)))
    return tuple(rows)


def _divide_in_y(f: Plane, g: Plane) -> Plane:
    """The quotient f / g where it leaves no remainder; g primitive, so by Gauss's lemma every coefficient divides."""
    rest: list[Line] = list(f)
    quotient: list[Line] = [()] * (len(f) - len(g) + 1)
    for shift in range(len(f) - len(g), -1, -1):
        quotient[shift] = divide(rest[shift + len(g) - 1], g[-1])[0]
        for j, row in enumerate(g):
            rest[shift + j] = _subtract(rest[shift + j], multiply(quotient[shift], row))
    return _strip(tuple(quotient))


def squarefree(f: Plane) -> list[tuple[Plane, int]]:
    """The g_i and p_i of f = c prod_i g_i^(p_i), the g_i without repeated or common factors, c a number.

    Yun's algorithm: the gcd of f and df/dy holds each factor once less often than f.

    Returns:
        The pairs (g_i, p_i); first those of x alone.
    """
    factors: list[tuple[Plane, int]] = [((p,), power) for p, power in squarefree_in_x(_content(f))]
    rest = _primitive(f)
    if len(rest) > 1:
        repeated = _gcd_in_y(rest, _primitive(_derivative_in_y(rest)))
        once, power = _divide_in_y(rest, repeated), 1
        while len(once) > 1:
            shared = _gcd_in_y(once, repeated) if len(repeated) > 1 else repeated
            exact = _divide_in_y(once, shared)
            if len(exact) > 1:
                factors.append((_primitive(exact), power))
            once, power = shared, power + 1
            repeated = _divide_in_y(repeated, shared)
    return factors


def squarefree_in_x(p: Line) -> list[tuple[Line, int]]:
    """The q_i and p_i of p = c prod_i q_i^(p_i), the q_i without repeated or common roots."""
    factors: list[tuple[Line, int]] = []
    repeated = gcd(p, derivative(p))
    once, power = divide(p, repeated)[0], 1
    while len(once) > 1:
        shared = gcd(once, repeated)
        exact = divide(once, shared)[0]
        if len(exact) > 1:
            factors.append((exact, power))
        once, power, repeated = shared, power + 1, divide(repeated, shared)[0]
    return factors


def leading_constant(f: Plane, factors: Sequence[tuple[Plane, int]]) -> Fraction:
    """The number c in f = c prod_i g_i^(p_i), from one point where neither side vanishes."""
    size = 0
    while True:
        size += 1
        for x in range(size + 1):
            y = size - x
            product = Fraction(1)
            for g, power in factors:
                product *= value(g, Fraction(x), Fraction(y)) ** power
            if product:
                return value(f, Fraction(x), Fraction(y)) / product


def value(f: Plane, x: Fraction, y: Fraction) -> Fraction:
    """f(x, y)."""
    return evaluate([evaluate(row, x) for row in f], y)


def at_height(f: Plane, y: Fraction) -> Line:
    """The polynomial in x that is f(x, y) at one y."""
    total: Line = ()
    for row in reversed(f):
        total = _subtract(row, multiply(total, (-y,)) if y else ())
    return total


def discriminant(f: Plane) -> Line:
    """A polynomial in x whose zeros are where two roots y of f(x, .) meet, or where one goes to infinity."""
    common = lcm(*(c.denominator for row in f for c in row))
    rows = [[int(c * common) for c in row] for row in f]
    return tuple(Fraction(c) for c in _discriminant.discriminant(rows))


def _interpolate(points: Sequence[tuple[Fraction, Fraction]]) -> Line:
    """The polynomial through the points, by Newton's divided differences."""
    xs, table = [x for x, _ in points], [y for _, y in points]
    for order in range(1, len(xs)):
        for i in range(len(xs) - 1, order - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (xs[i] - xs[i - order])
    total: Line = ()
    for x, c in zip(reversed(xs), reversed(table), strict=True):
        total = _subtract(multiply(total, (-x, Fraction(1))), (-c,) if c else ())
    return total
