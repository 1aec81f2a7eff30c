"""Parameters that point at other weights for a while: how the model is looked at away from w*."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

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
    own = [(s.parameter, s.parameter.data, s.parameter.requires_grad) for s in segments]
    try:
        for segment, given in zip(segments, entries, strict=True):
            p, moving = segment.parameter, given.detach()
            if segment.index is not None:
                moving = p.detach().reshape(-1).to(moving.dtype).index_copy(0, segment.index, moving)
            p.data = moving.reshape(p.shape).to(p.dtype)
            p.requires_grad_(True)
        yield
    finally:
        for p, data, requires_grad in own:
            p.data = data
            p.requires_grad_(requires_grad)


def beside_center(segments: Sequence[Segment], dtype: torch.dtype, generator: torch.Generator) -> list[Tensor]:
    """Return moving entries a tenth of each tensor's root mean square from w*, or 0.1 where that is zero."""
    beside = []
    for segment in segments:
        entries = segment.entries(segment.parameter).to(dtype)
        scale = _BESIDE * float(entries.square().mean().sqrt()) or _BESIDE
        noise = torch.randn(entries.shape, generator=generator, dtype=torch.float64).to(entries)
        beside.append(entries + scale * noise)
    return beside
