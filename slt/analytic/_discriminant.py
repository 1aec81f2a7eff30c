"""Where the roots of a polynomial in two variables meet."""

from collections.abc import Sequence

from slt.analytic._integers import Row, primitive, resultant


def discriminant(f: Sequence[Row]) -> list[int]:
    """The resultant of f and df/dy in y, as a polynomial in x, times a positive number.

    Its zeros are where two roots y of f(x, .) meet, and where one goes to infinity. It is interpolated from its
    values at integers by Newton's forward differences.

    Args:
        f: For each power of y its coefficient, a polynomial in x, of degree 1 or more in y; the last not 0.

    Returns:
        The coefficients by rising powers, without zeros at the end.

    >>> discriminant([[0, 0, -1], [], [1]])  # y^2 - x^2
    [0, 0, -1]
    """
    degree = (2 * len(f) - 3) * max(len(row) - 1 for row in f)
    low = -(degree // 2)
    differences = [_at(f, low + k) for k in range(degree + 1)]
    for k in range(degree):
        for i in range(degree, k, -1):
            differences[i] -= differences[i - 1]
    # sum of d_k binomial(x - low, k), times degree!
    out, factor = [differences[degree]], 1
    for k in range(degree - 1, -1, -1):
        factor *= k + 1
        node = low + k
        out = [above - node * own for above, own in zip([0, *out], [*out, 0], strict=True)]
        out[0] += differences[k] * factor
    while out and not out[-1]:
        out.pop()
    return primitive(out)


def _at(f: Sequence[Row], x: int) -> int:
    """The value at one x."""
    p = [_evaluate(row, x) for row in f]
    if not p[-1]:
        return 0  # a root goes to infinity
    slope = [j * c for j, c in enumerate(p)][1:]
    return resultant(p, slope)


def _evaluate(row: Row, x: int) -> int:
    value = 0
    for c in reversed(row):
        value = value * x + c
    return value
