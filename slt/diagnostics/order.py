"""Whether estimates put targets in their true order."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import nan


def order_preserved(values: Sequence[float], estimates: Sequence[float]) -> float:
    """Share of the pairs with different values whose estimates are in the same order; nan without such a pair.

    Args:
        values: What the estimates should be.
        estimates: The estimates.

    Returns:
        Between 0 and 1.

    >>> order_preserved([1, 2, 3], [1.1, 3.2, 2.9])
    0.6666666666666666
    """
    kept, pairs = ordered_pairs(zip(values, estimates, strict=True))
    return kept / pairs if pairs else nan


def ordered_pairs(targets: Iterable[tuple[float, float]]) -> tuple[int, int]:
    """Count the pairs of (value, estimate) that are in order, and the pairs whose values differ.

    Args:
        targets: Value and estimate of each.

    Returns:
        Both counts.
    """
    pairs = [(a - b) * (x - y) > 0 for (a, x), (b, y) in combinations(targets, 2) if a != b]
    return sum(pairs), len(pairs)
