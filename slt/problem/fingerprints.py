"""What tells one set of weights, or one set of data, from another, to the last bit."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slt._store import fingerprint
from slt.problem.data import Batch, Examples, TensorExamples, tensors_of

_HELD_ROWS = 4096  # hashed at a time of data held in memory; another number would give another fingerprint
_FETCHED_ROWS = 256  # of data that are fetched at every use


def pieces(tensor: Tensor) -> list[Tensor]:
    """Return the plain tensors that hold a tensor's content: itself, or the indices and values of a sparse one."""
    if tensor.layout is torch.strided:
        return [tensor]
    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


def content(tensor: Tensor) -> list[Any]:
    """Return what `fingerprint` takes of a tensor of any type: numpy has no bfloat16, but it has bytes."""
    # Of a copy, since torch never resizes a storage again that numpy has shared.
    flat = [t.detach().clone().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1) for t in pieces(tensor)]
    return [str(tensor.dtype), list(tensor.shape), [t.view(torch.uint8).numpy() for t in flat]]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint would hold: parameters and persistent buffers, by name."""
    return {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


def weight_fingerprints(model: nn.Module) -> dict[str, str]:
    """Return a fingerprint of each parameter and persistent buffer: about two seconds for a gigabyte."""
    return {name: fingerprint(content(tensor)) for name, tensor in weights(model).items()}


def data_fingerprint(examples: Examples) -> str:
    """Return a fingerprint of all that the examples hold, in order.

    Of data held in memory all tensors count. Data that are fetched at every use are fetched once more, and numbers,
    text and names in their batches count too.

    >>> import torch
    >>> data_fingerprint(TensorExamples((torch.zeros(3, 2),)))[:12]
    '3 examples, '
    """
    if isinstance(examples, TensorExamples):
        rows = torch.arange(examples.n, device="cpu").split(_HELD_ROWS)
        parts = [[fingerprint(_array(t)) for t in tensors_of(examples.take(some))] for some in rows]
    else:
        rows = torch.arange(examples.n, device="cpu").split(_FETCHED_ROWS)
        parts = [fingerprint(_leaves(examples.take(some))) for some in rows]
    return f"{examples.n} examples, {fingerprint(parts)}"


def _array(tensor: Tensor) -> Any:
    # numpy has no bfloat16 and no types of 8 bits; float32 holds both
    narrow = tensor.is_floating_point() and tensor.dtype.itemsize <= 2 and tensor.dtype != torch.float16
    if tensor.layout is not torch.strided:
        return content(tensor)
    return (tensor.float() if narrow else tensor).detach().cpu().resolve_conj().resolve_neg().numpy()


def _leaves(batch: Batch) -> Any:
    """Return what `fingerprint` takes of a batch: its tensors, its plain constants, the types of all else."""
    if isinstance(batch, Tensor):
        return content(batch)
    if isinstance(batch, Mapping):
        return {str(key): _leaves(value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return [_leaves(value) for value in batch]
    return batch if batch is None or isinstance(batch, bool | int | float | str) else type(batch).__name__
