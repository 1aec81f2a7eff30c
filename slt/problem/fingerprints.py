"""What tells one set of weights from another, to the last bit."""

from typing import Any

import torch
from torch import Tensor, nn

from slt._store import fingerprint


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
    flat = [t.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1) for t in pieces(tensor)]
    return [str(tensor.dtype), list(tensor.shape), [t.view(torch.uint8).numpy() for t in flat]]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return what a checkpoint would hold: parameters and persistent buffers, by name."""
    return {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


def weight_fingerprints(model: nn.Module) -> dict[str, str]:
    """Return a fingerprint of each parameter and persistent buffer: about two seconds for a gigabyte."""
    return {name: fingerprint(content(tensor)) for name, tensor in weights(model).items()}
