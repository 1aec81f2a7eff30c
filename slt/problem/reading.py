"""What the user calls data, read as examples."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Number
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from slt.errors import DataError
from slt.problem.data import (
    Batch,
    DatasetExamples,
    Examples,
    TensorExamples,
    describe,
    holds_only_tensors,
    map_tensors,
    tensors_of,
)
from slt.problem.doing import doing
from slt.problem.loaders import require_whole

_HELD_BYTES = 2**31  # a dataset whose collated tensors fit here is read once and kept
_PROBED = 16  # rows that are read twice
_READ_ROWS = 256  # examples collated at a time while a dataset is read


def read_data(data: Any, n: int | None) -> Examples:
    """Read what the user calls data.

    Args:
        data: A tuple, list or mapping of tensors or NumPy arrays (or a single one) whose first axis counts examples;
            a Dataset, torch's or Hugging Face's, or a list of its rows, such as (input, target) pairs; a
            DataLoader, of which the dataset and the collate function are used, and which must give every example
            once; or an iterable of batches, read until it ends or `n` examples are held. Arrays are copied once. A
            list that may be read in two ways is refused.
        n: Examples to read from data that cannot tell their own number.

    Returns:
        The examples.

    Raises:
        DataError: If the data are empty, ragged, not finite, random, or of unknown number.
    """
    examples = _read(with_tensors(data), n)
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
    _require_one_meaning(data)
    if isinstance(data, Tensor) or (isinstance(data, (tuple, list, Mapping)) and data and _looks_like_batch(data)):
        return TensorExamples(data)
    frame = hasattr(data, "to_numpy")
    if not frame and _is_rows(data):
        return _read_dataset(data, collate_rows)
    if isinstance(data, Iterable) and not frame and not isinstance(data, (str, bytes, tuple, Mapping)):
        if n is None and not isinstance(data, Sequence):
            raise DataError(
                f"n, the number of examples, must be given for {type(data).__name__}, which does not tell its own."
            )
        return _read_batches(data, n)
    raise DataError(
        "data must be a tuple of tensors, a Dataset, a DataLoader or an iterable of batches, got "
        f"{describe(data)}{_way_on(data)}"
    )


# --- arrays --------------------------------------------------------------------------------------------------


def with_tensors(data: Any) -> Any:
    """Turn NumPy arrays into tensors of their own, by one copy; anything else stays."""
    if isinstance(data, np.ndarray):
        return _tensor(data)
    if isinstance(data, dict) and any(isinstance(value, np.ndarray) for value in data.values()):
        return {key: with_tensors(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(with_tensors(value) for value in data))
    if isinstance(data, (tuple, list)) and any(isinstance(value, np.ndarray) for value in data):
        return type(data)(with_tensors(value) for value in data)
    return data


_WIDER = {"uint16": np.int32, "uint32": np.int64}  # what torch computes little with


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise DataError(
            f"an array of the data must hold bools, integers or floats that torch has, got {array.dtype} of shape "
            f"{array.shape}; convert it with .astype."
        )
    if array.dtype.name == "uint64":
        raise DataError("an array of the data must not hold uint64, which torch computes little with; use int64.")
    kind = _WIDER.get(array.dtype.name, array.dtype.newbyteorder("="))
    return torch.from_numpy(np.array(array, dtype=kind, order="C"))


def _way_on(data: Any) -> str:
    if hasattr(data, "to_numpy"):
        return "; data.to_numpy() makes an array, which is taken."
    if isinstance(data, (tuple, list)) and data and all(isinstance(value, Number) for value in data):
        return "; torch.tensor(data) makes a tensor, which is taken."
    if isinstance(data, Mapping) and data and all(hasattr(value, "__getitem__") for value in data.values()):
        return "; give a single split of it, such as data['train']."
    return "."


# --- tensors, batches or rows --------------------------------------------------------------------------------


def _looks_like_batch(data: Any) -> bool:
    values = data.values() if isinstance(data, Mapping) else data
    return all(isinstance(value, Tensor) for value in values)


def _require_one_meaning(data: Any) -> None:
    """Refuse a list that may hold columns as well as batches, or batches as well as rows."""
    if not isinstance(data, list):
        return
    shown = f"{describe(data[:4])}{f' and {len(data) - 4} more' if len(data) > 4 else ''}"
    if len(data) > 1 and _looks_like_batch(data):
        kinds = {(t.ndim, t.is_floating_point() or t.is_complex() or t.dtype == torch.bool) for t in data}
        if len(kinds) > 1 or next(iter(kinds)) not in ((1, False), (2, False)):
            return
        apart, whole = ("sequences", "torch.stack(data)") if data[0].ndim == 1 else ("batches", "torch.cat(data)")
        raise DataError(
            f"a list of integer tensors may hold {apart} of tokens, or the columns of one batch such as inputs and "
            f"targets; got {shown}. Give {apart} of tokens as one tensor, {whole}, padded to one length, and columns "
            "as a tuple, tuple(data)."
        )
    sizes, shapes = {_batch_size(item) for item in data}, [_shapes(item) or [] for item in data]
    flat = all(len(shape) == 1 for item in shapes for shape in item)
    if len(sizes) == 1 and None not in sizes and all(item == shapes[0] for item in shapes) and (sizes == {1} or flat):
        raise DataError(
            f"a list of tuples may hold the rows of a dataset, or batches; got {shown}, which fits both. Give rows as "
            "the tuple of their columns, such as (torch.stack(inputs), torch.stack(targets)), and batches likewise by "
            "torch.cat."
        )


def _is_rows(data: Any) -> bool:
    """Whether data are rows by number: a list or tuple of them, or a dataset that is none of torch's."""
    if isinstance(data, (list, tuple)):
        rows = [isinstance(item, (tuple, list, Mapping)) and len(item) > 0 for item in data]
        return bool(rows) and all(rows) and any(_batch_size(item) is None for item in data)
    if isinstance(data, (str, bytes, Mapping)) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        return False
    if hasattr(data, "to_numpy") or not len(data):
        return False
    with doing(f"reading row 0 of the data, a {type(data).__name__}"):
        row = data[0]
    return (isinstance(row, (tuple, list, Mapping, Tensor, np.ndarray)) and _batch_size(row) is None) or _is_named(row)


def _is_named(row: Any) -> bool:
    """Whether a row names its columns, as those of Hugging Face's datasets do."""
    return isinstance(row, Mapping)


def _shapes(item: Any) -> list[tuple[int, ...]] | None:
    """Shapes in an item of tensors or arrays alone; None where it holds anything else, or nothing."""
    values = item.values() if isinstance(item, Mapping) else item if isinstance(item, (tuple, list)) else [item]
    if not values or not all(isinstance(value, (Tensor, np.ndarray)) for value in values):
        return None
    return [tuple(value.shape) for value in values]


def _batch_size(item: Any) -> int | None:
    """Number of rows where an item may be a batch: tensors that agree on their first axis; else None."""
    counts = {shape[:1] for shape in _shapes(item) or [()]}
    return next(iter(counts.pop()), None) if len(counts) == 1 else None


def collate_rows(rows: list[Any]) -> Batch:
    """Stack the columns of rows; lists of numbers in them become tensors.

    Args:
        rows: Tuples, mappings, tensors or arrays, all alike.

    Returns:
        A batch of the rows' kind.

    Raises:
        DataError: If the rows cannot be stacked.
    """
    try:
        return default_collate([_numbers_to_tensors(row) for row in rows])
    except (RuntimeError, TypeError, KeyError) as error:
        raise DataError(
            f"the rows of the data must stack into tensors, got {describe(rows[0])} first, and {error}. Pad sequences "
            "to one length, take columns without numbers out, or pass a DataLoader with a collate_fn."
        ) from error


def _numbers_to_tensors(row: Any) -> Any:
    if isinstance(row, Mapping):
        return {key: _numbers_to_tensors(value) for key, value in row.items()}
    if isinstance(row, tuple):
        return tuple(_numbers_to_tensors(value) for value in row)
    if isinstance(row, np.ndarray):
        return _tensor(row)
    if isinstance(row, list):
        flat = row
        while flat and isinstance(flat[0], list):
            flat = flat[0]
        return torch.tensor(row, device="cpu") if flat and isinstance(flat[0], Number) else row
    return row


# --- DataLoaders, streams, datasets --------------------------------------------------------------------------


def _read_loader(loader: DataLoader[Any], n: int | None) -> Examples:
    if loader.batch_size is None and loader.batch_sampler is None:
        raise DataError(
            "a DataLoader with batch_size=None has no examples to draw minibatches from; "
            "pass its dataset, or a DataLoader that collates examples."
        )
    if isinstance(loader.dataset, IterableDataset):
        collate = loader.collate_fn
        return _read_stream(collate([item]) for item in _bounded(loader.dataset, n))
    _length(loader.dataset)
    require_whole(loader)
    if isinstance(loader.dataset, TensorDataset) and loader.collate_fn is default_collate:
        return TensorExamples(loader.dataset.tensors)
    return _read_dataset(loader.dataset, loader.collate_fn)


def _bounded(stream: Iterable[Any], n: int | None) -> Iterator[Any]:
    if n is None:
        raise DataError("n, the number of examples to read, must be given for an IterableDataset.")
    count = 0
    with doing(f"reading the data, a {type(stream).__name__}"):
        for item in itertools.islice(stream, n):
            yield item
            count += 1
    if count < n:
        raise DataError(f"the data hold {count} examples, fewer than the n = {n} asked for.")


def _read_stream(batches: Iterable[Batch]) -> Examples:
    held = [map_tensors(torch.clone, batch) for batch in batches]  # which may be one buffer, filled again
    if not held:
        raise DataError("data must hold at least one example, got an empty iterable.")
    return TensorExamples(_concatenate(held))


def _read_batches(batches: Iterable[Batch], n: int | None) -> Examples:
    held, count = [], 0
    with doing(f"reading batches of the data, a {type(batches).__name__}"):
        for given in map(with_tensors, batches):
            # An iterator may fill one and the same buffer again and again.
            batch = given if isinstance(batches, Sequence) else map_tensors(torch.clone, given)
            held.append(batch)
            tensors = tensors_of(batch)
            if not tensors or tensors[0].ndim == 0:
                raise DataError(f"each batch of the data must hold tensors with rows, got {describe(batch)}.")
            count += tensors[0].shape[0]
            if n is not None and count >= n:
                break
    if not held:
        raise DataError("data must hold at least one example, got an empty iterable.")
    if n is not None and count < n:
        raise DataError(f"the data hold {count} examples, fewer than the n = {n} asked for.")
    whole = _concatenate(held)
    return TensorExamples(whole if n is None else map_tensors(lambda t: t[:n], whole))


def _length(dataset: Any) -> int:
    try:
        n = len(cast("Sequence[Any]", dataset))
    except TypeError as error:
        raise DataError(f"{type(dataset).__name__} does not tell its length, so n is unknown.") from error
    if n == 0:
        raise DataError(f"data must hold at least one example, got an empty {type(dataset).__name__}.")
    return n


def _read_dataset(dataset: Any, collate: Callable[[list[Any]], Batch]) -> Examples:
    n = _length(dataset)
    lazy = DatasetExamples(dataset, collate, n)
    # From all over the data: some may be augmented where others are not.
    probe = torch.linspace(0, n - 1, min(n, _PROBED), dtype=torch.float64, device="cpu").round().long()
    first, second = lazy.take(probe), lazy.take(probe)
    for a, b in zip(tensors_of(first), tensors_of(second), strict=True):
        if a.shape != b.shape or not torch.equal(a, b):
            raise DataError(
                f"{type(dataset).__name__} gave other values for its rows at a second read: random "
                "augmentation breaks the pairing of each loss with its value at w*. Switch it off."
            )
    held_bytes = sum(t.numel() * t.element_size() for t in tensors_of(first)) / len(probe) * n
    if held_bytes > _HELD_BYTES or not holds_only_tensors(first):
        return lazy
    starts = range(0, n, _READ_ROWS)
    batches = [lazy.take(torch.arange(i, min(i + _READ_ROWS, n), device="cpu")) for i in starts]
    # A collate function that pads gives other widths in other batches, and one that puts time first gives another
    # number of rows: such data are collated at every use.
    shapes = {tuple(t.shape[1:] for t in tensors_of(batch)) for batch in batches}
    counts = [min(_READ_ROWS, n - i) for i in starts]
    rows_first = all(t.shape[:1] == (k,) for b, k in zip(batches, counts, strict=True) for t in tensors_of(b))
    return TensorExamples(_concatenate(batches)) if rows_first and len(shapes) == 1 else lazy


def _concatenate(batches: list[Batch]) -> Batch:
    columns = [tensors_of(batch) for batch in batches]
    widths = {len(column) for column in columns}
    if len(widths) > 1 or len({tuple(t.shape[1:] for t in column) for column in columns}) > 1:
        raise DataError("all batches of the data must hold tensors of the same shapes beyond the first axis.")
    whole = iter([torch.cat(column) for column in zip(*columns, strict=True)])
    return map_tensors(lambda _: next(whole), batches[0])
