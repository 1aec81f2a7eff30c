"""Chains at one temperature, from w*: the call that turns a posterior and a sampler into a trace."""

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from slt._checks import require_integer
from slt._progress import progress_bar, say
from slt.errors import Interrupted, ObservableError, SettingsError
from slt.observables import bind_all
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.problem.evaluate import ChainMethod
from slt.problem.guard import Guard
from slt.running.counted import Allowance, Counted
from slt.running.folder import require_folder, run_folder
from slt.running.forecast import in_bytes, in_time
from slt.running.given import require_posterior, require_sampler
from slt.running.hot_start import ROUNDS
from slt.running.observed import Observed
from slt.running.provenance import Setup
from slt.running.saved import SavedRun
from slt.running.session import Session
from slt.running.tuning import Tuned
from slt.samplers import Sampler
from slt.trace import Trace

_LONG_SECONDS, _LARGE_BYTES = 60.0, 1e8  # from which a run is worth a word before it starts
_TIMED_STEPS = 3


def sample(
    posterior: LocalPosterior,
    sampler: Sampler,
    *,
    chains: int = 8,
    draws: int = 1000,
    warmup: int = 1000,
    thin: int = 1,
    seed: int = 0,
    observe: Mapping[str, Any] | None = None,
    tuning: Tuned | None = None,
    until: Callable[[Trace], bool] | None = None,
    chain_method: ChainMethod = "auto",
    progress: bool = True,
    save_to: str | os.PathLike[str] | None = None,
    hot_start: bool = False,
) -> Trace:
    """Draw from a local posterior with chains that start at w*.

    Chain k sees the same random numbers whatever the number of chains and however they are evaluated; the model
    is bit-identical afterwards.

    Args:
        posterior: What to sample.
        sampler: How.
        chains: Number of independent chains.
        draws: Recorded draws of each chain (at most, where `until` is given).
        warmup: Steps before the first draw; the sampler finds its settings there.
        thin: Steps from one draw to the next; the means over them are recorded too.
        seed: Seed of all randomness.
        observe: What to record of every draw beside its loss, by name: `slt.observables`, or functions of the model.
        tuning: What an earlier warmup found, as a trace or a mapping; then nothing is adapted,
            and what the sampler itself says of these settings does not count.
        until: Asked now and then with the trace so far; True ends the run. It is asked after 20 draws and after
            every fifth more, so that a run does not depend on the clock unless `until` does.
        chain_method: "vectorized" runs all chains in one call, "in_place" one after another through the module
            itself; "auto" takes the first where torch can.
        progress: Whether to show a progress bar.
        save_to: Folder of the run. It is saved every few seconds; after a kill, the same call resumes and ends with the
            same bits, and more `draws` extend it. Observables are streamed there and read from there.
        hot_start: Whether every second chain begins warmup at nbeta 1, which three tenths of the warmup raise to the
            posterior's. They find what is far from w*, and the verdict compares them with the others. Takes two
            chains and 10 steps of warmup.

    Returns:
        The trace. Of a saved run it holds all draws there are, be they more than asked for.

    Raises:
        SettingsError: If a setting is outside its range, or posterior or sampler is something else, or the sampler
            does not declare what is to be saved.
        ObservableError: If an observable gives what cannot be recorded, or writes to the weights; where that happens
            in the middle, it holds the draws before in ``.trace``.
        VectorizationError: If "vectorized" was asked for and this model or loss cannot be.
        ResumeError: If `save_to` holds another run, or one that cannot be read, or another process works there.
        SaveError: If the disk refuses; holds the draws so far in ``.trace``.
        Interrupted: On Ctrl-C; holds the draws so far in ``.trace``.

    >>> import slt
    >>> toy = slt.toys.quadratic(2)
    >>> posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    >>> sample(posterior, slt.HMC(), chains=4, draws=50, warmup=50, progress=False).draws
    50
    """
    return sample_within(
        Allowance(),
        posterior,
        sampler,
        chains=chains,
        draws=draws,
        warmup=warmup,
        thin=thin,
        seed=seed,
        observe=observe,
        tuning=tuning,
        until=until,
        chain_method=chain_method,
        progress=progress,
        save_to=save_to,
        hot_start=hot_start,
    )


def sample_within(
    allowance: Allowance,
    posterior: LocalPosterior,
    sampler: Sampler,
    *,
    chains: int,
    draws: int,
    warmup: int,
    thin: int,
    seed: int,
    observe: Mapping[str, Any] | None = None,
    tuning: Tuned | None = None,
    until: Callable[[Trace], bool] | None = None,
    chain_method: ChainMethod = "auto",
    progress: bool = True,
    save_to: str | os.PathLike[str] | None = None,
    least: int = 0,
    forecast: Callable[[float], str] | None = None,
    ending: Callable[[], Mapping[str, Any]] = dict,
    threads: int | None = None,
    hot_start: bool = False,
) -> Trace:
    """Do what `sample` does, within an allowance of gradients and time.

    Before `least` draws `until` is not asked; where it says no the bar shows what `forecast` makes of the seconds that
    a draw takes. What `ending` gives at the end is added to the trace's settings.
    `threads` are torch's while it runs; None leaves them.

    Returns:
        The trace.

    Raises:
        SettingsError: See `sample`.
        Interrupted: See `sample`.
        ObservableError: See `sample`.
    """
    require_posterior(posterior)
    require_sampler(sampler)
    chains, draws, thin = (
        require_integer(name, value, 1) for name, value in (("chains", chains), ("draws", draws), ("thin", thin))
    )
    warmup, seed = require_integer("warmup", warmup, 0), require_integer("seed", seed)
    if until is not None and not callable(until):
        raise SettingsError(f"until must be a function of the trace so far, got {until!r}.")
    if not isinstance(hot_start, bool) or (hot_start and (chains < 2 or warmup < ROUNDS)):
        raise SettingsError(
            f"hot_start must be True or False, and True takes 2 chains and a warmup of {ROUNDS} steps or more, got "
            f"{hot_start!r} with {chains} and {warmup}."
        )
    folder = require_folder(save_to)
    with nullcontext() if folder is None else run_folder(folder) as lock, untouched(posterior.problem.model):
        if threads is not None:
            torch.set_num_threads(threads)
        bound = Counted.of(posterior.bind(chain_method, chains), posterior.n)
        observed = Observed(bind_all(observe, posterior, bound), bound.center, chains)
        setup = Setup(posterior, bound, sampler, chains, warmup, thin, seed, hot_start=hot_start)
        saved = None if folder is None or lock is None else SavedRun(folder, lock, setup, observed, tuning)
        session = Session(setup, observed, saved)
        if until is not None:
            until = partial(Guard(posterior.problem.model).call, until)
        # Where `until` decides there is no telling how long it takes.
        total = warmup + draws * thin if until is None else None
        bar = progress_bar(total, shown=progress, unit="step", desc="sampling", leave=None)
        try:
            with bar:
                session.start(tuning)
                bar.update(session.warmed + min(session.drawn, draws) * thin)
                if progress and until is None:
                    _tell(session, draws, bar)
                session.warm(bar)
                session.draw(draws, until, bar, allowance, least, forecast)
        except KeyboardInterrupt as interrupt:
            trace, got = _so_far(session)
            more = "" if folder is None else f"; the same call resumes from {folder}"
            raise Interrupted(f"sampling was interrupted; {got}{more}.", trace) from interrupt
        except ObservableError as error:
            trace, got = _so_far(session)
            raise ObservableError(f"{error} Sampling ended; {got}.", trace) from error
        trace = session.trace().with_settings(observables=sorted(observed.at_center), **ending())
        return trace if saved is None else saved.finish(trace)


def _so_far(session: Session) -> tuple[Trace | None, str]:
    """Return the trace of a run that was broken off, and words for it."""
    trace = session.trace() if session.rounds else None
    return trace, f"{trace.draws} draws of each chain are kept in .trace" if trace else "nothing was drawn yet"


def _tell(session: Session, draws: int, bar: Any) -> None:
    """Say before a long run, or a large record, what it will take; the steps that tell are part of the run."""
    setup, record = session.setup, draws * session.observed.draw_bytes
    if record > _LARGE_BYTES:
        where = "in memory" if session.saved is None else f"in {session.saved.folder}"
        say(f"the observables will take {in_bytes(record)} {where}")
    if session.warmed or setup.warmup < _TIMED_STEPS * 2:
        return
    session.warm(bar, until=_TIMED_STEPS)
    seconds = session.step_seconds * (setup.warmup + draws * setup.thin)
    if seconds > _LONG_SECONDS:
        say(f"{setup.chains} chains of {setup.warmup + draws * setup.thin:,} steps: about {in_time(seconds)}")
