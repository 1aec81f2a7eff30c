"""What tells one run from another: fingerprints of what was given, and numbers where processors round differently."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._store import fingerprint
from slt._tree import Params
from slt.problem import Problem
from slt.problem.evaluate import InPlace
from slt.problem.fingerprints import content, data_fingerprint, weights
from slt.problem.pointing import beside_center
from slt.running.observed import Observed
from slt.running.provenance import Setup
from slt.running.tuning import Tuned, tuned_arrays

_ROWS = 32  # evenly spread, on which the loss is evaluated beside w*
_POINTS = 2  # beside w*: at the minimum of an exactly fitted model every loss is 0
_ROUNDINGS = 1e3  # of the coarsest parameter, relative: what two processors may differ by
_TENSOR_CORES = 1e-3  # what float32 is good to there
_FINEST, _COARSEST = 1e-8, 0.1


class Identity(NamedTuple):
    """What a run is known by.

    Attributes:
        fingerprints: Fingerprints by name, under which a refusal tells them.
        numbers: Numbers by name; each list has one scale, its largest entry.
        tolerance: What numbers may differ by, of their scale.
    """

    fingerprints: dict[str, str]
    numbers: dict[str, list[float]]
    tolerance: float

    def differences(self, fingerprints: Mapping[str, str], numbers: Mapping[str, list[float]]) -> list[str]:
        """Name what another run has that this one has not."""
        ours = self.fingerprints
        other = {name for name in {*fingerprints, *ours} if fingerprints.get(name) != ours.get(name)}
        other |= {name for name in {*numbers, *self.numbers} if not self._close(name, numbers.get(name))}
        return sorted(other)

    def _close(self, name: str, theirs: list[float] | None) -> bool:
        ours = self.numbers.get(name)
        if ours is None or theirs is None or len(ours) != len(theirs):
            return False
        finite = [abs(x) for x in (*ours, *theirs) if np.isfinite(x)]
        allowed = self.tolerance * max(finite, default=0.0)
        return bool(np.allclose(ours, theirs, rtol=0.0, atol=allowed, equal_nan=True))


def identify(setup: Setup, observed: Observed, tuning: Tuned | None) -> Identity:
    """Take the fingerprints of all that decides the draws.

    The data count by all their values. The loss and the model's code count by what they give at w* and at two points
    beside it, losses of 32 rows and the norms of their gradients; so do observables. Such numbers, and a localizer that
    was measured, may differ by rounding.

    Args:
        setup: What was chosen.
        observed: What is recorded.
        tuning: What was given in the place of a warmup.

    Returns:
        The identity.
    """
    posterior, problem = setup.posterior, setup.posterior.problem
    fingerprints = {
        **_settings(setup, tuning),
        "data": data_fingerprint(problem.examples),
        "loss": fingerprint([problem.loss.convention, problem.per_example]),
        "nbeta": fingerprint(float(f"{posterior.nbeta:.9g}")),  # the logarithm is not the same everywhere
        "observables": fingerprint({k: [v.dtype.str, list(v.shape)] for k, v in observed.at_center.items()}),
    }
    points = _points(problem)
    numbers = _losses(problem, points)
    if isinstance(posterior.localization, str):
        fingerprints["localization"] = fingerprint(posterior.localization)
        numbers["localization"] = list(posterior.mean_precisions.values())
    else:
        fingerprints["localization"] = fingerprint([content(p) for p in posterior.precisions])
    numbers |= _observed(setup, observed, points)
    return Identity(fingerprints, numbers, _tolerance(problem))


def identify_by_baseline(setup: Setup, observed: Observed, tuning: Tuned | None) -> Identity:
    """Take the fingerprints as folders of format 1 hold them, which know the data by the losses at w* alone."""
    posterior, problem = setup.posterior, setup.posterior.problem
    baseline = problem.loss_center if problem.baseline is None else content(problem.baseline)
    fingerprints = {
        **_settings(setup, tuning),
        "data or loss (the baseline at w*)": fingerprint([baseline, problem.loss.convention, posterior.n]),
        "localization": fingerprint([content(p) for p in posterior.precisions]),
        "nbeta": fingerprint(posterior.nbeta),
        "observables": fingerprint(observed.at_center),
    }
    return Identity(fingerprints, {}, 0.0)


def _settings(setup: Setup, tuning: Tuned | None) -> dict[str, str]:
    problem = setup.posterior.problem
    state = {name: content(t) for name, t in weights(problem.model).items()}
    moving = {s.name: None if s.index is None else content(s.index) for s in problem.segments}
    found = None if tuning is None else {k: np.asarray(v) for k, v in tuned_arrays(tuning).items()}
    return {
        "weights": fingerprint(state),
        "parameters": fingerprint(moving),
        "batch_size": fingerprint(setup.posterior.batch_size),
        "sampler": fingerprint(repr(setup.sampler)),
        "tuning": fingerprint(found),
        "chain_method": fingerprint(isinstance(setup.bound.evaluator, InPlace)),
        **{name: fingerprint(getattr(setup, name)) for name in ("chains", "warmup", "thin", "seed")},
        **({"hot_start": fingerprint(True)} if setup.hot_start else {}),  # folders from before it have none
    }


def _points(problem: Problem) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [beside_center(problem.segments, problem.dtype, generator) for _ in range(_POINTS)]


def _losses(problem: Problem, points: list[list[Tensor]]) -> dict[str, list[float]]:
    """Evaluate the loss at w* and beside it through the module itself; these gradients are not counted."""
    rows = torch.linspace(0, problem.n - 1, min(problem.n, _ROWS), dtype=torch.float64, device="cpu").round().long()
    evaluator, batch = InPlace(problem), problem.batch(rows)
    losses, norms = [problem.loss_center], []
    for tensors in points:
        w = evaluator.pack(tensors)
        losses += evaluator.losses(w, batch, problem.loss).double().reshape(-1).tolist()
        gradient = evaluator.evaluate(w, rows.unsqueeze(0)).grad
        norms.append(float(sum(leaf.double().square().sum() for leaf in gradient.values())) ** 0.5)
    return {"loss": losses, "gradient of the loss": norms}


def _observed(setup: Setup, observed: Observed, points: list[list[Tensor]]) -> dict[str, list[float]]:
    """Observe beside w*, without counting what gradients that takes."""
    bound = setup.bound
    spent = replace(bound.tally)
    w: list[Params] = [bound.evaluator.pack(tensors) for tensors in points]
    found = [observed.at(position) for position in w]
    bound.tally.gradients, bound.tally.rows = spent.gradients, spent.rows
    return {f"observables: {name}": [x for each in found for x in _spread(each[name])] for name in observed.at_center}


def _spread(array: NDArray[Any]) -> list[float]:
    flat = array.reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, _ROWS)).round().astype(int)
    return flat[places].astype(np.float64).tolist()


def _tolerance(problem: Problem) -> float:
    coarsest = max(torch.finfo(s.parameter.dtype).eps for s in problem.segments)
    cores = 0.0 if problem.device.type == "cpu" else _TENSOR_CORES
    return max(_FINEST, cores, min(_COARSEST, _ROUNDINGS * coarsest))
