"""The user's data, read once: a known number of examples, any rows of them as a batch."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from slt.errors import DataError

Batch = Any
"""What the loss receives beside the model: a tensor, or a tuple, list or dict of tensors (and constants)."""

_HELD_BYTES = 2**31  # a dataset whose collated tensors fit here is read once and kept
_READ_ROWS = 256  # examples collated at a time while a dataset is read
_TOKEN_NUMBERS = 1024  # an integer entry usually opens an embedding: what it costs in activations
_CHUNK_NUMBERS = 2**22  # numbers of one chunk of a full pass


class Examples(Protocol):
    """A known number of examples."""

    n: int

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows (1-D, long), in this order, as the loss receives it."""
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
    one = examples.take(torch.zeros(1, dtype=torch.long))
    numbers = sum(t.numel() * (1 if t.is_floating_point() else _TOKEN_NUMBERS) for t in tensors_of(one))
    return max(1, min(examples.n, _CHUNK_NUMBERS // max(numbers, 1)))


class TensorExamples:
    """Examples held as tensors whose first axis counts them."""

    def __init__(self, batch: Batch) -> None:
        """Check that the tensors agree on the number of rows and hold finite values."""
        tensors = tensors_of(batch)
        if not tensors or not holds_only_tensors(batch):
            raise DataError(f"data must hold tensors, got {_describe(batch)}.")
        if any(t.ndim == 0 for t in tensors):
            raise DataError(
                f"every tensor of the data needs a first axis that counts examples, got {_describe(batch)}."
            )
        counts = {t.shape[0] for t in tensors}
        if len(counts) > 1:
            raise DataError(f"all tensors of the data must have the same number of rows, got {_describe(batch)}.")
        self.n = counts.pop()
        if self.n == 0:
            raise DataError(f"data must hold at least one example, got none ({_describe(batch)}).")
        for i, t in enumerate(tensors):
            _require_finite(t, f"tensor {i} of the data")
        self._batch = map_tensors(lambda t: t.detach(), batch)

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows."""
        return map_tensors(lambda t: t.index_select(0, rows.to(t.device)), self._batch)


class DatasetExamples:
    """Examples fetched and collated at every use: a dataset too large, or too ragged, to hold as tensors."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Batch], n: int) -> None:
        """Keep the dataset and its collate function."""
        self._dataset, self._collate, self.n = dataset, collate, n

    def take(self, rows: Tensor) -> Batch:
        """Return the batch of these rows."""
        batch = map_tensors(lambda t: t, self._collate([self._dataset[i] for i in rows.tolist()]))
        for t in tensors_of(batch):
            _require_finite(t, "a batch of the data")
        return batch


def read_data(data: Any, n: int | None) -> Examples:
    """Read what the user calls data.

    Args:
        data: A tuple, list or mapping of tensors (or one tensor) whose first axis counts examples; a Dataset; a
            DataLoader, of which the dataset and the collate function are used; or an iterable of batches, read
            until it ends or `n` examples are held. A list of integer tensors alone may be either, and is refused.
        n: Examples to read from data that cannot tell their own number.

    Returns:
        The examples.

    Raises:
        DataError: If the data are empty, ragged, not finite, random, or of unknown number.
    """
    examples = _read(data, n)
    if n is not None and n != examples.n:
        raise DataError(f"the data hold {examples.n} examples, but n = {n} was given; leave n out.")
    return examples


def _read(data: Any, n: int | None) -> Examples:
    if isinstance(data, DataLoader):
        return _read_loader(data, n)
    if isinstance(data, TensorDataset):
        return TensorExamples(data.tensors)
    if isinstance(data, IterableDataset):
        return _read_stream(default_collate([item]) for item in _bounded(data, n))
    if isinstance(data, Dataset):
        return _read_dataset(data, default_collate)
    _require_told_apart(data)
    if isinstance(data, Tensor) or (isinstance(data, (tuple, list, Mapping)) and data and _looks_like_batch(data)):
        return TensorExamples(data)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, tuple, Mapping)):
        if n is None and not isinstance(data, Sequence):
            raise DataError(
                f"n, the number of examples, must be given for {type(data).__name__}, which does not tell its own."
            )
        return _read_batches(data, n)
    arrays = "; torch.from_numpy makes tensors of arrays" if "ndarray" in _describe(data) else ""
    raise DataError(
        "data must be a tuple of tensors, a Dataset, a DataLoader or an iterable of batches, got "
        f"{_describe(data)}{arrays}."
    )


def _looks_like_batch(data: Any) -> bool:
    values = data.values() if isinstance(data, Mapping) else data
    return all(isinstance(value, Tensor) for value in values)


def _require_told_apart(data: Any) -> None:
    """Refuse a list of integer tensors that may be batches of tokens as well as the columns of one batch."""
    if not (isinstance(data, list) and len(data) > 1 and _looks_like_batch(data)):
        return
    kinds = {(t.ndim, t.is_floating_point() or t.is_complex() or t.dtype == torch.bool) for t in data}
    if len(kinds) > 1 or next(iter(kinds)) not in ((1, False), (2, False)):
        return
    apart, whole = ("sequences", "torch.stack(data)") if data[0].ndim == 1 else ("batches", "torch.cat(data)")
    raise DataError(
        f"a list of integer tensors may hold {apart} of tokens, or the columns of one batch such as inputs and "
        f"targets; got {_describe(data[:4])}{f' and {len(data) - 4} more' if len(data) > 4 else ''}. Give {apart} of "
        f"tokens as one tensor, {whole}, padded to one length, and columns as a tuple, tuple(data)."
    )


def _read_loader(loader: DataLoader[Any], n: int | None) -> Examples:
    if loader.batch_size is None and loader.batch_sampler is None:
        raise DataError(
            "a DataLoader with batch_size=None has no examples to draw minibatches from; "
            "pass its dataset, or a DataLoader that collates examples."
        )
    _require_whole(loader)
    if isinstance(loader.dataset, IterableDataset):
        collate = loader.collate_fn
        return _read_stream(collate([item]) for item in _bounded(loader.dataset, n))
    if isinstance(loader.dataset, TensorDataset) and loader.collate_fn is default_collate:
        return TensorExamples(loader.dataset.tensors)
    return _read_dataset(loader.dataset, loader.collate_fn)


def _require_whole(loader: DataLoader[Any]) -> None:
    """Refuse a sampler that leaves examples out or weighs them: the dataset is read without it."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(loader.dataset, IterableDataset) or not hasattr(sampler, "__len__"):
        return
    drawn, n = len(cast("Sized", sampler)), len(cast("Sequence[Any]", loader.dataset))
    if drawn != n or isinstance(sampler, WeightedRandomSampler):
        raise DataError(
            f"a DataLoader's sampler must run over its whole dataset, got {type(sampler).__name__} with "
            f"{drawn} of {n} examples; pass a torch.utils.data.Subset."
        )


def _bounded(stream: Iterable[Any], n: int | None) -> Iterator[Any]:
    if n is None:
        raise DataError("n, the number of examples to read, must be given for an IterableDataset.")
    count = 0
    for item in itertools.islice(stream, n):
        yield item
        count += 1
    if count < n:
        raise DataError(f"the data hold {count} examples, fewer than the n = {n} asked for.")


def _read_stream(batches: Iterable[Batch]) -> Examples:
    held = list(batches)
    if not held:
        raise DataError("data must hold at least one example, got an empty iterable.")
    return TensorExamples(_concatenate(held))


def _read_batches(batches: Iterable[Batch], n: int | None) -> Examples:
    held, count = [], 0
    for batch in batches:
        held.append(batch)
        tensors = tensors_of(batch)
        if not tensors or tensors[0].ndim == 0:
            raise DataError(f"each batch of the data must hold tensors with rows, got {_describe(batch)}.")
        count += tensors[0].shape[0]
        if n is not None and count >= n:
            break
    if not held:
        raise DataError("data must hold at least one example, got an empty iterable.")
    if n is not None and count < n:
        raise DataError(f"the data hold {count} examples, fewer than the n = {n} asked for.")
    whole = _concatenate(held)
    return TensorExamples(whole if n is None else map_tensors(lambda t: t[:n], whole))


def _read_dataset(dataset: Any, collate: Callable[[list[Any]], Batch]) -> Examples:
    try:
        n = len(cast("Sequence[Any]", dataset))
    except TypeError as error:
        raise DataError(f"{type(dataset).__name__} does not tell its length, so n is unknown.") from error
    if n == 0:
        raise DataError(f"data must hold at least one example, got an empty {type(dataset).__name__}.")
    lazy = DatasetExamples(dataset, collate, n)
    probe = torch.arange(min(n, 16))
    first, second = lazy.take(probe), lazy.take(probe)
    for a, b in zip(tensors_of(first), tensors_of(second), strict=True):
        if a.shape != b.shape or not torch.equal(a, b):
            raise DataError(
                f"{type(dataset).__name__} gave other values for its first rows at a second read: random "
                "augmentation breaks the pairing of each loss with its value at w*. Switch it off."
            )
    held_bytes = sum(t.numel() * t.element_size() for t in tensors_of(first)) / len(probe) * n
    if held_bytes > _HELD_BYTES or not holds_only_tensors(first):
        return lazy
    batches = [lazy.take(torch.arange(i, min(i + _READ_ROWS, n))) for i in range(0, n, _READ_ROWS)]
    # A collate function that pads gives other widths in other batches, and one that puts time first gives another
    # number of rows: such data are collated at every use.
    shapes = {tuple(t.shape[1:] for t in tensors_of(batch)) for batch in batches}
    counts = [min(_READ_ROWS, n - i) for i in range(0, n, _READ_ROWS)]
    rows_first = all(t.shape[:1] == (k,) for b, k in zip(batches, counts, strict=True) for t in tensors_of(b))
    return TensorExamples(_concatenate(batches)) if rows_first and len(shapes) == 1 else lazy


def _concatenate(batches: list[Batch]) -> Batch:
    columns = [tensors_of(batch) for batch in batches]
    widths = {len(column) for column in columns}
    if len(widths) > 1 or len({tuple(t.shape[1:] for t in column) for column in columns}) > 1:
        raise DataError("all batches of the data must hold tensors of the same shapes beyond the first axis.")
    whole = iter([torch.cat(column) for column in zip(*columns, strict=True)])
    return map_tensors(lambda _: next(whole), batches[0])


def _require_finite(tensor: Tensor, what: str) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise DataError(f"{what} must be finite, got {bad} of {tensor.numel()} entries that are NaN or infinite.")


def _describe(data: Any) -> str:
    if isinstance(data, Tensor):
        return f"Tensor{tuple(data.shape)}"
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{key}: {_describe(value)}" for key, value in data.items()) + "}"
    if isinstance(data, (tuple, list)):
        return f"{type(data).__name__}(" + ", ".join(_describe(value) for value in data) + ")"
    return type(data).__name__
