"""What observables record, gathered draw by draw in buffers that are made once."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._tree import Params

_DRAWS = 50  # of a buffer at most
_BYTES = 2**24  # of all buffers, where a single draw is not larger: a record of any length passes through these


class Observed:
    """Buffers of shape (draws, chains, ...), one an observable, filled row by row and emptied together.

    They are made once and used again: a heap that gives and takes large pieces grows.

    Args:
        recorders: From positions to values, by name.
        center: Positions of one chain, on which each observable is tried; what it gives there tells the sizes.
        chains: Number of chains of the run.
    """

    def __init__(self, recorders: Mapping[str, Callable[[Params], Tensor]], center: Params, chains: int) -> None:
        """Try every observable once."""
        self._recorders = recorders
        self.at_center = self.at(center)
        self.draw_bytes = chains * sum(value.nbytes for value in self.at_center.values())
        rows = int(np.clip(_BYTES // max(self.draw_bytes, 1), 1, _DRAWS))
        self._buffers = {
            name: np.empty((rows, chains, *value.shape[1:]), value.dtype) for name, value in self.at_center.items()
        }
        self._rows = rows
        self.filled = 0

    def at(self, w: Params) -> dict[str, NDArray[Any]]:
        """Return what every observable gives at some positions, which are not recorded."""
        return {name: _array(record(w)) for name, record in self._recorders.items()}

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of one recorded draw, (chains, ...)."""
        return self._buffers[name].shape[1:]

    @property
    def room(self) -> int:
        """Draws that fit before the buffers must be emptied."""
        return self._rows - self.filled

    def writer(self, chains: slice) -> Callable[[int, Params], None] | None:
        """Return what `advance` calls with the number of a draw in its round and the positions of some chains."""
        if not self._recorders:
            return None
        first = self.filled

        def write(draw: int, w: Params) -> None:
            for name, record in self._recorders.items():
                self._buffers[name][first + draw, chains] = _array(record(w))

        return write

    def take(self) -> dict[str, NDArray[Any]]:
        """Return views of the filled rows, to be used before the next draw, and begin anew."""
        taken = {name: buffer[: self.filled] for name, buffer in self._buffers.items()}
        self.filled = 0
        return taken


def _array(value: Tensor) -> NDArray[Any]:
    value = value.detach().cpu()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
