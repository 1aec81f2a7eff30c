"""How far a sampler is off after how many gradients, over several seeds; failed runs are kept and counted."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slt.diagnostics.cases import Case, standard_cases
from slt.diagnostics.counting import Counted
from slt.diagnostics.result import Benchmark, Row, Run
from slt.errors import SettingsError, SltError
from slt.estimators import llc
from slt.running import sample
from slt.samplers import Sampler

Program = Callable[[Case, float, int], tuple[float, float]]
"""Another program: from a case, gradients a chain and a seed to its LLC and the gradients that it took."""

_WARMUP = 0.2  # share of the budget
_PRICED = 20  # steps of a pilot that tells what a step costs


def benchmark_sampler(
    sampler: Sampler | Program,
    toys: Sequence[Case] | None = None,
    budget: float | Sequence[float] = (300, 3000),
    *,
    seeds: int = 4,
    chains: int = 16,
    name: str | None = None,
) -> Benchmark:
    """Measure a sampler's relative error against the gradients that it took.

    Every run starts at w*, spends a fifth of its budget on warmup, and is estimated with `slt.llc`; nothing is
    carried from one run to the next. Gradients are counted for each chain in passes over all the data, where they
    are taken, those of warmup included: a minibatch of b rows counts b / n, a leapfrog step 1, a control variate the
    second gradient that it takes. Only a pilot of a few steps, which tells how many steps a budget affords, is not
    counted.

    A run has failed if it raised an error, if a chain blew up, or if its value is not finite; errors are over the
    others. A verdict that refuses the estimate is counted beside, and the run kept.

    Args:
        sampler: The sampler; or another program, a function of case, gradients a chain and seed that returns its LLC
            and the gradients a chain that it took.
        toys: The targets; None takes `standard_cases`.
        budget: Gradients a chain; several make a curve.
        seeds: Runs of each case and budget.
        chains: Chains of a run.
        name: What the table calls it; None is the sampler's repr.

    Returns:
        The result: prints as a table, draws with ``.plot()``.

    Raises:
        SettingsError: If a number is not positive, or there is no case.

    >>> import slt
    >>> toy = slt.toys.quadratic(2)
    >>> case = Case(toy, {"nbeta": 99.0, "localization": 1.0}, 0.99)
    >>> result = benchmark_sampler(slt.HMC(), [case], 400, seeds=2)
    >>> result.rows[0].completed, result.rows[0].error < 0.2
    (2, True)
    """
    cases = list(standard_cases() if toys is None else toys)
    budgets = [float(b) for b in (budget if isinstance(budget, Sequence) else [budget])]
    if not cases or not budgets:
        raise SettingsError(f"a benchmark needs a case and a budget, got {len(cases)} and {len(budgets)}.")
    for what, value in (("budget", min(budgets)), ("seeds", seeds), ("chains", chains)):
        if not 0 < value < np.inf:
            raise SettingsError(f"{what} must be positive and finite, got {value}.")
    rows = []
    for case in cases:
        run = _runner(sampler, case, chains)
        for gradients in budgets:
            runs = tuple(_timed(run, gradients, seed) for seed in range(seeds))
            rows.append(Row(case.name, case.kind, case.value, case.error, gradients, runs))
    return Benchmark(name or repr(sampler), tuple(rows))


def _runner(sampler: Sampler | Program, case: Case, chains: int) -> Callable[[float, int], Run]:
    """Return what makes one run of a case."""
    if callable(sampler):
        return lambda gradients, seed: Run(*sampler(case, gradients, seed), reliable=None)
    prices: dict[str, float] = {}

    def run(gradients: float, seed: int) -> Run:
        if not prices:
            prices.update(_prices(sampler, case, chains))
        warmup = max(1, int((_WARMUP * gradients - prices["init"]) / (prices["step"] + prices["adapt"])))
        counted = Counted(sampler, case.posterior.n)
        left = gradients - prices["init"] - warmup * (prices["step"] + prices["adapt"])
        draws = max(4, int(left / prices["step"]))
        settings: Any = {"chains": chains, "warmup": warmup, "seed": seed, "progress": False}
        trace = sample(case.posterior, counted, draws=draws, **settings)
        dead = int((~trace.alive).sum())
        if dead:
            return Run(np.nan, counted.total / chains, None, failure=f"{dead} of {chains} chains blew up")
        estimate = llc(trace)
        return Run(estimate.value, counted.total / chains, estimate.verdict.ok)

    return run


def _prices(sampler: Sampler, case: Case, chains: int) -> dict[str, float]:
    """Return what starting, a step, and adapting to it take of gradients, a chain."""
    counted = Counted(sampler, case.posterior.n)
    settings: Any = {"chains": chains, "warmup": _PRICED, "draws": _PRICED, "seed": 0, "progress": False}
    sample(case.posterior, counted, **settings)
    return {
        "init": counted.spent["init"] / chains,
        "step": counted.spent["step"] / counted.calls["step"] / chains,
        "adapt": counted.spent["adapt"] / max(counted.calls["adapt"], 1) / chains,
    }


def _timed(run: Callable[[float, int], Run], gradients: float, seed: int) -> Run:
    """Make one run; an error is its result."""
    start = time.perf_counter()
    try:
        found = run(gradients, seed)
    except (SltError, ArithmeticError, RuntimeError, ValueError) as error:
        found = Run(np.nan, np.nan, None, failure=f"{type(error).__name__}: {error}")
    if found.failure is None and not np.isfinite(found.value):
        found = found._replace(failure=f"the value is {found.value}")
    return found._replace(seconds=time.perf_counter() - start)
