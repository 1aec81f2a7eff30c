"""What a run will cost, from a few timed steps."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slt._checks import require_integer
from slt._tree import tensors_in
from slt.observables import bind_all
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.problem.evaluate import ChainMethod
from slt.running.counted import Counted
from slt.running.given import require_posterior, require_sampler
from slt.running.observed import Observed
from slt.running.provenance import Setup
from slt.running.session import Session
from slt.samplers import Sampler

_TIMED_STEPS = 3
_STATISTICS = 9  # numbers recorded of every draw beside the observables, 8 bytes each


@dataclass(frozen=True)
class Forecast:
    """What a run will cost.

    Attributes:
        gradients: Gradient evaluations of one chain, all chains together, whatever their number of rows.
        seconds: From the timed steps; a machine that others use is slower.
        memory_bytes: Of the chains' state and the draws; observables aside where the run is saved. What the model
            needs for one gradient comes on top.
        record_bytes: Of the observables: in memory, or on the disk where the run is saved.
    """

    gradients: float
    seconds: float
    memory_bytes: int
    record_bytes: int

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"about {in_time(self.seconds)}, {self.gradients:,.0f} gradients, {in_bytes(self.memory_bytes)} of memory"
            + (f", {in_bytes(self.record_bytes)} of observables" if self.record_bytes else "")
        )


def forecast(
    posterior: LocalPosterior,
    sampler: Sampler,
    *,
    chains: int = 8,
    draws: int = 1000,
    warmup: int = 1000,
    thin: int = 1,
    observe: Mapping[str, Any] | None = None,
    chain_method: ChainMethod = "auto",
) -> Forecast:
    """Forecast a run of `slt.sample` with the same arguments, from three timed steps.

    Args:
        posterior: What would be sampled.
        sampler: How.
        chains: Number of chains.
        draws: Recorded draws of each chain.
        warmup: Steps before the first draw.
        thin: Steps from one draw to the next.
        observe: What would be recorded beside the loss.
        chain_method: See `slt.sample`.

    Returns:
        The forecast.

    Raises:
        SettingsError: If a setting is outside its range, or posterior or sampler is something else.

    >>> import slt
    >>> toy = slt.toys.quadratic(2)
    >>> posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    >>> cost = forecast(posterior, slt.SGLD(step_size=1e-3), chains=4, draws=100, warmup=50, thin=2)
    >>> cost.gradients, cost.record_bytes
    (1000.0, 0)
    """
    require_posterior(posterior)
    require_sampler(sampler)
    chains, draws, thin = (
        require_integer(name, value, 1) for name, value in (("chains", chains), ("draws", draws), ("thin", thin))
    )
    warmup = require_integer("warmup", warmup, 0)
    with untouched(posterior.problem.model):
        bound = posterior.bind(chain_method, chains)
        counted = Counted.of(bound, posterior.n)
        setup = Setup(posterior, counted, sampler, chains, warmup, thin, seed=0)
        observed = Observed(bind_all(observe, posterior, counted), bound.center, chains)
        session = Session(setup, observed, None)
        session.start(None)
        session.advance(1, 1, recording=False)  # the first of anything is slow
        before = counted.tally.gradients
        step = _seconds(lambda: session.advance(_TIMED_STEPS, 1, recording=False)) / _TIMED_STEPS
        gradients = (counted.tally.gradients - before) / _TIMED_STEPS
        record = _seconds(session.observe)
    steps = warmup + draws * thin
    return Forecast(
        gradients=gradients * steps,
        seconds=step * steps + record * draws,
        memory_bytes=sum(_bytes_of(run) for run in session.runs) + draws * chains * _STATISTICS * 8,
        record_bytes=draws * observed.draw_bytes,
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _bytes_of(tree: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(tree))


def in_time(seconds: float) -> str:
    """Say a time as people do."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def in_bytes(count: float) -> str:
    """Say a size as people do."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
