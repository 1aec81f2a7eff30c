"""Which evaluator runs the model: all chains at once where torch can, else one after another."""

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from slt._tree import Params
from slt.errors import SettingsError, VectorizationError
from slt.problem.evaluate.in_place import InPlace
from slt.problem.evaluate.protocol import Evaluator
from slt.problem.evaluate.vectorized import Vectorized, refusals_by_name
from slt.problem.pointing import beside_center
from slt.problem.problem import Problem
from slt.problem.slopes import require_own_gradient, slope_differs

ChainMethod = Literal["auto", "vectorized", "in_place"]

_AGREEMENT = 1e-3  # relative; float32 on tensor cores is good to about this
_GRADIENTS = 1e-2  # relative to a whole gradient, which rounding changes more
_STEP = 0.02  # of the way between two points a tenth away from w*, on either side of one


def choose_evaluator(problem: Problem, chain_method: ChainMethod, chains: int) -> Evaluator:
    """Return the evaluator for a run.

    "auto" takes `Vectorized` for two chains and more unless it is refused by name (`VectorizationError`); any
    exception of the user's own code propagates.

    Args:
        problem: The problem, inside `untouched`.
        chain_method: "auto", "vectorized" or "in_place".
        chains: Number of chains.

    Returns:
        The evaluator.

    Raises:
        SettingsError: If the method is unknown.
        VectorizationError: If "vectorized" was asked for and cannot be.
        LossError: If the gradient is not that of the loss.
    """
    if chain_method not in ("auto", "vectorized", "in_place"):
        raise SettingsError(f'chain_method must be "auto", "vectorized" or "in_place", got {chain_method!r}.')
    if chain_method == "in_place" or (chain_method == "auto" and chains == 1):
        require_own_gradient(problem)
        return InPlace(problem)
    try:
        vectorized = Vectorized(problem)
        with warnings.catch_warnings(), refusals_by_name():
            # Where torch has no batched form of an operation it warns, and loops over the chains itself.
            warnings.filterwarnings("error", "There is a performance drop", UserWarning)
            _require_agreement(problem, vectorized)
    except VectorizationError as refusal:
        if chain_method == "vectorized":
            raise
        problem_note = f"chains run one after another: {str(refusal).splitlines()[0]}"
        if problem_note not in problem.notes:
            problem.notes.append(problem_note)
        require_own_gradient(problem)
        return InPlace(problem)
    return vectorized


def _require_agreement(problem: Problem, evaluator: Evaluator) -> None:
    """Compare with `InPlace` on a few rows, for two chains beside w*, and the gradient of the first with the loss.

    Two more chains stand on either side of the first, on the same rows: in one call they cost next to nothing.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = (beside_center(problem.segments, problem.dtype, generator) for _ in range(2))
    away = [_STEP * (a - b) for a, b in zip(first, second, strict=True)]
    ends = [[torch.add(a, d, alpha=sign) for a, d in zip(first, away, strict=True)] for sign in (1, -1)]
    rows = torch.randint(problem.n, (2, min(problem.n, 7)), device="cpu", generator=generator)
    there = evaluator.evaluate(_stack(evaluator, [first, second, *ends]), torch.cat([rows, rows[:1], rows[:1]]))
    reference = InPlace(problem)
    here = reference.evaluate(_stack(reference, [first, second]), rows)
    _require_close(problem, there.excess[:2], here.excess)
    gradient = torch.cat(reference.unpack(here.grad), 1)
    _require_same_gradients(torch.cat(evaluator.unpack(there.grad), 1)[:2], gradient)
    change, slope = float(there.excess[2] - there.excess[3]), 2 * float(gradient[0] @ torch.cat(away))
    if slope_differs(change, slope, abs(problem.loss_center) + float(here.excess[0].abs()), problem.coarsest):
        require_own_gradient(problem)


def _require_close(problem: Problem, there: Tensor, here: Tensor) -> None:
    close = (there - here).abs() <= _AGREEMENT * (here.abs() + abs(problem.loss_center) + 1e-3)
    neither = ~torch.isfinite(there) & ~torch.isfinite(here)
    if not bool((close | neither).all()):
        raise VectorizationError(
            "the model evaluated for all chains at once gives another loss than the module itself (excess "
            f"{there.tolist()} against {here.tolist()}): does the loss use weights that are not the model's, or "
            "is half precision too coarse to tell?"
        )


def _require_same_gradients(there: Tensor, here: Tensor) -> None:
    """Compare the gradients of chains, (chains, entries); one that is not finite says nothing."""
    off, size = (there - here).norm(dim=1), here.norm(dim=1)
    if bool((off > _GRADIENTS * size + _AGREEMENT * size.max()).any()):
        raise VectorizationError(
            "the model evaluated for all chains at once gives another gradient than the module itself (they differ by "
            f"{off.tolist()}, of {size.tolist()}): does an operation of it have another gradient in torch.vmap?"
        )


def _stack(evaluator: Evaluator, chains: Sequence[Sequence[Tensor]]) -> Params:
    packed = [evaluator.pack(tensors) for tensors in chains]
    return {name: torch.cat([chain[name] for chain in packed]) for name in packed[0]}
