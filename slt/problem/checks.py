"""Whether the loss is a fixed function of the moving parameters, tried on a few rows."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from slt.errors import LossError
from slt.problem.conventions import require_mean, require_same

if TYPE_CHECKING:
    from slt.problem.problem import Problem

_MEAN_ROWS = 32  # rows, evenly spread, on which a mean is held against that of its parts
_PAIRING = 1e-3  # excess at w* beyond this share of the loss betrays a loss that is not a fixed function
_REPEAT = 64  # roundings that two evaluations of one and the same batch may differ by


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


def check_fixed(problem: "Problem", first: Tensor) -> None:
    """Refuse a loss with an excess at w*: dropout and BatchNorm in training mode betray themselves here.

    Args:
        problem: The problem, with its baseline.
        first: The loss of the first rows at w*.

    Raises:
        LossError: If the loss is not a fixed function.
    """
    rows = problem.check_rows()
    require_same(problem.loss_of(rows), first, min(_PAIRING, _REPEAT * torch.finfo(first.dtype).eps))
    if problem.baseline is not None:
        # In reverse order and in a batch of another size, so that an example's loss meets other company.
        some = rows.flip(0)[: max(1, len(rows) - 1)]
        require_same(problem.loss_of(some), problem.baseline[some.to(problem.baseline.device)], _PAIRING)
    if any(module.training for module in problem.model.modules()):
        raise LossError("the loss must leave the model in eval mode, but it calls train().")
    if problem.baseline is None:
        check_mean(problem)


def check_mean(problem: "Problem") -> None:
    """Refuse a scalar loss that is not a mean over rows."""
    spread = (
        torch.linspace(0, problem.n - 1, min(problem.n, _MEAN_ROWS), dtype=torch.float64, device="cpu").round().long()
    )
    coarsest = max((s.parameter.dtype for s in problem.segments), key=lambda dtype: torch.finfo(dtype).eps)
    require_mean(problem.loss_of, spread, coarsest)
