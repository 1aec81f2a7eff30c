"""Parameter dictionaries with a leading chain axis, the sums over them, and trees that contain them."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Moving parameters of several chains: every leaf has shape (chains, entries)."""

Rows = Annotated[Params, "rows"]
"""Vectors that all chains share: every leaf has shape (rows, entries), with as many rows as were found."""

Square = Annotated[Tensor, "square"]
"""A matrix of each chain, (chains, d, d); its entries stand in the order of the leaves, one after another."""


def clone(params: Params) -> Params:
    """Copy every leaf."""
    return {name: leaf.clone() for name, leaf in params.items()}


def chains_of(params: Params) -> int:
    """Return the length of the chain axis."""
    return next(iter(params.values())).shape[0]


def per_chain(values: Tensor, leaf: Tensor) -> Tensor:
    """Reshape one number per chain, (chains,), to multiply `leaf`, in the leaf's dtype."""
    return values.to(leaf).unsqueeze(1)


def inner(a: Params, b: Params, weight: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return sum_i weight_i a_i b_i for every chain, (chains,), accumulated in float64."""
    total = None
    for name, leaf in a.items():
        product = leaf * b[name]
        if weight is not None:
            product = product * weight[name]
        part = product.sum(dim=1, dtype=torch.float64)
        total = part if total is None else total + part
    assert total is not None, "a parameter tree has at least one leaf"
    return total


def side_by_side(params: Params) -> Tensor:
    """Lay the leaves next to each other, (chains, d), float64."""
    return torch.cat([leaf.double() for leaf in params.values()], dim=1)


def cut_like(vectors: Tensor, like: Params) -> Params:
    """Cut (chains, d) into leaves of the sizes and the type of others, each in memory of its own."""
    pieces = vectors.split([leaf.shape[1] for leaf in like.values()], dim=1)
    return {name: piece.to(leaf).contiguous() for (name, leaf), piece in zip(like.items(), pieces, strict=True)}


def where(keep: Tensor, a: Params, b: Params) -> Params:
    """Return `a` for the chains where `keep` (chains,) holds, else `b`."""
    return {name: torch.where(keep.unsqueeze(1), leaf, b[name]) for name, leaf in a.items()}


def tensors_in(tree: Any) -> list[Tensor]:
    """Return every tensor of a tree of tuples and dictionaries, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]
