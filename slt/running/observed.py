"""What observables record, gathered draw by draw in buffers that are made once."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._tree import Params, chains_of
from slt.errors import ObservableError
from slt.observables import WRITTEN, kind, require_recordable
from slt.problem.kept import same_bits

_DRAWS = 50  # of a buffer at most
_BYTES = 2**24  # of all buffers, where a single draw is not larger: a record of any length passes through these


class Observed:
    """Buffers of shape (draws, chains, ...), one an observable, filled row by row and emptied together.

    They are made once and used again: a heap that gives and takes large pieces grows.

    Args:
        recorders: From positions to values, by name.
        center: Positions of one chain, on which each observable is tried; what it gives there tells the sizes.
        chains: Number of chains of the run.

    Raises:
        ObservableError: If an observable gives what cannot be recorded, or writes to the weights.
    """

    def __init__(self, recorders: Mapping[str, Callable[[Params], Tensor]], center: Params, chains: int) -> None:
        """Try every observable once."""
        self._recorders = recorders
        self._kinds: dict[str, tuple[torch.Size, torch.dtype]] = {}
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
        return {name: self._value(name, w) for name in self._recorders}

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
            for name, value in self.at(w).items():
                self._buffers[name][first + draw, chains] = value

        return write

    def take(self) -> dict[str, NDArray[Any]]:
        """Return views of the filled rows, to be used before the next draw, and begin anew."""
        taken = {name: buffer[: self.filled] for name, buffer in self._buffers.items()}
        self.filled = 0
        return taken

    def _value(self, name: str, w: Params) -> NDArray[Any]:
        """Evaluate one observable on copies of the positions, which it is not to write to.

        Returns:
            What it gives.

        Raises:
            ObservableError: If it gives what cannot be recorded, or not what it gave at w*, or writes to the copies.
        """
        shown = {leaf: tensor.clone() for leaf, tensor in w.items()}
        try:
            value = self._recorders[name](shown)
            if not all(torch.equal(shown[leaf], w[leaf]) or same_bits(shown[leaf], w[leaf]) for leaf in w):
                raise ObservableError(WRITTEN)
            self._require_kind(name, value, chains_of(w))
            return _array(value)
        except ObservableError as error:
            raise ObservableError(f"the observable {name!r} {error}.") from error
        except Exception as error:
            error.add_note(f"It came from the observable {name!r}.")
            raise

    def _require_kind(self, name: str, value: Tensor, chains: int) -> None:
        if not isinstance(value, Tensor):
            raise ObservableError(f"must be bound to a function that returns a tensor, got {type(value).__name__}")
        if name not in self._kinds:
            require_recordable(value)
            self._kinds[name] = value.shape[1:], value.dtype
        shape, dtype = self._kinds[name]
        if (value.shape, value.dtype) != ((chains, *shape), dtype):
            one = f"{dtype} of shape {tuple(shape)} for each of {chains} chains, as at w*"
            raise ObservableError(f"must return {one}, got {kind(value)}")


def _array(value: Tensor) -> NDArray[Any]:
    narrow = value.is_floating_point() and value.dtype not in (torch.float32, torch.float64)  # numpy has none of most
    try:
        return (value.float() if narrow else value).numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise ObservableError(f"must return numbers that numpy has too, got {kind(value)}") from error
