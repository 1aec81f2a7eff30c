"""Examples of a known number, any rows of them as a batch, and the small tools that batches need."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from slt.errors import DataError
from slt.problem.doing import doing

Batch = Any
"""What the loss receives beside the model: a tensor, or a tuple, list or dict of tensors (and constants)."""

_TOKEN_NUMBERS = 1024  # an integer entry usually opens an embedding: what it costs in activations
_CHUNK_NUMBERS = 2**22  # numbers of one chunk of a full pass
_SUMMED_BYTES = 2**24  # of data up to this size every byte is looked at again before a run
_SUMMED_ROWS = 64  # of larger data, evenly spread


class Examples(Protocol):
    """A known number of examples."""

    n: int

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows (1-D, long), in this order, as the loss receives it."""
        ...

    def require_unchanged(self) -> None:
        """Refuse data that are no longer what they were when they were read."""
        ...


def map_tensors(function: Callable[[Tensor], Any], batch: Batch) -> Batch:
    """Apply `function` to every tensor of a batch; mappings become dicts, anything else stays."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(function, value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, value) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(function, value) for value in batch)
    return batch


def tensors_of(batch: Batch) -> list[Tensor]:
    """List every tensor of a batch."""
    found: list[Tensor] = []
    map_tensors(found.append, batch)
    return found


def holds_only_tensors(batch: Batch) -> bool:
    """Whether every leaf of a batch is a tensor, so that its rows can be told apart."""
    if isinstance(batch, Mapping):
        return all(holds_only_tensors(value) for value in batch.values())
    if isinstance(batch, (tuple, list)):
        return all(holds_only_tensors(value) for value in batch)
    return isinstance(batch, Tensor)


def chunk_rows(examples: Examples, batch_size: int | None) -> int:
    """Return how many rows a chunk of a full pass holds: `batch_size`, or what fits in memory with ease."""
    if batch_size is not None:
        return min(batch_size, examples.n)
    one = examples.take(torch.zeros(1, dtype=torch.long, device="cpu"))
    numbers = sum(t.numel() * (1 if t.is_floating_point() else _TOKEN_NUMBERS) for t in tensors_of(one))
    return max(1, min(examples.n, _CHUNK_NUMBERS // max(numbers, 1)))


def writes(batch: Batch) -> list[int | None]:
    """Return how often torch has written to each tensor of a batch; None where it does not count."""
    return [None if t.is_inference() else t._version for t in tensors_of(batch)]


class TensorExamples:
    """Examples held as tensors whose first axis counts them."""

    def __init__(self, batch: Batch) -> None:
        """Check that the tensors agree on the number of rows and hold finite values."""
        tensors = tensors_of(batch)
        if not tensors or not holds_only_tensors(batch):
            raise DataError(f"data must hold tensors, got {describe(batch)}.")
        for i, t in enumerate(tensors):
            _require_plain(t, f"tensor {i} of the data")
        if any(t.ndim == 0 for t in tensors):
            raise DataError(f"every tensor of the data needs a first axis that counts examples, got {describe(batch)}.")
        counts = {t.shape[0] for t in tensors}
        if len(counts) > 1:
            raise DataError(f"all tensors of the data must have the same number of rows, got {describe(batch)}.")
        self.n = counts.pop()
        if self.n == 0:
            raise DataError(f"data must hold at least one example, got none ({describe(batch)}).")
        for i, t in enumerate(tensors):
            _require_finite(t, f"tensor {i} of the data")
        self._batch = map_tensors(lambda t: t.detach(), batch)
        self._sums = self._sum_up()

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows."""
        return map_tensors(lambda t: t.index_select(0, rows.to(t.device)), self._batch)

    def require_unchanged(self) -> None:
        """Refuse tensors that have been written to.

        Of data up to 16 MB every byte counts; of larger data 64 rows and what torch knows of writes.

        Raises:
            DataError: If there is one.
        """
        changed = [i for i, (a, b) in enumerate(zip(self._sums, self._sum_up(), strict=True)) if a != b]
        if changed:
            raise DataError(
                f"the data must stay as they were read, but tensor {changed[0]} of {len(self._sums)} has been written "
                "to since the posterior was built; build another."
            )

    def _sum_up(self) -> list[tuple[int | None, int]]:
        """Return the number of writes that torch has counted, where it counts, and a checksum of each tensor."""
        tensors = tensors_of(self._batch)
        total = sum(t.numel() * t.element_size() for t in tensors)
        rows = None
        if total > _SUMMED_BYTES:
            rows = torch.linspace(0, self.n - 1, min(self.n, _SUMMED_ROWS), dtype=torch.float64, device="cpu").long()
        return [(count, _checksum(t, rows)) for count, t in zip(writes(self._batch), tensors, strict=True)]


class DatasetExamples:
    """Examples fetched and collated at every use: a dataset too large, or too ragged, to hold as tensors."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Batch], n: int) -> None:
        """Keep the dataset and its collate function."""
        self._dataset, self._collate, self.n = dataset, collate, n

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows."""
        kind = type(self._dataset).__name__
        items = []
        for i in rows.tolist():
            with doing(lambda i=i: f"reading row {i} of the data, a {kind}"):
                items.append(self._dataset[i])
        with doing(f"collating {len(items)} rows of the data, a {kind}"):
            batch = map_tensors(lambda t: t, self._collate(items))
        for t in tensors_of(batch):
            _require_plain(t, "a batch of the data")
            _require_finite(t, "a batch of the data")
        return batch

    def require_unchanged(self) -> None:
        """Nothing is held: what a dataset gives later is paired with what it gave before by its being fixed."""


def describe(data: Any) -> str:
    """Describe data in a few words, by types and shapes."""
    if isinstance(data, Tensor):
        return f"Tensor{tuple(data.shape)}"
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{key}: {describe(value)}" for key, value in data.items()) + "}"
    if isinstance(data, (tuple, list)):
        shown = ", ".join(describe(value) for value in data[:4]) + (", ..." if len(data) > 4 else "")
        return f"{type(data).__name__}({shown})"
    return type(data).__name__


def _require_plain(tensor: Tensor, what: str) -> None:
    """Refuse tensors whose rows cannot be taken, or that hold no values."""
    if tensor.is_nested:
        raise DataError(f"{what} must not be nested, as rows differ in shape; torch.nested.to_padded_tensor pads them.")
    if tensor.layout is not torch.strided:
        raise DataError(f"{what} must be dense, got {tensor.layout}; pass .to_dense().")
    if tensor.is_quantized:
        raise DataError(f"{what} must not be quantized, got {tensor.dtype}; pass .dequantize().")
    if tensor.is_meta:
        raise DataError(f"{what} must hold values, but it is on the meta device.")


def _require_finite(tensor: Tensor, what: str) -> None:
    if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise DataError(f"{what} must be finite, got {bad} of {tensor.numel()} entries that are NaN or infinite.")


def _checksum(tensor: Tensor, rows: Tensor | None) -> int:
    part = tensor if rows is None else tensor.index_select(0, rows.to(tensor.device))
    flat = part.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return zlib.crc32(flat.view(torch.uint8).numpy().data) if flat.numel() else 0
