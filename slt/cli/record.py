"""Estimates as plain data that JSON can write: everything but the draws."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from slt.checkpoints import Sweep
from slt.estimators import Estimate
from slt.estimators.verdict import Finding
from slt.trace import Trace

_TUNING = "tuning_"


def estimate_record(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate and its settings as plain data.

    Args:
        estimate: The estimate.

    Returns:
        Nested dicts and lists of JSON's own types; None for a number that is not finite.
    """
    trace = estimate.trace
    return plain(
        {
            "llc": estimate.value,
            "mcse": estimate.mcse,
            "interval": {"prob": 0.95, "low": estimate.interval()[0], "high": estimate.interval()[1]},
            "verdict": {
                "ok": estimate.verdict.ok,
                "problems": [_finding(finding) for finding in estimate.verdict.problems],
                "notes": [_finding(finding) for finding in estimate.verdict.notes],
            },
            "ess": estimate.ess,
            "rhat": estimate.rhat,
            "per_chain": estimate.per_chain,
            "variance_form": {"llc": estimate.variance_value, "mcse": estimate.variance_mcse},
            "sensitivity": {"value": estimate.sensitivity, "mcse": estimate.sensitivity_mcse},
            "n": trace.n,
            "nbeta": trace.nbeta,
            "dimension": trace.dimension,
            "loss_center": trace.loss_center,
            "chains": trace.chains,
            "draws": trace.draws,
            "alive": trace.alive,
            "tuning": _tuning(trace),
            "settings": estimate.settings,
        }
    )


def sweep_record(found: Sweep) -> dict[str, Any]:
    """Return the results of a sweep, one entry per checkpoint.

    Args:
        found: The sweep.

    Returns:
        As `estimate_record`.
    """
    return plain(
        {
            "ok": found.ok,
            "checkpoints": [
                {
                    "name": row.name,
                    "path": str(row.path),
                    "step": row.step,
                    "seconds": row.seconds,
                    "estimate": None if row.estimate is None else estimate_record(row.estimate),
                    "error": None
                    if row.error is None
                    else {"type": type(row.error).__name__, "message": str(row.error)},
                }
                for row in found.rows
            ],
        }
    )


def plain(value: Any) -> Any:
    """Return `value` with arrays as lists and None for numbers that are not finite, at any depth.

    >>> plain({"a": np.array([1.0, np.nan]), "b": (True, float("inf"), "text")})
    {'a': [1.0, None], 'b': [True, None, 'text']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def _tuning(trace: Trace) -> dict[str, Any]:
    """Return the settings found by warmup for each chain; arrays with an entry per weight are only in the trace."""
    constants = trace.to_datatree()["constant_data"].data_vars
    return {
        str(name).removeprefix(_TUNING): array.to_numpy()
        for name, array in constants.items()
        if str(name).startswith(_TUNING) and array.dims == ("chain",)
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "kind": str(finding.kind),
        "sentence": finding.kind.sentence,
        "detail": finding.detail,
        "remedy": finding.kind.remedy,
    }
