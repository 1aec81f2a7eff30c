"""Checks of the parts of a trace, whether they are passed as arguments or read from a file."""

import json
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slt.errors import InputError, SettingsError

PER_DRAW = ("posterior", "sample_stats", "observables")
"""The groups whose arrays have one entry per draw."""

_CONSTANTS = ("n", "nbeta", "dimension", "loss_center", "alive")
_SETTINGS = ("unadjusted", "full_data", "localization", "localization_zero")


def shape_of(posterior: Mapping[str, Any]) -> tuple[int, ...]:
    """Return (chains, draws) of the draws.

    Args:
        posterior: Arrays by name.

    Returns:
        The shape of `excess`.

    Raises:
        InputError: If there is no `excess`, or it has another shape.
    """
    if "excess" not in posterior:
        raise InputError(f"posterior must contain 'excess', got {sorted(posterior)}.")
    shape = np.shape(posterior["excess"])
    if len(shape) != 2 or shape[0] < 1:
        raise InputError(f"posterior/excess must have shape (chains, draws) with chains >= 1, got {shape}.")
    return shape


def per_draw(group: str, arrays: Mapping[str, Any], shape: tuple[int, ...], *, copy: bool = True) -> xr.Dataset:
    """Put arrays with one entry per draw into a group.

    Args:
        group: The group's name.
        arrays: Arrays of shape (chains, draws), of observables (chains, draws, ...), by name.
        shape: (chains, draws).
        copy: Whether the arrays are copied.

    Returns:
        The group.

    Raises:
        InputError: If an array has another shape, or is not numeric.
    """
    variables = {}
    for name, given in arrays.items():
        array = _plain(group, name, given, copy=copy)
        fits = array.shape[:2] == shape and (array.ndim == 2 or group == "observables")
        if not fits:
            more = ", ..." if group == "observables" else ""
            raise InputError(
                f"{group}/{name} must have shape (chains, draws{more}) = ({shape[0]}, {shape[1]}{more}) "
                f"like posterior/excess, got {array.shape}."
            )
        variables[name] = (("chain", "draw", *(f"{name}_dim_{i}" for i in range(array.ndim - 2))), array)
    return xr.Dataset(variables, coords={"chain": np.arange(shape[0]), "draw": np.arange(shape[1])})


def constants(given: Mapping[str, Any], chains: int, *, copy: bool = True) -> xr.Dataset:
    """Put numbers and arrays that are constant over the run into a group.

    Args:
        given: Values, or pairs (dims, array), by name.
        chains: Number of chains.
        copy: Whether the arrays are copied.

    Returns:
        The group.

    Raises:
        InputError: If one is missing, does not match its dims, or is outside its range.
    """
    missing = [name for name in _CONSTANTS if name not in given]
    if missing:
        raise InputError(f"constant_data must contain {list(_CONSTANTS)}; {missing} are missing.")
    variables = {}
    for name, one in given.items():
        dims, value = one if isinstance(one, tuple) else (None, one)
        array = _plain("constant_data", name, value, copy=copy)
        if dims is None:
            dims = ("chain",) if name == "alive" else tuple(f"{name}_dim_{i}" for i in range(array.ndim))
        dims = (dims,) if isinstance(dims, str) else tuple(dims)
        sizes = dict(zip(dims, array.shape, strict=False))
        if len(dims) != array.ndim or sizes.get("chain", chains) != chains:
            raise InputError(
                f"constant_data/{name} must match its dims {dims} and {chains} chains, got shape {array.shape}."
            )
        variables[name] = (dims, array)
    for name in _CONSTANTS[:-1]:
        _require_number(name, variables[name][1])
    if variables["alive"][0] != ("chain",) or variables["alive"][1].dtype != bool:
        raise InputError(f"constant_data/alive must be {chains} bools, one per chain, got {given['alive']!r}.")
    return xr.Dataset(variables, coords={"chain": np.arange(chains)})


def _require_number(name: str, array: NDArray[Any]) -> None:
    if array.ndim:
        raise InputError(f"constant_data/{name} must be one number, got shape {array.shape}.")
    value = array.item()
    counted = name in ("n", "dimension")
    numeric = array.dtype.kind in "iuf" and math.isfinite(value)
    if not numeric or (counted and (value < 1 or value % 1)) or (name == "nbeta" and not value > 0):
        what = "an integer of at least 1" if counted else "a positive number" if name == "nbeta" else "a finite number"
        raise InputError(f"constant_data/{name} must be {what}, got {value!r}.")


def _plain(group: str, name: str, value: Any, *, copy: bool) -> NDArray[Any]:
    if not name or "/" in name:
        raise InputError(
            f"a name in {group} must not be empty or contain '/', got {name!r}: netCDF reads it as a path."
        )
    array = np.array(value) if copy else np.asanyarray(value)
    kinds, words = ("biuf", " or float64") if group in PER_DRAW else ("biufU", ", float64 or text")
    # float16 is not a netCDF type
    if array.dtype.kind not in kinds or array.dtype == np.float16:
        raise InputError(f"{group}/{name} must be bools, integers, float32{words}, got type {array.dtype}.")
    return array


def settings_text(settings: Mapping[str, Any]) -> str:
    """Write settings as JSON.

    Args:
        settings: The settings.

    Returns:
        The text.

    Raises:
        SettingsError: If one is missing, has the wrong type, or cannot be written as JSON.
    """
    missing = [name for name in _SETTINGS if name not in settings]
    if missing:
        raise SettingsError(f"settings must contain {list(_SETTINGS)}; {missing} are missing.")
    for name, value in settings.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"settings[{name!r}] must be something that JSON can write, got {value!r}: {error}."
            ) from error
        fits, words = _FITS.get(name, (_any, ""))
        if not fits(value):
            raise SettingsError(f"settings[{name!r}] must be {words}, got {value!r}.")
    return json.dumps(dict(settings))


def _any(value: Any) -> bool:
    return True


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _localization(value: Any) -> bool:
    numbers = isinstance(value, Mapping) and value and all(map(_number, value.values()))
    return bool(_number(value) or _text(value) or numbers)


def _list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _file_names(value: Any) -> bool:
    return _list(value) and all(_text(name) and name.strip(".") and not set(name) & set("/\\\0") for name in value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


# Settings on which code that reads a trace relies; all others are only displayed.
_FITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "unadjusted": (_flag, "true or false"),
    "full_data": (_flag, "true or false"),
    "localization_zero": (_flag, "true or false"),
    "localization_uniform": (_flag, "true or false"),
    "localization": (_localization, "a number, text, or one number per tensor for at least one tensor"),
    "notes": (_list, "a list"),
    "observables": (_file_names, "a list of names that serve as file names"),
    "burn_in": (_count, "a number of draws"),
    "way_in": (_count, "a number of draws"),  # the old name of burn_in
    "sampler": (_text, "text"),
    "dtype": (_text, "text"),
    "state_dtype": (_text, "text"),
    "versions": (_mapping, "a mapping"),
    "sizes": (_mapping, "a mapping"),
}


def require_parts(nodes: Mapping[str, xr.Dataset]) -> None:
    """Check the groups of a tree like parts that are passed as arguments.

    Args:
        nodes: The groups by name; "" is the root.

    Raises:
        InputError: If a part is not that of a trace.
    """
    _require_settings(nodes[""].attrs.get("settings"))
    arrays = {
        group: {str(name): array.values for name, array in nodes[group].data_vars.items()}
        for group in PER_DRAW
        if group in nodes
    }
    shape = shape_of(arrays["posterior"])
    for group, held in arrays.items():
        for name in held:
            dims = nodes[group][name].dims
            if dims[:2] != ("chain", "draw"):
                raise InputError(f"{group}/{name} must have dims (chain, draw), got {dims}.")
        per_draw(group, held, shape, copy=False)
    given = {
        str(name): (array.dims, _as_text(array.values)) for name, array in nodes["constant_data"].data_vars.items()
    }
    constants(given, shape[0], copy=False)


def _as_text(array: NDArray[Any]) -> NDArray[Any]:
    """Return text arrays as such; some versions of xarray return them as objects."""
    return array.astype(str) if array.dtype == object and all(map(_text, array.flat)) else array


def _require_settings(text: Any) -> None:
    try:
        held = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"settings must be JSON: {error}.") from error
    if not isinstance(held, dict):
        raise SettingsError(f"settings must be a mapping, got {type(held).__name__}.")
    settings_text(held)
