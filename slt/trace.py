"""The trace: all draws of a run, and how they were made."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slt._imports import import_whole
from slt._netcdf import MAGIC, from_bytes, to_bytes
from slt._npy import open_npy
from slt._store import TRACE_FORMAT, atomic_write, slt_version
from slt._trace_parts import PER_DRAW, constants, per_draw, require_parts, settings_text, shape_of
from slt.errors import InputError, SaveError, TraceFileError

Constant = NDArray[Any] | float | tuple[str | tuple[str, ...], NDArray[Any]]

TRACE_FILE = "trace.nc"
"""The trace in the folder of a saved run."""

_WRITTEN_BY_SAVE = "A trace is a netCDF-4 file written by Trace.save."


class Trace:
    """Draws of several chains and what produced them, as an xarray tree that ArviZ understands.

    ``posterior`` holds `excess` (loss above its value at w*, nats), `loss` (nats) and `distance` from w*;
    ``sample_stats`` holds the sampler's statistics of each draw, and ``observables``, if present, other recorded
    quantities; all have dims (chain, draw). ``constant_data`` holds `n`, `nbeta`, `dimension` (the number of moving
    parameters), `loss_center` (the loss at w*, nats), `alive` (chain) and the sampler's tuning. The settings of the run
    are stored as JSON in the attributes of the root.

    >>> trace = Trace.from_arrays(
    ...     posterior={"excess": np.full((4, 100), 0.005)},
    ...     sample_stats={},
    ...     constant_data={
    ...         "n": 1000, "nbeta": 100.0, "dimension": 1, "loss_center": 0.2, "alive": np.ones(4, bool)
    ...     },
    ...     settings={
    ...         "unadjusted": False, "full_data": True, "localization": 1.0, "localization_zero": False
    ...     },
    ... )
    >>> trace.chains, trace.draws, trace.nbeta
    (4, 100, 100.0)
    """

    def __init__(self, tree: xr.DataTree) -> None:
        """Wrap a tree made by `from_arrays`; use `from_arrays` or `load` instead."""
        self._tree = tree

    @classmethod
    def from_arrays(
        cls,
        *,
        posterior: Mapping[str, NDArray[Any]],
        sample_stats: Mapping[str, NDArray[Any]],
        constant_data: Mapping[str, Constant],
        settings: Mapping[str, Any],
        observables: Mapping[str, NDArray[Any]] | None = None,
    ) -> "Trace":
        """Build a trace from plain arrays, which are copied.

        Args:
            posterior: Arrays of shape (chains, draws); `excess` must be among them.
            sample_stats: Arrays of shape (chains, draws).
            constant_data: Numbers and arrays that are constant over the run, as values or as (dims, array);
                `n`, `nbeta`, `dimension`, `loss_center` and `alive`, of shape (chains,), must be among them.
            settings: Data that JSON can write; `unadjusted` (whether the step size biases the draws), `full_data`
                (whether each loss is over all data), `localization` and `localization_zero` (whether every
                precision is 0) must be among them.
            observables: Arrays of shape (chains, draws, ...).

        Returns:
            The trace.

        Raises:
            InputError: If an array is missing, or has the wrong shape or type.
        """
        shape = shape_of(posterior)
        groups = {"posterior": posterior, "sample_stats": sample_stats, "observables": observables}
        nodes = {group: per_draw(group, arrays, shape) for group, arrays in groups.items() if arrays is not None}
        nodes["constant_data"] = constants(constant_data, shape[0])
        attrs = {"settings": settings_text(settings), "format": TRACE_FORMAT, "slt_version": slt_version()}
        return cls(xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes}))

    @property
    def chains(self) -> int:
        """Number of chains, including those that blew up."""
        return int(self._tree["posterior"].sizes["chain"])

    @property
    def draws(self) -> int:
        """Number of recorded draws of each chain."""
        return int(self._tree["posterior"].sizes["draw"])

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether each chain stayed finite, (chains,)."""
        return self.get("constant_data", "alive")

    @property
    def settings(self) -> dict[str, Any]:
        """How the draws were made; a fresh dict each time."""
        return json.loads(self._tree.attrs["settings"])

    @property
    def n(self) -> int:
        """Number of examples in the data."""
        return int(self.get("constant_data", "n"))

    @property
    def nbeta(self) -> float:
        """Inverse temperature times n, in 1/nats."""
        return float(self.get("constant_data", "nbeta"))

    @property
    def dimension(self) -> int:
        """Number of moving parameters."""
        return int(self.get("constant_data", "dimension"))

    @property
    def loss_center(self) -> float:
        """L_n(w*), the loss on all the data at the start of the chains, in nats."""
        return float(self.get("constant_data", "loss_center"))

    @property
    def localization(self) -> float | dict[str, float] | str:
        """Precision of the localizer: one number, or one per tensor."""
        return self.settings["localization"]

    def names(self, group: str) -> tuple[str, ...]:
        """Names of the arrays of a group; none if the trace has no such group."""
        return tuple(map(str, self._tree[group].data_vars)) if group in self._tree.children else ()

    def get(self, group: str, name: str) -> NDArray[Any]:
        """One array of the trace, read-only.

        Args:
            group: "posterior", "sample_stats", "observables" or "constant_data".
            name: The array's name; `names` lists them.

        Returns:
            Shape (chains, draws, ...), except for constants.

        Raises:
            KeyError: If the trace has no such array.
        """
        if name not in self.names(group):
            raise KeyError(f"the trace has no {group}/{name}; {group} holds {list(self.names(group))}.")
        array = self._tree[group][name].to_numpy().view()
        array.flags.writeable = False
        return array

    def with_settings(self, *, notes: Sequence[str] = (), **others: Any) -> "Trace":
        """Return the same draws with additional settings; notes are added to the existing ones."""
        settings = self.settings | others
        settings["notes"] = [*settings.get("notes", []), *notes]
        other = self._tree.copy()
        other.attrs["settings"] = settings_text(settings)
        return Trace(other)

    def to_datatree(self) -> xr.DataTree:
        """Copy the draws into an xarray DataTree."""
        return self._tree.copy(deep=True)

    def to_arviz(self) -> Any:
        """Copy into the type that the installed ArviZ uses: InferenceData before version 1, a DataTree since."""
        az = import_whole("arviz")
        tree = self.to_datatree()
        # accessing the attribute itself in ArviZ 1 warns that it was removed
        inference_data = vars(az).get("InferenceData")
        if inference_data is None:
            return tree
        return inference_data(attrs=tree.attrs, **{name: node.to_dataset() for name, node in tree.children.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to a netCDF file, completely or not at all.

        Args:
            path: The file to create or replace, usually ``.nc``; its folder must exist.

        Raises:
            SaveError: If the folder is missing or the file cannot be written; has this trace in ``.trace``.
        """
        content = to_bytes(self._tree)
        try:
            atomic_write(path, lambda beside: beside.write_bytes(content))
        except OSError as error:
            raise SaveError(
                f"{os.fspath(path)} cannot be written: {error}. An existing file is unchanged; the trace is in .trace "
                "and can be saved to another path.",
                self,
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Trace":
        """Read a trace into memory; the file is closed again.

        Nothing in the file is executed, nothing outside it is read, and the memory used is at most a small multiple of
        its size.

        Args:
            path: A file written by `save`, or the folder of a finished run, whose observables stay on disk and are
                read when they are used.

        Returns:
            The trace, bit for bit as it was saved.

        Raises:
            TraceFileError: If the file is missing, cut short, changed since it was written, not a trace, or has a
                newer format.
        """
        path = Path(path)
        if (path / TRACE_FILE).is_file():
            return cls.load(_inside(path, path / TRACE_FILE)).with_observables(path / "observables")
        content = _content(path)
        try:
            nodes = from_bytes(content, lambda attrs: _refuse_other_formats(path, attrs))
        except TraceFileError:
            raise
        # a damaged file can fail in any layer of HDF5, each with its own exception
        except Exception as error:
            raise TraceFileError(
                f"{path} ({len(content)} bytes) cannot be read: {error}. It was cut short or "
                "damaged; copy it again from where it was made, or sample again."
            ) from error
        missing = {"/posterior", "/sample_stats", "/constant_data"} - set(nodes)
        if missing:
            raise TraceFileError(f"{path} lacks the groups {sorted(missing)}. {_WRITTEN_BY_SAVE}")
        try:
            require_parts({node.strip("/"): dataset for node, dataset in nodes.items()})
        except InputError as error:
            raise TraceFileError(f"{path} is not a valid trace: {error} {_WRITTEN_BY_SAVE}") from error
        return cls(xr.DataTree.from_dict(nodes))

    def with_observables(self, folder: Path) -> "Trace":
        """Return the same draws with the observables of a saved run, which are read when they are used.

        Args:
            folder: Folder with one ``.npy`` file per observable, with draws as the first axis.

        Returns:
            The trace; this one if there are no observables.

        Raises:
            TraceFileError: If a file is missing, damaged, or has fewer draws than the trace.
        """
        # a trace of an earlier version does not name what was observed
        names = self.settings.get("observables", sorted(file.stem for file in folder.glob("*.npy")))
        if not names:
            return self
        arrays = {name: self._observable(_inside(folder.parent, folder / f"{name}.npy")) for name in names}
        tree = self._tree.copy()
        tree["observables"] = xr.DataTree(per_draw("observables", arrays, (self.chains, self.draws), copy=False))
        return Trace(tree)

    def _observable(self, file: Path) -> NDArray[Any]:
        try:
            array = open_npy(file)
            if array.ndim < 2 or array.dtype.kind not in "biuf" or array.shape[1] != self.chains:
                raise ValueError(f"it contains {array.dtype} of shape {array.shape}, not draws of {self.chains} chains")
            if len(array) < self.draws:
                raise ValueError(f"it contains {len(array)} draws, fewer than the {self.draws} of the trace")
        except (OSError, ValueError) as error:
            raise TraceFileError(
                f"{file} cannot be read: {error}. Copy it again from where it was made, or sample again to resume."
            ) from error
        # draws are the first axis on disk, because they are appended; the swapped view costs nothing
        return array[: self.draws].swapaxes(0, 1)

    def __repr__(self) -> str:
        """Return a summary with one line per group."""
        settings = self.settings
        lines = [
            f"Trace: {self.chains} chains x {self.draws} draws of {settings.get('sampler', 'a sampler')}",
            f"  n {self.n}, nbeta {self.nbeta:.6g}, {self.dimension} moving parameters, "
            f"loss at w* {self.loss_center:.6g} nats",
        ]
        if not self.alive.all():
            lines.append(f"  chains {np.flatnonzero(~self.alive).tolist()} are not finite")
        groups = [group for group in (*PER_DRAW, "constant_data") if group in self._tree.children]
        lines += [f"  {group}: {', '.join(self.names(group))}" for group in groups]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self._tree._repr_html_()}"


def _inside(folder: Path, file: Path) -> Path:
    """Refuse a file that is a link to another folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise TraceFileError(f"{file} is a link to a file outside {folder}; put the file itself there.")
    return file


def _content(path: Path) -> bytes:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise TraceFileError(f"{path} {found}. Give the path of a file written by Trace.save.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error}.") from error
    if not content:
        raise TraceFileError(f"{path} is empty. {_WRITTEN_BY_SAVE}")
    if not content.startswith(MAGIC):
        raise TraceFileError(f"{path} is not netCDF-4: it starts with {content[: len(MAGIC)]!r}. {_WRITTEN_BY_SAVE}")
    return content


def _refuse_other_formats(path: Path, attrs: Mapping[str, Any]) -> None:
    number, settings = attrs.get("format"), attrs.get("settings")
    if number is None or settings is None:
        raise TraceFileError(f"{path} is netCDF-4 but not a trace: it has no settings. {_WRITTEN_BY_SAVE}")
    if not isinstance(number, int) or not isinstance(settings, str):
        raise TraceFileError(f"{path} has no format number, or its settings are not text. {_WRITTEN_BY_SAVE}")
    if number > TRACE_FORMAT:
        raise TraceFileError(
            f"{path} has format {number}, written by slt {attrs.get('slt_version', 'unknown')}; slt "
            f"{slt_version()} reads formats up to {TRACE_FORMAT}. Load it with that version, or sample again."
        )
