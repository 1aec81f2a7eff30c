"""The plan of an automatic run in its folder: a run that is resumed keeps it, and refuses another choice by name."""

import math
from pathlib import Path
from typing import Any, Literal

from slt.errors import ResumeError
from slt.posterior.localization import is_number
from slt.running.documents import damage, is_count, read_document, write_document
from slt.running.folder import PLAN_FILE, RUN_FILE, saving
from slt.running.plan import AUTOMATIC, LEAST_DRAWS, Plan
from slt.samplers import Sampler

_FORMAT = 2
_SINCE = {"chains": 8, "threads": None, "least": LEAST_DRAWS, "hot_start": False}  # what held before plans named it


def saved_plan(folder: Path | None) -> Plan | None:
    """Read the plan of a run that is resumed.

    Args:
        folder: The run's folder, or None.

    Returns:
        The plan; None if no run has begun there, or not by a plan.

    Raises:
        ResumeError: If it cannot be read.
    """
    if folder is None or not (folder / RUN_FILE).exists() or not (folder / PLAN_FILE).exists():
        return None
    path = folder / PLAN_FILE
    held = {**_SINCE, **read_document(path, _FORMAT)}
    missing = sorted(set(Plan._fields) - set(held))
    if missing:
        raise ResumeError(
            f"{path} lacks {', '.join(missing)}, which this version of slt needs. Resume the run with the version that "
            "began it, or name another folder; numpy reads its draws/*.npy."
        )
    plan = Plan(**{name: held[name] for name in Plan._fields})
    wrong = [name for name, value in plan._asdict().items() if not _may_be(name, value)]
    if wrong:
        raise ResumeError(damage(path, f"its {wrong[0]} is {getattr(plan, wrong[0])!r:.80}"))
    return plan


def _may_be(name: str, value: Any) -> bool:
    if name in ("sampler", "reason"):
        return isinstance(value, str)
    if name == "hot_start":
        return isinstance(value, bool)
    if name == "chain_method":
        return value in ("auto", "vectorized", "in_place")
    if name == "draw_gradients":
        return is_number(value) and 0 < value < math.inf
    if value is None:
        return name in ("batch_size", "threads")
    return is_count(value) and (value > 0 or name == "warmup")


def save_plan(folder: Path, plan: Plan) -> None:
    """Write the plan where the run will be.

    Raises:
        SaveError: If the disk refuses.
    """
    with saving(folder):
        write_document(folder / PLAN_FILE, _FORMAT, plan._asdict())


def require_same_choices(
    folder: Path, plan: Plan, sampler: Sampler | Literal["auto"], chains: int | None, batch_size: int | None
) -> None:
    """Refuse choices that are not those of the plan; what is left open, as "auto" or None, keeps it.

    Raises:
        ResumeError: If a choice is another.
    """
    name = sampler if isinstance(sampler, str) else type(sampler).__name__
    given = {"sampler": name, "chains": chains, "batch_size": batch_size}
    other = [k for k, v in given.items() if v not in (None, "auto", getattr(plan, k))]
    if name == "auto" and plan.sampler not in AUTOMATIC:
        other.append("sampler")
    if other:
        told = [f"{k} ({getattr(plan, k)}, not {given[k]})" for k in other]
        raise ResumeError(
            f"{folder} holds a run with other {', '.join(told)}. Give the same to resume it, or name another folder."
        )
