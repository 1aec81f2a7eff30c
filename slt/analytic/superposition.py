"""The toy model of superposition with two hidden units, at its polygons."""

from fractions import Fraction

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError


def toy_superposition(features: int, polygon: int, plus: int = 0) -> Entry:
    r"""The toy model of superposition with two hidden units, near a regular polygon of k of its c features.

    .. math:: K(W, b) = \frac1c \sum_{i=1}^c \mathbb{E}_u\,
              \big|\mathrm{relu}(W^\top W u e_i + b) - u e_i\big|^2 - L(w^*), \qquad u \sim U[0, 1]

    k columns of W (2 x c) form a regular polygon; the others are 0, their biases negative ("dead") or, for t of
    them, 1/(2c) ("plus"). For 5 <= k <= 9 the polygon has 3k parameters less one rotation, dead features cost
    nothing, and plus features are regular; for k = 4 the biases are at the kink, and dead features count:

    .. math:: \lambda = \frac{3k - 1}{2} + \frac{3t}{2} \quad (5 \le k \le 9), \qquad
              \lambda = \frac{11}{2} + (c - 4) + \frac{t}{2} \quad (k = 4)

    and m = 1. The triangle with c = 3 has 3, not the 4 that this count would give.

    Args:
        features: c >= 3.
        polygon: k, from 3 to c.
        plus: t, from 0 to c - k.

    Returns:
        The exact lambda and m, by counting regular directions.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If the value is not known, for a triangle beside other features; or the point is no
            minimum, for ten corners and more, and for both plus and dead features beside five corners and more.

    >>> toy_superposition(6, polygon=5).rlct
    RLCT(7, 1)
    >>> toy_superposition(6, polygon=4, plus=2).rlct
    RLCT(17/2, 1)
    """
    c, k, t = integer("features", features, 3), integer("polygon", polygon, 3), integer("plus", plus, 0)
    if k > c:
        raise InputError(f"polygon must be at most the features ({c}), got {k}.")
    if t > c - k:
        raise InputError(f"plus must be at most the features outside the polygon ({c - k}), got {t}.")
    return Entry(
        rlct=RLCT(Fraction(_regular_directions(c, k, t), 2), 1),
        family="toy model of superposition",
        parameters={"features": c, "polygon": k, "plus": t},
        K="L(W, b) - L(w*)",
        domain="a neighbourhood of w*, up to rotations",
        prior="positive and continuous at w*",
        source="setting: Chen, Lau, Mendel, Wei & Murfet (2023), arXiv:2310.06301; values derived",
        conditions="two hidden units, one feature active at a time"
        + ("; K is piecewise analytic there" if k == 4 else ""),
    )


def _regular_directions(c: int, k: int, t: int) -> int:
    if k >= 10:
        raise NotAvailableError(f"A polygon with {k} corners is no minimum of the loss: it has no RLCT.")
    if k == 4:
        return 11 + 2 * (c - 4) + t
    if k == 3 and c == 3:
        return 6
    if k == 3:
        raise NotAvailableError(f"The value of the triangle is known for 3 features, got {c}.")
    if 0 < t < c - k:
        # a plus column times a dead one lowers the loss: nothing holds the dead one
        raise NotAvailableError(
            f"A polygon with {k} corners beside plus and dead features is no minimum of the loss: it has no RLCT. "
            f"plus must be 0 or {c - k}, got {t}."
        )
    return 3 * k - 1 + 3 * t
