"""The folder of a sweep: what it holds, and whether it belongs to the sweep at hand."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slt._store import atomic_write, file_fingerprint, slt_version
from slt.checkpoints.weights import PathLike
from slt.errors import CheckpointError, ResumeError
from slt.estimators import Estimate
from slt.trace import Trace

FORMAT = 1
"""Number of the layout of a sweep's folder; one higher each time older code can no longer go on in it."""

MANIFEST = "sweep.json"
TABLE = "sweep.csv"
REPORT = "report.html"

_LITTER = re.compile(r"\.(.+\.nc|sweep\.json|sweep\.csv|report\.html)\.[0-9a-f]{32}\.tmp")
_SHOWN = 80


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


class Folder:
    """A folder that keeps one trace a checkpoint, and a manifest that says what each was made from.

    Each trace is written before the manifest names it, both whole or not at all: what the manifest does not name, or
    what no longer is as the manifest says, is estimated again.
    """

    def __init__(self, path: PathLike, run: Mapping[str, Any], names: list[str]) -> None:
        """Open the folder for a run, or make it.

        Args:
            path: The folder.
            run: What defines the run, in plain words by name: settings, loss and data.
            names: Names of the checkpoints.

        Raises:
            CheckpointError: If a name is no file name.
            ResumeError: If the folder holds another run, or cannot be read.
        """
        for name in names:
            if not name or Path(name).name != name or name == "..":
                raise CheckpointError(f"the name of a checkpoint must serve as a file name, got {name!r}.")
        # as JSON gives it back, so that it can be compared
        self.path, self._run = Path(path), json.loads(json.dumps(dict(run)))
        self.entries: dict[str, Entry] = {}
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_litter()
        if (self.path / MANIFEST).exists():
            self._resume()
        else:
            self._refuse_strangers(names)
        self._write_manifest()

    def running(self, content: str) -> Path:
        """Folder of the run of a checkpoint with this fingerprint, while it lasts."""
        return self.path / f".{content[:16]}.running"

    def finished(self, name: str, checkpoint: PathLike) -> Trace | None:
        """Return the saved trace of a checkpoint, if it is of the file as it is now; else None."""
        entry = self.entries.get(name)
        if entry is None or entry.trace is None or entry.checkpoint != file_fingerprint(checkpoint):
            return None
        file = self._trace_file(name)
        if not file.is_file() or file_fingerprint(file) != entry.trace:
            return None
        return Trace.load(file)

    def keep(
        self,
        name: str,
        checkpoint: str | None,
        estimate: Estimate | None,
        error: Exception | None,
        seconds: float,
    ) -> None:
        """Write what became of a checkpoint.

        Args:
            name: Its name.
            checkpoint: Fingerprint of its file, taken before it was read; None if that failed.
            estimate: The estimate, or None.
            error: What stopped it, or None.
            seconds: What it took.
        """
        trace = None
        if estimate is not None:
            estimate.trace.save(self._trace_file(name))
            trace = file_fingerprint(self._trace_file(name))
        text = None if error is None else f"{type(error).__name__}: {error}"
        self.entries[name] = Entry(checkpoint, trace, text, seconds)
        self._write_manifest()

    def write(self, name: str, text: str) -> None:
        """Write a text file beside the traces."""
        atomic_write(self.path / name, text.encode())

    def _trace_file(self, name: str) -> Path:
        return self.path / f"{name}.nc"

    def _write_manifest(self) -> None:
        manifest = {
            "format": FORMAT,
            "slt_version": slt_version(),
            "run": self._run,
            "checkpoints": {name: asdict(entry) for name, entry in sorted(self.entries.items())},
        }
        self.write(MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def _resume(self) -> None:
        file = self.path / MANIFEST
        try:
            manifest = json.loads(file.read_text())
            number = int(manifest["format"])
        except (ValueError, LookupError, TypeError) as error:
            raise ResumeError(f"{file} is not the manifest of a sweep: {error}. Save to another folder.") from error
        if number > FORMAT:
            raise ResumeError(
                f"{file} has format {number}, written by slt {manifest.get('slt_version', 'unknown')}; slt "
                f"{slt_version()} goes on in formats up to {FORMAT}. Use that version, or save to another folder."
            )
        entries = {name: Entry(**entry) for name, entry in manifest["checkpoints"].items()}
        # where nothing came of the other run, as when its settings were refused, there is nothing to protect
        if any(entry.trace is not None for entry in entries.values()):
            self._require_same_run(manifest["run"])
            self.entries = entries

    def _require_same_run(self, theirs: dict[str, Any]) -> None:
        other = [
            f"{name} was {_short(theirs.get(name))}, is {_short(self._run.get(name))}"
            for name in sorted({*theirs, *self._run})
            if theirs.get(name) != self._run.get(name)
        ]
        if other:
            raise ResumeError(f"{self.path} holds another sweep: {'; '.join(other)}. Save to another folder.")

    def _refuse_strangers(self, names: list[str]) -> None:
        """Refuse to write over traces that no manifest knows."""
        there = [self._trace_file(name) for name in names if self._trace_file(name).exists()]
        if there:
            raise ResumeError(
                f"{self.path} holds {there[0].name}, and no {MANIFEST} that says what it was made from. Save to "
                "another folder, or remove it."
            )

    def _remove_litter(self) -> None:
        """Remove what a killed process had not finished writing."""
        for file in self.path.iterdir():
            if _LITTER.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
