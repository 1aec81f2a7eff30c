"""A table of situations: a model in a context on data, saved somewhere, and what a call comes to in each.

Every model is a linear regression in its moving entries, so that the value of each situation is known: with h the
eigenvalues of the Hessian, gamma the isotropic localizer, and H = nbeta h + gamma, the local learning coefficient is
1/2 sum nbeta h / H, and what full-batch SGLD of step e samples is 1/2 sum (nbeta h / H) / (1 - e H / 4).

A call comes to one of four things. It is right: the value lies within its error, and the user's world is as it was. Or
refused by name before the first step, the world again as it was. Or the user's own exception comes out. Or it is a
failure, which is told in words.
"""

import contextlib
import functools
import itertools
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import slt
from slt.errors import SltError
from tests.faults import situations_contexts, situations_data, situations_files, situations_models, situations_world
from tests.faults.situations_axes import (
    EITHER,
    LOCALIZATION,
    NBETA,
    OWN,
    REFUSED,
    RIGHT,
    Context,
    Data,
    File,
    Model,
    UserError,
    X,
    Y,
    named,
)

MODELS: dict[str, Model] = named(situations_models.MODELS)
CONTEXTS: dict[str, Context] = named(situations_contexts.CONTEXTS)
DATA: dict[str, Data] = named(situations_data.DATA)
FILES: dict[str, File] = named(situations_files.FILES)
PLAIN = {
    "model": situations_models.PLAIN,
    "context": situations_contexts.PLAIN,
    "data": situations_data.PLAIN,
    "file": situations_files.PLAIN,
}
AXES: dict[str, dict[str, Any]] = {"model": MODELS, "context": CONTEXTS, "data": DATA, "file": FILES}

SAMPLED = ("SGLD", "SGLD in place", "HMC", "HMC in place")
EXTREME = ("nbeta", "localization")  # settings at which a verdict may say that the value is none

CHAINS, WAY_IN = {"": 8, "in place": 3}, 10
FEW = 3  # entries below which energies spread so much, beside their mean, that it takes twice the draws
DRAWS = {"SGLD": 90, "SGLD in place": 130, "HMC": 70, "HMC in place": 90}
ERRORS = 4.5  # so many standard errors a value may be off
TELLING = 0.25  # the share of the value that the interval's half-width must stay below
ROUNDING = 0.01  # the share by which rounding may move a value


@dataclass(frozen=True)
class Situation:
    """One of each axis by name, and the call that is made."""

    model: str = PLAIN["model"]
    context: str = PLAIN["context"]
    data: str = PLAIN["data"]
    file: str = PLAIN["file"]
    call: str = "SGLD"

    def __str__(self) -> str:
        """Name what is not plain, and the call."""
        odd = [f"{axis}: {getattr(self, axis)}" for axis in AXES if getattr(self, axis) != PLAIN[axis]]
        return f"{', '.join(odd) or 'plain'} ({self.call})"

    @property
    def axes(self) -> str:
        """The axes on which it is not plain."""
        return " x ".join(axis for axis in AXES if getattr(self, axis) != PLAIN[axis]) or "plain"

    @property
    def expected(self) -> set[str]:
        """What it may come to: where a part is refused or raises, one of these; where two do, either may be first."""
        parts = {entries[getattr(self, axis)].expected for axis, entries in AXES.items()} - {RIGHT}
        if OWN in parts or REFUSED in parts:
            return parts - {EITHER} | ({REFUSED} if EITHER in parts else set())
        return {RIGHT, REFUSED} if parts else {RIGHT}


class Outcome(NamedTuple):
    """What a situation came to."""

    situation: Situation
    kind: str
    told: str
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """All of it on a line of a table."""
        return " | ".join([str(self.situation), " or ".join(sorted(self.situation.expected)), self.kind, self.told])

    @property
    def good(self) -> bool:
        """Whether it is what was to be expected."""
        return self.kind in self.situation.expected


FAILED = "failed"


class Result(NamedTuple):
    """What a call gave, as numbers that any context can hold."""

    value: float
    error: float
    half: float
    exact: float
    problems: tuple[str, ...] = ()


STEPS = Counter[str]()
"""Steps that samplers have taken, which begin where set-up has ended."""


def _counted(step: Callable[..., Any]) -> Callable[..., Any]:
    """A sampler's step, with its signature, that is counted."""

    @functools.wraps(step)
    def counted(*args: Any) -> Any:
        STEPS["taken"] += 1
        return step(*args)

    return counted


class Sgld(slt.SGLD):
    """SGLD that counts its steps."""

    step = _counted(slt.SGLD.step)


class Hmc(slt.HMC):
    """The same of HMC."""

    step = _counted(slt.HMC.step)


def situations(seed: int = 0, pairs: int = 35) -> list[Situation]:
    """Every entry of every axis with the others plain, and as many pairs of entries of each two axes as asked for."""
    rng = np.random.default_rng(seed)
    found = list(_alone())
    for one, two in itertools.combinations(AXES, 2):
        every = [(a, b) for a in AXES[one] for b in AXES[two] if a != PLAIN[one] and b != PLAIN[two]]
        for k in rng.permutation(len(every))[:pairs]:
            a, b = every[k]
            found.append(Situation(**{one: a, two: b}, call=SAMPLED[rng.integers(len(SAMPLED))]))
    return found


_CALLS = {
    "model": ("SGLD", "SGLD in place", "functional_dimension", "explain"),
    "context": ("SGLD", "SGLD in place", "estimate_llc", "explain"),
    "data": ("SGLD", "HMC in place"),
    "file": ("SGLD",),
}


def _alone() -> Iterator[Situation]:
    for axis, entries in AXES.items():
        for name in entries:
            if name == PLAIN[axis] and axis != "model":
                continue  # what is plain on every axis comes once
            for call in _CALLS[axis]:
                if call in SAMPLED or call == "estimate_llc" or axis == "context" or entries[name].function:
                    yield Situation(**{axis: name}, call=call)


def small_sample(every: Sequence[Situation], count: int = 25) -> list[Situation]:
    """A few of all, drawn evenly, without what takes long."""
    slow = {"in a DataLoader's worker", "compiled", "compiled in place", "scripted", "traced"}
    quick = [s for s in every if s.call in SAMPLED and s.context not in slow and s.model not in slow]
    return [quick[k] for k in np.linspace(0, len(quick) - 1, count).round().astype(int)]


def outcome(situation: Situation, folder: Path) -> Outcome:
    """Make the call of a situation, and say what it came to.

    Args:
        situation: The situation.
        folder: An empty folder for its files.

    Returns:
        The outcome.
    """
    with situations_world.put_back():
        warnings.simplefilter("ignore")  # that one is raised is a context of its own
        try:
            save_to = FILES[situation.file].prepare(folder, lambda place: _Made(situation).call(place, share=0.5))
        except (SltError, UserError):
            save_to = folder / "run"  # what is refused has no run to resume; the call itself will say so
        except Exception as error:
            if not _came_from_the_loss(error):
                return Outcome(situation, FAILED, f"raw {_words(error)}")
            save_to = folder / "run"
        return _judged(situation, _Made(situation), save_to, folder)


def _judged(situation: Situation, made: "_Made", save_to: Any, folder: Path) -> Outcome:
    context, changed = CONTEXTS[situation.context], []
    tensors = situations_data.tensors_in(made.data)
    before, files = situations_world.of_objects(made.model, made.data, tensors), situations_world.of_files(folder)

    def call() -> Result:
        process = situations_world.of_process()
        try:
            return made.call(save_to)
        finally:
            changed.extend(situations_world.differences(process, situations_world.of_process()))

    STEPS.clear()
    try:
        kind, told = _of_result(context.around(call), situation)
    except UserError as error:
        kind, told = OWN, str(error)
    except SltError as error:
        kind, told = REFUSED, _words(error)
        if STEPS["taken"]:
            kind, told = FAILED, f"refused after {STEPS['taken']} steps: {told}"
    except Exception as error:
        kind, told = (OWN if _came_from_the_loss(error) else FAILED), f"raw {_words(error)}"
    after = situations_world.of_objects(made.model, made.data, tensors)
    changed += situations_world.differences(before, after)
    if kind == REFUSED:
        changed += situations_world.differences(files, situations_world.of_files(folder))
    elif kind != FAILED or "steps" in told:
        changed += [name for name in files if name not in situations_world.of_files(folder)]
    if changed and kind != FAILED:
        kind, told = FAILED, f"world: {'; '.join(changed[:4])} ({kind}: {told})"
    elif changed:
        told += f"; world: {'; '.join(changed[:4])}"
    return Outcome(situation, kind, told)


def _came_from_the_loss(error: Exception) -> bool:
    """Whether slt says of an exception that the user's own code raised it, and at what."""
    said = [str(error), *getattr(error, "__notes__", ())]
    return any("calling loss(model, batch) for the first time" in text for text in said)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def _of_result(result: Result, situation: Situation) -> tuple[str, str]:
    if situation.call in ("functional_dimension", "explain"):
        good = result.value == result.exact
        return (RIGHT, "") if good else (FAILED, f"wrong rank {result.value:g} for {result.exact:g}")
    told = f"{result.value:.4g} +- {result.error:.2g} for {result.exact:.4g}"
    if result.problems and any(name in EXTREME for name, _ in DATA[situation.data].settings):
        return RIGHT, f"the verdict says {', '.join(result.problems)}"
    off = abs(result.value - result.exact)
    if not off <= ERRORS * result.error + ROUNDING * result.exact:
        return FAILED, f"wrong value {told}"
    if not result.half <= TELLING * result.exact:
        return FAILED, f"nothing to tell by: {told}, half a width of {result.half:.2g}"
    return RIGHT, told


class _Made:
    """What a user has made, and the call on it."""

    def __init__(self, situation: Situation) -> None:
        self.situation, self.entry, data = situation, MODELS[situation.model], DATA[situation.data]
        self.model, given = self.entry.build(self.entry.best()), dict(data.settings)
        self.data = data.form(*(torch.from_numpy(values).to(self.entry.dtype) for values in (X, Y)))
        self.settings = {"localization": LOCALIZATION, "parameters": self.entry.parameters, **given}
        self.extreme = any(name in given for name in EXTREME)
        self.curvatures = self.entry.curvatures()

    def call(self, save_to: Any, share: float = 1.0) -> Result:
        """Make the call; of a run, `share` of its draws."""
        kind = self.situation.call
        if kind == "functional_dimension":
            if self.situation.data != PLAIN["data"]:
                raise ValueError("only inputs have a functional dimension")
            found = slt.functional_dimension(self.model, self.data[0], parameters=self.settings["parameters"])
            return self._rank(found.rank)
        if kind == "explain":
            settings = {"parameters": self.settings["parameters"]}
            return self._rank(slt.explain(self.model, self.data, self.entry.loss, **settings).rank)
        if kind == "estimate_llc":
            return self._estimated(save_to)
        return self._sampled(save_to, share)

    def _rank(self, rank: int) -> Result:
        exact = int((self.curvatures > 1e-9).sum())
        return Result(rank, 0.0, 0.0, exact)

    def _estimated(self, save_to: Any) -> Result:
        estimate = slt.estimate_llc(
            self.model,
            self.data,
            self.entry.loss,
            budget=slt.Gradients(9_000),
            target_relative_error=0.15,
            sampler=Hmc(),
            progress=CONTEXTS[self.situation.context].progress,
            save_to=save_to,
            **self.settings,
        )
        return self._result(estimate, 0.0)

    def _sampled(self, save_to: Any, share: float) -> Result:
        kind, _, place = self.situation.call.partition(" ")
        stiffness = self.settings.get("nbeta", NBETA) * self.curvatures + self.settings["localization"]
        exact = kind == "HMC" or "batch_size" in self.settings or self.extreme
        step = 1.0 / float(stiffness.max())
        sampler: Any = Sgld(step_size=step)
        if exact:
            sampler = Hmc(step_size=0.9 * step**0.5, leapfrogs=2, jitter=0.0)
        if self.extreme:
            sampler = Hmc()
        posterior = slt.LocalPosterior(self.model, self.data, self.entry.loss, **self.settings)
        trace = slt.sample(
            posterior,
            sampler,
            chains=CHAINS[place],
            draws=int(share * DRAWS[self.situation.call] * (2 if len(self.curvatures) < FEW else 1)),
            warmup=50 if self.extreme else WAY_IN,
            chain_method="in_place" if place else "auto",
            observe=None if self.entry.observe is None else self.entry.observe(),
            progress=CONTEXTS[self.situation.context].progress,
            save_to=save_to,
        )
        return self._result(slt.llc(trace), 0.0 if exact else step)

    def _result(self, estimate: slt.Estimate, step: float) -> Result:
        nbeta, gamma = self.settings.get("nbeta", NBETA), self.settings["localization"]
        h = nbeta * self.curvatures
        exact = 0.5 * float((h / (h + gamma) / (1 - step * (h + gamma) / 4)).sum())
        low, high = estimate.interval()
        problems = tuple(finding.kind.words for finding in estimate.verdict.problems)
        return Result(float(estimate.value), float(estimate.mcse), (high - low) / 2, exact, problems)


def outcomes(chosen: Sequence[Situation], each: Callable[[Outcome], None] = lambda found: None) -> list[Outcome]:
    """Run situations one after another, each with an empty folder of its own."""
    found = []
    for situation in chosen:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as here, contextlib.chdir(here):
            one = outcome(situation, Path(folder))
        found.append(one._replace(seconds=time.process_time() - start))
        each(found[-1])
    return found


def table(found: Sequence[Outcome]) -> str:
    """How many situations were tried on each axis, and what they came to."""
    lines = ["axes | tried | right | refused by name | the user's own | none of these | not as expected"]
    groups = sorted({one.situation.axes for one in found}, key=lambda axes: (axes.count(" x "), axes))
    for axes in [*groups, "all"]:
        mine = [one for one in found if axes in (one.situation.axes, "all")]
        kinds = Counter(one.kind for one in mine)
        unexpected = sum(not one.good for one in mine)
        counts = [len(mine), *(kinds[kind] for kind in (RIGHT, REFUSED, OWN, FAILED)), unexpected]
        lines.append(" | ".join([axes, *map(str, counts)]))
    return "\n".join(lines)
