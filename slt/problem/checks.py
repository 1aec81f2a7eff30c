"""Whether the loss is a fixed function of the moving parameters, tried on a few rows."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from slt.errors import LossError
from slt.problem.connected import unseen
from slt.problem.conventions import require_mean, require_same
from slt.problem.pointing import beside_center, pointed_at

if TYPE_CHECKING:
    from slt.problem.problem import Problem

_MEAN_ROWS = 32  # rows, evenly spread, on which a mean is held against that of its parts
_PAIRING = 1e-3  # excess at w* beyond this share of the loss betrays a loss that is not a fixed function
_REPEAT = 64  # roundings that two evaluations of one and the same batch may differ by
_NOISE = 16  # times what rounding makes at w*, which is granted beside it


def check_blind(problem: "Problem", value: Tensor) -> None:
    """Refuse a loss that does not see the moving parameters, or whose gradient at w* is not finite.

    Args:
        problem: The problem.
        value: The loss of the first rows at w*, with its graph.

    Raises:
        LossError: If it is so.
    """
    parameters = [segment.parameter for segment in problem.segments]
    found = torch.autograd.grad(value.sum(), parameters, allow_unused=True) if value.requires_grad else [None]
    if all(g is None for g in found):
        raise LossError(
            "the loss must depend on the moving parameters, but it ignores them: does it call the model it is "
            "given, with gradients on?"
        )
    # A loss that is not finite itself is refused by its rows, in the pass over all of them.
    finite = all(bool(torch.isfinite(g.to_dense()).all()) for g in found if g is not None)
    if bool(torch.isfinite(value).all()) and not finite:
        raise LossError("the gradient of the loss at w* must be finite, got NaN or infinity.")


def check_fixed(problem: "Problem", first: Tensor) -> float:
    """Refuse a loss with an excess at w*: dropout and BatchNorm in training mode betray themselves here.

    Args:
        problem: The problem, with its baseline.
        first: The loss of the first rows at w*.

    Returns:
        What rounding makes of the same examples in another batch, nats.

    Raises:
        LossError: If the loss is not a fixed function, or not a mean over rows.
    """
    rows = problem.check_rows()
    require_same(problem.loss_of(rows), first, min(_PAIRING, _REPEAT * torch.finfo(first.dtype).eps))
    off = 0.0
    if problem.baseline is not None:  # of a pass in batches of another size, so that examples had other company
        off = require_same(problem.baseline[rows.to(problem.baseline.device)], first, _PAIRING)
    if any(module.training for module in problem.model.modules()):
        raise LossError("the loss must leave the model in eval mode, but it calls train().")
    return _check_mean(problem) if problem.baseline is None else off


def check_beside(problem: "Problem", off: float) -> list[str]:
    """Refuse a loss that is not a fixed mean beside w*, where what is zero at w* is not.

    Where the loss beside w* is not finite nothing is checked.

    Args:
        problem: The problem, with its baseline.
        off: What `check_fixed` returned.

    Returns:
        Names of the moving parameters that the loss there has no gradient by.

    Raises:
        LossError: If it is so.
    """
    rows, noise = problem.check_rows(), _NOISE * off
    with pointed_at(problem.segments, beside_center(problem.segments, problem.dtype, torch.Generator().manual_seed(1))):
        graph = problem.loss(problem.model, problem.batch(rows))
        blind, value = unseen(problem, graph), graph.detach()
        if not bool(torch.isfinite(value).all()):
            return blind
        repeat = _REPEAT * torch.finfo(value.dtype).eps
        if problem.baseline is None:
            require_same(problem.loss_of(rows), value, min(_PAIRING, repeat), "beside w*")
            _check_mean(problem, noise)
            return blind
        # In reverse order and in a batch of another size, so that an example's loss meets other company.
        some = rows.flip(0)[: max(1, len(rows) - 1)]
        near = (noise + repeat) / _PAIRING  # nothing else is granted to a loss that is small
        require_same(problem.loss_of(some), value[some.to(value.device)], _PAIRING, "beside w*", near)
        return blind


def _check_mean(problem: "Problem", noise: float = 0.0) -> float:
    """Refuse a scalar loss that is not a mean over rows."""
    rows = min(problem.n, _MEAN_ROWS)
    spread = torch.linspace(0, problem.n - 1, rows, dtype=torch.float64, device="cpu").round().long()
    return require_mean(problem.loss_of, spread, problem.coarsest, noise)
