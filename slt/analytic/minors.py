"""Sums of squared minors: how singular it is for a matrix to lose rank."""

from fractions import Fraction

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def determinantal(rows: int, columns: int, size: int, *, symmetric: bool = False) -> Entry:
    r"""The sum of the squares of all k x k minors of a p x q matrix, at the zero matrix.

    .. math:: \lambda = \frac12 \min_{0 \le i < k} \frac{(p - i)(q - i)}{k - i},
              \qquad m = \#\{i : \text{the minimum is reached}\}

    For a symmetric n x n matrix (n - i)(n - i + 1) / 2 takes the place of (p - i)(q - i).

    Args:
        rows: p >= 1.
        columns: q >= 1; for a symmetric matrix the same as p.
        size: k, from 1 to the smaller of p and q.
        symmetric: Whether the matrix is symmetric, with p (p + 1) / 2 parameters.

    Returns:
        The exact lambda and m (Johnson, 2003; Docampo, 2013).

    Raises:
        InputError: If a number is no integer >= 1, `size` is too large, or a symmetric matrix not square.

    >>> determinantal(3, 4, size=2).rlct
    RLCT(3, 2)
    """
    p, q, k = integer("rows", rows, 1), integer("columns", columns, 1), integer("size", size, 1)
    if k > min(p, q):
        raise InputError(f"size must be at most the smaller of rows and columns ({min(p, q)}), got {k}.")
    if symmetric and p != q:
        raise InputError(f"columns must be {p}, the number of rows, for a symmetric matrix, got {q}.")
    # the codimension of the matrices of rank i, in those that have rank at least i
    free = [Fraction((p - i) * (p - i + 1), 2) if symmetric else Fraction((p - i) * (q - i)) for i in range(k)]
    poles = [codimension / (k - i) / 2 for i, codimension in enumerate(free)]
    return Entry(
        rlct=RLCT(min(poles), poles.count(min(poles))),
        family="determinantal",
        parameters={"rows": p, "columns": q, "size": k, "symmetric": bool(symmetric)},
        K="sum of the squares of all k x k minors of W",
        domain="a neighbourhood of W = 0",
        prior="positive and continuous at W = 0",
        source="Johnson (2003), PhD thesis, University of Michigan; Docampo (2013), Arcs on determinantal varieties, "
        "Transactions of the AMS 365",
        conditions="none",
    )
