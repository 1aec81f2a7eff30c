"""The folder of a run: what it may be, who may work in it, and what a disk that refuses comes to."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slt._locks import LOCK_FILE, Lock, locked
from slt.errors import ResumeError, SaveError, SettingsError
from slt.trace import TRACE_FILE

RUN_FILE = "run.json"
PLAN_FILE = "plan.json"
"""May lie in a folder before the run does: the choices of a call that makes the run."""

_LITTER = re.compile(rf"\.({RUN_FILE}|{PLAN_FILE}|state\.npz|{TRACE_FILE})\.[0-9a-f]{{32}}\.tmp")
_BEFORE_A_RUN = {PLAN_FILE, LOCK_FILE}


def require_folder(save_to: Any) -> Path | None:
    """Check what was given as the folder of a run; nothing is written.

    Args:
        save_to: A path, or None.

    Returns:
        The folder, which need not exist.

    Raises:
        SettingsError: If it is no path of a folder.
        ResumeError: If the folder holds something else than a run, or cannot be read.
    """
    if save_to is None:
        return None
    path = os.fspath(save_to) if isinstance(save_to, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise SettingsError(f'save_to must be the path of a folder, got {save_to!r}; "." is the working directory.')
    folder = Path(path)
    try:
        file = folder.exists() and not folder.is_dir()
        foreign = folder.is_dir() and not (folder / RUN_FILE).is_file() and _holds_something(folder)
    except (OSError, ValueError) as error:
        raise SettingsError(f"save_to must be a path that can be read, got {save_to!r}: {error}.") from error
    if file:
        raise SettingsError(f"save_to must be the path of a folder, got the file {folder}.")
    if foreign:
        raise ResumeError(f"{folder} is not empty and holds no run of slt. Name another folder, or empty it.")
    return folder


def _holds_something(folder: Path) -> bool:
    """Whether a folder holds what is not left by the beginning of a run that did not come to its first file."""
    for name in os.listdir(folder):
        path = folder / name
        empty = name in ("draws", "observables") and path.is_dir() and not os.listdir(path)
        if not empty and name not in _BEFORE_A_RUN and not _LITTER.fullmatch(name):
            return True
    return False


@contextmanager
def run_folder(folder: Path) -> Iterator[Lock]:
    """Make the folder of a run if it is not there, and keep other processes out of it.

    Args:
        folder: What `require_folder` returned.

    Yields:
        The lock. Where the folder may not be written and holds a run, it is not held, and nothing may be written.

    Raises:
        ResumeError: If another process works in the folder, or a link in it leads elsewhere.
        SaveError: If the folder may not be written and holds no run.
    """
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        _require_no_links(folder)
        if not (folder / RUN_FILE).exists():
            require_writable(folder, lock)
        if lock.held:
            with saving(folder):
                for path in folder.iterdir():
                    if _LITTER.fullmatch(path.name):  # of a process that was killed
                        path.unlink()
        yield lock


def _require_no_links(folder: Path) -> None:
    """Refuse links in the folder: through them a save would write elsewhere."""
    for path in (folder, folder / "draws", folder / "observables"):
        for inside in path.iterdir() if path.is_dir() else ():
            if inside.is_symlink():
                raise ResumeError(
                    f"{inside} is a link, which slt never makes in the folder of a run, and would write through. Put "
                    "the file itself in its place."
                )


def require_writable(folder: Path, lock: Lock) -> None:
    """Refuse a folder in which nothing can be saved.

    Raises:
        SaveError: If it may not be written.
    """
    if not lock.writable:
        raise SaveError(f"{folder} cannot be written, and no finished run is in it: {lock.reason}.", None)


@contextmanager
def saving(folder: Path, trace: Callable[[], Any] = lambda: None) -> Iterator[None]:
    """Turn what the disk refuses into an error that says what stays.

    Args:
        folder: Of the run.
        trace: Gives the draws so far, which the error carries.

    Raises:
        SaveError: If the disk refuses.
    """
    try:
        yield
    except (OSError, SaveError) as error:
        reason = error.__cause__ if isinstance(error, SaveError) and error.__cause__ is not None else error
        raise SaveError(
            f"{folder} cannot be written: {reason}. What was saved before stays, and the same call resumes from there "
            "once there is room and permission; the draws so far are in .trace.",
            trace(),
        ) from error
