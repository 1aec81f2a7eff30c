"""The folder of a sweep: what it holds, whether it belongs to the sweep at hand, and who writes in it."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from slt._locks import Lock, locked
from slt._store import atomic_write, file_fingerprint
from slt.checkpoints.manifest import Entry, Manifest, read_manifest
from slt.checkpoints.weights import PathLike
from slt.errors import CheckpointError, ResumeError, SaveError, SettingsError
from slt.estimators import Estimate
from slt.trace import Trace

MANIFEST = "sweep.json"
TABLE = "sweep.csv"
REPORT = "report.html"

_LITTER = re.compile(r"\.(.+\.nc|sweep\.json|sweep\.csv|report\.html)\.[0-9a-f]{32}\.tmp")
_SHOWN = 80
_NAME_BYTES = 255 - len(f"..nc.{32 * 'f'}.tmp")  # that file systems allow; a trace is first written beside its place
_PATIENCE = 60.0  # seconds that another process may take to write a file
_PAUSE = 0.02


class Folder:
    """A folder that keeps one trace a checkpoint, and a manifest that says what each was made from.

    Each trace is written before the manifest names it, both whole or not at all: what the manifest does not name, or
    what no longer is as the manifest says, is estimated again. Several processes may sweep into one folder: each writes
    while no other does, and adds its entries to those that are there.
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
            SettingsError: If it is no folder.
            SaveError: If it may not be written.
        """
        for name in names:
            if not name or Path(name).name != name or name == ".." or len(os.fsencode(name)) > _NAME_BYTES:
                raise CheckpointError(
                    f"the name of a checkpoint must serve as a file name of at most {_NAME_BYTES} bytes, got {name!r}."
                )
        # as JSON gives it back, so that it can be compared
        self.path, self._run = Path(path), json.loads(json.dumps(dict(run)))
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError(f"save_to must be the path of a folder, got the file {self.path}.")
        self.entries: dict[str, Entry] = {}
        with self._saving():
            self.path.mkdir(parents=True, exist_ok=True)
        with self._alone() as lock:
            if lock.held:  # else another process may be at work on them
                self._remove_litter()
            if not self._file(MANIFEST).exists():
                self._refuse_strangers(names)
            self.read()
            self._write_manifest()

    def running(self, content: str) -> Path:
        """Folder of the run of a checkpoint with this fingerprint, while it lasts."""
        return self._file(f".{content[:16]}.running")

    def clear(self, content: str) -> None:
        """Remove the folder of a run that is over, unless another process works in it."""
        running = self.running(content)
        if running.is_dir():
            with suppress(ResumeError), locked(running):
                shutil.rmtree(running, ignore_errors=True)

    def read(self) -> None:
        """Read the manifest again, as other processes may have added to it.

        Raises:
            ResumeError: If it is that of another sweep, or cannot be read.
        """
        file = self._file(MANIFEST)
        if not file.exists():
            return
        manifest = read_manifest(file)
        # where nothing came of the other run, as when its settings were refused, there is nothing to protect
        if any(entry.trace is not None for entry in manifest.entries.values()):
            self._require_same_run(manifest.run)
        elif manifest.run != self._run:
            self._require_idle()
            return
        self.entries = manifest.entries

    def finished(self, name: str, checkpoint: PathLike) -> Trace | None:
        """Return the saved trace of a checkpoint, if it is of the file as it is now; else None."""
        entry = self.entries.get(name)
        if entry is None or entry.trace is None or entry.checkpoint != content_of(checkpoint):
            return None
        file = self._file(f"{name}.nc")
        return Trace.load(file) if content_of(file) == entry.trace else None

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

        Raises:
            ResumeError: If another sweep was begun in the folder meanwhile.
            SaveError: If the disk refuses; holds the draws in ``.trace``.
        """
        text = None if error is None else f"{type(error).__name__}: {error}"
        with self._alone():
            self.read()
            before = self.entries.get(name)
            if estimate is None and before is not None and before.trace and before.checkpoint == checkpoint:
                return  # another process has estimated it meanwhile
            trace = None
            if estimate is not None:
                estimate.trace.save(self._file(f"{name}.nc"))
                trace = file_fingerprint(self._file(f"{name}.nc"))
            self.entries[name] = Entry(checkpoint, trace, text, seconds)
            self._write_manifest(None if estimate is None else estimate.trace)

    def write(self, name: str, text: str) -> None:
        """Write a text file beside the traces."""
        with self._alone():
            self._write(name, text)

    def _file(self, name: str) -> Path:
        """Path of a file in the folder, which must not be a link: to write there would be to write elsewhere."""
        path = self.path / name
        if path.is_symlink():
            raise ResumeError(f"{path} is a link, and the files of a sweep lie in its folder. Remove it.")
        return path

    def _write(self, name: str, text: str, trace: Trace | None = None) -> None:
        with self._saving(trace):
            atomic_write(self._file(name), text.encode())

    def _write_manifest(self, trace: Trace | None = None) -> None:
        self._write(MANIFEST, Manifest(self._run, self.entries).to_text(), trace)

    @contextmanager
    def _alone(self) -> Iterator[Lock]:
        """Keep other processes from writing in the folder, once those that do so are done."""
        end = time.monotonic() + _PATIENCE
        with ExitStack() as stack:
            while True:
                try:
                    lock = stack.enter_context(locked(self.path))
                    break
                except ResumeError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(_PAUSE)
            yield lock

    @contextmanager
    def _saving(self, trace: Trace | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SaveError(
                f"{self.path} cannot be written: {error}. What is done stays there, and the same call goes on once "
                "there is room and permission.",
                trace,
            ) from error

    def _require_same_run(self, theirs: dict[str, Any]) -> None:
        other = [
            f"{name} was {_short(theirs.get(name))}, is {_short(self._run.get(name))}"
            for name in sorted({*theirs, *self._run})
            if theirs.get(name) != self._run.get(name)
        ]
        if other:
            raise ResumeError(f"{self.path} holds another sweep: {'; '.join(other)}. Save to another folder.")

    def _require_idle(self) -> None:
        """Refuse to take over from a sweep that another process has just begun."""
        for running in self.path.glob(".*.running"):
            if running.is_dir():
                with locked(running):
                    pass

    def _refuse_strangers(self, names: list[str]) -> None:
        """Refuse to write over traces that no manifest knows."""
        there = [f"{name}.nc" for name in names if self._file(f"{name}.nc").exists()]
        if there:
            raise ResumeError(
                f"{self.path} holds {there[0]}, and no {MANIFEST} that says what it was made from. Save to "
                "another folder, or remove it."
            )

    def _remove_litter(self) -> None:
        """Remove what a killed process had not finished writing."""
        with self._saving():
            for file in self.path.iterdir():
                if _LITTER.fullmatch(file.name):
                    file.unlink(missing_ok=True)


def content_of(path: PathLike) -> str | None:
    """Return the fingerprint of a file, None where it cannot be read."""
    try:
        return file_fingerprint(path)
    except OSError:
        return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
