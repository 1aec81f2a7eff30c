"""Monomial losses: the normal form that resolution of singularities brings every analytic loss to."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from numbers import Rational

from slt.analytic.checks import integers
from slt.analytic.entry import Entry
from slt.errors import InputError


def normal_crossing(exponents: Sequence[int], prior_exponents: Sequence[int | Fraction] | None = None) -> Entry:
    r"""The loss :math:`K(w) = \prod_i |w_i|^{k_i}` under a prior like :math:`\prod_i |w_i|^{h_i}` near 0.

    .. math:: \lambda = \min_{i: k_i > 0} \frac{h_i + 1}{k_i},
              \qquad m = \#\{i : \text{the minimum is reached}\}

    Args:
        exponents: k_i >= 0, shape (d,): the exponents of K itself, not of its square root; (xy)^2 is (2, 2).
        prior_exponents: h_i > -1, shape (d,), ints or Fractions; None means all 0, a prior positive at 0.

    Returns:
        The exact lambda and m (Watanabe, 2009).

    Raises:
        InputError: If an exponent is outside its range, all k_i are 0, or the lengths differ.

    >>> normal_crossing((2, 2))
    Entry(value=1/2, multiplicity=2, family='normal crossing', exponents=(2, 2), prior_exponents=(0, 0))
    >>> normal_crossing((2, 4), prior_exponents=(0, Fraction(-1, 2))).value
    Fraction(1, 8)
    """
    k = integers("exponents", exponents, 0)
    if not any(k):
        raise InputError(f"at least one of the exponents must be positive (else K = 1 has no zero), got {k}.")
    h = (Fraction(0),) * len(k) if prior_exponents is None else _as_fractions(prior_exponents, len(k))
    poles = [(h_i + 1) / k_i for k_i, h_i in zip(k, h, strict=True) if k_i > 0]
    return Entry(
        value=min(poles),
        multiplicity=poles.count(min(poles)),
        family="normal crossing",
        parameters={"exponents": k, "prior_exponents": tuple(int(x) if x.denominator == 1 else x for x in h)},
        K="prod_i |w_i|^(k_i)",
        source="Watanabe (2009), Algebraic Geometry and Statistical Learning Theory",
        conditions="the prior is prod_i |w_i|^(h_i) times a function positive and continuous at w* = 0",
    )


def _as_fractions(prior_exponents: object, length: int) -> tuple[Fraction, ...]:
    """The prior's exponents, exact. A float is refused: 0.1 is not one tenth, the answer is a fraction."""
    if isinstance(prior_exponents, str) or not isinstance(prior_exponents, Iterable):
        raise InputError(f"prior_exponents must be a sequence of ints or Fractions, got {prior_exponents!r}.")
    listed = tuple(prior_exponents)
    if len(listed) != length:
        raise InputError(f"prior_exponents must have one element per exponent ({length}), got {len(listed)}.")
    return tuple(_as_fraction(f"prior_exponents[{i}]", h) for i, h in enumerate(listed))


def _as_fraction(name: str, value: object) -> Fraction:
    """One exponent of the prior, through int: a numpy integer would keep its fixed width in a Fraction."""
    if isinstance(value, Rational) and not isinstance(value, bool):
        fraction = Fraction(int(value.numerator), int(value.denominator))
        if fraction > -1:
            return fraction
    raise InputError(f"{name} must be an int or a Fraction > -1, got {value!r}.")
