"""The plan of an automatic run within its budget: the sampler, the number of steps, how chains are evaluated."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from slt._statistics import MIN_DRAWS
from slt.errors import SettingsError
from slt.posterior import LocalPosterior
from slt.posterior.localization import is_number
from slt.problem import untouched
from slt.problem.evaluate import ChainMethod, InPlace
from slt.running.hot_start import ROUNDS
from slt.running.places import LOOKS_SHARE
from slt.samplers import HMC, SGLD, Sampler, ScaleMoves


def _for_few() -> ScaleMoves:
    return ScaleMoves(HMC(mass="dense"))


AUTOMATIC: dict[str, Callable[[], Sampler]] = {"HMC": HMC, "SGLD": SGLD, "ScaleMoves": _for_few}
"""The samplers that a plan may choose, by the name it is saved with."""

FEW = 30
"""Largest number of parameters whose whole covariance is learned, and to which scale moves are made."""

_DRAWS = 100_000  # upper limit; a run normally ends by its target or its budget
_WARMUP_SHARE = 0.25  # largest share of warmup in the steps of the budget
_WARMUP_STEPS = {True: 100, False: 5_000}  # by full_data: steps of warmup if the budget is large enough
# With few parameters a step takes milliseconds: the warmup is longer, for chains to reach the ends of narrow valleys,
# and so are the draws.
_FEW_WARMUP, _FEW_DRAWS = 250, 200
_SGLD_THIN = 10
# The least number of timed passes over the data, and the least seconds; the fastest pass counts. A pass of a small
# model is shorter than the delays caused by other programs on the machine.
_TIMED, _TIMED_SECONDS = 5, 0.005
_CHAINS = (8, 16, 32, 64, 128, 256, 512, 1024)
LEAST_DRAWS = 100
"""Per chain: with many chains a few draws each make the interval narrow, but do not show slow variation."""
# Draws of all chains needed for an error of 2 %: about 4e4 over the llc, which lies between half the dimension and, for
# networks, a small share of it.
_TYPICAL_DRAWS, _TYPICAL_POWER = 2e5, 0.75
_START = {True: 64, False: 16}  # by full_data: most gradients per chain for the search for a first step
_LOOKING = 1.6  # gradients per warmup step of SGLD, including those that measure the curvature
_LEAST_WARMUP = 10  # of the shortest run, which has the fewest draws that give an error
_HMC_STEPS = 200  # least number of trajectories per chain for which full-data HMC is chosen
_BATCH = 256
# Several threads must be faster than one by this factor, because on a shared machine they wait for each other.
_THREADS_WORTH = 1.25
_CLEARLY = 1.5  # larger than the error of one timing on a shared machine
_PASSES = "passes over the data by all chains"


@dataclass(frozen=True)
class Gradients:
    """A budget counted in gradient evaluations of one chain, all chains together.

    A gradient on all the data counts as one, and one on a minibatch as its share of the data. The search for a step
    size, the warmup and the draws all count; the checks at the start, on a few rows or up to twice on all, do not.

    >>> Gradients(5_000).n
    5000
    """

    n: float

    def __post_init__(self) -> None:
        """Check the number."""
        if not is_number(self.n) or not 0 < self.n < math.inf:
            raise SettingsError(f"Gradients(n) needs a positive and finite n, got {self.n!r}.")


class Plan(NamedTuple):
    """The automatic choices and the numbers behind them; a resumed run keeps its plan."""

    sampler: str
    batch_size: int | None
    warmup: int
    draws: int
    thin: int
    draw_gradients: float
    chain_method: ChainMethod
    reason: str
    chains: int
    threads: int | None
    """Threads of torch during the run; None leaves the number unchanged."""
    least: int
    """Draws of each chain at least."""
    hot_start: bool
    """Whether every second chain begins hot."""


def make_plan(
    posterior: LocalPosterior,
    sampler: Sampler | Literal["auto"],
    chains: int | None,
    budget: float | Gradients,
) -> Plan:
    """Choose the sampler by the number of steps within the budget, and divide them into warmup and draws.

    Args:
        posterior: What is sampled.
        sampler: "auto", or the sampler to use.
        chains: Number of chains, or None.
        budget: Seconds, or gradients.

    Returns:
        The plan.
    """
    few = posterior.dimension <= FEW and (sampler == "auto" or isinstance(sampler, ScaleMoves))
    # A run with a budget of gradients is reproducible, so nothing in it may depend on the clock.
    if isinstance(budget, Gradients):
        way, pass_seconds = Way("auto", chains or _CHAINS[0], None), math.nan
    else:
        way, pass_seconds = fastest(posterior, chains, budget)
    chains = way.chains
    # Passes over the data, by all chains together, within the budget.
    passes = budget.n / chains if isinstance(budget, Gradients) else budget / pass_seconds
    batch_size, needed = posterior.batch_size, _HMC_STEPS * HMC().leapfrogs
    if sampler == "auto":
        full: Sampler = _for_few() if few else HMC()
        chosen = full if passes >= needed else SGLD()
        if not chosen.full_data and batch_size is None:
            batch_size = _BATCH if posterior.n > _BATCH else None
        enough = f"enough for full-data HMC (at least {needed:,})"
        enough = enough if chosen.full_data else f"not {enough}"
        reason = f"{_named(chosen)} was chosen: the budget allows about {passes:,.0f} {_PASSES}, {enough}."
    else:
        chosen = sampler
        reason = f"{type(chosen).__name__} was given; the budget allows about {passes:,.0f} {_PASSES}."
    cost = _cost(chosen, (batch_size or posterior.n) / posterior.n)
    if isinstance(budget, Gradients):
        _require_enough(budget, chosen, chains, cost)
        steps = (passes - cost.start) / cost.step
        most = (passes - cost.start - MIN_DRAWS * cost.thin * cost.longest) / cost.warmup
        # The largest possible number, for HMC with one leapfrog step per trajectory: the budget ends the run.
        draws = int(2 * max(steps, steps * cost.step) / cost.thin) + MIN_DRAWS
    else:
        step_seconds = pass_seconds * cost.step
        if not chosen.full_data and batch_size is not None:
            # With a small model a minibatch takes longer than its share of the data.
            step_seconds = max(step_seconds, _batch_seconds(posterior, way, batch_size))
        steps, most, draws = max(budget / step_seconds, 1), math.inf, _DRAWS
    few = few and chosen.full_data
    warmup = _FEW_WARMUP if few else _WARMUP_STEPS[chosen.full_data]
    warmup = max(int(min(warmup, _WARMUP_SHARE * steps, most)), _LEAST_WARMUP)
    draw_gradients = chains * cost.thin * cost.longest
    name = type(chosen).__name__
    least = _FEW_DRAWS if few else LEAST_DRAWS
    return Plan(
        sampler=name,
        batch_size=batch_size,
        warmup=warmup,
        draws=draws,
        thin=cost.thin,
        draw_gradients=draw_gradients,
        chain_method=way.chain_method,
        reason=reason,
        chains=chains,
        threads=way.threads,
        least=least,
        hot_start=few and warmup >= ROUNDS and chains > 1,
    )


def _named(sampler: Sampler) -> str:
    if isinstance(sampler, ScaleMoves):
        return f"{_named(sampler.inner)} with a dense mass and scale moves"
    return type(sampler).__name__


class _Cost(NamedTuple):
    """The cost of a sampler, in gradients on all the data per chain."""

    start: float
    """The most before the first step."""
    step: float
    """An average step."""
    longest: float
    """The longest step."""
    warmup: float
    """The longest step of warmup, including additional evaluations."""
    thin: int


def _cost(sampler: Sampler, share: float) -> _Cost:
    if isinstance(sampler, ScaleMoves):
        inner, moves = _cost(sampler.inner, share), sampler.moves
        return _Cost(inner.start, inner.step + moves, inner.longest + moves, inner.warmup + moves, 1)
    if sampler.full_data:
        leapfrogs = getattr(sampler, "leapfrogs", 1)
        longest = math.ceil(1.5 * leapfrogs)
        return _Cost(_START[True], leapfrogs, longest, longest + LOOKS_SHARE, 1)
    return _Cost(_START[False] * share, share, share, (_LOOKING + LOOKS_SHARE) * share, _SGLD_THIN)


def _require_enough(budget: Gradients, sampler: Sampler, chains: int, cost: _Cost) -> None:
    """Refuse a budget that is too small for the shortest run."""
    least = cost.start + _LEAST_WARMUP * cost.warmup + MIN_DRAWS * cost.thin * cost.longest
    if budget.n < chains * least:
        count = f"{chains} chain{'' if chains == 1 else 's'} of {type(sampler).__name__}"
        raise SettingsError(
            f"the budget must be at least {math.ceil(chains * least):,} gradients for {count}: the search for a step "
            f"size, {_LEAST_WARMUP} steps of warmup and {MIN_DRAWS} draws. Got {budget.n:,}; increase it, or use fewer "
            "chains."
        )


class Way(NamedTuple):
    """How chains are run."""

    chain_method: ChainMethod
    chains: int
    threads: int | None


def fastest(posterior: LocalPosterior, chains: int | None, budget: float = math.inf) -> tuple[Way, float]:
    """Time one gradient on all the data each way, and choose the fastest way.

    Convolutions, for example, often run more slowly for all chains at once than one after another, and small models
    more slowly on several threads than on one. Small models also run many chains in hardly more time than a few; if no
    number is given, the one for which a typical run is fastest is used.

    Args:
        posterior: What is sampled.
        chains: Number of chains, or None.
        budget: Seconds; limits the number of chains.

    Returns:
        The way, and the seconds of a pass over the data for all its chains.
    """
    with untouched(posterior.problem.model):
        given = torch.get_num_threads()
        fewest = chains or _CHAINS[0]
        seconds: dict[Way, float] = {}
        for threads in dict.fromkeys((given, 1)):
            torch.set_num_threads(threads)
            for method in ("in_place", "auto"):
                _time(posterior, Way(method, fewest, threads), seconds)
        best = min(seconds, key=lambda way: seconds[way] * (1.0 if way.threads == 1 else _THREADS_WORTH))
        if chains is None and best.chain_method == "vectorized":
            torch.set_num_threads(best.threads or given)
            best = _more_chains(posterior, best, seconds, budget)
    return best._replace(threads=None if best.threads == given else best.threads), seconds[best]


def _typical_steps(chains: int, dimension: int) -> float:
    draws = _TYPICAL_DRAWS / (dimension**_TYPICAL_POWER * chains)
    warmup, least = (_FEW_WARMUP, _FEW_DRAWS) if dimension <= FEW else (_WARMUP_STEPS[True], LEAST_DRAWS)
    return warmup + max(least, draws)


def _more_chains(posterior: LocalPosterior, way: Way, seconds: dict[Way, float], budget: float) -> Way:
    """Time larger numbers of chains, until they cost clearly more than the best or too much; return the best."""
    costs: dict[Way, float] = {}
    most = budget / (_HMC_STEPS * HMC().leapfrogs)  # seconds of a pass
    for count in _CHAINS:
        way = way._replace(chains=count)
        if way not in seconds:
            _time(posterior, way, seconds)
        if costs and seconds[way] > most:
            break
        costs[way] = seconds[way] * _typical_steps(count, posterior.dimension)
        if costs[way] > _CLEARLY * min(costs.values()):
            break
    return min(costs, key=lambda way: costs[way])


def _batch_seconds(posterior: LocalPosterior, way: Way, batch_size: int) -> float:
    """Time one gradient of all chains on minibatches."""
    rows = torch.zeros(way.chains, batch_size, dtype=torch.long, device="cpu")
    with untouched(posterior.problem.model):
        torch.set_num_threads(way.threads or torch.get_num_threads())
        return _shortest(posterior.with_batch_size(batch_size), way, rows)[1]


def _time(posterior: LocalPosterior, way: Way, seconds: dict[Way, float]) -> None:
    """Record how long a pass of all chains takes, and how it was evaluated."""
    used, taken = _shortest(posterior, way, None)
    seconds[way._replace(chain_method=used)] = taken


def _shortest(posterior: LocalPosterior, way: Way, rows: Tensor | None) -> tuple[ChainMethod, float]:
    """Time a gradient of all chains several times; return how it was evaluated and the shortest time."""
    bound = posterior.bind(way.chain_method, way.chains)
    used: ChainMethod = "in_place" if isinstance(bound.evaluator, InPlace) else "vectorized"
    # In place, chains are evaluated one after another: time one and multiply.
    count = 1 if used == "in_place" else way.chains
    rows = None if rows is None else rows[:count]
    w = {name: leaf.repeat(count, 1) for name, leaf in bound.center.items()}
    bound.evaluate(w, rows)
    taken: list[float] = []
    while len(taken) < _TIMED or sum(taken) < _TIMED_SECONDS:
        start = time.perf_counter()
        bound.evaluate(w, rows)
        if posterior.problem.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return used, min(taken) * way.chains / count
