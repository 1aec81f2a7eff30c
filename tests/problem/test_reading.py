"""Data of every kind become rows; what cannot be paired example by example is refused."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from slt.errors import DataError
from slt.problem.data import (
    DatasetExamples,
    TensorExamples,
    chunk_rows,
    holds_only_tensors,
    map_tensors,
    tensors_of,
)
from slt.problem.reading import read_data
from tests.models import Pairs, Sequences, drawn, integers, pad

X, Y = drawn(11, 3, seed=1), drawn(11, 2, seed=2)
ROWS = torch.tensor([7, 0, 7, 10])


class Tuples(Dataset):
    """Examples as tuples."""

    def __init__(self, x: Tensor = X, y: Tensor = Y) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


class Stream(IterableDataset):
    """Examples one after another, without end if asked."""

    def __init__(self, *, endless: bool = False) -> None:
        self.endless = endless

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pairs = list(zip(X, Y, strict=True))
        return iter(itertools.cycle(pairs) if self.endless else pairs)


class Named(NamedTuple):
    x: Tensor
    y: Tensor


class Rows:
    """Rows by number, of no class of torch's; columns by name and slices too, as Hugging Face has them."""

    def __init__(self, row: Callable[[int], Any], n: int = 11) -> None:
        self.row, self.n = row, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            return [self.row(i)[key] for i in range(self.n)]
        if isinstance(key, slice):
            rows = [self.row(i) for i in range(self.n)[key]]
            return {name: [row[name] for row in rows] for name in rows[0]}
        if not -self.n <= key < self.n:
            raise IndexError(key)
        return self.row(key % self.n)

    def __iter__(self) -> Iterator[Any]:
        return map(self.row, range(self.n))


def doubled(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return 2 * torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(X[i : i + 4], Y[i : i + 4]) for i in range(0, 11, 4)]


SOURCES: dict[str, tuple[Callable[[], Any], int | None]] = {
    "tuple": (lambda: (X, Y), None),
    "list": (lambda: [X, Y], None),
    "named tuple": (lambda: Named(X, Y), None),
    "TensorDataset": (lambda: TensorDataset(X, Y), None),
    "Dataset": (Tuples, None),
    "Subset": (lambda: Subset(Tuples(torch.cat([X + 1, X]), torch.cat([Y + 1, Y])), range(11, 22)), None),
    "ConcatDataset": (lambda: ConcatDataset([Tuples(X[:4], Y[:4]), Tuples(X[4:], Y[4:])]), None),
    "DataLoader": (lambda: DataLoader(Tuples(), batch_size=4), None),
    "shuffling DataLoader": (lambda: DataLoader(Tuples(), batch_size=4, shuffle=True), None),
    "DataLoader of tensors": (lambda: DataLoader(TensorDataset(X, Y), batch_size=4), None),
    "shuffling DataLoader that drops the last": (
        lambda: DataLoader(Tuples(), batch_size=4, shuffle=True, drop_last=True),
        None,
    ),
    "own batch sampler": (lambda: DataLoader(Tuples(), batch_sampler=[[3, 1], [0, 2], list(range(10, 3, -1))]), None),
    "arrays": (lambda: (X.numpy(), Y.numpy()), None),
    "arrays of the other byte order": (lambda: (X.numpy().astype(">f8"), Y.numpy()), None),
    "named tuple of arrays": (lambda: Named(X.numpy(), Y.numpy()), None),
    "batches of arrays": (lambda: [(x.numpy(), y.numpy()) for x, y in batches()], None),
    "list of pairs": (lambda: list(zip(X, Y, strict=True)), None),
    "tuple of pairs": (lambda: tuple(zip(X, Y, strict=True)), None),
    "list of pairs of arrays": (lambda: list(zip(X.numpy(), Y.numpy(), strict=True)), None),
    "rows that are no Dataset of torch": (lambda: Rows(lambda i: (X[i], Y[i])), None),
    "batch sampler": (
        lambda: DataLoader(Tuples(), batch_sampler=BatchSampler(SequentialSampler(range(11)), 4, drop_last=False)),
        None,
    ),
    "list of batches": (batches, None),
    "IterableDataset with n": (Stream, 11),
    "endless IterableDataset with n": (lambda: Stream(endless=True), 11),
    "DataLoader of an IterableDataset": (lambda: DataLoader(Stream(), batch_size=4), 11),
    "generator of batches with n": (lambda: (b for b in batches()), 11),
    "endless generator with n": (lambda: itertools.cycle(batches()), 11),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_data_gives_the_same_rows(kind: str):
    make, n = SOURCES[kind]
    examples = read_data(make(), n)
    assert examples.n == 11
    x, y = examples.take(ROWS)
    assert torch.equal(x, X[ROWS])
    assert torch.equal(y, Y[ROWS])


def test_an_iterable_is_cut_at_n_and_read_no_further():
    taken = 0

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal taken
        for batch in itertools.cycle(batches()):
            taken += 1
            yield batch

    assert read_data(stream(), 6).n == 6
    assert taken == 2


def test_a_mapping_keeps_its_names_and_one_tensor_stays_one():
    batch = read_data({"input_ids": X, "labels": Y}, None).take(ROWS)
    assert list(batch) == ["input_ids", "labels"]
    assert torch.equal(batch["labels"], Y[ROWS])
    assert torch.equal(read_data(X, None).take(ROWS), X[ROWS])


def test_a_buffer_that_is_filled_again_is_copied():
    def stream(buffer: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in zip(X, Y, strict=True):
            buffer.copy_(x)
            yield buffer[None], y[None]

    assert torch.equal(read_data(stream(torch.empty(3, dtype=X.dtype)), 11).take(ROWS)[0], X[ROWS])


@pytest.mark.parametrize("to", [list, torch.tensor, np.array])
def test_rows_of_hugging_face_are_the_examples_and_not_their_tokens(to: Callable[[list[int]], Any]):
    tokens = integers(9, 11, 6, seed=5)
    examples = read_data(Rows(lambda i: {"input_ids": to(tokens[i].tolist()), "label": i}), None)
    assert examples.n == 11
    batch = examples.take(ROWS)
    assert torch.equal(batch["input_ids"], tokens[ROWS])
    assert torch.equal(batch["label"], ROWS)


def test_pairs_with_numbers_are_rows():
    x, y = read_data([([1.0, 2.0], 0), ([3.0, 4.0], 1)], None).take(torch.tensor([1, 0]))
    assert torch.equal(x, torch.tensor([[3.0, 4.0], [1.0, 2.0]]))
    assert torch.equal(y, torch.tensor([1, 0]))
    x, y = read_data([(x, i) for i, x in enumerate(X)], None).take(ROWS)
    assert torch.equal(x, X[ROWS])
    assert torch.equal(y, ROWS)
    assert read_data([{"x": x, "y": torch.tensor(1.0)} for x in X], None).n == 11


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("uint16", torch.int32), ("uint32", torch.int64), ("uint8", torch.uint8), ("bool", torch.bool), ("f2", None)],
)
def test_arrays_of_every_kind_are_copied(kind: str, expected: torch.dtype | None):
    array = np.arange(6).reshape(3, 2).astype(kind)
    array.flags.writeable = False  # torch would warn of it if it were shared
    examples = read_data((array,), None)
    taken = examples.take(torch.arange(3))[0]
    assert taken.dtype == (torch.float16 if expected is None else expected)
    np.testing.assert_array_equal(taken.numpy(), array)
    array.flags.writeable = True
    array[:] = 0
    examples.require_unchanged()


def test_a_named_tuple_stays_one():
    assert isinstance(read_data(Named(X, Y), None).take(ROWS), Named)


def test_a_collate_function_is_used():
    for data, n in (
        (DataLoader(Tuples(), 4, collate_fn=doubled), None),
        (DataLoader(Stream(), 4, collate_fn=doubled), 11),
    ):
        x, y = read_data(data, n).take(ROWS)
        assert torch.equal(x, 2 * X[ROWS])
        assert torch.equal(y, Y[ROWS])


def test_a_collate_function_beside_a_tensor_dataset_is_used():
    x, _ = read_data(DataLoader(TensorDataset(X, Y), 4, collate_fn=doubled), None).take(ROWS)
    assert torch.equal(x, 2 * X[ROWS])


def test_numbers_become_tensors():
    class Numbers(Tuples):
        def __getitem__(self, i: int) -> Any:
            return np.float32(i), i, {"half": i / 2}

    a, b, c = read_data(Numbers(), None).take(ROWS)
    assert (a.dtype, b.dtype, c["half"].dtype) == (torch.float32, torch.int64, torch.float64)
    assert torch.equal(b, ROWS)


def test_a_dataset_that_fits_is_read_once_and_kept():
    reads = 0

    class Counted(Tuples):
        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            nonlocal reads
            reads += 1
            return super().__getitem__(i)

    examples = read_data(Counted(), None)
    assert isinstance(examples, TensorExamples)
    before = reads
    for _ in range(5):
        examples.take(ROWS)
    assert reads == before


def test_sequences_of_several_lengths_are_padded_batch_by_batch():
    """The first batch that is read is shorter than the last: such data must not be held in one width."""
    lengths = [2] * 256 + [5] * 10
    sequences = [integers(9, length, seed=i) for i, length in enumerate(lengths)]
    examples = read_data(DataLoader(Sequences(sequences), 4, collate_fn=pad), None)
    assert isinstance(examples, DatasetExamples)
    assert examples.n == 266
    assert examples.take(torch.tensor([0, 1]))["input_ids"].shape == (2, 2)
    wide = examples.take(torch.tensor([0, 260]))
    assert wide["input_ids"].shape == (2, 5)
    assert torch.equal(wide["input_ids"][1], sequences[260])


def test_batches_with_time_first_are_not_mistaken_for_examples():
    """A collate function that gives (time, batch): 5 times of 11 examples are 11 examples."""
    sequences = drawn(11, 5, 2, seed=3)

    class Time(Dataset):
        def __len__(self) -> int:
            return 11

        def __getitem__(self, i: int) -> Tensor:
            return sequences[i]

    examples = read_data(DataLoader(Time(), 4, collate_fn=lambda items: torch.stack(items, 1)), None)
    assert examples.n == 11
    assert torch.equal(examples.take(ROWS), sequences[ROWS].transpose(0, 1))


def test_a_stream_with_time_first_is_refused():
    loader = DataLoader(Stream(), 4, collate_fn=lambda items: torch.stack([x for x, _ in items], 1))
    with pytest.raises(DataError, match="33 examples, but n = 11"):
        read_data(loader, 11)


# --- refusals ------------------------------------------------------------------------------------------------


class Empty(Tuples):
    def __len__(self) -> int:
        return 0


class Lengthless(Dataset):
    def __getitem__(self, i: int) -> Tensor:
        return X[i]


class Flipped(Tuples):
    """Turns every second example round, by torch's, numpy's or Python's generator."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__(X.repeat(2, 1), Y.repeat(2, 1))
        self.draw = draw

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i] * (1 if self.draw() < 0.5 else -1), self.y[i]


def poisoned(value: float) -> Tensor:
    x = X.clone()
    x[8, 1] = value
    return x


TOKENS = torch.randint(9, (4, 7), generator=torch.Generator().manual_seed(0))
NAN = poisoned(math.nan)
REFUSED: dict[str, tuple[Callable[[], Any], int | None, str]] = {
    "empty tuple": (lambda: (), None, r"got tuple\(\)"),
    "empty list": (list, None, "at least one example"),
    "empty mapping": (dict, None, r"got \{\}"),
    "tensors without rows": (lambda: (X[:0], Y[:0]), None, r"at least one example, got none .*Tensor\(0, 3\)"),
    "empty TensorDataset": (lambda: TensorDataset(X[:0]), None, "at least one example"),
    "empty Dataset": (Empty, None, "at least one example, got an empty Empty"),
    "empty DataLoader": (lambda: DataLoader(Empty(), 4), None, "at least one example"),
    "empty generator": (lambda: (b for b in []), 3, "at least one example"),
    "generator without n": (lambda: (b for b in batches()), None, "n, the number of examples, must be given"),
    "IterableDataset without n": (Stream, None, "n, the number of examples to read, must be given"),
    "DataLoader of a stream without n": (lambda: DataLoader(Stream(), 4), None, "must be given"),
    "Dataset without a length": (Lengthless, None, "Lengthless does not tell its length"),
    "IterableDataset shorter than n": (Stream, 12, "hold 11 examples, fewer than the n = 12"),
    "generator shorter than n": (lambda: (b for b in batches()), 12, "hold 11 examples, fewer than the n = 12"),
    "tuple of another n": (lambda: (X, Y), 5, "hold 11 examples, but n = 5 was given"),
    "Dataset of another n": (Tuples, 12, "hold 11 examples, but n = 12 was given"),
    "DataLoader of another n": (lambda: DataLoader(Tuples(), 4), 4, "hold 11 examples, but n = 4 was given"),
    "NaN in a tuple": (lambda: (NAN, Y), None, "tensor 0 of the data must be finite, got 1 of 33"),
    "infinity in a mapping": (lambda: {"x": X, "y": poisoned(-math.inf)}, None, "tensor 1 .* 1 of 33"),
    "NaN in a Dataset": (lambda: Tuples(NAN, Y), None, "must be finite"),
    "NaN in a stream": (lambda: ((b + math.nan, y) for b, y in batches()), 4, "must be finite"),
    "ragged tuple": (lambda: (X, Y[:-1]), None, r"same number of rows, got tuple\(Tensor\(11, 3\), Tensor\(10, 2\)\)"),
    "ragged mapping": (lambda: {"x": X, "y": Y[:-1]}, None, "same number of rows"),
    "number among tensors": (lambda: (X, torch.tensor(1.0)), None, "first axis that counts examples"),
    "array of objects": (lambda: (np.array([None] * 3),), None, "must hold bools, integers or floats .* got object"),
    "array of text": (lambda: (np.array(["a", "b"]),), None, "got <U1 of shape"),
    "array of long floats": (lambda: (np.zeros(3, np.longdouble),), None, "convert it with .astype"),
    "array of uint64": (lambda: (np.zeros(3, np.uint64),), None, "use int64"),
    "sparse": (
        lambda: (X.to_sparse(), Y),
        None,
        r"tensor 0 of the data must be dense, got torch.sparse_coo; .*to_dense",
    ),
    "sparse rows": (lambda: [(x.to_sparse(), 1) for x in X], None, "dense|stack"),
    "meta": (lambda: (X.to("meta"), Y), None, "must hold values, but it is on the meta device"),
    "complex NaN": (lambda: (torch.complex(NAN, NAN), Y), None, "must be finite"),
    "frame": (lambda: type("Frame", (Rows,), {"to_numpy": None})(lambda i: i), None, r"to_numpy\(\) makes an array"),
    "list of numbers": (lambda: [1.0, 2.0], None, "each batch of the data must hold tensors"),
    "tuple of numbers": (lambda: (1.0, 2.0), None, r"torch.tensor\(data\) makes a tensor"),
    "splits": (lambda: {"train": Rows(lambda i: {"x": X[i]})}, None, "a single split of it, such as data"),
    "rows of several lengths": (
        lambda: Rows(lambda i: {"input_ids": list(range(i + 1))}),
        None,
        "must stack into tensors, .* Pad sequences to one length",
    ),
    "rows without numbers": (lambda: Rows(lambda i: {"x": X[i], "y": None}), None, "take columns without numbers out"),
    "vectors that may be batches": (lambda: [(X[i], X[i]) for i in range(4)], None, "fits both"),
    "batches of one": (lambda: [(X[i : i + 1], Y[i : i + 1]) for i in range(4)], None, "fits both"),
    "own batch sampler of a part": (
        lambda: DataLoader(Tuples(), batch_sampler=[[0, 1], [2, 3]]),
        None,
        "list with 4 of 11 examples; pass a torch.utils.data.Subset",
    ),
    "own batch sampler that repeats": (
        lambda: DataLoader(Tuples(), batch_sampler=[list(range(10)), [3]]),
        None,
        "list with 10 different of 11 examples",
    ),
    "endless sampler": (lambda: DataLoader(Tuples(), 4, sampler=itertools.count()), None, "more than 11 of 11"),
    "sampler of keys": (lambda: DataLoader(Tuples(), 4, sampler=list("abcdefghijk")), None, "numbers of rows, got str"),
    "drop_last in order": (
        lambda: DataLoader(Tuples(), 4, drop_last=True),
        None,
        "SequentialSampler with 8 of 11 .* drop_last=True leaves the others out",
    ),
    "share of a distributed sampler": (
        lambda: DataLoader(Tuples(), 4, sampler=DistributedSampler(Tuples(), 2, 0)),
        None,
        "DistributedSampler with 6 of 11 examples",
    ),
    "two batches of tokens": (
        lambda: [TOKENS, TOKENS],
        None,
        r"may hold batches of tokens, .* got list\(Tensor\(4, 7\), Tensor\(4, 7\)\)\. .* torch\.cat\(data\), .* tuple",
    ),
    "ten batches of tokens": (lambda: [TOKENS] * 10, None, "and 6 more. Give batches of tokens as one tensor"),
    "batches of tokens of other sizes": (lambda: [TOKENS, TOKENS[:2]], None, "may hold batches of tokens"),
    "sequences of tokens": (lambda: list(TOKENS), None, r"sequences of tokens as one tensor, torch\.stack\(data\)"),
    "text": (lambda: "data", None, "got str"),
    "number": (lambda: 3, None, "got int"),
    "batches of other widths": (lambda: [(X, Y), (X[:, :2], Y)], None, "same shapes beyond the first axis"),
    "batches that hold no tensors": (lambda: [1, 2], None, "each batch of the data must hold tensors"),
    "augmentation by torch": (lambda: Flipped(lambda: float(torch.rand(()))), None, "random augmentation"),
    "augmentation by numpy": (lambda: Flipped(np.random.default_rng(0).random), None, "random augmentation"),
    "augmentation in a DataLoader": (
        lambda: DataLoader(Flipped(lambda: float(torch.rand(()))), 4),
        None,
        "Flipped gave other values",
    ),
    "augmentation in collate": (
        lambda: DataLoader(Tuples(), 4, collate_fn=lambda items: (torch.rand(len(items)), torch.zeros(len(items)))),
        None,
        "random augmentation",
    ),
    "DataLoader without batches": (lambda: DataLoader(Tuples(), batch_size=None), None, "batch_size=None"),
    "sampler of a part": (
        lambda: DataLoader(Tuples(), 4, sampler=SubsetRandomSampler([1, 2, 3])),
        None,
        "SubsetRandomSampler with 3 of 11 examples; pass a torch.utils.data.Subset",
    ),
    "weighted sampler": (
        lambda: DataLoader(Tuples(), 4, sampler=WeightedRandomSampler([1.0] * 10 + [9.0], 11)),
        None,
        "WeightedRandomSampler",
    ),
    "batch sampler of a part": (
        lambda: DataLoader(Tuples(), batch_sampler=BatchSampler(SubsetRandomSampler([1, 2]), 2, drop_last=False)),
        None,
        "2 of 11 examples",
    ),
    "sampler of too many": (
        lambda: DataLoader(Tuples(), 4, sampler=RandomSampler(Tuples(), replacement=True, num_samples=20)),
        None,
        "20 of 11 examples",
    ),
    "part of tensors": (
        lambda: DataLoader(TensorDataset(X, Y), 4, sampler=SubsetRandomSampler([1, 2])),
        None,
        "2 of 11 examples",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_data_are_named(kind: str):
    make, n, message = REFUSED[kind]
    torch.manual_seed(0)
    with pytest.raises(DataError, match=message):
        read_data(make(), n)


def quantized() -> Tensor:
    return torch.quantize_per_tensor(X.float(), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.nested.nested_tensor([X[0], X[1]]), "must not be nested"),
        (quantized, "must not be quantized"),
    ],
)
def test_tensors_of_other_kinds_are_refused(make: Callable[[], Tensor], message: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once a process that it may drop them
        tensor = make()
    with pytest.raises(DataError, match=message):
        read_data((tensor,), None)


def test_asking_a_sampler_leaves_its_generator_alone():
    generator = torch.Generator().manual_seed(1)
    sampler = RandomSampler(Tuples(), generator=generator, num_samples=11, replacement=True)
    before = generator.get_state()
    with pytest.raises(DataError, match="different of 11"):
        read_data(DataLoader(Tuples(), 4, sampler=sampler), None)
    assert torch.equal(generator.get_state(), before)


def test_an_error_while_reading_says_first_what_was_read():
    class Gone(Tuples):
        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            if i == 7:
                raise RuntimeError("no such shard")
            return super().__getitem__(i)

    with pytest.raises(RuntimeError, match=r"^while reading row 7 of the data, a Gone: no such shard"):
        read_data(Gone(), None)
    ragged = Tuples()
    ragged.__class__ = type("Ragged", (Tuples,), {"__getitem__": lambda self, i: (X[i, : 1 + i % 2], Y[i])})
    with pytest.raises(RuntimeError, match=r"^while collating 11 rows of the data, a Ragged: stack expects"):
        read_data(ragged, None)


@pytest.mark.parametrize("large", [False, True])
def test_writes_to_the_data_are_named(large: bool, monkeypatch: pytest.MonkeyPatch):
    if large:
        monkeypatch.setattr("slt.problem.data._SUMMED_BYTES", 1)
    array = np.arange(33.0).reshape(11, 3)
    x = torch.from_numpy(array)
    examples = read_data({"a": X, "b": x}, None)
    examples.require_unchanged()
    array[0, 0] = 5.0  # torch does not see this write
    with pytest.raises(DataError, match="tensor 1 of 2 has been written to"):
        examples.require_unchanged()
    array[0, 0] = 0.0
    examples.require_unchanged()
    x.mul_(1.0)
    with pytest.raises(DataError, match="tensor 1 of 2"):
        examples.require_unchanged()


def test_data_of_inference_mode_are_read():
    with torch.inference_mode():
        x = X * 2
    examples = read_data((x,), None)
    examples.require_unchanged()
    assert torch.equal(examples.take(ROWS)[0], 2 * X[ROWS])


def test_a_sampler_without_a_length_is_taken_to_cover_the_data():
    class Lengths(Sampler):
        def __iter__(self) -> Iterator[int]:
            return iter(range(11))

    loader = DataLoader(Tuples(), batch_sampler=None, sampler=Lengths(), batch_size=4)
    assert read_data(loader, None).n == 11


def test_coin_flips_are_found_under_every_seed():
    """16 examples, each the same on both reads 1 time in 2: missed 1 time in 65,536."""
    for seed in range(200):
        torch.manual_seed(seed)
        with pytest.raises(DataError, match="random augmentation"):
            read_data(Flipped(lambda: float(torch.rand(()))), None)


def test_data_that_are_fetched_are_checked_at_every_fetch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("slt.problem.reading._HELD_BYTES", 1)
    late = X.repeat(3, 1)
    late[31, 0] = math.nan  # not among the rows that are tried first
    examples = read_data(Tuples(late, Y.repeat(3, 1)), None)
    examples.take(torch.arange(20))
    with pytest.raises(DataError, match="a batch of the data must be finite"):
        examples.take(torch.tensor([31]))


@pytest.mark.parametrize("held", [True, False])
def test_fetched_and_held_data_give_the_same_rows(held: bool, monkeypatch: pytest.MonkeyPatch):
    if not held:
        monkeypatch.setattr("slt.problem.reading._HELD_BYTES", 1)
    examples = read_data(Pairs(X, Y), None)
    assert isinstance(examples, TensorExamples if held else DatasetExamples)
    batch = examples.take(ROWS)
    assert torch.equal(batch["x"], X[ROWS])
    assert torch.equal(batch["y"], Y[ROWS])


# --- the small tools -----------------------------------------------------------------------------------------


def test_trees_of_tensors():
    tree = {"a": [X, (Y, 3)], "b": Named(X, Y)}
    assert [t is u for t, u in zip(tensors_of(tree), [X, Y, X, Y], strict=True)] == [True] * 4
    mapped = map_tensors(lambda t: t + 1, tree)
    assert torch.equal(mapped["a"][1][0], Y + 1)
    assert mapped["a"][1][1] == 3
    assert isinstance(mapped["b"], Named)
    assert not holds_only_tensors(tree)
    assert holds_only_tensors(tree["b"])


def test_a_chunk_is_what_was_asked_for_or_what_fits():
    examples = read_data((X, Y), None)
    assert chunk_rows(examples, 4) == 4
    assert chunk_rows(examples, 400) == 11
    assert chunk_rows(examples, None) == 11
    wide = read_data((torch.zeros(10, 2**20),), None)
    assert chunk_rows(wide, None) == 4
    tokens = read_data((torch.zeros(10, 2**11, dtype=torch.long),), None)
    assert chunk_rows(tokens, None) == 2


@pytest.mark.parametrize(
    "data", [(TOKENS, TOKENS), [TOKENS, TOKENS[:, 0]], [TOKENS, TOKENS.double()], [TOKENS], {"a": TOKENS, "b": TOKENS}]
)
def test_integers_whose_part_is_clear_are_read(data: Any):
    assert read_data(data, None).n == 4


def test_a_generator_of_token_batches_is_one_of_batches():
    assert torch.equal(read_data((b for b in [TOKENS, TOKENS]), 8).take(torch.arange(8)), torch.cat([TOKENS, TOKENS]))
