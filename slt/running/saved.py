"""A run on disk: draws appended, everything else whole or absent, so that a kill loses one interval at most."""

import struct
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from slt._locks import Lock
from slt._store import atomic_write
from slt.errors import ResumeError
from slt.posterior.felt import Felt
from slt.running import columns
from slt.running.advance import Draws, Run, recorded_names
from slt.running.columns import Column
from slt.running.documents import damage, from_text, is_count, read_document, to_text, write_document
from slt.running.encoded import (
    Declared,
    Layout,
    archive,
    decode,
    encode,
    key_of,
    read_archive,
    require_felt,
    require_fit,
    to_device,
)
from slt.running.folder import RUN_FILE, require_writable, saving
from slt.running.identity import Identity, identify, identify_by_baseline
from slt.running.observed import Observed
from slt.running.provenance import Setup, environment
from slt.running.tuning import Tuned
from slt.trace import TRACE_FILE, Trace

_FORMAT = 2  # of run.json and state.npz
_INTERVAL = 2.0  # seconds between two saves at least
_SHARE = 0.04  # of the time that saving may take
# What the layers of an archive raise where it is damaged.
_UNREADABLE = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    OSError,
    RecursionError,
    NotImplementedError,  # another version of the zip format
)
_ONLY_BASELINE = (
    "the saved run was begun by an earlier version of slt: its data and loss are known by the losses at w* alone"
)


class Saved(NamedTuple):
    """What `SavedRun.save` wrote last."""

    warmed: int
    drawn: int
    rows: int
    runs: list[Run]
    felt: Felt | None


class SavedRun:
    """The folder of one run.

    ``run.json`` says whose run it is; ``draws/`` and ``observables/`` hold one .npy file for each recorded name, first
    axis draws, second axis chains, which only ever grow; ``state.npz`` holds what the chains need to go on, how many of
    the draws count, and a checksum of those in each file. A save appends draws, forces them to the disk, and then
    replaces the state in one step: what a kill leaves behind the counted draws is cut off at the next start.

    Args:
        folder: The folder, which `run_folder` has prepared.
        lock: Whether it is locked, and may be written.
        setup: What was chosen.
        observed: What is recorded beside the loss.
        tuning: What was given in the place of a warmup.

    Raises:
        ResumeError: If the folder holds another run, or a file that cannot be read.
        SaveError: If it may not be written.
    """

    def __init__(self, folder: Path, lock: Lock, setup: Setup, observed: Observed, tuning: Tuned | None) -> None:
        """Open the folder, or found it."""
        self.folder, self._lock, self._setup = folder, lock, setup
        self._due = time.monotonic() + _INTERVAL
        self._columns: dict[str, Column] = {}
        self._kept: tuple[int, int] | None = None  # steps and draws that are on the disk
        # The numbers that are counted, by file: shape of a draw, and type where it is known.
        self._expected: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]] = {
            **{f"draws/{name}": ((setup.chains,), None) for name in recorded_names(setup.thin, felt=False)},
            **{f"observables/{k}": (observed.shape_of(k), v.dtype) for k, v in observed.at_center.items()},
        }
        self._now = environment(setup.posterior.problem.device)
        self.begun_in = dict(self._now)
        self._format = _FORMAT
        if (folder / RUN_FILE).exists():
            self._open(setup, observed, tuning)
        else:
            self._found(identify(setup, observed, tuning))

    def _open(self, setup: Setup, observed: Observed, tuning: Tuned | None) -> None:
        """Compare the folder's run with this one."""
        path = self.folder / RUN_FILE
        held = read_document(path, _FORMAT)
        theirs: Any = held.get("identity")
        numbers, begun_in = held.get("numbers", {}), held.get("environment")
        if not (_is_mapping(theirs, str) and _is_mapping(numbers, list) and isinstance(begun_in, dict)):
            raise ResumeError(damage(path, "it does not say whose run it is"))
        if any(type(x) is not float for each in numbers.values() for x in each):
            raise ResumeError(damage(path, "it holds something else in the place of numbers"))
        self._format, self.begun_in = held.get("format", 1), begun_in
        ours = (identify if self._format > 1 else identify_by_baseline)(setup, observed, tuning)
        other = ours.differences(theirs, numbers)
        if other:
            moved = self._changed()
            hint = (
                f" It was begun under other conditions ({moved}), where data and weights that are made anew may differ "
                "in their last bits: keep them in files."
            )
            raise ResumeError(
                f"{self.folder} holds a run with other {', '.join(other)}. Give the same to resume it, or name another "
                f"folder.{hint if moved and {'data', 'weights'} & set(other) else ''}"
            )

    def _found(self, identity: Identity) -> None:
        with saving(self.folder):
            for name in ("draws", "observables"):
                (self.folder / name).mkdir(exist_ok=True)
            held = {"identity": identity.fingerprints, "numbers": identity.numbers, "environment": self.begun_in}
            write_document(self.folder / RUN_FILE, _FORMAT, held)

    def notes(self) -> list[str]:
        """What a reader of the trace should know: other conditions, an older format, a folder without a lock."""
        changed = self._changed()
        told = []
        if changed:
            told.append(
                f"the run was resumed under other conditions ({changed}): its draws are the same to rounding only"
            )
        if self._format == 1:
            told.append(_ONLY_BASELINE)
        if self._lock.writable and not self._lock.held:
            told.append(f"{self._lock.reason}; no other process may work in that folder")
        return told

    def _changed(self) -> str:
        """Say what is no longer as it was when the run was begun; empty if nothing."""
        before, now = self.begun_in, self._now
        return ", ".join(f"{k} {before[k]!s:.80} -> {now[k]}" for k in now if k in before and before[k] != now[k])

    def require_writable(self) -> None:
        """Refuse to go on where nothing can be saved.

        Raises:
            SaveError: If the folder may not be written.
        """
        require_writable(self.folder, self._lock)

    def load(self, hints: Declared, layouts: Sequence[Layout]) -> Saved | None:
        """Check all that was saved, whole; then cut off draws that do not count, and return the state.

        Args:
            hints: What the run's sampler declares.
            layouts: The groups of chains.

        Returns:
            The state, or None if nothing was saved yet.

        Raises:
            ResumeError: If a file is missing, cut short, damaged, or not of this run.
        """
        path = self.folder / "state.npz"
        if not path.exists():
            if self._format > 1 and any((self.folder / "draws").glob("*.npy")):
                raise ResumeError(
                    f"{path} is missing, and without it the run cannot go on from the draws beside it, which "
                    "numpy.load reads. Copy it again from where the run was made, or name another folder."
                )
            return None
        try:
            with path.open("rb") as file:
                text, arrays = read_archive(file, path.stat().st_size)
            held = from_text(text, path, _FORMAT)
            saved = self._state(held, arrays, hints, layouts)
            self._expect(saved.felt)
            known = _columns(held.get("files"))
        except _UNREADABLE as error:
            raise ResumeError(damage(path, str(error))) from error
        self._check_files(saved.drawn, known)
        if saved.drawn and self._lock.writable:
            with saving(self.folder):
                for name, column in self._columns.items():
                    columns.cut(self.folder / f"{name}.npy", saved.drawn, column)
        self._kept = saved.warmed, saved.drawn
        return saved

    def _state(
        self, held: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], hints: Declared, layouts: Sequence[Layout]
    ) -> Saved:
        """Build the state that a text and arrays describe; a ValueError says what does not fit."""
        progress: list[Any] = [held.get(name) for name in ("warmed", "drawn", "rows", "runs")]
        warmed, drawn, rows, runs = progress
        if not (is_count(warmed) and is_count(drawn) and is_count(rows) and isinstance(runs, list)):
            raise ValueError("it does not say how far the run was")
        if warmed > self._setup.warmup or (drawn and warmed < self._setup.warmup) or len(runs) != len(layouts):
            raise ValueError(f"{warmed} steps of warmup, {drawn} draws and {len(runs)} groups are not those of the run")
        problem, built = self._setup.posterior.problem, []
        for tree, layout in zip(runs, layouts, strict=True):
            run = decode(tree, arrays, hints.kinds)
            if type(run) is not Run or run.step != warmed + drawn * self._setup.thin:
                raise ValueError("a group of chains is not where the run was")
            require_fit(run, hints, layout)
            # A device may be gone; what was on the model's goes to where the model is now.
            self.begun_in.setdefault("device", tree["fields"][Run._fields.index("nbeta")]["device"])
            built.append(to_device(run, problem.device)._replace(dead=run.dead))
        return Saved(warmed, drawn, rows, built, self._felt(held.get("felt"), arrays, layouts[0]))

    def _felt(self, tree: Any, arrays: Mapping[str, NDArray[Any]], layout: Layout) -> Felt | None:
        """Build the directions that warmup found; older states have none."""
        if tree is None:
            return None
        felt = decode(tree, arrays, {key_of(Felt): Felt})
        require_felt(felt, layout)
        return to_device(felt, self._setup.posterior.problem.device)

    def _check_files(self, drawn: int, known: Mapping[str, Column] | None) -> None:
        """Check every file of draws: all that is counted must be there, and nothing that is not the run's."""
        found = {
            f"{p.parent.name}/{p.stem}" for kind in ("draws", "observables") for p in (self.folder / kind).glob("*.npy")
        }
        # A kill may leave draws of what no state counts yet.
        strange = sorted(found - set(self._expected) - {"draws/felt"})
        if strange:
            raise ResumeError(f"{self.folder} holds {strange[0]}.npy, which the run did not write. Move it elsewhere.")
        if known is not None and set(known) != (set(self._expected) if drawn else set()):
            raise ResumeError(damage(self.folder / "state.npz", "it does not count the files of the run"))
        if drawn:
            self._columns = {
                name: columns.check(
                    self.folder / f"{name}.npy", drawn, row, dtype, None if known is None else known[name]
                )
                for name, (row, dtype) in self._expected.items()
            }

    def draws(self) -> Draws:
        """Read what is recorded of every draw that counts, observables aside, (chains, draws) each."""
        drawn = 0 if self._kept is None else self._kept[1]
        found = {}
        for name in self._columns:
            kind, _, stem = name.partition("/")
            if kind == "draws":
                array = np.load(self.folder / f"{name}.npy")[:drawn]
                found[stem] = torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)))
        return found

    @property
    def due(self) -> bool:
        """Whether the time for a save has come."""
        return time.monotonic() >= self._due

    def save(self, blocks: list[Draws], observed: Mapping[str, NDArray[Any]], saved: Saved) -> None:
        """Append draws, and what was observed of them, (draws, chains, ...) each; then replace the state."""
        if self._kept == (saved.warmed, saved.drawn):
            return
        self._expect(saved.felt)
        start = time.monotonic()
        counted = dict(self._columns)
        for name in blocks[0] if blocks else ():
            array = torch.cat([block[name] for block in blocks], dim=1).numpy().swapaxes(0, 1)
            self._append(f"draws/{name}", array, saved.drawn, counted)
        for name, array in observed.items():
            if len(array):
                self._append(f"observables/{name}", array, saved.drawn, counted)
        arrays: dict[str, NDArray[Any]] = {}
        held = {**saved._asdict(), "runs": [encode(run, arrays) for run in saved.runs]}
        held["felt"] = None if saved.felt is None else encode(saved.felt, arrays)
        text = to_text(_FORMAT, {**held, "files": {name: counted[name]._asdict() for name in sorted(counted)}})
        atomic_write(self.folder / "state.npz", archive(text, arrays))
        self._columns, self._kept = counted, (saved.warmed, saved.drawn)
        now = time.monotonic()
        self._due = now + max(_INTERVAL, (now - start) / _SHARE)

    def _expect(self, felt: Felt | None) -> None:
        """Expect the draws of what is recorded where warmup found directions in which the loss is felt."""
        names = recorded_names(self._setup.thin, felt=felt is not None)
        self._expected |= {f"draws/{name}": ((self._setup.chains,), None) for name in names}

    def finish(self, trace: Trace) -> Trace:
        """Write the trace of a run that has ended.

        Returns:
            The trace, with the observables that lie beside it.

        Raises:
            SaveError: If the disk refuses.
        """
        if self._lock.writable:
            with saving(self.folder, lambda: trace):
                trace.save(self.folder / TRACE_FILE)
        return trace.with_observables(self.folder / "observables")

    def _append(self, name: str, array: NDArray[Any], total: int, counted: dict[str, Column]) -> None:
        counted[name] = columns.append(self.folder / f"{name}.npy", array, total, counted.get(name))


def _is_mapping(held: Any, kind: type) -> bool:
    return isinstance(held, dict) and all(isinstance(value, kind) for value in held.values())


def _columns(held: Any) -> dict[str, Column] | None:
    """Read what a state counts of each file; None of a state that does not say it."""
    if held is None:
        return None
    if not _is_mapping(held, dict):
        raise ValueError("it does not say what its files hold")
    found = {}
    for name, column in held.items():
        if set(column) != set(Column._fields) or not isinstance(column["row"], list):
            raise ValueError(f"it does not say what {name} holds")
        found[name] = Column(column["dtype"], tuple(column["row"]), column["crc32"])
    return found
