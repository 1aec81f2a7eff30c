"""What warmup found, as plain arrays: out of a run into a trace, and back through ``tuning=``."""

from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor

from slt._tree import Rows
from slt.errors import SettingsError
from slt.problem.evaluate import Evaluator
from slt.trace import Trace

Tuned = Mapping[str, Any] | Trace


def to_arrays(tuning: Any, evaluator: Evaluator, sizes: list[int]) -> dict[str, np.ndarray]:
    """Return every field: (chains,) for a number a chain, (d,) for a number an entry, (rows, d) for vectors."""
    arrays, vectors = {}, _vectors(tuning)
    for name, value in tuning._asdict().items():
        if isinstance(value, Tensor):
            arrays[name] = value.cpu().numpy()
        else:
            tensors = evaluator.unpack(value) if _width(value) == sum(sizes) else list(value.values())
            rows = np.concatenate([_rows(t, size) for t, size in zip(tensors, sizes, strict=True)], axis=1)
            arrays[name] = rows if name in vectors else rows[0]
    return arrays


def _vectors(tuning: Any) -> set[str]:
    """Names of the fields that hold `Rows`."""
    return {name for name, hint in get_type_hints(type(tuning), include_extras=True).items() if hint == Rows}


def _rows(tensor: Tensor, size: int) -> np.ndarray:
    array = tensor.double().cpu().numpy()
    return np.broadcast_to(array, (array.shape[0], size))


def from_arrays(given: Tuned, template: Any, evaluator: Evaluator, sizes: list[int], chains: slice) -> Any:
    """Fill a tuning of the template's shape for a range of chains.

    Returns:
        The tuning.

    Raises:
        SettingsError: If a field is missing, unknown, of the wrong shape, or not positive and finite (a basis: finite,
            with rows shorter than 1; a factor: upper triangular, with a positive diagonal).
    """
    arrays = tuned_arrays(given)
    fields = template._asdict()
    if set(arrays) != set(fields):
        raise SettingsError(f"tuning must hold {sorted(fields)} for this sampler, got {sorted(arrays)}.")
    filled, vectors = {}, _vectors(template)
    for name, value in fields.items():
        array = np.asarray(arrays[name], dtype=np.float64)
        if name in vectors:
            _require_vectors(name, array, sum(sizes))
            filled[name] = _laid_out(array, value, evaluator, sizes)
            continue
        if not array.size or not bool(np.all((array > 0) & np.isfinite(array))):
            raise SettingsError(f"tuning[{name!r}] must be positive and finite.")
        if isinstance(value, Tensor):
            filled[name] = _numbers(name, array, value, chains)
        else:
            if array.shape != (sum(sizes),):
                raise SettingsError(f"tuning[{name!r}] must have shape ({sum(sizes)},), got {array.shape}.")
            leaf = next(iter(value.values()))
            pieces = torch.from_numpy(array).to(leaf).split(sizes)
            filled[name] = evaluator.pack(list(pieces))
    return type(template)(**filled)


def tuned_arrays(given: Tuned) -> dict[str, Any]:
    """Return the fields of a tuning given as a mapping, or held by a trace."""
    if isinstance(given, Trace):
        constant = given.to_datatree()["constant_data"]
        prefix = "tuning_"
        return {
            str(name)[len(prefix) :]: constant[str(name)].to_numpy()
            for name in constant.data_vars
            if str(name).startswith(prefix)
        }
    if not isinstance(given, Mapping):
        raise SettingsError(f"tuning must be a Trace or a mapping of arrays, got {type(given).__name__}.")
    return dict(given)


def _require_vectors(name: str, array: np.ndarray, dimension: int) -> None:
    rows = dimension if name == "factor" else "rows"
    if array.ndim != 2 or array.shape[1] != dimension or (name == "factor" and array.shape[0] != dimension):
        raise SettingsError(f"tuning[{name!r}] must have shape ({rows}, {dimension}), got {array.shape}.")
    if name == "factor":
        triangular = bool(np.isfinite(array).all()) and not np.tril(array, -1).any()
        if not triangular or not bool((np.diag(array) > 0).all()):
            raise SettingsError("tuning['factor'] must be finite and upper triangular, with a positive diagonal.")
    elif not bool(((array**2).sum(1) < 1).all()):
        raise SettingsError(f"the rows of tuning[{name!r}] must be finite and shorter than 1.")


def _laid_out(array: np.ndarray, like: dict[str, Tensor], evaluator: Evaluator, sizes: list[int]) -> dict[str, Tensor]:
    leaf = next(iter(like.values()))
    packed = [evaluator.pack(list(torch.from_numpy(row).to(leaf).split(sizes))) for row in array]
    return {name: torch.cat([p[name] for p in packed] or [empty]) for name, empty in like.items()}


def _numbers(name: str, array: np.ndarray, like: Tensor, chains: slice) -> Tensor:
    if array.ndim == 0 or bool(np.all(array == array.reshape(-1)[0])):
        return torch.full_like(like, float(array.reshape(-1)[0]))
    if array.ndim != 1 or len(array) < chains.stop:
        raise SettingsError(
            f"tuning[{name!r}] must be one number, or one for each of the chains, got shape {array.shape}."
        )
    return torch.from_numpy(array[chains]).to(like)


def _width(params: dict[str, Tensor]) -> int:
    return sum(leaf.shape[1] for leaf in params.values())
