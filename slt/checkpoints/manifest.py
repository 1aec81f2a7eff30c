"""The manifest of a sweep: what became of each checkpoint, as a JSON text that is read without trust."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slt._store import fingerprint, slt_version
from slt.errors import ResumeError

FORMAT = 1
"""Number of the layout of a sweep's folder; one higher each time older code can no longer go on in it."""

_KEYS = {"format", "slt_version", "run", "checkpoints", "checksum"}


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one checkpoint.

    Attributes:
        checkpoint: Fingerprint of the checkpoint's file when it was estimated; None if it could not be read.
        trace: Fingerprint of the saved trace, or None where the estimate failed.
        error: What stopped it, or None.
        seconds: What it took. The one thing in the folder that depends on the clock.
    """

    checkpoint: str | None
    trace: str | None
    error: str | None
    seconds: float


@dataclass(frozen=True)
class Manifest:
    """What a manifest holds.

    Attributes:
        run: What defines the sweep, in plain words by name.
        entries: What became of each checkpoint, by name.
    """

    run: dict[str, Any]
    entries: dict[str, Entry]

    def to_text(self) -> str:
        """Write it as JSON, with a checksum."""
        held = {
            "format": FORMAT,
            "slt_version": slt_version(),
            "run": self.run,
            "checkpoints": {name: asdict(entry) for name, entry in sorted(self.entries.items())},
        }
        return json.dumps({**held, "checksum": fingerprint(held)}, indent=2) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read what `Manifest.to_text` wrote, or an earlier version did without a checksum.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ResumeError: If it cannot be read, was changed, or is of a newer format.
    """
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ResumeError(_damage(path, str(error))) from error
    if not isinstance(held, dict):
        raise ResumeError(_damage(path, f"it holds a {type(held).__name__}"))
    number = held.get("format")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ResumeError(_damage(path, f"its format is {number!r}"))
    if number > FORMAT:
        raise ResumeError(
            f"{path} has format {number}, written by slt {held.get('slt_version', 'unknown')}; slt "
            f"{slt_version()} goes on in formats up to {FORMAT}. Use that version, or save to another folder."
        )
    if not set(held) <= _KEYS or not isinstance(held.get("run"), dict) or not isinstance(held.get("checkpoints"), dict):
        raise ResumeError(_damage(path, f"it holds {sorted(held)}"))
    checksum = held.pop("checksum", None)
    if checksum is not None and checksum != fingerprint(held):
        raise ResumeError(_damage(path, "its content is not the one that was written"))
    return Manifest(held["run"], {name: _entry(path, name, entry) for name, entry in held["checkpoints"].items()})


def _entry(path: Path, name: str, held: Any) -> Entry:
    texts = ("checkpoint", "trace", "error")
    fits = isinstance(held, Mapping) and set(held) == {*texts, "seconds"}
    if not fits or not all(held[key] is None or isinstance(held[key], str) for key in texts):
        raise ResumeError(_damage(path, f"it says {str(held)[:80]} of checkpoint {name!r}"))
    if isinstance(held["seconds"], bool) or not isinstance(held["seconds"], int | float):
        raise ResumeError(_damage(path, f"its seconds of checkpoint {name!r} are no number"))
    return Entry(**held)


def _damage(path: Path, why: str) -> str:
    return (
        f"{path} is not the manifest of a sweep, or is damaged: {why}. Nothing was changed. Copy it again from where "
        "it was made, or save to another folder; slt.Trace.load reads the traces beside it."
    )
