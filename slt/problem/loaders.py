"""Whether a DataLoader gives every example once: its dataset is read without its sampler."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from numbers import Integral
from typing import Any, cast

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from slt.errors import DataError


def require_whole(loader: DataLoader[Any]) -> None:
    """Refuse a DataLoader that leaves examples out, repeats or weighs them.

    The order of the examples does not matter, and which of them a shuffled loader leaves out of an epoch by
    ``drop_last`` is another part each time. A sampler that is not torch's own is asked for its numbers, once.

    Args:
        loader: The loader.

    Raises:
        DataError: If an epoch does not hold every example of the dataset once.
    """
    if isinstance(loader.dataset, IterableDataset):
        return
    n = len(cast("Sequence[Any]", loader.dataset))
    sampler = loader.sampler
    if loader.batch_sampler is not None:
        sampler = getattr(loader.batch_sampler, "sampler", loader.batch_sampler)
    if _gives_all(loader, sampler, n):
        return
    numbers = [] if isinstance(sampler, WeightedRandomSampler) else _numbers(loader, n)
    if not all(isinstance(number, Integral) for number in numbers):
        raise DataError(f"the sampler of a DataLoader must give numbers of rows, got {type(numbers[0]).__name__}.")
    counts = Counter(int(cast("int", number)) for number in numbers)
    if len(numbers) == n and set(counts) == set(range(n)):
        return
    said = _size(sampler, numbers, n)
    dropped = " drop_last=True leaves the others out." if getattr(loader, "drop_last", False) else ""
    raise DataError(
        f"a DataLoader must give every example of its dataset once, got {type(sampler).__name__} with {said} of {n} "
        f"examples; pass a torch.utils.data.Subset.{dropped}"
    )


def _gives_all(loader: DataLoader[Any], sampler: Any, n: int) -> bool:
    """Whether the types alone show that every example is given."""
    batches = loader.batch_sampler
    if batches is not None and type(batches) is not BatchSampler:
        return False
    if type(sampler) is RandomSampler:
        return not sampler.replacement and len(sampler) == n == len(sampler.data_source)
    dropped = batches is not None and batches.drop_last and n % batches.batch_size
    return type(sampler) is SequentialSampler and len(sampler) == n and not dropped


def _numbers(loader: DataLoader[Any], n: int) -> list[Any]:
    """Return the numbers of an epoch's rows, and no more than tell that there are too many."""
    batches: Iterable[Any] = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    found: list[Any] = []
    with _generators_kept(loader):
        for batch in batches:
            found += [batch] if loader.batch_sampler is None else list(batch)
            if len(found) > n:
                break
    return found


@contextmanager
def _generators_kept(loader: DataLoader[Any]) -> Iterator[None]:
    """Put the random generators of the samplers back to where they were."""
    holders = (loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None), loader.sampler)
    generators = [g for h in holders if isinstance(g := getattr(h, "generator", None), torch.Generator)]
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _size(sampler: Any, numbers: list[Any], n: int) -> str:
    if len(numbers) > n or not numbers:
        return str(len(cast("Sized", sampler))) if hasattr(sampler, "__len__") else f"more than {n}"
    different = len(set(numbers))
    return str(len(numbers)) if different == len(numbers) else f"{different} different"
