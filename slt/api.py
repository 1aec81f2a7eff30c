"""The whole chain written out, one call each."""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from slt._checks import require_integer
from slt._imports import import_whole
from slt._store import atomic_write
from slt.errors import ResumeError, SettingsError
from slt.estimators import Estimate, Problem, llc
from slt.posterior import LocalPosterior
from slt.posterior.localization import Localization, is_number
from slt.problem import untouched
from slt.problem.evaluate import ChainMethod, InPlace
from slt.problem.parameters import Selection
from slt.running import PLAN_FILE, sample
from slt.running.given import require_sampler
from slt.samplers import HMC, SGLD, Sampler
from slt.trace import TRACE_FILE, Trace

DEFAULT_SECONDS = 60.0  # the budget where none is given
_DRAWS = 100_000  # a run ends by its target or its budget, hardly by this
_CHAINS = 8
_AUTOMATIC = {"HMC": HMC, "SGLD": SGLD}
_WARMUP_SHARE = 0.25  # of the steps that the budget affords, at most
_WARMUP_STEPS = {True: 100, False: 5_000}  # by full_data: what warmup takes where the budget does not bind
_SGLD_THIN = 10
_TIMED = 3  # passes over the data that are timed, after one that warms up
_UNFINISHED = {
    Problem.NOT_CONVERGED,
    Problem.NOT_EQUILIBRATED,
    Problem.DRIFT,
    Problem.TOO_FEW_DRAWS,
}  # more draws may mend these
_HMC_STEPS = 200  # trajectories a chain below which full-data HMC is not worth starting
_BATCH = 256


@dataclass(frozen=True)
class Gradients:
    """A budget counted in gradient evaluations of one chain, all chains together.

    A gradient on all the data counts one; a minibatch counts its share of the data.

    >>> Gradients(5_000).n
    5000
    """

    n: float

    def __post_init__(self) -> None:
        """Check the number."""
        if not is_number(self.n) or not 0 < self.n < math.inf:
            raise SettingsError(f"Gradients(n) needs a positive and finite n, got {self.n!r}.")


def estimate_llc(
    model: nn.Module,
    data: Any,
    loss: Any,
    *,
    target_relative_error: float = 0.02,
    budget: float | Gradients | None = None,
    sampler: Sampler | Literal["auto"] = "auto",
    n: int | None = None,
    nbeta: float | None = None,
    localization: Localization = "auto",
    parameters: Selection = None,
    chains: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    progress: bool = True,
    save_to: str | os.PathLike[str] | None = None,
) -> Estimate:
    """Estimate the local learning coefficient of a trained model.

    Full-data HMC if the budget affords it, else SGLD on minibatches; draws until the 95 % interval's half-width is
    at most `target_relative_error` of the value, or the budget ends. The estimate's verdict says which.

    Args:
        model: The model at w*.
        data: See `slt.LocalPosterior`.
        loss: See `slt.LocalPosterior`.
        target_relative_error: Half-width of the 95 % interval over the value, at which to stop.
        budget: Seconds, or `slt.Gradients`; None means 60 seconds. Reading the data, and
            the draws in progress when the budget ends, come on top.
        sampler: "auto", or a sampler to use.
        n: Number of examples to read, for data that do not tell it themselves.
        nbeta: Inverse temperature times n; default n / log n.
        localization: See `slt.LocalPosterior`.
        parameters: See `slt.LocalPosterior`.
        chains: Number of chains; default 8.
        batch_size: Rows of a minibatch or chunk; default all data, and 256 where SGLD is chosen for want of budget.
        seed: Seed of all randomness.
        progress: Whether to show a progress bar.
        save_to: Folder of the run, saved as it goes; after a kill the same call resumes it, with a budget in seconds
            that begins anew. See `slt.sample`.

    Returns:
        The estimate, with its verdict and its trace.

    Raises:
        SettingsError: If a setting is outside its range.
        ResumeError: If `save_to` holds another run.

    >>> import slt
    >>> toy = slt.toys.quadratic(4)
    >>> estimate = estimate_llc(
    ...     toy.model, toy.data, toy.loss, localization=1.0, target_relative_error=0.1, progress=False
    ... )
    >>> bool(abs(estimate.value - 2.0) < 0.3), toy.exact.value
    (True, Fraction(2, 1))
    """
    if not is_number(target_relative_error) or not 0 < target_relative_error < math.inf:
        raise SettingsError(f"target_relative_error must be positive, got {target_relative_error!r}.")
    if not (isinstance(sampler, str) and sampler == "auto"):
        require_sampler(sampler)
    count = _CHAINS if chains is None else require_integer("chains", chains, 1)
    seed = require_integer("seed", seed)
    seconds = DEFAULT_SECONDS if budget is None else budget
    if not isinstance(seconds, Gradients) and not (is_number(seconds) and 0 < seconds < math.inf):
        raise SettingsError(f"budget must be positive seconds, as a number, or slt.Gradients(n), got {budget!r}.")
    posterior = LocalPosterior(
        model,
        data,
        loss,
        n=n,
        nbeta=nbeta,
        localization=localization,
        parameters=parameters,
        batch_size=batch_size,
    )
    import_whole("arviz")  # takes seconds, which are not the budget's
    start = time.monotonic()
    folder = None if save_to is None else Path(save_to)
    plan = _saved_plan(folder) or _plan(posterior, sampler, count, seconds)
    if folder is not None:
        _save_plan(folder, plan)
    stop = _Stop(target_relative_error, math.inf if isinstance(seconds, Gradients) else start + seconds)
    trace = sample(
        posterior.with_batch_size(plan.batch_size),
        _AUTOMATIC[plan.sampler]() if sampler == "auto" else sampler,
        chains=count,
        draws=plan.draws,
        warmup=plan.warmup,
        thin=plan.thin,
        seed=seed,
        until=stop,
        chain_method=plan.chain_method,
        progress=progress,
        save_to=folder,
    )
    trace = trace.with_notes([plan.reason, stop.reason])
    if folder is not None:
        trace.save(folder / TRACE_FILE)
    return llc(trace)


class _Plan(NamedTuple):
    """What the automatic choices came to, and the numbers that decided; a run that is resumed keeps its plan."""

    sampler: str
    batch_size: int | None
    warmup: int
    draws: int
    thin: int
    chain_method: ChainMethod
    reason: str


def _plan(
    posterior: LocalPosterior,
    sampler: Sampler | Literal["auto"],
    chains: int,
    budget: float | Gradients,
) -> _Plan:
    """Choose the sampler by the number of steps that the budget affords, and divide them."""
    # A budget of gradients is there to be repeated, so nothing about it may depend on the clock.
    counted = isinstance(budget, Gradients)
    chain_method, pass_seconds = ("auto", math.nan) if counted else _fastest(posterior, chains)
    # Passes over the data, of all chains together, that the budget affords.
    passes = budget.n / chains if isinstance(budget, Gradients) else budget / pass_seconds
    batch_size, worth = posterior.batch_size, _HMC_STEPS * HMC().leapfrogs
    if sampler == "auto":
        chosen: Sampler = HMC() if passes >= worth else SGLD()
        if not chosen.full_data and batch_size is None:
            batch_size = _BATCH if posterior.n > _BATCH else None
        why = f"was chosen: full-data HMC is worth starting from {worth:,} passes over the data, and"
    else:
        chosen, why = sampler, "was given;"
    reason = f"{type(chosen).__name__} {why} the budget affords about {passes:,.0f}"
    if chosen.full_data:
        per_step, thin = float(getattr(chosen, "leapfrogs", 1)), 1
    else:
        per_step, thin = (batch_size or posterior.n) / posterior.n, _SGLD_THIN
    steps = max(passes / per_step, 1)
    warmup = max(int(min(_WARMUP_STEPS[chosen.full_data], _WARMUP_SHARE * steps)), 10)
    draws = max(int((steps - warmup) / thin), 4) if counted else _DRAWS
    return _Plan(type(chosen).__name__, batch_size, warmup, draws, thin, chain_method, reason)


def _saved_plan(folder: Path | None) -> _Plan | None:
    if folder is None or not (folder / PLAN_FILE).exists():
        return None
    try:
        return _Plan(**json.loads((folder / PLAN_FILE).read_text()))
    except (ValueError, TypeError) as error:
        raise ResumeError(f"{folder / PLAN_FILE} is damaged: {error}. Remove the folder to start afresh.") from error


def _save_plan(folder: Path, plan: _Plan) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / PLAN_FILE, json.dumps(plan._asdict()).encode())


def _fastest(posterior: LocalPosterior, chains: int) -> tuple[ChainMethod, float]:
    """Time one gradient on all the data for all chains, each way; return the faster way and its seconds."""
    # Convolutions, for one, often run slower for all chains at once than one after another.
    seconds: dict[ChainMethod, float] = {}
    with untouched(posterior.problem.model):
        for method in ("in_place", "auto"):
            bound = posterior.bind(method, chains)
            # A module evaluated in place costs its chains one after another: time one and multiply.
            count = 1 if isinstance(bound.evaluator, InPlace) else chains
            used: ChainMethod = "in_place" if isinstance(bound.evaluator, InPlace) else "vectorized"
            w = {name: leaf.repeat(count, 1) for name, leaf in bound.center.items()}
            bound.evaluate(w)
            start = time.perf_counter()
            for _ in range(_TIMED):
                bound.evaluate(w)
            if posterior.problem.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[used] = (time.perf_counter() - start) / _TIMED * chains / count
    best = min(seconds, key=lambda method: seconds[method])
    return best, seconds[best]


class _Stop:
    """Ends a run when the interval is narrow enough, or the budget spent; remembers which."""

    def __init__(self, target: float, deadline: float) -> None:
        self._target, self._deadline = target, deadline
        self.reason = "the budget of gradients ended before the target error was reached"

    def __call__(self, trace: Trace) -> bool:
        if not trace.alive.any():
            self.reason = "no chain was left alive"
            return True
        estimate = llc(trace)
        low, high = estimate.interval()
        relative = (high - low) / 2 / abs(estimate.value) if estimate.value else math.inf
        verdict = estimate.verdict
        kinds = {finding.kind for finding in verdict.problems}
        told = {finding.kind for finding in (*verdict.problems, *verdict.notes)}
        # Where the chains found a lower loss no number of draws makes an LLC of it.
        unfinished = set() if Problem.NOT_A_MINIMUM in kinds else told & _UNFINISHED
        if relative <= self._target and not unfinished:
            self.reason = f"the target error was reached: {relative:.2%} of {self._target:.2%}"
            return True
        if time.monotonic() >= self._deadline:
            self.reason = f"the budget ended at an error of {relative:.2%}, with a target of {self._target:.2%}"
            return True
        return False
