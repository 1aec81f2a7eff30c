"""Data: the same 200 rows, in the forms in which users hold theirs."""

import collections
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from tests.faults.situations_axes import EITHER, OWN, REFUSED, ROWS, Data, UserError


class Pairs(Dataset[Any]):
    """A dataset of pairs, read row by row."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        return self.x[index], self.y[index]


class Stream(IterableDataset[Any]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __iter__(self) -> Iterator[Any]:
        return iter(zip(self.x, self.y, strict=True))


class Duck:
    """What has a length and rows, and is no Dataset: of torch it knows nothing."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self.x):
            raise IndexError(index)
        return self.x[index], self.y[index]


class Columns:
    """As a dataset of Hugging Face: rows by number, columns by name, slices as columns."""

    def __init__(self, x: Tensor, y: Tensor, wrap: Callable[[Any], Any] = lambda v: v) -> None:
        self.held, self.wrap = {"x": x, "y": y}, wrap
        self.column_names = ["x", "y"]

    def __len__(self) -> int:
        return len(self.held["x"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.wrap(self.held[key])
        return {name: self.wrap(column[key]) for name, column in self.held.items()}

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class Bag(collections.UserDict):
    """A mapping that is no dict, as what a tokenizer returns."""


class Both(NamedTuple):
    x: Tensor
    y: Tensor


class Restless(Pairs):
    def __getitem__(self, index: int) -> Any:
        return self.x[index] + 0.1 * torch.randn(3), self.y[index]


class RestlessLater(Pairs):
    """Augments at random from its hundredth row on."""

    def __getitem__(self, index: int) -> Any:
        noise = 0.1 * torch.randn(3) if index >= 100 else 0.0
        return self.x[index] + noise, self.y[index]


class Seeding(Pairs):
    """Sets the global random states at every read."""

    def __getitem__(self, index: int) -> Any:
        torch.manual_seed(index)
        np.random.seed(index)  # noqa: NPY002
        return super().__getitem__(index)


class Failing(Pairs):
    def __getitem__(self, index: int) -> Any:
        if index == 150:
            raise UserError("row 150 is not there")
        return super().__getitem__(index)


class FailingLength(Pairs):
    def __len__(self) -> int:
        raise UserError("nobody knows")


class Remembering(Pairs):
    """Keeps what it was asked for."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__(x, y)
        self.seen: list[int] = []

    def __getitem__(self, index: int) -> Any:
        self.seen.append(index)
        return super().__getitem__(index)


class Reordering:
    """A batch sampler of one's own, which runs over all rows."""

    def __len__(self) -> int:
        return ROWS // 20

    def __iter__(self) -> Iterator[list[int]]:
        return iter([list(range(k, ROWS, ROWS // 20)) for k in range(ROWS // 20)])


class HalfSampler:
    """A batch sampler of one's own, which leaves out every second row."""

    def __len__(self) -> int:
        return ROWS // 20

    def __iter__(self) -> Iterator[list[int]]:
        return iter([list(range(2 * k, ROWS, ROWS // 10)) for k in range(ROWS // 20)])


class Lengthless:
    """A batch sampler that does not tell its length, and leaves rows out."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([list(range(50)), list(range(50, 100))])


def batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return iter(list(zip(x.split(40), y.split(40), strict=True)))


def reused(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches that are all one buffer, filled anew each time."""
    held = torch.zeros(40, 3, dtype=x.dtype), torch.zeros(40, 1, dtype=y.dtype)
    for one, two in zip(x.split(40), y.split(40), strict=True):
        held[0].copy_(one)
        held[1].copy_(two)
        yield held


def failing_batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield x[:100], y[:100]
    raise UserError("the rest is lost")


def broken(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x[120, 1] = value
    return x


def dicts(items: list[Any]) -> dict[str, Tensor]:
    return {"x": torch.stack([x for x, _ in items]), "y": torch.stack([y for _, y in items])}


def nested(x: Tensor) -> Tensor:
    return torch.nested.nested_tensor(list(x), layout=torch.strided)


class Tagged(Tensor):
    """Data in a class of their own."""


def read_only(x: Tensor, y: Tensor) -> Any:
    arrays = x.numpy().copy(), y.numpy().copy()
    for array in arrays:
        array.flags.writeable = False
    return arrays


def in_inference(x: Tensor, y: Tensor) -> Any:
    with torch.inference_mode():
        return x.clone(), y.clone()


def with_history(x: Tensor, y: Tensor) -> Any:
    return x.clone().requires_grad_() * 1.0, y


def strided(x: Tensor, y: Tensor) -> Any:
    wide = torch.zeros(len(x), 6, dtype=x.dtype)
    wide[:, ::2] = x
    return wide[:, ::2], y


def numbered(x: Tensor, y: Tensor) -> list[Any]:
    return [(row, target) for row, target in zip(x, y, strict=True)]


def loader(x: Tensor, y: Tensor, kind: Any = TensorDataset, **settings: Any) -> DataLoader[Any]:
    return DataLoader(kind(x, y), **{"batch_size": 32, **settings})


PLAIN = "a tuple"

DATA: list[tuple[str, Data]] = [
    (PLAIN, Data(lambda x, y: (x, y))),
    # tensors
    ("a list", Data(lambda x, y: [x, y])),
    ("a named tuple", Data(Both)),
    ("a dict", Data(lambda x, y: {"x": x, "y": y})),
    ("a mapping", Data(lambda x, y: Bag(x=x, y=y), EITHER)),
    ("one tensor", Data(lambda x, y: torch.cat([x, y], 1))),
    ("strided", Data(strided)),
    ("a subclass of Tensor", Data(lambda x, y: (x.as_subclass(Tagged), y), EITHER)),
    ("made in inference mode", Data(in_inference)),
    ("with a gradient", Data(lambda x, y: (x.clone().requires_grad_(), y))),
    ("with a history", Data(with_history)),
    ("parameters", Data(lambda x, y: (torch.nn.Parameter(x.clone()), y))),
    ("sparse", Data(lambda x, y: (x.to_sparse(), y), EITHER)),
    ("compressed sparse", Data(lambda x, y: (x.to_sparse_csr(), y), EITHER)),
    ("nested", Data(lambda x, y: (nested(x), y), EITHER)),
    ("on meta", Data(lambda x, y: (x.to("meta"), y), REFUSED)),
    ("complex inputs", Data(lambda x, y: (x.to(torch.complex64), y), OWN)),
    ("another type", Data(lambda x, y: (x.to(torch.int16), y), OWN)),
    # datasets
    ("TensorDataset", Data(TensorDataset)),
    ("a dataset", Data(Pairs)),
    ("a subset", Data(lambda x, y: Subset(Pairs(x, y), list(range(ROWS))[::-1]))),
    ("joined datasets", Data(lambda x, y: ConcatDataset([Pairs(x[:50], y[:50]), Pairs(x[50:], y[50:])]))),
    ("a dataset of arrays", Data(lambda x, y: Pairs(x.numpy(), y.numpy()))),
    ("a stream", Data(Stream, settings=(("n", ROWS),))),
    ("a stream without n", Data(Stream, REFUSED)),
    ("joined streams", Data(lambda x, y: ChainDataset([Stream(x, y)]), settings=(("n", ROWS),))),
    ("a dataset that seeds", Data(Seeding)),
    ("a dataset that remembers", Data(Remembering)),
    ("random augmentation", Data(Restless, REFUSED)),
    ("random augmentation of some", Data(RestlessLater, REFUSED)),
    ("a dataset that fails", Data(Failing, OWN)),
    ("a dataset without a length", Data(FailingLength, OWN)),
    ("a duck", Data(Duck, EITHER)),
    ("columns, as of Hugging Face", Data(Columns, EITHER)),
    ("columns of arrays", Data(lambda x, y: Columns(x.numpy(), y.numpy()), EITHER)),
    ("columns of lists", Data(lambda x, y: Columns(x, y, lambda v: v.tolist()), EITHER)),
    # loaders
    ("a DataLoader", Data(loader)),
    ("a DataLoader that shuffles", Data(lambda x, y: loader(x, y, shuffle=True))),
    ("a DataLoader that drops the last", Data(lambda x, y: loader(x, y, drop_last=True), EITHER)),
    ("a DataLoader with workers", Data(lambda x, y: loader(x, y, Pairs, num_workers=1))),
    ("a DataLoader with its own collation", Data(lambda x, y: loader(x, y, Pairs, collate_fn=dicts))),
    ("a DataLoader of arrays", Data(lambda x, y: loader(x.numpy(), y.numpy(), Pairs))),
    ("a DataLoader of columns", Data(lambda x, y: loader(x, y, Columns))),
    ("a DataLoader of a stream", Data(lambda x, y: loader(x, y, Stream), settings=(("n", ROWS),))),
    ("a DataLoader without batches", Data(lambda x, y: loader(x, y, Pairs, batch_size=None), REFUSED)),
    (
        "a batch sampler",
        Data(lambda x, y: DataLoader(Pairs(x, y), batch_sampler=BatchSampler(SequentialSampler(x), 32, False))),
    ),
    ("a batch sampler of one's own", Data(lambda x, y: DataLoader(Pairs(x, y), batch_sampler=Reordering()), EITHER)),
    ("a batch sampler that skips", Data(lambda x, y: DataLoader(Pairs(x, y), batch_sampler=HalfSampler()), REFUSED)),
    (
        "a batch sampler that skips, of tensors",
        Data(lambda x, y: DataLoader(TensorDataset(x, y), batch_sampler=HalfSampler()), REFUSED),
    ),
    (
        "a batch sampler without a length",
        Data(lambda x, y: DataLoader(Pairs(x, y), batch_sampler=Lengthless()), REFUSED),
    ),
    (
        "a sampler of batches",
        Data(lambda x, y: DataLoader(Pairs(x, y), batch_size=None, sampler=Reordering()), EITHER),
    ),
    (
        "a sampler of a subset",
        Data(lambda x, y: loader(x, y, sampler=SubsetRandomSampler(range(50))), REFUSED),
    ),
    (
        "a sampler of one row, again and again",
        Data(lambda x, y: loader(x, y, sampler=[0] * ROWS), REFUSED),
    ),
    (
        "a sampler with weights",
        Data(lambda x, y: loader(x, y, sampler=WeightedRandomSampler([1.0] * ROWS, ROWS)), REFUSED),
    ),
    (
        "a sampler with replacement",
        Data(lambda x, y: loader(x, y, sampler=RandomSampler(x, replacement=True)), EITHER),
    ),
    # batches
    ("a list of pairs", Data(numbered, EITHER)),
    ("a list of batches", Data(lambda x, y: list(batches(x, y)))),
    ("a list of dicts", Data(lambda x, y: [{"x": a, "y": b} for a, b in batches(x, y)])),
    ("an iterator of batches", Data(batches, settings=(("n", ROWS),))),
    ("an iterator without n", Data(batches, REFUSED)),
    ("an iterator with one buffer", Data(reused, EITHER, settings=(("n", ROWS),))),
    ("an iterator that fails", Data(failing_batches, OWN, settings=(("n", ROWS),))),
    ("too few batches", Data(batches, REFUSED, settings=(("n", ROWS + 1),))),
    # what is no data
    ("arrays", Data(lambda x, y: (x.numpy(), y.numpy()))),
    ("arrays that cannot be written to", Data(read_only)),
    ("a list of pairs of arrays", Data(lambda x, y: numbered(x.numpy(), y.numpy()), EITHER)),
    ("a list of pairs of lists", Data(lambda x, y: numbered(x.tolist(), y.tolist()), EITHER)),
    ("lists", Data(lambda x, y: [x.tolist(), y.tolist()], REFUSED)),
    ("nothing", Data(lambda x, y: None, REFUSED)),
    ("an empty tuple", Data(lambda x, y: (), REFUSED)),
    ("no rows", Data(lambda x, y: (x[:0], y[:0]), REFUSED)),
    ("rows of other numbers", Data(lambda x, y: (x, y[:-1]), REFUSED)),
    ("NaN", Data(lambda x, y: (broken(x, float("nan")), y), REFUSED)),
    ("infinity", Data(lambda x, y: Pairs(broken(x, float("inf")), y), REFUSED)),
    ("a path", Data(lambda x, y: "data.csv", REFUSED)),
    # settings
    ("localization 1e30", Data(lambda x, y: (x, y), EITHER, settings=(("localization", 1e30),))),
    ("nbeta 1e30", Data(lambda x, y: (x, y), EITHER, settings=(("nbeta", 1e30),))),
    ("nbeta 1e-30", Data(lambda x, y: (x, y), EITHER, settings=(("nbeta", 1e-30),))),
    ("localization -1", Data(lambda x, y: (x, y), REFUSED, settings=(("localization", -1.0),))),
    ("n too large", Data(lambda x, y: (x, y), REFUSED, settings=(("n", ROWS + 5),))),
    ("batches of 50", Data(lambda x, y: (x, y), settings=(("batch_size", 50),))),
]


def tensors_in(data: Any) -> list[Tensor]:
    """The tensors that were handed over, as far as they can be seen from outside."""
    if isinstance(data, Tensor):
        return [data]
    if isinstance(data, Mapping):
        return [t for value in data.values() for t in tensors_in(value)]
    if isinstance(data, list | tuple):
        return [t for value in data[:5] for t in tensors_in(value)]
    if isinstance(data, DataLoader):
        return tensors_in(data.dataset)
    held = getattr(data, "__dict__", {})
    return [t for name in ("x", "y", "held", "tensors") if name in held for t in tensors_in(held[name])]
