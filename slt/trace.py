"""The trace: all draws of a run, and everything an estimator needs to know about how they were made."""

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
from slt._store import TRACE_FORMAT, atomic_write, slt_version
from slt.errors import InputError, SettingsError, TraceFileError

Constant = NDArray[Any] | float | tuple[str | tuple[str, ...], NDArray[Any]]

_PER_DRAW = ("posterior", "sample_stats", "observables")
_CONSTANTS = ("n", "nbeta", "dimension", "loss_center", "alive")
_SETTINGS = ("unadjusted", "full_data", "localization", "localization_zero")
TRACE_FILE = "trace.nc"
"""The trace in the folder of a saved run."""

_MAGIC = b"\x89HDF\r\n\x1a\n"


class Trace:
    """Draws of several chains and what produced them, as an xarray tree that ArviZ understands.

    ``posterior`` holds `excess` (loss above its value at w*, nats), `loss` (nats) and `distance` from w*;
    ``sample_stats`` what the sampler says of each draw; ``observables``, where there are any, what was to be
    recorded beside the loss; all with dims (chain, draw). ``constant_data`` holds `n`, `nbeta`, `dimension`
    (the number of moving parameters), `loss_center` (the loss at w*, nats), `alive` (chain) and the sampler's
    tuning. The settings of the run are one JSON text in the attributes of the root.

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
        """Hold a tree as `from_arrays` builds it; use `from_arrays` or `load`."""
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
            constant_data: Numbers and arrays that hold for the whole run, each as it is or as (dims, array);
                `n`, `nbeta`, `dimension`, `loss_center` and `alive`, of shape (chains,), must be among them.
            settings: What JSON can write; `unadjusted` (whether the step size biases the draws), `full_data`
                (whether each loss is over all data), `localization` and `localization_zero` (whether every
                precision is 0) must be among them.
            observables: Arrays of shape (chains, draws, ...).

        Returns:
            The trace.

        Raises:
            InputError: If an array is missing, or has the wrong shape or type.
        """
        if "excess" not in posterior:
            raise InputError(f"posterior must hold 'excess', got {sorted(posterior)}.")
        shape = np.shape(posterior["excess"])
        if len(shape) != 2 or shape[0] < 1:
            raise InputError(f"posterior/excess must have shape (chains, draws) with chains >= 1, got {shape}.")
        groups = {"posterior": posterior, "sample_stats": sample_stats, "observables": observables}
        nodes = {group: _per_draw(group, arrays, shape) for group, arrays in groups.items() if arrays is not None}
        nodes["constant_data"] = _constants(constant_data, shape[0])
        attrs = {"settings": _settings_text(settings), "format": TRACE_FORMAT, "slt_version": slt_version()}
        return cls(xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes}))

    @property
    def chains(self) -> int:
        """Number of chains, dead ones included."""
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
        """L_n(w*), the loss on all the data where the chains start, in nats."""
        return float(self.get("constant_data", "loss_center"))

    @property
    def localization(self) -> float | dict[str, float] | str:
        """Precision of the localizer: one number, or what describes one for each tensor."""
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
            Shape (chains, draws, ...) but for constants.

        Raises:
            KeyError: If the trace has no such array.
        """
        if name not in self.names(group):
            raise KeyError(f"the trace has no {group}/{name}; {group} holds {list(self.names(group))}.")
        array = self._tree[group][name].to_numpy().view()
        array.flags.writeable = False
        return array

    def with_settings(self, *, notes: Sequence[str] = (), **others: Any) -> "Trace":
        """Return the same draws with more in the settings: notes beside those there, which the verdict passes on."""
        settings = self.settings | others
        settings["notes"] = [*settings.get("notes", []), *notes]
        other = self._tree.copy()
        other.attrs["settings"] = _settings_text(settings)
        return Trace(other)

    def to_datatree(self) -> xr.DataTree:
        """Copy the draws into an xarray DataTree."""
        return self._tree.copy(deep=True)

    def to_arviz(self) -> Any:
        """Copy into what the installed ArviZ takes: InferenceData before version 1, a DataTree since."""
        az = import_whole("arviz")
        tree = self.to_datatree()
        # asking ArviZ 1 for the attribute itself warns that it is gone
        inference_data = vars(az).get("InferenceData")
        if inference_data is None:
            return tree
        return inference_data(attrs=tree.attrs, **{name: node.to_dataset() for name, node in tree.children.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to a netCDF file, whole or not at all.

        Args:
            path: The file to make or replace, customarily ``.nc``; its folder must exist.
        """
        atomic_write(path, lambda beside: self._tree.to_netcdf(beside, engine="h5netcdf"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Trace":
        """Read a trace into memory; the file is closed again.

        Args:
            path: A file that `save` wrote, or the folder of a finished run; its observables stay on the disk and are
                read when they are asked for.

        Returns:
            The trace, bit for bit as it was saved.

        Raises:
            TraceFileError: If the file is missing, cut short, not a trace, or of a newer format.
        """
        path = Path(path)
        if (path / TRACE_FILE).is_file():
            return cls.load(path / TRACE_FILE).with_observables(path / "observables")
        _refuse_other_files(path)
        try:
            with xr.open_datatree(path, engine="h5netcdf") as tree:
                attrs = dict(tree.attrs)
                _refuse_other_formats(path, attrs)
                nodes = {node.path: node.to_dataset().load() for node in tree.subtree}
        # a damaged file breaks HDF5 in whatever layer meets the damage first; each has its own exception
        except (OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError) as error:
            raise TraceFileError(
                f"{path} ({path.stat().st_size} bytes) cannot be read whole: {error}. It was cut short or "
                "damaged; copy it again from where it was made, or sample again."
            ) from error
        missing = {"/posterior", "/sample_stats", "/constant_data"} - set(nodes)
        if missing:
            raise TraceFileError(f"{path} lacks the groups {sorted(missing)}. {_WRITTEN_BY_SAVE}")
        return cls(xr.DataTree.from_dict(nodes))

    def with_observables(self, folder: Path) -> "Trace":
        """Return the same draws with the observables that a saved run keeps beside them, read as they are asked for.

        Args:
            folder: Of one ``.npy`` file an observable, draws first.

        Returns:
            The trace; this one where the folder holds none.

        Raises:
            TraceFileError: If a file holds fewer draws than the trace.
        """
        # draw first on the disk, because draws are appended; the swapped view costs nothing
        arrays = {
            file.stem: np.load(file, mmap_mode="r")[: self.draws].swapaxes(0, 1)
            for file in sorted(folder.glob("*.npy"))
        }
        if not arrays:
            return self
        shape = (self.chains, self.draws)
        short = [name for name, array in arrays.items() if array.shape[:2] != shape]
        if short:
            raise TraceFileError(
                f"{folder}: {short} hold fewer draws than the trace beside them; sample again to resume."
            )
        tree = self._tree.copy()
        tree["observables"] = xr.DataTree(_per_draw("observables", arrays, shape, copy=False))
        return Trace(tree)

    def __repr__(self) -> str:
        """Say what is inside, a group a line."""
        settings = self.settings
        lines = [
            f"Trace: {self.chains} chains x {self.draws} draws of {settings.get('sampler', 'a sampler')}",
            f"  n {self.n}, nbeta {self.nbeta:.6g}, {self.dimension} moving parameters, "
            f"loss at w* {self.loss_center:.6g} nats",
        ]
        if not self.alive.all():
            lines.append(f"  chains {np.flatnonzero(~self.alive).tolist()} are not finite")
        groups = [group for group in (*_PER_DRAW, "constant_data") if group in self._tree.children]
        lines += [f"  {group}: {', '.join(self.names(group))}" for group in groups]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self._tree._repr_html_()}"


_WRITTEN_BY_SAVE = "A trace is a netCDF-4 file that Trace.save wrote."


def _per_draw(group: str, arrays: Mapping[str, Any], shape: tuple[int, ...], *, copy: bool = True) -> xr.Dataset:
    variables = {}
    for name, given in arrays.items():
        array = _plain(group, name, given) if copy else given
        fits = array.shape[:2] == shape and (array.ndim == 2 or group == "observables")
        if not fits:
            more = ", ..." if group == "observables" else ""
            raise InputError(
                f"{group}/{name} must have shape (chains, draws{more}) = ({shape[0]}, {shape[1]}{more}) "
                f"like posterior/excess, got {array.shape}."
            )
        variables[name] = (("chain", "draw", *(f"{name}_dim_{i}" for i in range(array.ndim - 2))), array)
    return xr.Dataset(variables, coords={"chain": np.arange(shape[0]), "draw": np.arange(shape[1])})


def _constants(constants: Mapping[str, Any], chains: int) -> xr.Dataset:
    missing = [name for name in _CONSTANTS if name not in constants]
    if missing:
        raise InputError(f"constant_data must hold {list(_CONSTANTS)}; {missing} are missing.")
    variables = {}
    for name, given in constants.items():
        dims, value = given if isinstance(given, tuple) else (None, given)
        array = _plain("constant_data", name, value)
        if dims is None:
            dims = ("chain",) if name == "alive" else tuple(f"{name}_dim_{i}" for i in range(array.ndim))
        dims = (dims,) if isinstance(dims, str) else tuple(dims)
        sizes = dict(zip(dims, array.shape, strict=False))
        if len(dims) != array.ndim or sizes.get("chain", chains) != chains:
            raise InputError(
                f"constant_data/{name} must fit its dims {dims} and {chains} chains, got shape {array.shape}."
            )
        if name in _CONSTANTS[:-1] and array.ndim:
            raise InputError(f"constant_data/{name} must be one number, got shape {array.shape}.")
        variables[name] = (dims, array)
    if variables["alive"][0] != ("chain",) or variables["alive"][1].dtype != bool:
        raise InputError(f"constant_data/alive must be {chains} bools, one a chain, got {constants['alive']!r}.")
    return xr.Dataset(variables, coords={"chain": np.arange(chains)})


def _plain(group: str, name: str, value: Any) -> NDArray[Any]:
    if not name or "/" in name:
        raise InputError(f"a name in {group} must not be empty or hold '/', got {name!r}: netCDF reads it as a path.")
    array = np.array(value)
    # float16 is no netCDF type
    if array.dtype.kind not in "biufU" or array.dtype == np.float16:
        raise InputError(f"{group}/{name} must hold bools, integers, float32, float64 or text, got type {array.dtype}.")
    return array


def _settings_text(settings: Mapping[str, Any]) -> str:
    missing = [name for name in _SETTINGS if name not in settings]
    if missing:
        raise SettingsError(f"settings must hold {list(_SETTINGS)}; {missing} are missing.")
    for name, value in settings.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError) as error:
            raise SettingsError(f"settings[{name!r}] must be what JSON can write, got {value!r}: {error}.") from error
    return json.dumps(dict(settings))


def _refuse_other_files(path: Path) -> None:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise TraceFileError(f"{path} {found}. Give the path of a file that Trace.save wrote.")
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if not start:
        raise TraceFileError(f"{path} is empty. {_WRITTEN_BY_SAVE}")
    if start != _MAGIC:
        raise TraceFileError(f"{path} is not netCDF-4: it begins with {start!r}. {_WRITTEN_BY_SAVE}")


def _refuse_other_formats(path: Path, attrs: Mapping[Any, Any]) -> None:
    if "format" not in attrs or "settings" not in attrs:
        raise TraceFileError(f"{path} is netCDF-4 but not a trace: it has no settings. {_WRITTEN_BY_SAVE}")
    if attrs["format"] > TRACE_FORMAT:
        raise TraceFileError(
            f"{path} has format {attrs['format']}, written by slt {attrs.get('slt_version', 'unknown')}; slt "
            f"{slt_version()} reads formats up to {TRACE_FORMAT}. Load it with that one, or sample again."
        )
