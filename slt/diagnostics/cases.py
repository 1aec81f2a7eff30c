"""The targets of a benchmark, each with the value that a sampler should find at this very n."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slt.diagnostics.known import known_of
from slt.errors import NotAvailableError, SettingsError
from slt.posterior import LocalPosterior
from slt.toys import Toy, deep_linear, normal_crossing, quadratic

_KINDS = ("exact", "reference", "asymptotic")
N, LOCALIZATION = 10_000, 1.0


@dataclass(frozen=True, eq=False)
class Case:
    """A target, and what it should give.

    Args:
        toy: The model at w*, its data and its loss.
        settings: Keyword arguments of `slt.LocalPosterior`, such as localization and nbeta.
        value: nbeta E[L - L(w*)] at exactly these settings.
        kind: "exact" (closed form or quadrature), "reference" (a long run) or "asymptotic" (a limit).
        error: Standard error of `value`; 0 where it is exact.

    Raises:
        SettingsError: If the value is not positive and finite, the error negative, or the kind unknown.
    """

    toy: Toy
    settings: Mapping[str, Any]
    value: float
    kind: str = "exact"
    error: float = 0.0

    def __post_init__(self) -> None:
        """Check the value and what is said of it."""
        if not 0 < self.value < np.inf:
            raise SettingsError(f"the value of a case must be positive and finite, got {self.value}.")
        if not 0 <= self.error < np.inf:
            raise SettingsError(f"the error of a case must be finite and >= 0, got {self.error}.")
        if self.kind not in _KINDS:
            raise SettingsError(f"the kind of a case must be one of {_KINDS}, got {self.kind!r}.")

    @classmethod
    def of(cls, toy: Toy, settings: Mapping[str, Any] | None = None) -> "Case":
        """The case of a toy whose value is known.

        Args:
            toy: The toy.
            settings: Keyword arguments of `slt.LocalPosterior`; None takes its defaults.

        Returns:
            The case, with the toy's exact or reference value, or its limit, at these settings.

        Raises:
            NotAvailableError: If no value is known.

        >>> from slt import toys
        >>> Case.of(toys.quadratic(2)).value
        0.9931396...
        """
        given = {} if settings is None else settings
        value, error, kind = known_of(toy, LocalPosterior(toy.model, toy.data, toy.loss, **given))
        if value is None:
            raise NotAvailableError(f"no value of {toy.name} is known at these settings.")
        return cls(toy, given, value, kind, 0.0 if kind == "exact" or error is None else error)

    @property
    def name(self) -> str:
        """The toy in words."""
        return self.toy.name

    @cached_property
    def posterior(self) -> LocalPosterior:
        """The posterior, read once."""
        return LocalPosterior(self.toy.model, self.toy.data, self.toy.loss, **self.settings)


def standard_cases() -> list[Case]:
    """The standard targets: n = 10,000, localization 1, nbeta = n / log n.

    Two quadratics in ten dimensions, one of them with curvatures from 1 to 1/1000; (xy)^2, whose value has a closed
    form far below its limit 1/2; and a deep linear network 5-5-5 at true rank 2, against a block Gibbs run.

    Returns:
        The cases.

    >>> [(case.name, case.kind, round(case.value, 3)) for case in standard_cases()][2]
    ('normal_crossing((2, 2))', 'exact', 0.391)
    """
    settings = {"nbeta": N / np.log(N), "localization": LOCALIZATION}
    stiff = np.logspace(0, -3, 10).tolist()
    targets = [quadratic(10, n=N), quadratic(stiff, n=N), normal_crossing((2, 2), n=N), deep_linear((5, 5, 5), 2, n=N)]
    return [Case.of(toy, settings) for toy in targets]
