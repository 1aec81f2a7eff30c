"""One run of chains at one temperature: groups that advance in rounds, saved as they go."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._noise import Random
from slt._statistics import MIN_DRAWS
from slt.errors import SettingsError
from slt.posterior.felt import Felt
from slt.problem.data import tensors_of
from slt.problem.evaluate import InPlace
from slt.running._groups import join, join_tuning, part, part_tuning
from slt.running.advance import Draws, Run, advance
from slt.running.counted import Allowance
from slt.running.encoded import DECLARE, Layout, declared, require_fit
from slt.running.folder import saving
from slt.running.hot_start import HOT_ROUNDS, ROUNDS, hot_chains, nbeta_in_round
from slt.running.observed import Observed
from slt.running.places import Places, looks_in
from slt.running.provenance import Setup, build_trace
from slt.running.saved import Saved, SavedRun
from slt.running.tuning import Tuned, from_arrays
from slt.trace import Trace

_ENDLESS = Allowance()
_GROUP_NUMBERS = 2**26  # numbers a group of chains may hold at once in one tensor
_FIRST_CHECK = 20  # draws before `until` is asked for the first time; then after every fifth more
_ROUND_SECONDS, _ROUND_DRAWS = 0.5, 50  # of one round: bounds what Ctrl-C loses, and how far a save can be late


@dataclass(frozen=True)
class Group:
    """Chains that are evaluated together, and their random numbers."""

    chains: slice
    random: Random


class Session:
    """One call of `sample`.

    Args:
        setup: What was chosen.
        observed: What is recorded beside the loss.
        saved: Where the run is saved; None keeps it in memory.
    """

    def __init__(self, setup: Setup, observed: Observed, saved: SavedRun | None) -> None:
        """Lay the chains out in groups."""
        self.setup, self.observed, self.saved = setup, observed, saved
        self.groups = [self._group(s) for s in self._slices()]
        self.runs: list[Run] = []
        self.rounds: list[Draws] = []
        self.unsaved: list[Draws] = []
        self.warmed = self.drawn = 0
        self.records: list[dict[str, NDArray[Any]]] = []
        self.step_seconds = 0.0
        self.felt: Felt | None = None

    def start(self, tuning: Tuned | None) -> None:
        """Put the chains at w*, or where the saved run left them.

        Raises:
            SettingsError: If the run is to be saved, and its sampler does not declare what it keeps.
        """
        if self.saved is not None and self._resume(self.saved):
            return
        sizes = [segment.size for segment in self.setup.posterior.problem.segments]
        for group in self.groups:
            count = group.chains.stop - group.chains.start
            device = self.setup.posterior.problem.device
            w = {name: leaf.repeat(count, 1) for name, leaf in self.setup.bound.center.items()}
            nbeta = torch.full((count,), self.setup.posterior.nbeta, dtype=torch.float64, device=device)
            nbeta = self._tempered(group, nbeta, 0)
            state, found, adaptation = self.setup.sampler.init(self.setup.bound, w, nbeta, group.random)
            if tuning is not None:
                found = from_arrays(tuning, found, self.setup.bound.evaluator, sizes, group.chains)
                adaptation = None
            self.runs.append(
                Run(0, nbeta, state, found, adaptation, torch.zeros(count, dtype=torch.bool, device="cpu"))
            )
            if self.saved is not None:
                self._require_declared(group, self.runs[-1])
        self.save()  # before any draw, so that draws without a state are known to have lost it

    def _resume(self, saved: SavedRun) -> bool:
        """Go to where the saved run was; return whether there was one."""
        held = saved.load(declared(self.setup.sampler), [self._layout(group) for group in self.groups])
        self.setup = replace(self.setup, notes=(*self.setup.notes, *saved.notes()))
        if held is None:
            saved.require_writable()
            return False
        self.warmed, self.drawn, self.setup.bound.tally.rows, self.runs, self.felt = held
        if self.warmed == self.setup.warmup:
            self._settle()
        if self.drawn:
            self.rounds = [saved.draws()]
        return True

    def _layout(self, group: Group) -> Layout:
        leaves = {name: sum(sizes) for name, sizes in self.setup.bound.evaluator.leaves.items()}
        return Layout(group.chains.stop - group.chains.start, leaves)

    def _require_declared(self, group: Group, run: Run) -> None:
        try:
            require_fit(run, declared(self.setup.sampler), self._layout(group))
        except ValueError as error:
            raise SettingsError(f"{type(self.setup.sampler).__name__} cannot be saved: {error}. {DECLARE}.") from error

    def warm(self, bar: Any, *, until: int | None = None) -> None:
        """Warm up in rounds; between two of them all living chains share what they found.

        Args:
            bar: Shows the progress.
            until: Stop after so many steps, to go on later; None warms up to the end.
        """
        warmup = self.setup.warmup
        stop = warmup if until is None else until
        looks = looks_in(warmup, self.setup)
        ends = sorted({round(warmup * (i + 1) / ROUNDS) for i in range(ROUNDS)} - {0})
        for rounds, end in enumerate(ends):
            while self.warmed < min(end, stop):
                if self.warmed == warmup - looks:
                    count = self._look(looks)
                else:
                    last = end - looks if end == warmup else end
                    count = self._round(min(last, stop) - self.warmed, 1)
                    self.advance(count, 1, recording=False)
                self.warmed += count
                if self.warmed == end:
                    self._pool(rounds)
                    self.runs = [
                        run._replace(nbeta=self._tempered(group, run.nbeta, rounds + 1))
                        for group, run in zip(self.groups, self.runs, strict=True)
                    ]
                if self.warmed == warmup:
                    self._settle()
                bar.update(count)
                self._save_if_due()

    def _look(self, steps: int) -> int:
        """Take the last steps of warmup, all of them before anything is saved, and see where the loss is felt."""
        places = Places(self.setup)
        for _ in range(steps):
            for group, run in zip(self.groups, self.runs, strict=True):
                places.add(run, group.random.rows(run.step))
            self.advance(1, 1, recording=False)
        self.felt = places.felt()
        return steps

    def _settle(self) -> None:
        """Adapt no more, and watch the directions in which the loss is felt."""
        self.runs = [run._replace(adaptation=None) for run in self.runs]
        if self.felt is not None:
            self.setup = replace(self.setup, bound=self.setup.bound.with_felt(self.felt))

    def draw(
        self,
        draws: int,
        until: Callable[[Trace], bool] | None,
        bar: Any,
        allowance: Allowance = _ENDLESS,
        least: int = 0,
        forecast: Callable[[float], str] | None = None,
    ) -> None:
        """Draw until there are `draws`, or `until` says so, or no more is allowed; at least what an error takes.

        Before `least` draws `until` is asked where no more are allowed alone. Where it says no the bar shows what
        `forecast` makes of the seconds that a draw takes.
        """
        for end in _checks(draws, least):
            while self.drawn < end:
                allowed = int(min(allowance.draws(self.setup.bound.spent), _ROUND_DRAWS))
                if not allowed and self.drawn >= MIN_DRAWS:
                    break
                count = self._round(min(end - self.drawn, self.observed.room, max(allowed, 1)), self.setup.thin)
                self._keep(self.advance(count, self.setup.thin, recording=True))
                self.drawn += count
                bar.update(count * self.setup.thin)
                self._save_if_due()
            if (until is not None and until(self.trace())) or self.drawn < end:
                break
            if forecast is not None:
                bar.set_postfix_str(forecast(self.step_seconds * self.setup.thin))
        self.save()

    def observe(self) -> None:
        """Show every chain's place to the observables, beyond what is recorded."""
        for group, run in zip(self.groups, self.runs, strict=True):
            write = self.observed.writer(group.chains)
            if write is not None:
                write(0, run.state.w)

    def save(self) -> None:
        """Write what is not on disk yet.

        Raises:
            SaveError: If the disk refuses.
        """
        if self.saved is None:
            return
        with saving(self.saved.folder, lambda: self.trace() if self.rounds else None):
            self.saved.save(self.unsaved, self.observed.take(), self._state())
        self.unsaved = []

    def trace(self) -> Trace:
        """Build the trace of all draws; observables that are saved are read from there."""
        names = sorted(self.rounds[0])  # the same after a resume, which reads them from files
        arrays = {name: torch.cat([block[name] for block in self.rounds], dim=1).numpy() for name in names}
        records = self.records or [{}]
        observed = {name: np.concatenate([r[name] for r in records]).swapaxes(0, 1) for name in records[0]}
        return build_trace(self.setup, self.runs, arrays, observed)

    def _keep(self, blocks: list[Draws]) -> None:
        block = {name: torch.cat([b[name] for b in blocks]) for name in blocks[0]}
        self.rounds.append(block)
        self.observed.filled += next(iter(block.values())).shape[1]
        if self.saved is not None:
            self.unsaved.append(block)
        elif self.observed.at_center:
            self.records.append({name: rows.copy() for name, rows in self.observed.take().items()})
        else:
            self.observed.filled = 0

    def _save_if_due(self) -> None:
        if self.saved is not None and (self.saved.due or not self.observed.room):
            self.save()

    def _state(self) -> Saved:
        return Saved(self.warmed, self.drawn, self.setup.bound.tally.rows, self.runs, self.felt)

    def _round(self, left: int, thin: int) -> int:
        """Draws of the next round: the numbers drawn do not depend on it."""
        fits = int(_ROUND_SECONDS / (self.step_seconds * thin)) if self.step_seconds else 1
        return max(1, min(left, fits, _ROUND_DRAWS))

    def advance(self, draws: int, thin: int, *, recording: bool) -> list[Draws]:
        """Take draws with every group of chains, and note the pace."""
        if self.saved is not None:
            self.saved.require_writable()
        start = time.monotonic()
        blocks = []
        for i, group in enumerate(self.groups):
            observe = self.observed.writer(group.chains) if recording else None
            self.runs[i], block = advance(
                self.runs[i], self.setup.bound, self.setup.sampler, group.random, draws, thin, observe
            )
            blocks.append(block)
        self.step_seconds = (time.monotonic() - start) / (draws * thin)
        return blocks

    def _tempered(self, group: Group, nbeta: Tensor, rounds: int) -> Tensor:
        """Return the nbeta of a group's chains after so many rounds of warmup."""
        if not self.setup.hot_start:
            return nbeta
        cold = self.setup.posterior.nbeta
        hot = hot_chains(range(group.chains.start, group.chains.stop)).to(nbeta.device)
        return torch.where(hot, nbeta_in_round(cold, rounds), torch.full_like(nbeta, cold))

    def _pool(self, rounds: int) -> None:
        if self.runs[0].adaptation is None:
            return
        alive = ~torch.cat([run.dead for run in self.runs])
        if self.setup.hot_start and rounds < HOT_ROUNDS:
            alive = alive & ~hot_chains(range(self.setup.chains))  # what suits a hot chain suits no other
        alive = alive.to(self.setup.posterior.problem.device)
        adaptation, tuning = self.setup.sampler.pool(
            join([run.adaptation for run in self.runs]), join_tuning([run.tuning for run in self.runs]), alive
        )
        self.runs = [
            run._replace(adaptation=part(adaptation, group.chains), tuning=part_tuning(tuning, group.chains))
            for run, group in zip(self.runs, self.groups, strict=True)
        ]

    def _slices(self) -> Iterator[slice]:
        size = 1 if isinstance(self.setup.bound.evaluator, InPlace) else self._chains_that_fit()
        for start in range(0, self.setup.chains, size):
            yield slice(start, min(start + size, self.setup.chains))

    def _chains_that_fit(self) -> int:
        problem = self.setup.posterior.problem
        one = problem.examples.take(torch.zeros(1, dtype=torch.long, device="cpu"))
        rows = problem.chunk if self.setup.full_data else self.setup.posterior.batch_size or problem.n
        numbers = rows * sum(t.numel() for t in tensors_of(one))
        return max(1, _GROUP_NUMBERS // max(numbers, problem.dimension))

    def _group(self, chains: slice) -> Group:
        problem = self.setup.posterior.problem
        random = Random(
            self.setup.seed,
            range(chains.start, chains.stop),
            self.setup.bound.evaluator.leaves,
            n=problem.n,
            batch_size=None if self.setup.full_data else self.setup.posterior.batch_size,
            uniforms=self.setup.sampler.uniforms,
            device=problem.device,
            dtype=problem.dtype,
        )
        return Group(chains, random)


def _checks(draws: int, least: int) -> Iterator[int]:
    """Numbers of draws after which `until` is asked: 20, then a fifth more each time, but none below `least`."""
    at = _FIRST_CHECK
    while at < draws:
        if at >= least:
            yield at
        at += max(1, at // 5)
    yield draws
