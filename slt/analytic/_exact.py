"""Linear algebra in fractions: no rounding, for answers that are fractions themselves."""

from collections.abc import Sequence
from fractions import Fraction


def reduced(rows: Sequence[Sequence[int | Fraction]]) -> tuple[list[list[Fraction]], list[int]]:
    """The reduced row echelon form without its zero rows, and the pivot columns."""
    matrix = [[Fraction(x) for x in row] for row in rows]
    pivots: list[int] = []
    for column in range(len(matrix[0]) if matrix else 0):
        top = len(pivots)
        found = next((i for i in range(top, len(matrix)) if matrix[i][column]), None)
        if found is None:
            continue
        matrix[top], matrix[found] = matrix[found], matrix[top]
        scale = matrix[top][column]
        matrix[top] = [x / scale for x in matrix[top]]
        for i, row in enumerate(matrix):
            if i != top and row[column]:
                factor = row[column]
                matrix[i] = [x - factor * y for x, y in zip(row, matrix[top], strict=True)]
        pivots.append(column)
    return matrix[: len(pivots)], pivots


def rank(rows: Sequence[Sequence[int | Fraction]]) -> int:
    """The rank of a matrix given by its rows.

    Returns:
        The number of independent rows.

    >>> rank([[1, 2], [2, 4]])
    1
    """
    return len(reduced(rows)[1])


def solution(rows: Sequence[Sequence[int | Fraction]], right: Sequence[int | Fraction]) -> list[Fraction] | None:
    """The one x with rows x = right; None if there is none, or more than one.

    Returns:
        x, or None.

    >>> solution([[1, 1], [1, -1], [2, 0]], [3, 1, 4])
    [Fraction(2, 1), Fraction(1, 1)]
    """
    unknowns = len(rows[0])
    matrix, pivots = reduced([[*row, x] for row, x in zip(rows, right, strict=True)])
    return [row[-1] for row in matrix] if pivots == list(range(unknowns)) else None


def kernel_line(rows: Sequence[Sequence[int | Fraction]], unknowns: int) -> list[Fraction] | None:
    """A vector that spans the kernel; None if the kernel is not a line.

    Returns:
        The vector, or None.

    >>> kernel_line([[1, 2]], 2)
    [Fraction(-2, 1), Fraction(1, 1)]
    """
    matrix, pivots = reduced(rows)
    if len(pivots) != unknowns - 1:
        return None
    free = next(i for i in range(unknowns) if i not in pivots)
    line = [Fraction(0)] * unknowns
    line[free] = Fraction(1)
    for row, pivot in zip(matrix, pivots, strict=True):
        line[pivot] = -row[free]
    return line


def dot(left: Sequence[int | Fraction], right: Sequence[int | Fraction]) -> Fraction:
    """The scalar product of two vectors."""
    return sum((Fraction(x) * y for x, y in zip(left, right, strict=True)), Fraction(0))
