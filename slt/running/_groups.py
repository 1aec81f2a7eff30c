"""Chains of one run in groups that fit in memory: laid end to end for what concerns all, and cut apart again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def join(trees: Sequence[Any]) -> Any:
    """Lay NamedTuples, Params and (chains, ...) tensors end to end along the chain axis; the rest is shared."""
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(list(trees))
    if isinstance(first, dict):
        return {key: join([tree[key] for tree in trees]) for key in first}
    if isinstance(first, tuple):
        return type(first)(*(join(column) for column in zip(*trees, strict=True)))
    return first


def part(tree: Any, chains: slice) -> Any:
    """Cut a range of chains out of what `join` made."""
    if isinstance(tree, Tensor):
        return tree[chains]
    if isinstance(tree, dict):
        return {key: part(value, chains) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return type(tree)(*(part(value, chains) for value in tree))
    return tree


def join_tuning(tunings: Sequence[Any]) -> Any:
    """Join tunings: (chains,) tensors end to end, Params are shared by all chains."""
    first = tunings[0]
    return type(first)(
        *(
            torch.cat(list(column)) if isinstance(column[0], Tensor) else column[0]
            for column in zip(*tunings, strict=True)
        )
    )


def part_tuning(tuning: Any, chains: slice) -> Any:
    """Cut a range of chains out of a tuning."""
    return type(tuning)(*(value[chains] if isinstance(value, Tensor) else value for value in tuning))
