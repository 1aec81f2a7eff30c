"""Sums of units that all vanish at truth 0: singularities of the type of a Vandermonde matrix."""

from fractions import Fraction

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT

SOURCE = "Aoyagi (2009, 2010), Vandermonde matrix type singularities in statistical learning theory"


def vandermonde(units: int, step: int = 1, outputs: int = 1) -> Entry:
    r"""The loss :math:`K(a, b) = \sum_{n \ge 0} \big|\sum_{h=1}^H a_h b_h^{Qn + 1}\big|^2` of H units at truth 0.

    a_h in R^M, b_h in R. With k the largest i >= 0 that has 2H >= M (i (i - 1) Q + 2i):

    .. math:: \lambda = \frac{M Q k (k + 1) + 2H}{4 (1 + kQ)},
              \qquad m = 2 \text{ where } k \ge 1 \text{ and } 2H = M (k (k - 1) Q + 2k), \text{ else } 1

    Q = 2 are odd activations such as tanh, Q = 1 those with all orders in their Taylor series. The a_h are
    signed: this does not hold for the weights of a mixture, which are not negative.

    Args:
        units: H >= 1.
        step: Q >= 1.
        outputs: M >= 1.

    Returns:
        The exact lambda and m: for one output Aoyagi (2009, 2010); for more derived by a linear program in the
        gaps between the b_h.

    Raises:
        InputError: If a number is no integer >= 1.

    >>> vandermonde(4, step=2).rlct
    RLCT(1, 2)
    """
    h, q, m = integer("units", units, 1), integer("step", step, 1), integer("outputs", outputs, 1)
    return Entry(
        rlct=units_at_zero(h, q, m),
        family="Vandermonde type",
        parameters={"units": h, "step": q, "outputs": m},
        K="sum_n |sum_h a_h b_h^(Q n + 1)|^2",
        domain="a neighbourhood of a = b = 0",
        prior="positive and continuous at 0",
        source=SOURCE + ("" if m == 1 else "; more outputs: derived"),
        conditions="a_h and b_h of either sign",
    )


def units_at_zero(h: int, q: int, m: int) -> RLCT:
    """The formula, for H units, step Q and M outputs."""
    k = 0
    while 2 * h >= m * ((k + 1) * k * q + 2 * (k + 1)):
        k += 1
    tied = k >= 1 and 2 * h == m * (k * (k - 1) * q + 2 * k)
    return RLCT(Fraction(m * q * k * (k + 1) + 2 * h, 4 * (1 + k * q)), 1 + tied)
