"""What a target should give at finite n: exact where a law answers, else a stored reference, else the limit."""

from collections.abc import Mapping
from math import isclose
from typing import Literal, NamedTuple

from slt.analytic import Entry
from slt.diagnostics.references import Localization, reference
from slt.errors import InputError
from slt.posterior import LocalPosterior
from slt.toys import Toy

Kind = Literal["exact", "reference", "asymptotic", "unknown"]


class Known(NamedTuple):
    """A value at finite n, and what it is worth.

    Attributes:
        value: nbeta E[L - L(w*)]; None where it is unknown.
        error: Its standard error, or a bound where it is exact; None beside a limit.
        kind: "exact" (a law at this nbeta and localization), "reference" (a long run), "asymptotic"
            (lambda - (m - 1)/log(nbeta), of unknown error) or "unknown".
    """

    value: float | None
    error: float | None
    kind: Kind


def known(target: Entry | Toy, nbeta: float, localization: Localization, sizes: Mapping[str, int]) -> Known:
    """Say what an LLC estimate of a target should be.

    Args:
        target: An entry of `slt.analytic`, or a toy.
        nbeta: Inverse temperature times n of the estimate.
        localization: Its localizer: one precision, or one for each tensor by name.
        sizes: Moving entries of each tensor.

    Returns:
        The value.

    Raises:
        InputError: If the target has another number of parameters than move.

    >>> from slt import analytic
    >>> known(analytic.quadratic([1.0, 1.0]), 99.0, {"w": 1.0}, {"w": 2})
    Known(value=0.99, error=..., kind='exact')
    """
    entry = target.exact if isinstance(target, Toy) else target
    gammas = _each(localization, sizes)
    if entry is not None and entry.law is not None and min(gammas) > 0:
        if entry.law.dimension != len(gammas):
            counts = f"{entry.law.dimension} of {entry!r} for {len(gammas)}"
            raise InputError(f"an entry must have as many parameters as move, got {counts}.")
        equal = all(isclose(gamma, gammas[0], rel_tol=1e-6) for gamma in gammas)
        energy = entry.tempered(nbeta, localization=gammas[0] if equal else gammas).energy
        if energy.kind == "exact":
            return Known(energy.value, energy.error, "exact")
    stored = reference(target.name, nbeta, localization) if isinstance(target, Toy) else None
    if stored is not None:
        return Known(stored.value, stored.error, "reference")
    # the limit is the same under every positive prior
    limit = None if entry is None else entry.tempered(nbeta, localization=1.0).energy
    if limit is None or limit.kind != "asymptotic":
        return Known(None, None, "unknown")
    return Known(limit.value, None, "asymptotic")


def known_of(toy: Toy, posterior: LocalPosterior) -> Known:
    """Say what a toy should give under a posterior.

    Args:
        toy: The toy.
        posterior: Its posterior.

    Returns:
        As `known`.
    """
    sizes = {segment.name: segment.size for segment in posterior.problem.segments}
    return known(toy, posterior.nbeta, posterior.mean_precisions, sizes)


def _each(localization: Localization, sizes: Mapping[str, int]) -> list[float]:
    """One precision for each moving parameter."""
    if isinstance(localization, Mapping):
        return [localization[name] for name, size in sizes.items() for _ in range(size)]
    return [float(localization)] * sum(sizes.values())
