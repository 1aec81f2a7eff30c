"""Factorizations with entries that are probabilities or not negative, and true cells of probability 0."""

from collections.abc import Sequence
from fractions import Fraction

from slt.analytic.checks import integer, plain, rational
from slt.analytic.entry import Entry
from slt.analytic.reduced_rank import matrix_product
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError


def lda(vocabulary: int, documents: int, topics: int, rank: int = 0) -> Entry:
    r"""Latent Dirichlet allocation as a stochastic matrix factorization, :math:`K(A, B) = \|AB - A_0 B_0\|_F^2`.

    A (M x H) and B (H x N) have columns that are probabilities. With r the rank of A_0 B_0 once its mean column is
    taken off:

    .. math:: \lambda = \frac{M - 1}{2} + \lambda_{N - 1,\,M - 1,\,H - 1;\,r}

    with the value of `reduced_rank_regression` on the right (0 where a size is 0), and m likewise.

    Args:
        vocabulary: M >= 1 words.
        documents: N >= 1.
        topics: H >= 1.
        rank: r, from 0 to the smallest of the three less 1.

    Returns:
        The exact lambda and m (Hayashi, 2021).

    Raises:
        InputError: If a number is no integer in its range.

    >>> lda(3, 3, topics=2, rank=1).rlct
    RLCT(5/2, 1)
    """
    m, n, h = integer("vocabulary", vocabulary, 1), integer("documents", documents, 1), integer("topics", topics, 1)
    r = integer("rank", rank, 0)
    if r > min(m, n, h) - 1:
        raise InputError(
            f"rank must be at most the smallest of vocabulary, documents and topics less 1 ({min(m, n, h) - 1}), "
            f"got {r}."
        )
    return Entry(
        rlct=RLCT(Fraction(m - 1, 2), 1) + matrix_product(n - 1, m - 1, h - 1, r),
        family="latent Dirichlet allocation",
        parameters={"vocabulary": m, "documents": n, "topics": h, "rank": r},
        K="||A B - A_0 B_0||^2",
        domain="A and B with columns on the simplex",
        prior="bounded and positive",
        source="Hayashi (2021), The exact asymptotic form of Bayesian generalization error in latent Dirichlet "
        "allocation, Neural Networks 137",
        conditions="the truth is a product of strictly positive factors with r + 1 topics",
    )


def nmf(
    rows: int, columns: int, hidden: int, rank: int = 0, *, shapes: Sequence[int | Fraction] = (1, 1)
) -> Entry:  # fmt: skip
    r"""Non-negative matrix factorization at truth 0, :math:`K(X, Y) = \|XY\|_F^2` with entries >= 0.

    With X M x H and Y H x N, under Gamma priors of shapes phi_x and phi_y, densities like x^(phi - 1) near 0:

    .. math:: \lambda = \frac{H}{2} \min(M \varphi_x, N \varphi_y),
              \qquad m = H + 1 \text{ where } M \varphi_x = N \varphi_y, \text{ else } 1

    As nothing cancels, it is larger than the value of `reduced_rank_regression` for the same K.

    Args:
        rows: M >= 1.
        columns: N >= 1.
        hidden: H >= 1.
        rank: The rank of the truth: 0.
        shapes: (phi_x, phi_y), each > 0, ints or Fractions; (1, 1) are priors positive at 0.

    Returns:
        The exact lambda and m (Hayashi & Watanabe, 2017): a sum over h of products of norms.

    Raises:
        InputError: If a number is no integer in its range, or `shapes` are not two ints or Fractions > 0.
        NotAvailableError: If the rank is positive: then only bounds are known.

    >>> nmf(3, 3, hidden=3).rlct
    RLCT(9/2, 4)
    """
    m, n, h = integer("rows", rows, 1), integer("columns", columns, 1), integer("hidden", hidden, 1)
    r = integer("rank", rank, 0)
    phi = [rational(f"shapes[{i}]", x, above=0) for i, x in enumerate(shapes)]
    if len(phi) != 2:
        raise InputError(f"shapes must be the two numbers phi_x and phi_y, got {len(phi)}.")
    if r > 0:
        raise NotAvailableError(f"For non-negative matrix factorization only bounds are known at rank {r}, not 0.")
    each = RLCT(m * phi[0] / 2, 1) * RLCT(n * phi[1] / 2, 1)
    found = each
    for _ in range(h - 1):
        found += each
    return Entry(
        rlct=found,
        family="non-negative matrix factorization",
        parameters={"rows": m, "columns": n, "hidden": h, "rank": r, "shapes": plain(phi)},
        K="||X Y||^2",
        domain="X and Y with entries >= 0",
        prior="Gamma(phi_x) for the entries of X, Gamma(phi_y) for those of Y",
        source="Hayashi & Watanabe (2017), Upper bound of Bayesian generalization error in non-negative matrix "
        "factorization, Neurocomputing 266; other shapes derived",
        conditions="truth 0",
    )


def multinomial_boundary(cells: int, zeros: int = 0, concentration: int | Fraction = 1) -> Entry:
    r"""A multinomial law with k cells of which z have true probability 0, under a Dirichlet prior.

    .. math:: \lambda = \frac{k - 1 - z}{2} + z \varphi, \qquad m = 1

    At the boundary of the simplex K is linear, not quadratic, in the probabilities that are truly 0.

    Args:
        cells: k >= 1.
        zeros: z, from 0 to k - 1.
        concentration: phi > 0 of the Dirichlet prior, an int or a Fraction; 1 is uniform.

    Returns:
        The exact lambda and m: a sum of losses in separate parameters.

    Raises:
        InputError: If a number is no integer in its range, or phi no int or Fraction > 0.

    >>> multinomial_boundary(4, zeros=1).rlct
    RLCT(2, 1)
    """
    k, z = integer("cells", cells, 1), integer("zeros", zeros, 0)
    phi = rational("concentration", concentration, above=0)
    if z > k - 1:
        raise InputError(f"zeros must be at most the cells less 1 ({k - 1}), got {z}.")
    return Entry(
        rlct=RLCT(Fraction(k - 1 - z, 2) + z * phi, 1),
        family="multinomial at the boundary",
        parameters={"cells": k, "zeros": z, "concentration": plain([phi])[0]},
        K="KL(true cell probabilities || p)",
        domain="the simplex",
        prior="Dirichlet(phi)",
        source="elementary: regular in the cells of positive probability, linear in the others",
        conditions="none",
    )
