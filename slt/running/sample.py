"""Chains at one temperature, from w*: the call that turns a posterior and a sampler into a trace."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from slt._noise import Random
from slt._store import slt_version
from slt.errors import Interrupted, SettingsError
from slt.posterior import LocalPosterior, Posterior
from slt.problem import untouched
from slt.problem.data import tensors_of
from slt.problem.evaluate import ChainMethod, InPlace
from slt.running._groups import join, join_tuning, part, part_tuning
from slt.running.advance import Draws, Run, advance
from slt.running.tuning import Tuned, from_arrays, to_arrays
from slt.samplers import Sampler
from slt.trace import Trace

_POOLINGS = 10  # rounds of warmup; between two of them the chains share what they found
_GROUP_NUMBERS = 2**26  # numbers a group of chains may hold at once in one tensor
_MEAN_LOSS = (
    "the loss is a mean over the batch: minibatches are paired by evaluating w* on the same rows, one more forward "
    "pass a step"
)
_FIRST_CHECK = 20  # draws before `until` is asked for the first time; then after every fifth more


def sample(
    posterior: LocalPosterior,
    sampler: Sampler,
    *,
    chains: int = 8,
    draws: int = 1000,
    warmup: int = 1000,
    thin: int = 1,
    seed: int = 0,
    tuning: Tuned | None = None,
    until: Callable[[Trace], bool] | None = None,
    chain_method: ChainMethod = "auto",
    progress: bool = True,
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
        tuning: What an earlier warmup found, as a trace or a mapping; then nothing is adapted.
        until: Asked now and then with the trace so far; True ends the run. It is asked after 20 draws and after
            every fifth more, so that a run does not depend on the clock unless `until` does.
        chain_method: "vectorized" runs all chains in one call, "in_place" one after another through the module
            itself; "auto" takes the first where torch can.
        progress: Whether to show a progress bar.

    Returns:
        The trace.

    Raises:
        SettingsError: If a number is outside its range.
        VectorizationError: If "vectorized" was asked for and this model or loss cannot be.
        Interrupted: On Ctrl-C; holds the draws so far in ``.trace``.

    >>> import slt
    >>> toy = slt.toys.quadratic(2)
    >>> posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    >>> sample(posterior, slt.HMC(), chains=4, draws=50, warmup=50, progress=False).draws
    50
    """
    for name, value, low in (
        ("chains", chains, 1),
        ("draws", draws, 1),
        ("warmup", warmup, 0),
        ("thin", thin, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise SettingsError(f"{name} must be an integer of at least {low}, got {value!r}.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise SettingsError(f"seed must be an integer, got {seed!r}.")
    # numpy's integers would not go into the trace's settings
    chains, draws, warmup, thin, seed = int(chains), int(draws), int(warmup), int(thin), int(seed)
    with untouched(posterior.problem.model):
        bound = posterior.bind(chain_method, chains)
        session = _Session(posterior, bound, sampler, chains, thin, seed)
        # Where `until` decides there is no telling how long it takes.
        total = warmup + draws * thin if until is None else None
        bar = tqdm(total=total, disable=not progress, unit="step", desc="warmup", leave=None)
        try:
            with bar:
                session.start(tuning)
                session.warm(warmup, bar)
                bar.set_description("sampling")
                session.draw(draws, until, bar)
        except KeyboardInterrupt as interrupt:
            trace = session.trace(warmup) if session.rounds else None
            got = f"{trace.draws} draws of each chain are kept in .trace" if trace else "nothing was drawn yet"
            raise Interrupted(f"sampling was interrupted; {got}.", trace) from interrupt
        return session.trace(warmup)


@dataclass(frozen=True)
class _Group:
    chains: slice
    random: Random


class _Session:
    """One call of `sample`: groups of chains that advance in rounds."""

    def __init__(
        self, posterior: LocalPosterior, bound: Posterior, sampler: Sampler, chains: int, thin: int, seed: int
    ) -> None:
        self.posterior, self.bound, self.sampler = posterior, bound, sampler
        self.chains, self.thin, self.seed = chains, thin, seed
        self.full_data = sampler.full_data or posterior.batch_size is None
        self.rounds: list[Draws] = []
        self.runs: list[Run] = []
        self.gradients = 0
        self.groups = [self._group(s) for s in self._slices()]

    def start(self, tuning: Tuned | None) -> None:
        sizes = [segment.size for segment in self.posterior.problem.segments]
        for group in self.groups:
            count = group.chains.stop - group.chains.start
            w = {name: leaf.repeat(count, 1) for name, leaf in self.bound.center.items()}
            nbeta = torch.full(
                (count,), self.posterior.nbeta, dtype=torch.float64, device=self.posterior.problem.device
            )
            state, found, adaptation = self.sampler.init(self.bound, w, nbeta, group.random)
            if tuning is not None:
                found = from_arrays(tuning, found, self.bound.evaluator, sizes, group.chains)
                adaptation = None
            dead = torch.zeros(count, dtype=torch.bool)
            self.runs.append(Run(0, nbeta, state, found, adaptation, dead))

    def warm(self, warmup: int, bar: Any) -> None:
        """Warm up in rounds; between two of them all living chains share what they found."""
        ends = sorted({round(warmup * (i + 1) / _POOLINGS) for i in range(_POOLINGS)})
        done = 0
        for end in ends:
            if end > done:
                self._advance(end - done, 1)
                bar.update(end - done)
                done = end
                self._pool()
        self.runs = [run._replace(adaptation=None) for run in self.runs]

    def draw(self, draws: int, until: Callable[[Trace], bool] | None, bar: Any) -> None:
        done = 0
        for end in _checks(draws):
            # Short rounds keep what Ctrl-C would lose, and the progress bar's steps, small.
            while done < end:
                count = min(end - done, max(1, draws // 50), 50)
                blocks = self._advance(count, self.thin)
                self.rounds.append({name: torch.cat([b[name] for b in blocks]) for name in blocks[0]})
                done += count
                bar.update(count * self.thin)
            if until is not None and until(self.trace(None)):
                return

    def trace(self, warmup: int | None) -> Trace:
        """Build the trace of all finished rounds."""
        arrays = {name: torch.cat([block[name] for block in self.rounds], dim=1).numpy() for name in self.rounds[0]}
        excess = arrays["excess"]
        center = self.posterior.problem.loss_center
        posterior = {"excess": excess, "loss": excess + center, "distance": arrays["distance"]}
        stats = {name: value for name, value in arrays.items() if name not in posterior}
        sizes = [segment.size for segment in self.posterior.problem.segments]
        tuning = to_arrays(join_tuning([run.tuning for run in self.runs]), self.bound.evaluator, sizes)
        alive = ~torch.cat([run.dead for run in self.runs]).numpy()
        constant: dict[str, Any] = {
            "n": self.posterior.n,
            "nbeta": self.posterior.nbeta,
            "dimension": self.posterior.dimension,
            "loss_center": center,
            "alive": (("chain",), alive),
        }
        for name, value in tuning.items():
            dims = ("chain",) if value.shape == (self.chains,) and name == "step_size" else (f"{name}_entry",)
            constant[f"tuning_{name}"] = (dims, value)
        return Trace.from_arrays(
            posterior=posterior,
            sample_stats=stats,
            constant_data=constant,
            settings=self._settings(excess.shape[1], warmup),
        )

    def _settings(self, draws: int, warmup: int | None) -> dict[str, Any]:
        posterior, problem = self.posterior, self.posterior.problem
        return {
            "sampler": repr(self.sampler),
            "method": type(self.sampler).__name__,
            "unadjusted": self.sampler.unadjusted,
            "full_data": self.full_data,
            "batch_size": posterior.batch_size,
            "chains": self.chains,
            "draws": draws,
            "warmup": warmup,
            "thin": self.thin,
            "seed": self.seed,
            "n": posterior.n,
            "nbeta": posterior.nbeta,
            **_describe_localization(posterior),
            "loss": problem.loss.convention,
            "chain_method": "in_place" if isinstance(self.bound.evaluator, InPlace) else "vectorized",
            "dtype": str(problem.dtype).removeprefix("torch."),
            "device": str(problem.device),
            "threads": torch.get_num_threads(),
            "versions": _versions(),
            "notes": posterior.notes if self.full_data or problem.per_example else [*posterior.notes, _MEAN_LOSS],
        }

    def _advance(self, draws: int, thin: int) -> list[Draws]:
        blocks = []
        for i, group in enumerate(self.groups):
            self.runs[i], block = advance(self.runs[i], self.bound, self.sampler, group.random, draws, thin)
            blocks.append(block)
        return blocks

    def _pool(self) -> None:
        if self.runs[0].adaptation is None:
            return
        alive = ~torch.cat([run.dead for run in self.runs]).to(self.posterior.problem.device)
        adaptation, tuning = self.sampler.pool(
            join([run.adaptation for run in self.runs]), join_tuning([run.tuning for run in self.runs]), alive
        )
        self.runs = [
            run._replace(adaptation=part(adaptation, group.chains), tuning=part_tuning(tuning, group.chains))
            for run, group in zip(self.runs, self.groups, strict=True)
        ]

    def _slices(self) -> Iterator[slice]:
        size = 1 if isinstance(self.bound.evaluator, InPlace) else self._chains_that_fit()
        for start in range(0, self.chains, size):
            yield slice(start, min(start + size, self.chains))

    def _chains_that_fit(self) -> int:
        problem = self.posterior.problem
        one = problem.examples.take(torch.zeros(1, dtype=torch.long))
        rows = problem.chunk if self.full_data else self.posterior.batch_size or problem.n
        numbers = rows * sum(t.numel() for t in tensors_of(one))
        return max(1, _GROUP_NUMBERS // max(numbers, problem.dimension))

    def _group(self, chains: slice) -> _Group:
        problem = self.posterior.problem
        random = Random(
            self.seed,
            range(chains.start, chains.stop),
            self.bound.evaluator.leaves,
            n=problem.n,
            batch_size=None if self.full_data else self.posterior.batch_size,
            uniforms=self.sampler.uniforms,
            device=problem.device,
            dtype=problem.dtype,
        )
        return _Group(chains, random)


def _checks(draws: int) -> Iterator[int]:
    """Numbers of draws after which `until` is asked: 20, then a fifth more each time."""
    at = _FIRST_CHECK
    while at < draws:
        yield at
        at += max(1, at // 5)
    yield draws


def _describe_localization(posterior: LocalPosterior) -> dict[str, Any]:
    names = [segment.name for segment in posterior.problem.segments]
    each = {name: float(p.double().mean()) for name, p in zip(names, posterior.precisions, strict=True)}
    given = posterior.localization
    isotropic = isinstance(given, (int, float))
    return {
        "localization": float(given) if isinstance(given, (int, float)) else each,
        "localization_rule": "isotropic" if isotropic else given if isinstance(given, str) else "mapping",
        "localization_zero": not any(bool((p > 0).any()) for p in posterior.precisions),
    }


def _versions() -> dict[str, str]:
    return {
        "slt": slt_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": sys.platform,
    }
