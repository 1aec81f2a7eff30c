"""Losses that scale like a power along weighted rays, and squares of functions that do."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import product

from slt.analytic.checks import integers, plain, rational
from slt.analytic.entry import Entry
from slt.analytic.finite.monomials import separable
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def weighted_homogeneous(
    weights: Sequence[int | Fraction],
    degree: int | Fraction = 1,
    *,
    exponents: Sequence[Sequence[int]] | None = None,
    coefficients: Sequence[int | Fraction] | None = None,
) -> Entry:
    r"""A loss with :math:`K(t^{w_1} x_1, ..., t^{w_d} x_d) = t^D K(x)` and no zero but 0.

    .. math:: \lambda = \frac{1}{D} \sum_i w_i, \qquad m = 1

    So a homogeneous K of degree D has d / D: all weights are 1.

    Args:
        weights: w_i > 0, shape (d,), ints or Fractions.
        degree: D > 0, an int or a Fraction.
        exponents: Of the monomials of K, shape (monomials, d), integers >= 0, for the answers at finite n; None
            means that K is any such loss, and that they are not available.
        coefficients: Of these monomials, ints or Fractions, shape (monomials,); None means all 1.

    Returns:
        The exact lambda and m: the volume below eps is a constant times eps^lambda, by scaling.

    Raises:
        InputError: If a weight or the degree is no int or Fraction > 0, there is no weight, or a monomial has
            another degree.

    >>> weighted_homogeneous((2, 1), degree=4).rlct
    RLCT(3/4, 1)
    >>> loss = weighted_homogeneous((2, 1), degree=4, exponents=[(2, 0), (0, 4)])  # x^2 + y^4
    >>> loss.tempered(1e4, localization=1.0).energy.value
    0.7491317...
    """
    w, d = _weights(weights), rational("degree", degree, above=0)
    terms, chosen = _terms(exponents, coefficients, w, d)
    return Entry(
        rlct=RLCT(sum(w) / d, 1),
        family="weighted homogeneous",
        parameters={"weights": plain(w), "degree": plain([d])[0]} | chosen,
        K="K(t^w x) = t^D K(x)",
        domain="a neighbourhood of 0 in R^d, or the part of it in an orthant",
        prior="positive and continuous at 0",
        source="elementary: the volume scales",
        conditions="K is continuous, and positive but at 0",
        law=None if terms is None else separable(terms),
    )


def quasi_homogeneous_squared(
    weights: Sequence[int | Fraction],
    degree: int | Fraction = 1,
    *,
    real_zeros: bool = True,
    exponents: Sequence[Sequence[int]] | None = None,
    coefficients: Sequence[int | Fraction] | None = None,
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
        exponents: Of the monomials of f, shape (monomials, d), integers >= 0, for the answers at finite n; None
            means that f is any such function, and that they are not available.
        coefficients: Of these monomials, ints or Fractions, shape (monomials,); None means all 1.

    Returns:
        The exact lambda and m: 1/2 from the smooth zeros, and s/2 from 0, as by one weighted blow-up.

    Raises:
        InputError: If a weight or the degree is no int or Fraction > 0, there is no weight, `real_zeros` is no
            bool, or true for one weight alone (f is then a power), or a monomial has another degree.

    >>> quasi_homogeneous_squared((5, 2), degree=10).rlct  # (x^2 - y^5)^2
    RLCT(7/20, 1)
    >>> quasi_homogeneous_squared((1, 1), degree=2).rlct  # (x^2 - y^2)^2
    RLCT(1/2, 2)
    """
    w, d = _weights(weights), rational("degree", degree, above=0)
    if not isinstance(real_zeros, bool):
        raise InputError(f"real_zeros must be True or False, got {real_zeros!r}.")
    terms, chosen = _terms(exponents, coefficients, w, d)
    origin, smooth = RLCT(sum(w) / d / 2, 1), RLCT(Fraction(1, 2), 1)
    if real_zeros and len(w) == 1:
        raise InputError("real_zeros must be False for one weight (f is a power of x, with no zero but 0), got True.")
    return Entry(
        # near a zero of f on the exceptional divisor the two are coordinates of a crossing
        rlct=origin * smooth if real_zeros else origin,
        family="square of a quasi-homogeneous function",
        parameters={"weights": plain(w), "degree": plain([d])[0], "real_zeros": real_zeros} | chosen,
        K="f^2 with f(t^w x) = t^D f(x)",
        domain="a neighbourhood of 0 in R^d",
        prior="positive and continuous at 0",
        source="derived by a weighted blow-up of 0",
        conditions="the gradient of f is not 0 at the real zeros of f other than 0",
        law=None if terms is None else separable(_square(terms)),
    )


def _weights(weights: Sequence[int | Fraction]) -> list[Fraction]:
    if isinstance(weights, str) or not isinstance(weights, Iterable):
        raise InputError(f"weights must be a sequence of ints or Fractions > 0, got {weights!r}.")
    listed = [rational(f"weights[{i}]", w, above=0) for i, w in enumerate(weights)]
    if not listed:
        raise InputError("weights must have at least 1 element, got none.")
    return listed


_Terms = dict[tuple[int, ...], Fraction]


def _terms(
    exponents: Sequence[Sequence[int]] | None,
    coefficients: Sequence[int | Fraction] | None,
    weights: list[Fraction],
    degree: Fraction,
) -> tuple[_Terms | None, dict[str, object]]:
    """The polynomial if there is one, and the arguments that chose it."""
    if exponents is None:
        if coefficients is not None:
            raise InputError("coefficients must come with the exponents of their monomials, got exponents=None.")
        return None, {}
    alphas = [integers(f"exponents[{i}]", alpha, 0) for i, alpha in enumerate(exponents)]
    listed = [1] * len(alphas) if coefficients is None else list(coefficients)
    if not alphas or len(set(alphas)) < len(alphas) or len(listed) != len(alphas):
        raise InputError(
            "exponents must be different from each other, at least 1, with one coefficient each, got "
            f"exponents={exponents!r} and coefficients={coefficients!r}."
        )
    values = [rational(f"coefficients[{i}]", c) for i, c in enumerate(listed)]
    for alpha in alphas:
        found = sum(k * w for k, w in zip(alpha, weights, strict=False))
        if len(alpha) != len(weights) or found != degree:
            raise InputError(f"each monomial must have {len(weights)} exponents and degree {degree}, got {alpha}.")
    terms = {alpha: c for alpha, c in zip(alphas, values, strict=True) if c}
    if not terms:
        raise InputError(f"at least one of the coefficients must not be 0, got {coefficients!r}.")
    chosen: dict[str, object] = {"exponents": tuple(alphas)}
    return terms, chosen if coefficients is None else chosen | {"coefficients": plain(values)}


def _square(terms: _Terms) -> _Terms:
    out: _Terms = {}
    for (alpha, a), (beta, b) in product(terms.items(), terms.items()):
        key = tuple(i + j for i, j in zip(alpha, beta, strict=True))
        out[key] = out.get(key, Fraction(0)) + a * b
    return {key: c for key, c in out.items() if c}
