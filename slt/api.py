"""`estimate_llc`: the automatic estimate, from model, data and loss to a verdict."""

import math
import os
import time
from contextlib import nullcontext
from typing import Any, Literal

from torch import nn

from slt._checks import require_integer
from slt._imports import import_whole
from slt.errors import SettingsError
from slt.estimators import Estimate, Problem, llc
from slt.estimators.llc import least_relative_error
from slt.posterior import LocalPosterior
from slt.posterior.localization import Localization, is_number
from slt.problem.parameters import Selection
from slt.running import Allowance, sample_within
from slt.running.folder import RUN_FILE, require_folder, run_folder
from slt.running.forecast import in_time
from slt.running.given import require_sampler
from slt.running.plan import AUTOMATIC, LEAST_DRAWS, Gradients, make_plan
from slt.running.saved_plan import require_same_choices, save_plan, saved_plan
from slt.samplers import Sampler
from slt.trace import Trace

DEFAULT_SECONDS = 60.0  # the budget where none is given
_UNFINISHED = {
    Problem.NOT_CONVERGED,
    Problem.NOT_EQUILIBRATED,
    Problem.DRIFT,
    Problem.SLOW,
    Problem.STARTS_DISAGREE,
    Problem.TOO_FEW_DRAWS,
}  # problems that more draws may remove
_ON_THE_WAY = {
    Problem.NOT_EQUILIBRATED,
    Problem.DRIFT,
    Problem.STARTS_DISAGREE,
}  # problems that may come from early draws alone


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

    Uses full-data HMC if the budget is large enough, else SGLD on minibatches, and draws until the half-width of the
    95 % interval is at most `target_relative_error` times the value, or the budget ends. A note of the verdict says
    which.

    Args:
        model: The model at w*.
        data: See `slt.LocalPosterior`.
        loss: See `slt.LocalPosterior`.
        target_relative_error: Half-width of the 95 % interval over the value, at which to stop.
        budget: Seconds, or `slt.Gradients`; None means 60 seconds. Reading the data, and finishing the draws in
            progress when the budget ends, take additional time.
        sampler: "auto", or a sampler to use.
        n: Number of examples to read, for data without a length.
        nbeta: Inverse temperature times n; default n / log n.
        localization: See `slt.LocalPosterior`.
        parameters: See `slt.LocalPosterior`.
        chains: Number of chains. None uses 8 with a budget of gradients; otherwise, if all chains run in one call, the
            fastest number from 8 to 1,024.
        batch_size: Rows of a minibatch or chunk; default all data, or 256 if the budget is too small for HMC.
        seed: Seed of all random numbers.
        progress: Whether to show a progress bar.
        save_to: Folder in which the run is saved while it samples; if it is killed, the same call resumes it, and a
            budget in seconds starts again. See `slt.sample`.

    Returns:
        The estimate, with its verdict and its trace.

    Raises:
        SettingsError: If a setting is outside its range.
        ResumeError: If `save_to` contains another run or an unreadable one, or another process is using it.
        SaveError: If the run cannot be written; has the draws so far in ``.trace``.

    >>> import slt
    >>> toy = slt.toys.quadratic(4)
    >>> estimate = estimate_llc(
    ...     toy.model, toy.data, toy.loss, localization=1.0, target_relative_error=0.1, progress=False
    ... )
    >>> bool(abs(estimate.value - 2.0) < 0.3), toy.exact.value
    (True, Fraction(2, 1))
    """
    if not is_number(target_relative_error) or not 0 < target_relative_error < 1:
        raise SettingsError(
            f"target_relative_error must be a share between 0 and 1, such as 0.02, got {target_relative_error!r}."
        )
    if not (isinstance(sampler, str) and sampler == "auto"):
        require_sampler(sampler)
    count = None if chains is None else require_integer("chains", chains, 1)
    seed = require_integer("seed", seed)
    seconds = DEFAULT_SECONDS if budget is None else budget
    if not isinstance(seconds, Gradients) and not (is_number(seconds) and 0 < seconds < math.inf):
        raise SettingsError(f"budget must be positive seconds, as a number, or slt.Gradients(n), got {budget!r}.")
    folder = require_folder(save_to)
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
    import_whole("arviz")  # takes seconds, which should not count against the budget
    start = time.monotonic()
    with nullcontext() if folder is None else run_folder(folder):
        plan = saved_plan(folder)
        if folder is not None and plan is not None:
            require_same_choices(folder, plan, sampler, count, batch_size)
        plan = plan or make_plan(posterior, sampler, count, seconds)
        if folder is not None and not (folder / RUN_FILE).exists():
            save_plan(folder, plan)
        counted = isinstance(seconds, Gradients)
        stop = _Stop(target_relative_error, None if counted else start + seconds, plan.least)
        trace = sample_within(
            Allowance(seconds.n, plan.draw_gradients) if counted else Allowance(deadline=start + seconds),
            posterior.with_batch_size(plan.batch_size),
            AUTOMATIC[plan.sampler]() if sampler == "auto" else sampler,
            chains=count or plan.chains,
            draws=plan.draws,
            warmup=plan.warmup,
            thin=plan.thin,
            seed=seed,
            until=stop,
            least=plan.least,
            forecast=stop.forecast,
            chain_method=plan.chain_method,
            progress=progress,
            save_to=folder,
            ending=lambda: {"notes": [plan.reason, stop.reason], "burn_in": stop.burn_in},
            threads=plan.threads,
            hot_start=plan.hot_start,
        )
    return llc(trace)


class _Stop:
    """Ends a run when the interval is narrow enough or the budget is spent, and reports which."""

    def __init__(self, target: float, deadline: float | None, least: int = LEAST_DRAWS) -> None:
        """Keep the target, the least draws, and the end of a budget in seconds; None is one of gradients."""
        self._target, self._deadline, self._least = target, deadline, least
        self._last: tuple[Trace, Estimate | None] | None = None
        self._error = math.inf

    def __call__(self, trace: Trace) -> bool:
        self._last, self._error = (trace, None), math.inf
        if not trace.alive.any():
            return True
        over = self._deadline is not None and time.monotonic() >= self._deadline
        # A verdict takes longer than the draws of small models, so it is computed only when they may be enough.
        if over or trace.draws < self._least:
            return over
        self._error = least_relative_error(trace)
        if self._error > self._target:
            return False
        estimate = _without_burn_in(trace)
        self._last = trace, estimate
        return self._narrow(estimate)

    def forecast(self, seconds: float) -> str:
        """Return the progress and the estimated time left, given the seconds per draw."""
        if self._last is None or self._error == math.inf:
            return ""
        progress = f"error {self._error:.2%}, target {self._target:.2%}"
        if self._error <= self._target:
            return f"{progress}, but the verdict requires more draws"
        left = self._last[0].draws * ((self._error / self._target) ** 2 - 1) * seconds
        ends = math.inf if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        budget = " of the budget" if ends < left else ""
        return f"{progress}, about {in_time(min(left, ends))}{budget} left"

    @property
    def burn_in(self) -> int:
        """Draws of each chain that the estimate leaves out."""
        estimate = self._estimate()
        return 0 if estimate is None else estimate.settings["burn_in"]

    @property
    def reason(self) -> str:
        """Why the run ended where it did."""
        estimate = self._estimate()
        if estimate is None:
            return "All chains blew up."
        error, problems = _relative_error(estimate), estimate.verdict.problems
        narrow, few = self._narrow(estimate), estimate.trace.draws < self._least
        ended = "The target error was reached"
        if few or not narrow:
            ended = f"The budget{' of gradients' if self._deadline is None else ''} ended before "
            ended += f"each chain had {self._least} draws" if narrow else "the target was reached"
        named = problems or (error <= self._target and not narrow)
        excluded = "; this error does not account for the other findings of the verdict" if named else ""
        return f"{ended}: the error is {error:.2%} of the value, and the target {self._target:.2%}{excluded}."

    def _estimate(self) -> Estimate | None:
        """Return the estimate from what was last seen; None if no chain was left alive."""
        if self._last is None or not self._last[0].alive.any():
            return None
        trace, estimate = self._last
        self._last = trace, estimate or _without_burn_in(trace)
        return self._last[1]

    def _narrow(self, estimate: Estimate) -> bool:
        """Whether the interval is narrow, and the verdict has no finding that more draws may remove."""
        # Where the chains found a lower loss more draws do not help.
        lower = Problem.NOT_A_MINIMUM in {finding.kind for finding in estimate.verdict.problems}
        unfinished = set() if lower else _kinds(estimate) & _UNFINISHED
        return _relative_error(estimate) <= self._target and not unfinished


def _without_burn_in(trace: Trace) -> Estimate:
    """Estimate from all draws, or from the last half where it lacks a drift or low virial that all draws show."""
    # Chains start at w*. If they leave it slowly, their early draws bias the mean for a long time.
    whole, half = llc(trace), trace.draws // 2
    if half < LEAST_DRAWS or not _kinds(whole) & _ON_THE_WAY:
        return whole
    late = llc(trace, burn_in=half)
    return whole if _kinds(late) & _ON_THE_WAY else late


def _kinds(estimate: Estimate) -> set[Problem]:
    return {finding.kind for finding in (*estimate.verdict.problems, *estimate.verdict.notes)}


def _relative_error(estimate: Estimate) -> float:
    low, high = estimate.interval()
    return (high - low) / 2 / abs(estimate.value) if estimate.value else math.inf
