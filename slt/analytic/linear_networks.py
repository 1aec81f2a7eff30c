"""Deep linear networks: the RLCT of a product of matrices, from their widths and the rank of the truth."""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import pairwise

from slt.analytic.checks import integer, integers
from slt.analytic.entry import Entry
from slt.analytic.finite.compose import multiply
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Law
from slt.analytic.finite.quadratic import Quadratic
from slt.analytic.rlct import RLCT
from slt.errors import InputError

_SOURCE = (
    "Aoyagi (2024), Consideration on the learning efficiency of multiple-layered neural networks "
    "with linear units, Neural Networks 172"
)
_CONDITIONS = (
    "inputs of full rank; global, and also the local value at a balanced w*, where every factor has the rank of T"
)


def deep_linear(widths: Sequence[int], rank: int = 0) -> Entry:
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
        rank: The rank of the true matrix T, from 0 to the smallest width.

    Returns:
        The exact lambda and m (Aoyagi, 2024).

    Raises:
        InputError: If there are fewer than two widths, one is no integer >= 1, or the rank is out of range.

    >>> deep_linear((5, 5, 5), rank=2)
    Entry(value=23/2, multiplicity=2, family='deep linear network', widths=(5, 5, 5), rank=2)
    """
    n = integers("widths", widths, 1, at_least=2)
    r = integer("rank", rank, 0)
    if r > min(n):
        raise InputError(f"rank must be at most the smallest width ({min(n)}), got {r}.")
    tangent = Fraction(r * (n[0] + n[-1]) - r * r, 2)
    value, multiplicity = _product_at_zero(sorted(width - r for width in n))
    return Entry(
        rlct=RLCT(tangent + value, multiplicity),
        family="deep linear network",
        parameters={"widths": n, "rank": r},
        K="||W_L ... W_1 - T||_F^2",
        domain="all factors W_l, or any part that holds the most degenerate zeros of K",
        prior="positive and continuous on the most degenerate zeros of K",
        source=_SOURCE,
        conditions=_CONDITIONS,
        law=_law(n, r),
    )


def _law(widths: tuple[int, ...], rank: int) -> Law | None:
    """For T = 0 and hidden layers of one unit: K is the product of all |W_l|^2, the entries of W_1 coming first."""
    if rank > 0 or any(width > 1 for width in widths[1:-1]):
        return None
    if set(widths) == {1}:
        return NormalCrossing((2,) * (len(widths) - 1), (0.0,) * (len(widths) - 1))
    factors: list[Law] = [Quadratic((2.0,) * (i * j)) for i, j in pairwise(widths)]
    return reduce(multiply, factors)


def _product_at_zero(excess: list[int]) -> tuple[Fraction, int]:
    """(lambda, m) of ||S_L ... S_1||_F^2 at zero, for layers of the given widths in ascending order."""
    sigma = _bottleneck(excess)
    depth, total = len(sigma) - 1, sum(sigma)
    a = total - (-(-total // depth) - 1) * depth
    pairs = Fraction(total * total - sum(width * width for width in sigma), 2)
    mean = Fraction(total, depth)
    value = Fraction(a * (depth - a), 4 * depth) - Fraction(depth * (depth - 1), 4) * mean**2 + pairs / 2
    return value, a * (depth - a) + 1


def _bottleneck(excess: list[int]) -> list[int]:
    """The layers that decide: exactly one initial piece of the ascending widths meets the conditions."""
    for size in range(2, len(excess)):
        total, widest, next_width = sum(excess[:size]), excess[size - 1], excess[size]
        if widest < next_width and (size - 1) * widest <= total < (size - 1) * next_width:
            return excess[:size]
    return excess
