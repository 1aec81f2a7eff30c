"""References: values at finite n from long runs of algorithms that share no code with slt's samplers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isclose
from pathlib import Path

_FILE = Path(__file__).with_name("references.json")
_SAME = 1e-5
"""Relative difference of settings below which they are the same: automatic precisions are computed in float32."""

Localization = float | Mapping[str, float]


@dataclass(frozen=True)
class Reference:
    """What a toy's nbeta E[L - L(w*)] is, by a long run.

    `benchmarks/references.py` makes them: block Gibbs for linear networks, from two starts that must agree; for
    other toys elliptical slice sampling and HMC, which must agree.

    Attributes:
        toy: The toy's name.
        nbeta: Inverse temperature times n.
        localization: One precision, or one for each tensor by name.
        value: The value.
        error: Its standard error.
        method: How it was made.
    """

    toy: str
    nbeta: float
    localization: Localization
    value: float
    error: float
    method: str

    def holds_at(self, nbeta: float, localization: Localization) -> bool:
        """Whether it was made at these settings."""
        return isclose(self.nbeta, nbeta, rel_tol=_SAME) and same(self.localization, localization)


def references() -> list[Reference]:
    """Read the stored references.

    Returns:
        All of them, in the order of the file.

    >>> max(reference.error / reference.value for reference in references()) < 0.003
    True
    """
    return list(_stored())


def reference(toy: str, nbeta: float, localization: Localization) -> Reference | None:
    """Find the reference of a toy at exactly these settings.

    Args:
        toy: The toy's name.
        nbeta: Inverse temperature times n.
        localization: One precision, or one for each tensor by name.

    Returns:
        The reference, or None.

    >>> reference("no such toy", 100.0, 1.0) is None
    True
    """
    found = (one for one in _stored() if one.toy == toy and one.holds_at(nbeta, localization))
    return next(found, None)


def same(one: Localization, other: Localization) -> bool:
    """Whether two localizers are the same; one number stands for the same number at each tensor.

    Args:
        one: One precision, or one for each tensor by name.
        other: Likewise.

    Returns:
        Whether they agree.

    >>> same(1.0, {"a": 1.0, "b": 1.0}), same({"a": 1.0}, {"b": 1.0})
    (True, False)
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(isclose(one[name], other[name], rel_tol=_SAME) for name in one)
    if isinstance(one, Mapping):
        return same(other, one)
    others = other.values() if isinstance(other, Mapping) else [other]
    return all(isclose(one, gamma, rel_tol=_SAME) for gamma in others)


@cache
def _stored() -> tuple[Reference, ...]:
    return tuple(
        Reference(one["toy"], one["nbeta"], one["localization"], one["value"], one["error"], one["method"])
        for one in json.loads(_FILE.read_text())["references"]
    )
