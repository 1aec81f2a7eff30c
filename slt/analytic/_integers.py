"""Polynomials in one variable with integer coefficients, by rising powers: fractions would drown in denominators."""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

Row = Sequence[int]
"""The last coefficient is not 0; none is the polynomial 0."""


def whole(p: Sequence[int | Fraction]) -> list[int]:
    """The polynomial times the positive number that makes its coefficients integers without a common divisor.

    Returns:
        Its coefficients.

    >>> whole([Fraction(1, 2), Fraction(-3)])
    [1, -6]
    """
    common = lcm(*(c.denominator for c in p))
    return primitive([int(c * common) for c in p])


def common_divisor(p: Row, q: Row) -> list[int]:
    """The greatest common divisor, without a common divisor of its coefficients; its sign is open.

    Returns:
        Its coefficients.

    >>> common_divisor([-1, 0, 1], [1, 2, 1])
    [-1, -1]
    """
    p, q = primitive(p), primitive(q)
    while q:
        p, q = q, primitive(pseudo_remainder(p, q))
    return p


def sturm(p: Row) -> list[list[int]]:
    """The Sturm sequence of p, each member times a positive number."""
    chain = [list(p), primitive([i * c for i, c in enumerate(p)][1:])]
    while chain[-1]:
        before, last = chain[-2:]
        rest = primitive(pseudo_remainder(before, last))
        # pseudo_remainder has multiplied by a power of the leading coefficient
        flipped = last[-1] < 0 and (len(before) - len(last)) % 2 == 0
        chain.append(rest if flipped else [-c for c in rest])
    return chain[:-1]


def resultant(p: Row, q: Row) -> int:
    """The resultant of two polynomials, the degree of the first not below that of the second.

    By subresultants (Collins, 1967; Brown, 1971), which divide exactly.

    Returns:
        An integer: 0 where they have a common root.

    >>> resultant([-1, 0, 1], [-3, 1])  # 3^2 - 1
    8
    """
    if len(q) == 1:
        return q[0] ** (len(p) - 1)
    a, b = gcd(*p), gcd(*q)
    scale = a ** (len(q) - 1) * b ** (len(p) - 1)
    p, q = [c // a for c in p], [c // b for c in q]
    g = h = 1
    while True:
        gap = len(p) - len(q)
        if len(p) % 2 == 0 and len(q) % 2 == 0:
            scale = -scale
        rest = pseudo_remainder(p, q)
        if not rest:
            return 0
        divisor = g * h**gap
        p, q = q, [c // divisor for c in rest]
        g = p[-1]
        h = g**gap // h ** (gap - 1) if gap else h
        if len(q) == 1:
            top = len(p) - 1
            return scale * (q[0] ** top // h ** (top - 1))


def pseudo_remainder(p: Row, q: Row) -> list[int]:
    """The remainder of lead(q)^(deg p - deg q + 1) p by q; p itself where its degree is the smaller one."""
    rest, lead = list(p), q[-1]
    for shift in range(len(p) - len(q), -1, -1):
        top = rest.pop()
        rest = [lead * c for c in rest]
        for i, c in enumerate(q[:-1]):
            rest[shift + i] -= top * c
    while rest and not rest[-1]:
        rest.pop()
    return rest


def primitive(p: Row) -> list[int]:
    """The polynomial without the common divisor of its coefficients."""
    common = gcd(*p)
    return [c // common for c in p]
