"""A run on disk: draws appended, everything else whole or absent, so that a kill loses one interval at most."""

import ast
import importlib
import io
import json
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._store import atomic_write, slt_version
from slt.errors import ResumeError
from slt.running.advance import Draws

RUN_FORMAT = 1
PLAN_FILE = "plan.json"  # may lie in a folder before the run does: the choices of a call that made the run
_HEADER_BYTES = 256  # of each .npy file: room for any number of draws, so that it can be rewritten in place
_INTERVAL = 2.0  # seconds between two saves at least
_SHARE = 0.04  # of the time that saving may take


class Saved(NamedTuple):
    """What `SavedRun.save` wrote last."""

    warmed: int
    drawn: int
    rows: int
    runs: list[Any]


class SavedRun:
    """The folder of one run.

    ``run.json`` says whose run it is; ``draws/`` and ``observables/`` hold one .npy file for each recorded name, first
    axis draws, second axis chains, which only ever grow; ``state.npz`` holds what the chains need to go on and how many
    of the draws count. A save appends draws, forces them to the disk, and then replaces the state in one step: what a
    kill leaves behind the counted draws is cut off at the next start.

    Args:
        folder: Made if it is not there.
        identity: Fingerprints of what the run depends on, by name.
        environment: What may change without making it another run, such as versions and threads.

    Raises:
        ResumeError: If the folder holds another run, something else, or a format that this version does not read.
    """

    def __init__(
        self, folder: str | os.PathLike[str], identity: Mapping[str, str], environment: Mapping[str, Any]
    ) -> None:
        """Open the folder, or found it."""
        self.folder = Path(folder)
        self._due = time.monotonic() + _INTERVAL
        manifest = self.folder / "run.json"
        if manifest.exists():
            self.begun_in = self._check(manifest, identity)
            return
        if self.folder.exists() and (not self.folder.is_dir() or set(os.listdir(self.folder)) - {PLAN_FILE}):
            raise ResumeError(f"{self.folder} is not empty and holds no run of slt. Name another folder, or empty it.")
        for name in ("draws", "observables"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.begun_in = dict(environment)
        text = {"format": RUN_FORMAT, "slt": slt_version(), "identity": dict(identity), "environment": self.begun_in}
        atomic_write(manifest, json.dumps(text, indent=1).encode())

    def load(self, sampler: Any) -> Saved | None:
        """Read the state of the last save, and cut off draws that it does not count.

        Args:
            sampler: The run's sampler; its module is where its State, Tuning and Adaptation are looked for.

        Returns:
            The state, or None if nothing was saved yet.

        Raises:
            ResumeError: If a file is missing, cut short or damaged.
        """
        path = self.folder / "state.npz"
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                held = json.loads(str(arrays["tree"]))
                runs = [_decode(run, arrays, sampler) for run in held["runs"]]
            saved = Saved(held["warmed"], held["drawn"], held["rows"], runs)
        except (zipfile.BadZipFile, EOFError, ValueError, KeyError, OSError) as error:
            raise ResumeError(
                f"{path} cannot be read: {str(error).splitlines()[0]} The draws beside it are kept; remove the folder "
                "to start afresh."
            ) from error
        for file in self._files():
            _cut(file, saved.drawn)
        return saved

    def draws(self) -> Draws:
        """Read what is recorded of every draw, observables aside, (chains, draws) each."""
        found = {}
        for file in sorted((self.folder / "draws").glob("*.npy")):
            found[file.stem] = torch.from_numpy(np.ascontiguousarray(np.load(file).swapaxes(0, 1)))
        return found

    @property
    def due(self) -> bool:
        """Whether the time for a save has come."""
        return time.monotonic() >= self._due

    def save(self, blocks: list[Draws], observed: Mapping[str, NDArray[Any]], saved: Saved) -> None:
        """Append draws, and what was observed of them, (draws, chains, ...) each; then replace the state."""
        start = time.monotonic()
        for name in blocks[0] if blocks else ():
            array = torch.cat([block[name] for block in blocks], dim=1).numpy().swapaxes(0, 1)
            _append(self.folder / "draws" / f"{name}.npy", array, saved.drawn)
        for name, array in observed.items():
            if len(array):
                _append(self.folder / "observables" / f"{name}.npy", array, saved.drawn)
        arrays: dict[str, NDArray[Any]] = {}
        runs = [_encode(run, arrays) for run in saved.runs]
        tree = json.dumps({"warmed": saved.warmed, "drawn": saved.drawn, "rows": saved.rows, "runs": runs})
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, tree=np.array(tree), **arrays)
        atomic_write(self.folder / "state.npz", buffer.getvalue())
        now = time.monotonic()
        self._due = now + max(_INTERVAL, (now - start) / _SHARE)

    def _check(self, manifest: Path, identity: Mapping[str, str]) -> dict[str, Any]:
        try:
            held = json.loads(manifest.read_text())
            form, theirs, environment = held["format"], held["identity"], held["environment"]
        except (ValueError, KeyError, TypeError) as error:
            raise ResumeError(
                f"{manifest} is damaged or no run of slt: {error}. Remove the folder to start afresh."
            ) from error
        if form > RUN_FORMAT:
            raise ResumeError(
                f"{manifest} has format {form}, written by slt {held.get('slt')}; this slt {slt_version()} reads "
                f"formats up to {RUN_FORMAT}. Resume it with that version, or name another folder."
            )
        other = sorted(name for name in {*theirs, *identity} if theirs.get(name) != identity.get(name))
        if other:
            raise ResumeError(
                f"{self.folder} holds a run with other {', '.join(other)}. Give the same to resume it, or name another "
                "folder."
            )
        return environment

    def _files(self) -> list[Path]:
        return sorted([*(self.folder / "draws").glob("*.npy"), *(self.folder / "observables").glob("*.npy")])


def _append(path: Path, array: NDArray[Any], total: int) -> None:
    """Add draws (draws, chains, ...) to a file that then counts `total`."""
    # What a kill left behind the counted draws was cut off when the run was loaded.
    with path.open("r+b" if path.exists() else "w+b") as file:
        row = array.nbytes // len(array) if len(array) else 0
        file.seek(_HEADER_BYTES + (total - len(array)) * row)
        file.write(np.ascontiguousarray(array).data)
        file.seek(0)
        file.write(_header(array.dtype, (total, *array.shape[1:])))
        file.flush()
        os.fsync(file.fileno())


def _cut(path: Path, drawn: int) -> None:
    with path.open("r+b") as file:
        try:
            held = ast.literal_eval(file.read(_HEADER_BYTES)[10:].decode("latin1"))
            dtype, shape = np.dtype(held["descr"]), held["shape"]
        except (ValueError, SyntaxError, KeyError, TypeError) as error:
            raise ResumeError(
                f"{path} is damaged: it does not begin as a .npy file. Remove the folder to start afresh."
            ) from error
        size = _HEADER_BYTES + drawn * int(np.prod(shape[1:])) * dtype.itemsize
        if path.stat().st_size < size:
            raise ResumeError(
                f"{path} holds {path.stat().st_size} bytes where {drawn} draws need {size}: it was cut short. Copy it "
                "again from where it was made, or remove the folder to start afresh."
            )
        file.seek(0)
        file.write(_header(dtype, (drawn, *shape[1:])))
        file.truncate(size)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Write the opening of a .npy file (format 1.0), padded to a fixed length."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    length = _HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"


def _encode(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Write nested NamedTuples, dicts and tensors as JSON and arrays: reading them runs no code."""
    if isinstance(tree, Tensor):
        key = f"a{len(arrays)}"
        arrays[key] = tree.cpu().numpy()
        return {"array": key, "device": str(tree.device)}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        kind = type(tree)
        fields = [_encode(value, arrays) for value in tree]
        return {"kind": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    if isinstance(tree, dict):
        return {"leaves": {name: _encode(leaf, arrays) for name, leaf in tree.items()}}
    return {"plain": tree}


def _decode(held: dict[str, Any], arrays: Mapping[str, NDArray[Any]], sampler: Any) -> Any:
    if "array" in held:
        return torch.from_numpy(arrays[held["array"]]).to(held["device"])
    if "leaves" in held:
        return {name: _decode(leaf, arrays, sampler) for name, leaf in held["leaves"].items()}
    if "plain" in held:
        return held["plain"]
    module, name = held["kind"].split(":")
    if not (module.startswith("slt.") or module == type(sampler).__module__):
        raise ValueError(f"it holds a {held['kind']}, which is none of slt's or the sampler's.")
    kind: Any = importlib.import_module(module)
    for part in name.split("."):
        kind = getattr(kind, part)
    return kind(*(_decode(value, arrays, sampler) for value in held["fields"]))
