"""Deep linear networks: the RLCT of a product of matrices, from their widths and the rank of the truth."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from slt.analytic.checks import integer, integers
from slt.analytic.diagonal_networks import norms_law
from slt.analytic.entry import Entry
from slt.analytic.finite.law import Law
from slt.analytic.finite.matrix_products import law_at_zero
from slt.analytic.linear_networks_local import product_near
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError

_SOURCE = (
    "Aoyagi (2024), Consideration on the learning efficiency of multiple-layered neural networks "
    "with linear units, Neural Networks 172"
)


def deep_linear(
    widths: Sequence[int],
    rank: int = 0,
    *,
    biases: bool = False,
    softmax: bool = False,
    input_rank: int | None = None,
    factor_ranks: Sequence[int] | None = None,
) -> Entry:
    r"""The deep linear network :math:`K(W_1, ..., W_L) = \|W_L \cdots W_1 - T\|_F^2` with T of rank r.

    With M_s = n_s - r, and Sigma the bottleneck of the network: the one set of L' + 1 >= 2 of its layers with
    max_Sigma M < min_rest M,  sum_Sigma M >= L' max_Sigma M  and  sum_Sigma M < L' min_rest M,

    .. math::
        \lambda = \frac{r (n_0 + n_L) - r^2}{2} + \frac{a (L' - a)}{4 L'}
                  - \frac{L' (L' - 1)}{4} \Big(\frac{\sum_\Sigma M_s}{L'}\Big)^2
                  + \frac12 \sum_{i < j \in \Sigma} M_i M_j, \qquad m = a (L' - a) + 1

    where a = sum_Sigma M - (ceil(sum_Sigma M / L') - 1) L'. (L' is written l in the source.)

    Args:
        widths: (n_0, ..., n_L), each >= 1: the input first, the output last; W_l has shape (n_l, n_(l-1)).
        rank: The rank of the true matrix T, from 0 to the smallest width; of what is left of T where an option
            below takes something away.
        biases: Whether layers have biases: adds n_L / 2. Hidden ones move the output's, and only that one counts.
        softmax: Whether the output enters a softmax, which ignores a shift: n_L - 1 takes the place of n_L, and
            T with its rows centred that of T.
        input_rank: The rank of the inputs' second moments, or with biases of their covariance, if it is not full:
            it takes the place of n_0, and T on that subspace that of T.
        factor_ranks: The ranks of the W_l*, shape (L,), for the local value at w*; None means the global one,
            which is also the local one where all factors have rank r.

    Returns:
        The exact lambda and m (Aoyagi, 2024). With one hidden layer, at rank 0 and with a smallest width of 3 at
        most, also exact numbers at finite n, W_1 row by row first, at one precision for each layer.

    Raises:
        InputError: If there are fewer than two widths, one is no integer >= 1, or a rank is out of range.
        NotAvailableError: If the local value at such factors is not known. It is for one hidden layer, where all
            factors have rank r, and for widths all 1.

    >>> deep_linear((5, 5, 5), rank=2)
    Entry(value=23/2, multiplicity=2, family='deep linear network', widths=(5, 5, 5), rank=2)
    >>> deep_linear((3, 2, 4), rank=1, softmax=True).rlct
    RLCT(7/2, 2)
    """
    n = integers("widths", widths, 1, at_least=2)
    r = integer("rank", rank, 0)
    effective = _effective(n, bool(softmax), input_rank)
    if r > min(effective):
        raise InputError(f"rank must be at most the smallest width ({min(effective)}), got {r}.")
    if factor_ranks is not None and (softmax or input_rank is not None):
        raise NotAvailableError("The local value with a softmax, or inputs of lower rank, is not available.")
    ranks = None if factor_ranks is None else integers("factor_ranks", factor_ranks, 0)
    tangent = RLCT(Fraction(r * (effective[0] + effective[-1]) - r * r, 2), 1)
    everywhere = tangent + _product_at_zero(sorted(width - r for width in effective))
    found = everywhere if ranks is None else product_near(n, r, ranks, everywhere)
    options = {"biases": biases, "softmax": softmax, "input_rank": input_rank, "factor_ranks": ranks}
    return Entry(
        rlct=found + RLCT(Fraction(effective[-1] if biases else 0, 2), 1),
        family="deep linear network",
        parameters={"widths": n, "rank": r} | {name: given for name, given in options.items() if given},
        K="KL(softmax T x || softmax W_L ... W_1 x)" if softmax else "||W_L ... W_1 - T||_F^2",
        domain="all factors W_l, or any part that holds the most degenerate zeros of K"
        if ranks is None
        else "a neighbourhood of w*",
        prior="positive and continuous " + ("on the most degenerate zeros of K" if ranks is None else "at w*"),
        source=_SOURCE,
        conditions="global, and local where every factor has the rank of T" if ranks is None else "none",
        law=None if r or any(ranks or ()) or biases or softmax or input_rank is not None else _law(n),
    )


def _law(widths: tuple[int, ...]) -> Law | None:
    """For T = 0: with hidden layers of one unit K is the product of all |W_l|^2, the entries of W_1 coming first."""
    if all(width == 1 for width in widths[1:-1]):
        return norms_law(*(i * j for i, j in pairwise(widths)))
    return law_at_zero(widths[0], widths[2], widths[1]) if len(widths) == 3 else None


def _effective(n: tuple[int, ...], softmax: bool, input_rank: int | None) -> tuple[int, ...]:
    """The widths that count: of the inputs their rank, of a softmax's outputs one less."""
    first = n[0] if input_rank is None else integer("input_rank", input_rank, 1)
    if first > n[0]:
        raise InputError(f"input_rank must be at most the first width ({n[0]}), got {first}.")
    return (first, *n[1:-1], n[-1] - softmax)


def _product_at_zero(excess: list[int]) -> RLCT:
    """The RLCT of ||S_L ... S_1||_F^2 at zero, for layers of the given widths in ascending order."""
    sigma = _bottleneck(excess)
    depth, total = len(sigma) - 1, sum(sigma)
    a = total - (-(-total // depth) - 1) * depth
    pairs = Fraction(total * total - sum(width * width for width in sigma), 2)
    mean = Fraction(total, depth)
    value = Fraction(a * (depth - a), 4 * depth) - Fraction(depth * (depth - 1), 4) * mean**2 + pairs / 2
    return RLCT(value, a * (depth - a) + 1)


def _bottleneck(excess: list[int]) -> list[int]:
    """The layers that decide: exactly one initial piece of the ascending widths meets the conditions."""
    for size in range(2, len(excess)):
        total, widest, next_width = sum(excess[:size]), excess[size - 1], excess[size]
        if widest < next_width and (size - 1) * widest <= total < (size - 1) * next_width:
            return excess[:size]
    return excess
