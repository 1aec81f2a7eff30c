"""Parameters that point at other weights for a while: how the model is looked at away from w*."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from slt.problem.parameters import Segment

_BESIDE = 0.1  # how far beside w* the checks look, in root mean squares of each tensor


@contextmanager
def pointed_at(segments: Sequence[Segment], entries: Sequence[Tensor]) -> Iterator[None]:
    """Point the moving parameters at other weights, and back at their own storage afterwards.

    Nothing is copied where the types agree, and w* is not written to.

    Args:
        segments: The moving tensors.
        entries: The moving entries of each, flat.
    """
    parameters, moved = [segment.parameter for segment in segments], []
    flags = [p.requires_grad for p in parameters]
    for segment, given in zip(segments, entries, strict=True):
        p, moving = segment.parameter, given.detach()
        if segment.index is not None:
            moving = p.detach().reshape(-1).to(moving.dtype).index_copy(0, segment.index, moving)
        moved.append(moving.reshape(p.shape).to(p.dtype))
    try:
        with _holding(parameters, moved):
            for p in parameters:
                p.requires_grad_(True)
            yield
    finally:
        for p, flag in zip(parameters, flags, strict=True):
            p.requires_grad_(flag)


@contextmanager
def own_copies(model: nn.Module) -> Iterator[None]:
    """Point all parameters at copies, so that a forward pass that writes to them does not reach w*."""
    parameters = list(model.parameters())
    with _holding(parameters, [p.detach().clone() for p in parameters]):
        yield


@contextmanager
def _holding(parameters: Sequence[nn.Parameter], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let parameters hold other tensors."""
    own = [p.data for p in parameters]
    try:
        for p, tensor in zip(parameters, tensors, strict=True):
            p.data = tensor
        torch.clear_autocast_cache()  # it keeps what it cast by the parameter, whatever that points at
        yield
    finally:
        for p, data in zip(parameters, own, strict=True):
            p.data = data
        torch.clear_autocast_cache()


def beside_center(segments: Sequence[Segment], dtype: torch.dtype, generator: torch.Generator) -> list[Tensor]:
    """Return moving entries a tenth of each tensor's root mean square from w*, or 0.1 where that is zero."""
    entries = [segment.entries(segment.parameter).to(dtype) for segment in segments]
    scales = [_BESIDE * unit for unit in units_of(entries)]
    noise = torch.randn(sum(map(len, entries)), generator=generator, dtype=torch.float64, device="cpu").to(entries[0])
    return [
        torch.add(e, n, alpha=scale)
        for e, n, scale in zip(entries, noise.split([len(e) for e in entries]), scales, strict=True)
    ]


def units_of(entries: Sequence[Tensor]) -> list[float]:
    """Return the root mean square of each tensor, or 1 where that is zero."""
    norms = torch.stack([torch.linalg.vector_norm(e) for e in entries]).tolist()
    return [norm / len(e) ** 0.5 or 1.0 for norm, e in zip(norms, entries, strict=True)]
