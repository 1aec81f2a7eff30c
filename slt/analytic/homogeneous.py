"""Losses that scale like a power along weighted rays, and squares of functions that do."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from slt.analytic.checks import plain, rational
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def weighted_homogeneous(weights: Sequence[int | Fraction], degree: int | Fraction = 1) -> Entry:
    r"""A loss with :math:`K(t^{w_1} x_1, ..., t^{w_d} x_d) = t^D K(x)` and no zero but 0.

    .. math:: \lambda = \frac{1}{D} \sum_i w_i, \qquad m = 1

    So a homogeneous K of degree D has d / D: all weights are 1.

    Args:
        weights: w_i > 0, shape (d,), ints or Fractions.
        degree: D > 0, an int or a Fraction.

    Returns:
        The exact lambda and m: the volume below eps is a constant times eps^lambda, by scaling.

    Raises:
        InputError: If a weight or the degree is no int or Fraction > 0, or there is no weight.

    >>> weighted_homogeneous((2, 1), degree=4).rlct  # x^2 + y^4
    RLCT(3/4, 1)
    """
    w, d = _weights(weights), rational("degree", degree, above=0)
    return Entry(
        rlct=RLCT(sum(w) / d, 1),
        family="weighted homogeneous",
        parameters={"weights": plain(w), "degree": plain([d])[0]},
        K="K(t^w x) = t^D K(x)",
        domain="a neighbourhood of 0 in R^d, or the part of it in an orthant",
        prior="positive and continuous at 0",
        source="elementary: the volume scales",
        conditions="K is continuous, and positive but at 0",
    )


def quasi_homogeneous_squared(
    weights: Sequence[int | Fraction], degree: int | Fraction = 1, *, real_zeros: bool = True
) -> Entry:
    r"""The square :math:`K = f^2` of a signed f with :math:`f(t^w x) = t^D f(x)`, singular at most at 0.

    With s = sum_i w_i / D:

    .. math:: \lambda = \frac{\min(s, 1)}{2} \text{ where f has a real zero besides 0, else } \frac{s}{2}

    and m = 2 where s = 1 and there is such a zero, else 1. Zeros that are complex do not count:
    (x^2 - y^2)^2 has (1/2, 2) but (x^2 + y^2)^2 has (1/2, 1).

    Args:
        weights: w_i > 0, shape (d,), ints or Fractions.
        degree: D > 0 of f, not of K; an int or a Fraction.
        real_zeros: Whether f has a real zero other than 0.

    Returns:
        The exact lambda and m: 1/2 from the smooth zeros, and s/2 from 0, as by one weighted blow-up.

    Raises:
        InputError: If a weight or the degree is no int or Fraction > 0, there is no weight, `real_zeros` is no
            bool, or true for one weight alone (f is then a power).

    >>> quasi_homogeneous_squared((5, 2), degree=10).rlct  # (x^2 - y^5)^2
    RLCT(7/20, 1)
    >>> quasi_homogeneous_squared((1, 1), degree=2).rlct  # (x^2 - y^2)^2
    RLCT(1/2, 2)
    """
    w, d = _weights(weights), rational("degree", degree, above=0)
    if not isinstance(real_zeros, bool):
        raise InputError(f"real_zeros must be True or False, got {real_zeros!r}.")
    origin, smooth = RLCT(sum(w) / d / 2, 1), RLCT(Fraction(1, 2), 1)
    if real_zeros and len(w) == 1:
        raise InputError("real_zeros must be False for one weight (f is a power of x, with no zero but 0), got True.")
    return Entry(
        # near a zero of f on the exceptional divisor the two are coordinates of a crossing
        rlct=origin * smooth if real_zeros else origin,
        family="square of a quasi-homogeneous function",
        parameters={"weights": plain(w), "degree": plain([d])[0], "real_zeros": real_zeros},
        K="f^2 with f(t^w x) = t^D f(x)",
        domain="a neighbourhood of 0 in R^d",
        prior="positive and continuous at 0",
        source="derived by a weighted blow-up of 0",
        conditions="the gradient of f is not 0 at the real zeros of f other than 0",
    )


def _weights(weights: Sequence[int | Fraction]) -> list[Fraction]:
    if isinstance(weights, str) or not isinstance(weights, Iterable):
        raise InputError(f"weights must be a sequence of ints or Fractions > 0, got {weights!r}.")
    listed = [rational(f"weights[{i}]", w, above=0) for i, w in enumerate(weights)]
    if not listed:
        raise InputError("weights must have at least 1 element, got none.")
    return listed
