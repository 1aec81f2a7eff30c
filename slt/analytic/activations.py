"""Networks with one hidden layer of tanh, ReLU or monomial units."""

from fractions import Fraction

from slt.analytic.checks import integer
from slt.analytic.diagonal_networks import product_of_norms
from slt.analytic.entry import Entry
from slt.analytic.reduced_rank import matrix_product
from slt.analytic.rlct import RLCT
from slt.analytic.vandermonde_type import SOURCE as VANDERMONDE
from slt.analytic.vandermonde_type import units_at_zero
from slt.errors import InputError, NotAvailableError

_PRODUCT = "elementary: a product of norms in separate parameters"
_INPUTS = "the inputs have a density that is positive near 0"


def tanh_network(
    units: int, inputs: int = 1, outputs: int = 1, *, bias: bool = False, true_units: int = 0
) -> Entry:  # fmt: skip
    r"""The network :math:`\sum_{h=1}^H a_h \tanh(b_h \cdot x)` where the truth has fewer units, or none.

    At truth 0, with H units for one input, and one unit a in R^M for N inputs:

    .. math:: K \asymp \sum_n \Big|\sum_h a_h b_h^{2n + 1}\Big|^2, \qquad K \asymp |a|^2 |b|^2

    The first is `vandermonde` with Q = 2: for one output lambda = (H + i^2 + i) / (4i + 2) with i the whole part
    of sqrt(H), and m = 2 where H = i^2. The second has lambda = min(M, N) / 2, with m = 2 where M = N. A bias in
    the unit counts as one more input. Where the truth has as many units as the network, the model is regular; two
    units for one true unit have 5/4.

    Args:
        units: H >= 1.
        inputs: N >= 1.
        outputs: M >= 1.
        bias: Whether the units have biases.
        true_units: How many units the truth has, from 0 to H.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If no value is known: more than one unit with more than one input or with biases at
            truth 0, or between 1 and H - 1 true units other than 1 of 2.

    >>> tanh_network(4).rlct
    RLCT(1, 2)
    >>> tanh_network(2, true_units=1).rlct
    RLCT(5/4, 1)
    """
    h, n, m = integer("units", units, 1), integer("inputs", inputs, 1), integer("outputs", outputs, 1)
    true = integer("true_units", true_units, 0)
    if true > h:
        raise InputError(f"true_units must be at most the units ({h}), got {true}.")
    rlct, source = _tanh(h, n, m, bool(bias), true)
    return Entry(
        rlct=rlct,
        family="tanh network",
        parameters={"units": h, "inputs": n, "outputs": m, "bias": bool(bias), "true_units": true},
        K="E |sum_h a_h tanh(b_h . x) - truth|^2",
        domain="a neighbourhood of 0" if not true else "a neighbourhood of all ways to write the truth",
        prior="positive and continuous there",
        source=source,
        conditions=_INPUTS + ("; the true units differ and none is 0" if true else ""),
    )


def _tanh(h: int, n: int, m: int, bias: bool, true: int) -> tuple[RLCT, str]:
    if true == h and not bias:
        return RLCT(Fraction(h * (n + m), 2), 1), (
            "Fukumizu (1996), A regularity condition of the information matrix of a multilayer perceptron network"
        )
    if (h, n, m, bias, true) == (2, 1, 1, False, 1):
        # both units near the true one: two regular directions and (a_1 a_2 d^2)^2 with a_1 + a_2 not 0;
        # or one unit off: it is regular in the true one, and a crossing in the other
        shared = RLCT(Fraction(1), 1) + RLCT(Fraction(1, 4), 1)
        idle = RLCT(Fraction(1), 1) + units_at_zero(1, 2, 1)
        return min(shared, idle), "derived: the smaller of two ways to write the truth"
    if true == 0 and h == 1:
        return product_of_norms(m, n + bias), _PRODUCT
    if true == 0 and n == 1 and not bias:
        return units_at_zero(h, 2, m), VANDERMONDE + ("" if m == 1 else "; more outputs: derived")
    raise NotAvailableError(
        f"The value of a tanh network with {h} units{' with biases' * bias}, {n} inputs and {m} outputs is not known "
        f"where the truth has {true} units: only for one unit, one input without biases at truth 0, as many true "
        "units as units without biases, and 1 of 2 units for one input and output."
    )


def relu_network(units: int, inputs: int = 1, *, bias: bool = False, true_units: int = 0) -> Entry:
    r"""The network :math:`\sum_{h=1}^H a_h \max(0, b_h \cdot x)` with one output.

    At truth 0 one unit has :math:`K \asymp a^2 |b|^2`, so (1/2, 2) for one input and (1/2, 1) for more; two units
    and more on one input have the square of an indefinite form, (1/2, 1). One unit at a truth of one unit has d/2
    for d inputs, as the rescaling of a against b costs nothing. With biases and bounded inputs K = 0 on a set of
    positive volume, where all units are dead, and lambda = 0.

    Args:
        units: H >= 1.
        inputs: d >= 1.
        bias: Whether the units have biases.
        true_units: How many units the truth has: 0 or 1.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If no value is known: two units and more with more than one input or a true unit, or a
            true unit with biases.

    >>> relu_network(1).rlct
    RLCT(1/2, 2)
    >>> relu_network(3, bias=True).rlct
    RLCT(0, 1)
    """
    h, d, true = integer("units", units, 1), integer("inputs", inputs, 1), integer("true_units", true_units, 0)
    if true > h:
        raise InputError(f"true_units must be at most the units ({h}), got {true}.")
    return Entry(
        rlct=_relu(h, d, bool(bias), true),
        family="ReLU network",
        parameters={"units": h, "inputs": d, "bias": bool(bias), "true_units": true},
        K="E (sum_h a_h relu(b_h . x) - truth)^2",
        domain="all a and b, or any part that holds the most degenerate zeros of K",
        prior="positive and continuous on the most degenerate zeros of K",
        source="derived: products of norms, sums over units with b > 0 and b < 0, and rescaling",
        conditions="inputs bounded" if bias else "the density of the inputs is positive near 0",
    )


def _relu(h: int, d: int, bias: bool, true: int) -> RLCT:
    if bias and true == 0:
        return RLCT(Fraction(0), 1)
    if (h, true, bias) == (1, 1, False):
        return RLCT(Fraction(d, 2), 1)
    if (h, true) == (1, 0):
        return product_of_norms(1, d)
    if (d, true) == (1, 0):
        # units with b > 0 and with b < 0 make one sum each; all on one side is the larger volume
        return matrix_product(1, 1, h, 0)
    raise NotAvailableError(
        f"The value of a ReLU network with {h} units{' with biases' * bias} and {d} inputs is not known where the "
        f"truth has {true} units."
    )


def monomial_activation(units: int, degree: int, inputs: int = 1, outputs: int = 1) -> Entry:
    r"""The network :math:`\sum_{h=1}^H a_h (b_h \cdot x)^k` at truth 0.

    With one input and output, and for one unit with N inputs and M outputs:

    .. math:: \lambda = \frac{\min(k, H)}{2k},\ m = 2 \text{ iff } H = k, \qquad
              \lambda = \min\Big(\frac{M}{2}, \frac{N}{2k}\Big),\ m = 2 \text{ iff tied}

    Degree 1 is `reduced_rank_regression`.

    Args:
        units: H >= 1.
        degree: k >= 1.
        inputs: N >= 1.
        outputs: M >= 1.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a number is no integer >= 1.
        NotAvailableError: If no value is known: several units of degree 2 or more with several inputs or outputs.

    >>> monomial_activation(3, degree=3).rlct
    RLCT(1/2, 2)
    """
    h, k = integer("units", units, 1), integer("degree", degree, 1)
    n, m = integer("inputs", inputs, 1), integer("outputs", outputs, 1)
    return Entry(
        rlct=_monomial(h, k, n, m),
        family="monomial activation",
        parameters={"units": h, "degree": k, "inputs": n, "outputs": m},
        K="E |sum_h a_h (b_h . x)^k|^2",
        domain="all a and b, or any part that holds 0",
        prior="positive and continuous at 0",
        source="derived: blowing up b = 0, or a product of norms",
        conditions="inputs of which no polynomial of this degree vanishes",
    )


def _monomial(h: int, k: int, n: int, m: int) -> RLCT:
    if k == 1:
        return matrix_product(n, m, h, 0)
    if h == 1:
        return RLCT(Fraction(m, 2), 1) * (RLCT(Fraction(n, 2), 1) / k)
    if (n, m) == (1, 1):
        # blowing up b = 0: a divisor with H / (2k), crossed by the smooth zeros of sum_h a_h u_h^k
        return RLCT(Fraction(h, 2 * k), 1) * RLCT(Fraction(1, 2), 1)
    raise NotAvailableError(
        f"The value of {h} monomial units of degree {k} with {n} inputs and {m} outputs is not known: only for one "
        "unit, for one input and output, and for degree 1."
    )
