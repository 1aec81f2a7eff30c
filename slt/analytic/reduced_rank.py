"""Reduced rank regression: the product of two matrices, globally and near a given pair of factors."""

from collections.abc import Sequence
from fractions import Fraction

from slt.analytic.checks import integer, integers
from slt.analytic.diagonal_networks import norms_law
from slt.analytic.entry import Entry
from slt.analytic.finite.matrix_products import law_at_zero
from slt.analytic.rlct import RLCT
from slt.errors import InputError

_GLOBAL = "Aoyagi & Watanabe (2005), Stochastic complexities of reduced rank regression, Neural Networks 18"
_LOCAL = f"derived by a Schur complement from {_GLOBAL}"


def reduced_rank_regression(
    inputs: int, outputs: int, hidden: int, rank: int = 0, *, factor_ranks: Sequence[int] | None = None
) -> Entry:
    r"""The two-layer linear network :math:`K(A, B) = \|BA - T\|_F^2`, T of rank r.

    With N inputs, M outputs and H hidden units (A is H x N and B is M x H), globally:

    .. math::
        \lambda = \begin{cases}
        \frac{HM - Hr + Nr}{2} & M + H < N + r \\
        \frac{HN - Hr + Mr}{2} & N + H < M + r \\
        \frac{MN}{2} & M + N < H + r \\
        \frac{2 (H + r)(M + N) - (M - N)^2 - (H + r)^2 + p}{8} & \text{else}
        \end{cases}

    where p is 1 if M + H + N + r is odd and 0 if it is even; m = 1 + p in the last case and 1 in the others.
    Near a pair of factors of ranks a and b, with the global value at truth 0 on the right (0 for an empty
    matrix):

    .. math:: \lambda(a, b) = \frac{a M + b N - a b}{2} + \lambda_{N - a,\,M - b,\,H - a - b + r;\,0}

    The global value is the smallest of them. A pair as training finds it has factors of full rank, mostly
    with a larger value than the global one.

    Args:
        inputs: N >= 1.
        outputs: M >= 1.
        hidden: H >= 1.
        rank: r, from 0 to the smallest of the three.
        factor_ranks: (a, b), the ranks of A* and B*, for the local value; None means the global one.

    Returns:
        The exact lambda and m (Aoyagi & Watanabe, 2005). At rank 0, with a smallest width of 3 at most, also exact
        numbers at finite n, A row by row first, then B, at one precision for each.

    Raises:
        InputError: If a size is no integer >= 1, or a rank is one that no such matrices have.

    >>> reduced_rank_regression(5, 5, 5, rank=2).rlct
    RLCT(23/2, 2)
    >>> reduced_rank_regression(2, 2, 2, factor_ranks=(2, 0)).rlct
    RLCT(2, 1)
    """
    n, m, h = integer("inputs", inputs, 1), integer("outputs", outputs, 1), integer("hidden", hidden, 1)
    r = integer("rank", rank, 0)
    if r > min(n, m, h):
        raise InputError(f"rank must be at most the smallest of inputs, outputs and hidden ({min(n, m, h)}), got {r}.")
    ranks = None if factor_ranks is None else _factor_ranks(factor_ranks, n, m, h, r)
    parameters: dict[str, object] = {"inputs": n, "outputs": m, "hidden": h, "rank": r}
    return Entry(
        rlct=matrix_product(n, m, h, r) if ranks is None else matrix_product_near(n, m, h, r, *ranks),
        family="reduced rank regression",
        parameters=parameters if ranks is None else parameters | {"factor_ranks": ranks},
        K="||B A - T||_F^2",
        domain="all A and B" if ranks is None else "a neighbourhood of (A*, B*)",
        prior="positive and continuous " + ("on the most degenerate zeros of K" if ranks is None else "at (A*, B*)"),
        source=_GLOBAL if ranks is None else _LOCAL,
        conditions="inputs of full rank, inputs and noise independent",
        law=None if r or any(ranks or ()) else norms_law(n, m) if h == 1 else law_at_zero(n, m, h),
    )


def matrix_product(inputs: int, outputs: int, hidden: int, rank: int) -> RLCT:
    """The four cases; an empty matrix, one of whose sizes is 0, has no loss and RLCT 0."""
    n, m, h, r = inputs, outputs, hidden, rank
    if min(n, m, h) == 0:
        return RLCT(Fraction(0), 1)
    if m + h < n + r:
        return RLCT(Fraction(h * m - h * r + n * r, 2), 1)
    if n + h < m + r:
        return RLCT(Fraction(h * n - h * r + m * r, 2), 1)
    if m + n < h + r:
        return RLCT(Fraction(m * n, 2), 1)
    odd = (m + h + n + r) % 2
    return RLCT(Fraction(2 * (h + r) * (m + n) - (m - n) ** 2 - (h + r) ** 2 + odd, 8), 1 + odd)


def matrix_product_near(inputs: int, outputs: int, hidden: int, rank: int, a: int, b: int) -> RLCT:
    """The local value where A* has rank a and B* has rank b: regular directions, and a smaller product at 0."""
    regular = RLCT(Fraction(a * outputs + b * inputs - a * b, 2), 1)
    return regular + matrix_product(inputs - a, outputs - b, hidden - a - b + rank, 0)


def _factor_ranks(given: Sequence[int], n: int, m: int, h: int, r: int) -> tuple[int, int]:
    ranks = integers("factor_ranks", given, 0)
    if len(ranks) != 2:
        raise InputError(f"factor_ranks must be the ranks of A* and B*, got {len(ranks)} numbers.")
    a, b = ranks
    if not (r <= a <= min(h, n) and r <= b <= min(h, m) and a + b - h <= r):
        raise InputError(
            f"factor_ranks must be from {r} to {min(h, n)} and from {r} to {min(h, m)}, with a sum of at most "
            f"{h + r} (else the product cannot have rank {r}), got {ranks}."
        )
    return a, b
