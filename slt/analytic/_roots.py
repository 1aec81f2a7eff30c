"""Real roots of a polynomial in one variable, counted exactly by Sturm's theorem."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from slt.analytic._integers import sturm, whole

Coefficients = Sequence[int | Fraction]
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
    chain = sturm(whole(p))
    at_infinity = [q[-1] for q in chain]
    start = [q[0] if positive_only else q[-1] * (-1) ** (len(q) - 1) for q in chain]
    here = _changes(start) - _changes(at_infinity)
    if len(chain[-1]) == 1:
        return here, here
    # a root of multiplicity k is one of multiplicity k - 1 there: odd ones here are all but the odd ones there
    return here, here - real_roots(chain[-1], positive_only=positive_only)[1]


def roots_between(p: Coefficients, low: Fraction, high: Fraction) -> int:
    """Count the real t with low < t < high and p(t) = 0, each once.

    Args:
        p: The coefficients by rising powers, the last one not 0.
        low: No root.
        high: No root, and above `low`.

    Returns:
        How many there are.

    >>> roots_between([Fraction(-2), Fraction(0), Fraction(1)], Fraction(0), Fraction(2))
    1
    """
    chain = sturm(whole(p))
    at_low, at_high = ([sum((c * t**i for i, c in enumerate(q)), Fraction(0)) for q in chain] for t in (low, high))
    return _changes(at_low) - _changes(at_high)


def _changes(values: Sequence[int | Fraction]) -> int:
    signs = [x > 0 for x in values if x]
    return sum(a != b for a, b in pairwise(signs))
