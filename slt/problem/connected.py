"""Whether the loss sees the moving parameters themselves, and not weights that were made of them before."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from slt.errors import LossError
from slt.problem.pointing import beside_center, own_copies, pointed_at
from slt.problem.untouched import untouched

if TYPE_CHECKING:
    from slt.problem.problem import Problem

_LARGEST = 2**27  # entries of a model that is copied
_ALIKE = 1e-3  # share of the loss: the same weights in another copy round alike


def require_held(problem: "Problem") -> None:
    """Refuse a call of the loss that has taken a moving parameter off the model, or frozen it.

    Raises:
        LossError: If it has.
    """
    held = {id(p) for p in problem.model.parameters()}
    for segment in problem.segments:
        if id(segment.parameter) not in held:
            raise LossError(
                f"the model must keep its parameters, but a call of it replaced {segment.name!r}: what moves would no "
                "longer be its weights."
            )
        if not segment.parameter.requires_grad:
            raise LossError(
                f"gradients must be possible, but a call of the model froze {segment.name!r} by requires_grad_(False)."
            )


def unseen(problem: "Problem", value: Tensor) -> list[str]:
    """Return the moving parameters that a loss has no gradient by; all of them where its graph is one that was kept.

    Args:
        problem: The problem.
        value: The loss, with its graph.

    Returns:
        Their names.

    Raises:
        RuntimeError: If differentiation fails otherwise.
    """
    parameters, names = [s.parameter for s in problem.segments], [s.name for s in problem.segments]
    if not value.requires_grad:
        return names
    try:
        found = torch.autograd.grad(value.sum(), parameters, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise
        return names
    return [name for name, gradient in zip(names, found, strict=True) if gradient is None]


def require_connected(problem: "Problem") -> None:
    """Refuse a loss that stays where it was when its parameters move, and would be another with the same weights.

    A parameter without a gradient may be one that nothing reads. Or the model has kept what it once made of it, or
    reads a buffer that is a view of it. A copy that was never called tells the one from the other, where the model can
    be copied.

    Args:
        problem: The problem, outside `untouched`, so that the model holds nothing that a call has made.

    Raises:
        LossError: If it is so.
    """
    with untouched(problem.model):
        _require_unshared(problem)
    with untouched(problem.model), own_copies(problem.model):
        twin = _copied(problem.model)
        if twin is None:
            return
        rows = problem.check_rows()
        problem.loss_of(rows)
        entries = beside_center(problem.segments, problem.dtype, torch.Generator().manual_seed(1))
        with pointed_at(problem.segments, entries):
            value = problem.loss_of(rows)
            named = dict(twin.named_parameters(remove_duplicate=False))
            with torch.no_grad():
                for segment in problem.segments:
                    named[segment.name].copy_(segment.parameter)
        other = problem.loss(twin, problem.batch(rows)).detach()
        if not _same(other, value):
            raise LossError(
                "the loss must depend on the weights that the model's parameters hold, but it stays what it was when "
                "they move: does the model keep what it has computed from a parameter, such as a merged or a cached "
                "weight? Have it computed anew at each call."
            )


def _copied(model: nn.Module) -> nn.Module | None:
    if sum(p.numel() for p in model.parameters()) > _LARGEST:
        return None
    try:
        return copy.deepcopy(model).eval()
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return None  # what cannot be copied is not compared


def _require_unshared(problem: "Problem") -> None:
    model, rows = problem.model, problem.check_rows()
    shared = _shared_buffers(problem)
    if not shared:
        return
    value = problem.loss_of(rows)
    for name, buffer in shared:
        own = buffer.data
        buffer.data = own * 1.1 + 0.1
        try:
            other = problem.loss_of(rows)
        finally:
            buffer.data = own
        if not _same(other, value):
            raise LossError(
                f"the loss must see the moving parameters themselves, but it reads buffer {name!r} of "
                f"{type(model).__name__}, a view of one of them that does not move with it: read the parameter instead."
            )


def _shared_buffers(problem: "Problem") -> list[tuple[str, Tensor]]:
    """Buffers that lie in the memory of a moving parameter."""
    moving = [s.parameter for s in problem.segments if s.parameter.layout is torch.strided]
    places = {p.untyped_storage().data_ptr() for p in moving}
    return [
        (name, buffer)
        for name, buffer in problem.model.named_buffers()
        if buffer.layout is torch.strided
        and buffer.is_floating_point()
        and buffer.numel()
        and buffer.untyped_storage().data_ptr() in places
    ]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a - b).abs() <= _ALIKE * (a.abs() + b.abs())).all())
