"""The targets of a benchmark, each with the value that a sampler should find at this very n."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slt.analytic.finite import crossing_energy, quadratic_energy
from slt.errors import SettingsError
from slt.posterior import LocalPosterior
from slt.toys import Toy, deep_linear, normal_crossing, quadratic

_KINDS = ("exact", "reference", "asymptotic")
_N, _LOCALIZATION = 10_000, 1.0
# by a long block Gibbs run that shares no code with the samplers: tests/exact/gibbs_deep_linear.py
_DEEP_LINEAR, _DEEP_LINEAR_ERROR = 11.240083, 0.000710


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
    nbeta = _N / np.log(_N)
    settings = {"nbeta": nbeta, "localization": _LOCALIZATION}
    stiff = np.logspace(0, -3, 10).tolist()
    return [
        Case(quadratic(10, n=_N), settings, quadratic_energy(10, nbeta, _LOCALIZATION)),
        Case(quadratic(stiff, n=_N), settings, quadratic_energy(stiff, nbeta, _LOCALIZATION)),
        Case(normal_crossing((2, 2), n=_N), settings, crossing_energy(nbeta, _LOCALIZATION)),
        Case(deep_linear((5, 5, 5), rank=2, n=_N), settings, _DEEP_LINEAR, "reference", _DEEP_LINEAR_ERROR),
    ]
