"""Local values of deep linear networks, at the few kinds of w* where they are known."""

from fractions import Fraction

from slt.analytic.reduced_rank import matrix_product_near
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError


def product_near(widths: tuple[int, ...], rank: int, ranks: tuple[int, ...], everywhere: RLCT) -> RLCT:
    """The RLCT of ||W_L ... W_1 - T||_F^2 near factors of the given ranks.

    Args:
        widths: (n_0, ..., n_L).
        rank: The rank of T.
        ranks: The rank of each W_l*.
        everywhere: The global value, which is the local one at balanced factors.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If there are no such factors with a product of this rank.
        NotAvailableError: If no value is known there.
    """
    _require_possible(widths, rank, ranks)
    if all(given == rank for given in ranks):
        return everywhere
    if len(ranks) == 2:
        return matrix_product_near(widths[0], widths[2], widths[1], rank, *ranks)
    if max(widths) == 1:
        return RLCT(Fraction(1, 2), ranks.count(0))  # the factors that are not 0 are units
    raise NotAvailableError(
        f"The local value of a deep linear network with {len(ranks)} factors is known only where all have the rank "
        f"of T ({rank}), or all widths are 1; got factor_ranks {ranks} and widths {widths}."
    )


def _require_possible(widths: tuple[int, ...], rank: int, ranks: tuple[int, ...]) -> None:
    if len(ranks) != len(widths) - 1:
        raise InputError(f"factor_ranks must have one element per factor ({len(widths) - 1}), got {len(ranks)}.")
    for i, given in enumerate(ranks):
        most = min(widths[i], widths[i + 1])
        if not rank <= given <= most:
            raise InputError(f"factor_ranks[{i}] must be from {rank} to {most}, got {given}.")
    least = sum(ranks) - sum(widths[1:-1])  # Sylvester
    if least > rank:
        raise InputError(f"factor_ranks {ranks} make the rank of the product at least {least}, got rank {rank}.")
