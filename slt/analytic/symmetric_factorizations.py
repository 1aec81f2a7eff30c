"""A positive semidefinite matrix as the square of a factor."""

from fractions import Fraction

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.finite.compose import raise_to
from slt.analytic.finite.quadratic import Quadratic
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def symmetric_factorization(size: int, columns: int, rank: int = 0) -> Entry:
    r"""The symmetric factorization :math:`K(U) = \|U U^\top - T\|_F^2`, T positive semidefinite of rank r.

    .. math:: \lambda = \frac{r n - r (r - 1)/2}{2} + \frac{(n - r)(p - r)}{4}, \qquad m = 1

    for an n x p factor U: r n - r(r - 1)/2 regular directions, and a homogeneous loss of degree 4 in the rest.

    Args:
        size: n >= 1.
        columns: p >= 1.
        rank: r, from 0 to the smaller of n and p.

    Returns:
        The exact lambda and m; globally, and at every zero of K, as they are all turned into each other by
        orthogonal matrices.

    Raises:
        InputError: If a number is no integer in its range.

    >>> symmetric_factorization(2, 2, rank=1).rlct
    RLCT(5/4, 1)
    """
    n, p, r = integer("size", size, 1), integer("columns", columns, 1), integer("rank", rank, 0)
    if r > min(n, p):
        raise InputError(f"rank must be at most the smaller of size and columns ({min(n, p)}), got {r}.")
    regular = RLCT(Fraction(r * n - r * (r - 1) // 2, 2), 1)
    return Entry(
        rlct=regular + RLCT(Fraction((n - r) * (p - r), 4), 1),
        family="symmetric factorization",
        parameters={"size": n, "columns": p, "rank": r},
        K="||U U^T - T||_F^2",
        domain="all U, or a neighbourhood of any zero of K",
        prior="positive and continuous on the zeros of K",
        source="derived: regular directions, and a homogeneous loss of degree 4 in the rest",
        conditions="none",
        # one row or one column u: K is |u|^4
        law=raise_to(Quadratic((2.0,) * (n * p)), 2) if r == 0 and min(n, p) == 1 else None,
    )
