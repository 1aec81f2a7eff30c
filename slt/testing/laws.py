"""Checks of what is sampled: energies and virials on wells against their laws, by z-scores."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from slt.problem import untouched
from slt.running.tuning import from_arrays
from slt.samplers import Sampler
from slt.testing.report import Check
from slt.testing.runs import ENOUGH, Mean, Runs, energies, mean_of, on_minibatches
from slt.testing.walk import Walk, cloned
from slt.testing.wells import Well

StatedLaw = Callable[[Well, Mapping[str, Any]], float]
"""From a well and what warmup found, by field of the Tuning, to the mean energy that the sampler should have there."""

_ERRORS = 4.0
_SMALL_BIAS, _RESOLVED = 0.01, 0.006  # of the energy: what an unadjusted sampler may keep, and how well it is seen
_FEW, _SETTLE, _LOOK = 250, 60, 20  # chains, steps to the law, and steps in which acceptance is measured


@dataclass(frozen=True)
class Subject:
    """What is checked, and what its caller says of it."""

    sampler: Sampler
    law: StatedLaw | None
    order: float | None
    runs: Runs

    @property
    def wells(self) -> list[tuple[str, Well]]:
        """The targets of the sampler's own kind."""
        well = self.runs.well
        if self.sampler.full_data:
            return [("all data", well)]
        return [("all data", well), ("minibatches", on_minibatches(well))]


def check_energy(subject: Subject) -> Iterator[Check]:
    """Mean energy against the exact law, the stated law, or no law but that of vanishing with the step."""
    for data, well in subject.wells:
        if subject.law is None and subject.sampler.unadjusted:
            yield _bias(subject.runs, data, well)
            continue
        law = well.energy if subject.law is None else subject.law(well, subject.runs.settled(well).tuning)
        trace = subject.runs.base if data == "all data" else subject.runs.draw(well)
        yield _compare("energy", data, mean_of(energies(trace)), law, well.dimension)


def check_virial(subject: Subject) -> Iterator[Check]:
    """E[(w - w*) . grad U] = d, which holds for every exact sampler."""
    if not subject.sampler.unadjusted:
        well = subject.runs.well
        virial = mean_of(subject.runs.base.get("sample_stats", "virial"))
        yield _compare("virial", "all data", virial, well.dimension, well.dimension)


def check_permuted(subject: Subject) -> Iterator[Check]:
    """The law does not depend on which parameter is which, nor on the tensor that it stands in."""
    well = subject.runs.well
    permuted = replace(well, curvatures=tuple(reversed(well.curvatures)))
    yield _same_law(subject, "permuted", permuted, seed=5)


def check_padded(subject: Subject) -> Iterator[Check]:
    """Parameters that do not matter to the loss do not matter to its law."""
    yield _same_law(subject, "padded", replace(subject.runs.well, idle=24), seed=6)


def check_order(subject: Subject) -> Iterator[Check]:
    """Rejections vanish with the step as fast as stated: a wrong proposal stays exact, and only this shows it."""
    if subject.order is None:
        return
    runs, well = subject.runs, replace(subject.runs.well, dtype=torch.float64)
    step = runs.step(runs.well)
    coarse, fine = _rejections(runs, well, (step / 8, step / 16))
    if not (0 < fine < coarse):
        yield Check("order", f"rejections {coarse:.2g} at step/8, {fine:.2g} at step/16: none to compare", False)
        return
    order = math.log2(coarse / fine)
    measured = f"rejections shrink like step^{order:.2f}, stated step^{subject.order:g} or faster"
    yield Check("order", measured, order > subject.order - 0.5)


def _rejections(runs: Runs, well: Well, steps: tuple[float, float]) -> list[float]:
    """Mean rejection probabilities at two step sizes, from the same places."""
    tuned = runs.settled(well).tuning
    found = []
    with untouched((posterior := well.posterior()).problem.model):
        walk = Walk(posterior, runs.sampler, range(_FEW), "vectorized", runs.seed)
        walk.tuning = _filled(walk, tuned, posterior)
        for t in range(_SETTLE):
            walk.step(t)
        start, tuning = cloned(walk.state), walk.tuning
        for step in steps:
            walk.state, walk.infos = cloned(start), []
            walk.tuning = tuning._replace(step_size=torch.full_like(tuning.step_size, step))
            for t in range(_SETTLE, _SETTLE + _LOOK):
                walk.step(t)
            found.append(float(1 - torch.stack([info.acceptance for info in walk.infos]).mean()))
    return found


def _filled(walk: Walk, tuned: Any, posterior: Any) -> Any:
    sizes = [segment.size for segment in posterior.problem.segments]
    return from_arrays(tuned, walk.tuning, walk.bound.evaluator, sizes, slice(0, len(walk.nbeta)))


def _bias(runs: Runs, data: str, well: Well) -> Check:
    """The bias at four, two and one steps: no larger at the last than at the first, and there below 1 %."""
    step, found = runs.step(well), []
    for i, times in enumerate((4, 2, 1)):
        energy = mean_of(energies(runs.draw(well, step=times * step, slower=1 / times, enough=9 * ENOUGH, seed=i)))
        found.append((energy.value / well.energy - 1, energy.error / well.energy))
    (first, first_error), _, (last, error) = found
    shrinks = abs(last) < abs(first) + 3 * math.hypot(error, first_error)
    said = ", ".join(f"{bias:+.1%}" for bias, _ in found)
    measured = f"{data}: bias {said} (+- {error:.1%}) at 4, 2, 1 x step {step:.3g}"
    return Check("energy", measured, shrinks and abs(last) < _SMALL_BIAS and error < _RESOLVED)


def _same_law(subject: Subject, name: str, well: Well, seed: int) -> Check:
    """Compare with the exact law; where there is none, with the plain well at the same step."""
    runs, plain = subject.runs, subject.runs.well
    if not subject.sampler.unadjusted:
        return _compare(name, "all data", mean_of(energies(runs.draw(well, seed=seed))), well.energy, well.dimension)
    here = mean_of(energies(runs.draw(well, step=runs.step(plain), seed=seed)))
    there = mean_of(energies(runs.base))
    joint = Mean(here.value, math.hypot(here.error, there.error), here.effective)
    return _compare(name, "all data", joint, there.value, well.dimension)


def _compare(name: str, data: str, found: Mean, law: float, dimension: int) -> Check:
    z = found.z(law)
    enough = found.effective * dimension >= ENOUGH
    few = "" if enough else f"; only {found.effective * dimension:.2g} effective draws x d, {ENOUGH:.0e} are needed"
    measured = f"{data}: {found.value:.4f} +- {found.error:.4f} for {law:.4f}{few}"
    return Check(name, measured, enough and abs(z) < _ERRORS, z)
