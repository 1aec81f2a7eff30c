"""Monomial losses: the normal form that resolution of singularities brings every analytic loss to."""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import mul

from slt.analytic.checks import densities, integers, plain
from slt.analytic.entry import Entry
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.rlct import RLCT
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
    h = densities(prior_exponents, len(k))
    return Entry(
        # a product of the losses |w_i|^(k_i) in one parameter each
        rlct=reduce(mul, (RLCT((h_i + 1) / k_i, 1) for k_i, h_i in zip(k, h, strict=True) if k_i > 0)),
        family="normal crossing",
        parameters={"exponents": k, "prior_exponents": plain(h)},
        K="prod_i |w_i|^(k_i)",
        domain="a neighbourhood of w* = 0 in R^d, or the part of it in an orthant",
        prior="prod_i |w_i|^(h_i) times a function positive and continuous at w* = 0",
        source="Watanabe (2009), Algebraic Geometry and Statistical Learning Theory",
        conditions="none",
        law=NormalCrossing(k, tuple(float(x) for x in h)),
    )
