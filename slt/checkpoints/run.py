"""What defines a sweep, in plain words: two sweeps with the same words may share a folder."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slt._store import fingerprint
from slt.errors import SettingsError
from slt.problem import untouched
from slt.problem.data import TensorExamples, tensors_of
from slt.problem.losses import resolve_loss
from slt.problem.reading import read_data

_ROWS = 4096  # rows hashed at a time, and all of them, where the data are held in memory
_PROBED = 64  # rows, evenly spread, of data that are fetched at every use


def describe_run(settings: Mapping[str, Any], data: Any, loss: Any, n: int | None = None) -> dict[str, Any]:
    """Describe settings, loss and data so that another run can be told from this one.

    The data count by all their values where they are held in memory, else by their number and 64 rows. A loss of the
    user's own counts by its name.

    Args:
        settings: Settings of `slt.estimate_llc`, by name.
        data: See `slt.LocalPosterior`.
        loss: See `slt.LocalPosterior`.
        n: See `slt.LocalPosterior`.

    Returns:
        What JSON can write, by name.

    Raises:
        DataError: If the data cannot be read.
        SettingsError: If a setting cannot be put into words.
    """
    described = {name: _plain(name, value) for name, value in settings.items()}
    return {**described, "loss": resolve_loss(loss).convention, "data": _describe_data(data, n)}


def _describe_data(data: Any, n: int | None) -> str:
    # a Dataset may draw random numbers when it is read; an empty module lends the promise to undo that
    with untouched(nn.Identity()):
        examples = read_data(data, n)
        if isinstance(examples, TensorExamples):
            rows = torch.arange(examples.n, device="cpu").split(_ROWS)
        else:
            spread = torch.linspace(0, examples.n - 1, min(_PROBED, examples.n), dtype=torch.float32, device="cpu")
            rows = [spread.round().long()]
        parts = [[fingerprint(_array(t)) for t in tensors_of(examples.take(some))] for some in rows]
    return f"{examples.n} examples, {fingerprint(parts)}"


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        array = _array(value) if isinstance(value, Tensor) else value
        return f"array {array.shape}, {fingerprint(array)}"
    if isinstance(value, Mapping):
        return {str(key): _plain(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if isinstance(value, AbstractSet):
        return sorted(str(_plain(name, each)) for each in value)
    # a frozen dataclass, as samplers and budgets are, prints all of its settings
    if dataclasses.is_dataclass(value):
        return repr(value)
    raise SettingsError(
        f"save_to must tell one run from another, which {name} of type {type(value).__name__} does not allow; give "
        "numbers, text, tensors, lists, mappings or dataclasses."
    )


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
