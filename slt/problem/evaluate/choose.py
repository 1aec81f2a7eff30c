"""Which evaluator runs the model: all chains at once where torch can, else one after another."""

import warnings
from typing import Literal

import torch

from slt._tree import Params
from slt.errors import SettingsError, VectorizationError
from slt.problem.evaluate.in_place import InPlace
from slt.problem.evaluate.protocol import Evaluator
from slt.problem.evaluate.vectorized import Vectorized, refusals_by_name
from slt.problem.pointing import beside_center
from slt.problem.problem import Problem

ChainMethod = Literal["auto", "vectorized", "in_place"]

_AGREEMENT = 1e-3  # relative; float32 on tensor cores is good to about this


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
    """
    if chain_method not in ("auto", "vectorized", "in_place"):
        raise SettingsError(f'chain_method must be "auto", "vectorized" or "in_place", got {chain_method!r}.')
    if chain_method == "in_place" or (chain_method == "auto" and chains == 1):
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
        return InPlace(problem)
    return vectorized


def _require_agreement(problem: Problem, evaluator: Evaluator) -> None:
    """Compare with `InPlace` on a few rows, for two chains beside w*."""
    generator = torch.Generator().manual_seed(0)
    each = [beside_center(problem.segments, problem.dtype, generator) for _ in range(2)]
    rows = torch.randint(problem.n, (2, min(problem.n, 7)), device="cpu", generator=generator)
    reference = InPlace(problem)
    there = evaluator.evaluate(_stack([evaluator.pack(tensors) for tensors in each]), rows).excess
    here = reference.evaluate(_stack([reference.pack(tensors) for tensors in each]), rows).excess
    close = (there - here).abs() <= _AGREEMENT * (here.abs() + abs(problem.loss_center) + 1e-3)
    neither = ~torch.isfinite(there) & ~torch.isfinite(here)
    if not bool((close | neither).all()):
        raise VectorizationError(
            "the model evaluated for all chains at once gives another loss than the module itself (excess "
            f"{there.tolist()} against {here.tolist()}): does the loss use weights that are not the model's, or "
            "is half precision too coarse to tell?"
        )


def _stack(chains: list[Params]) -> Params:
    return {name: torch.cat([chain[name] for chain in chains]) for name in chains[0]}
