"""Real roots of a polynomial in one variable, counted exactly by Sturm's theorem."""

from fractions import Fraction
from itertools import pairwise

Coefficients = list[Fraction]
"""By rising powers, the last one not 0."""


def real_roots(p: Coefficients, *, positive_only: bool = False) -> tuple[int, int]:
    """Count the real t other than 0, or the t > 0, with p(t) = 0.

    The last member of a Sturm sequence is the greatest common divisor of p and its derivative, which has each
    root once less.

    Args:
        p: The coefficients by rising powers, the first and the last not 0.
        positive_only: Whether only t > 0 counts.

    Returns:
        How many there are, and how many of them have odd multiplicity, where p changes its sign.

    >>> real_roots([Fraction(1), Fraction(-2), Fraction(1)])  # (1 - t)^2
    (1, 0)
    >>> real_roots([Fraction(1), Fraction(1), Fraction(1)])
    (0, 0)
    """
    chain = _sturm(p)
    at_infinity = [q[-1] for q in chain]
    start = [q[0] if positive_only else q[-1] * (-1) ** (len(q) - 1) for q in chain]
    here = _changes(start) - _changes(at_infinity)
    if len(chain[-1]) == 1:
        return here, here
    # a root of multiplicity k is one of multiplicity k - 1 there: odd ones here are all but the odd ones there
    return here, here - real_roots(chain[-1], positive_only=positive_only)[1]


def _sturm(p: Coefficients) -> list[Coefficients]:
    chain = [p]
    rest = _derivative(p)
    while rest:
        chain.append(rest)
        rest = [-x for x in _remainder(chain[-2], chain[-1])]
    return chain


def _derivative(p: Coefficients) -> Coefficients:
    return [i * c for i, c in enumerate(p)][1:]


def _remainder(p: Coefficients, q: Coefficients) -> Coefficients:
    """P modulo q, without leading zeros; empty if it is 0."""
    rest = list(p)
    while len(rest) >= len(q):
        factor = rest[-1] / q[-1]
        shift = len(rest) - len(q)
        rest = [x - factor * q[i - shift] if i >= shift else x for i, x in enumerate(rest)][:-1]
    while rest and rest[-1] == 0:
        rest.pop()
    return rest


def _changes(values: list[Fraction]) -> int:
    signs = [x > 0 for x in values if x]
    return sum(a != b for a, b in pairwise(signs))
