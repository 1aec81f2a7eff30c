"""Runs of a sampler on wells, long enough to be compared with a law."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slt._statistics import ess
from slt.errors import ContractError
from slt.running import sample
from slt.running.tuning import tuned_arrays
from slt.samplers import Sampler
from slt.testing.wells import Well
from slt.trace import Trace

CHAINS = 1000
BATCH = 4
ENOUGH = 2e4  # effective draws times dimension, at which four errors of a mean energy are 4 %
_PILOT_CHAINS, _PILOT_DRAWS, _WARMUP = 128, 60, 150
_BURN_IN = 12  # autocorrelation times from w* to the law
_LONGEST = 20_000  # steps of a chain


class Mean(NamedTuple):
    """A mean over independent chains."""

    value: float
    error: float
    effective: float
    """Number of independent draws that would know it as well."""

    def z(self, law: float) -> float:
        """Errors between this mean and its law."""
        return (self.value - law) / self.error


class Pilot(NamedTuple):
    """What a short run told: the tuning of warmup, and how slowly the energy forgets."""

    tuning: dict[str, NDArray[Any]]
    time: float
    """Autocorrelation time of the energy, steps."""


def mean_of(values: NDArray[Any]) -> Mean:
    """Return the mean of (chains, draws) values, with the error that independent chains give without theory."""
    means = values.mean(axis=1)
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    effective = float(values.var()) / error**2 if error > 0 else math.nan
    return Mean(float(means.mean()), error, effective)


class Runs:
    """All runs of one sampler on wells; pilots are kept.

    Args:
        sampler: The sampler.
        seed: Seed of all randomness.
    """

    def __init__(self, sampler: Sampler, seed: int) -> None:
        """Run nothing yet."""
        self.sampler, self.seed = sampler, seed
        self._pilots: dict[Well, Pilot] = {}

    @cached_property
    def well(self) -> Well:
        """The plain target."""
        return Well()

    @cached_property
    def base(self) -> Trace:
        """Draws on the plain target."""
        return self.draw(self.well)

    def pilot(self, well: Well) -> Pilot:
        """Warm up on a well and see how far apart draws must be."""
        if well not in self._pilots:
            trace, thin = self._warmed(well), 1
            tuning = _shared(trace)
            # draws that are too close together cannot tell how slowly the energy forgets
            while (
                effective := ess(energies(trace)) / _PILOT_CHAINS
            ) < _PILOT_DRAWS / 10 and 4 * thin <= _LONGEST / 300:
                thin *= 4
                trace = self._warmed(well, warmup=_PILOT_DRAWS * thin, thin=thin, tuning=tuning)
            self._pilots[well] = Pilot(tuning, max(1.0, thin * _PILOT_DRAWS / effective))
        return self._pilots[well]

    def settled(self, well: Well) -> Pilot:
        """Return the pilot for runs on a well: the plain well's, as far as what warmup learned fits."""
        if well.batch_size is not None:
            return self.pilot(well)
        plain = self.pilot(self.well)
        fits = not well.idle and well.curvatures == self.well.curvatures
        if fits or all(np.ndim(values) == 0 for values in plain.tuning.values()):
            return plain
        if well not in self._pilots:
            self._pilots[well] = Pilot(_shared(self._warmed(well, draws=1)), plain.time)
        return self._pilots[well]

    def _warmed(self, well: Well, **settings: Any) -> Trace:
        given: dict[str, Any] = {"warmup": _WARMUP, "draws": _PILOT_DRAWS, "seed": self.seed + 1} | settings
        trace = sample(well.posterior(), self.sampler, chains=_PILOT_CHAINS, progress=False, **given)
        return _living(self.sampler, trace)

    def draw(
        self, well: Well, *, step: float | None = None, slower: float = 1.0, enough: float = ENOUGH, seed: int = 0
    ) -> Trace:
        """Draw from a well with the tuning of its pilot, until a mean energy is known well enough.

        Args:
            well: The target.
            step: Step size; None leaves the pilot's.
            slower: Factor on the pilot's autocorrelation time.
            enough: Effective draws times dimension to aim at.
            seed: Tells this run from others of the same sampler.

        Returns:
            The trace.

        Raises:
            ContractError: If the sampler is too slow on this well to be checked.
        """
        pilot = self.settled(well)
        time = pilot.time * slower
        thin = max(1, round(time / 2))
        draws = math.ceil(1.5 * enough / (CHAINS * well.dimension) * max(1.0, time / thin)) + 1
        warmup = math.ceil(_BURN_IN * time)
        if warmup + draws * thin > _LONGEST:
            raise ContractError(
                f"{self.sampler!r} needs {warmup + draws * thin:,} steps where {_LONGEST:,} are affordable: on a well "
                f"with curvatures of U from 150 to 450 its energy must be forgotten in fewer than {time:.0f} steps.",
                None,
            )
        trace = sample(
            well.posterior(),
            self.sampler,
            chains=CHAINS,
            draws=draws,
            warmup=warmup,
            thin=thin,
            seed=self.seed + 2 + seed,
            tuning=self.tuning(pilot, step),
            progress=False,
        )
        return _living(self.sampler, trace)

    def tuning(self, pilot: Pilot, step: float | None) -> Mapping[str, Any]:
        """Return the tuning of a pilot, with another step size."""
        if step is None:
            return pilot.tuning
        return {**pilot.tuning, "step_size": np.asarray(step)}

    def step(self, well: Well) -> float:
        """Return the step size that runs on a well use."""
        tuning = self.settled(well).tuning
        if "step_size" not in tuning:
            raise ContractError(
                f"{self.sampler!r} must have a step_size in its Tuning for this check, got {sorted(tuning)}.", None
            )
        return float(tuning["step_size"])


def energies(trace: Trace) -> NDArray[Any]:
    """Return nbeta times the excess, (chains, draws)."""
    return trace.nbeta * trace.get("posterior", "excess")


def on_minibatches(well: Well) -> Well:
    """Return the same well, its gradients on minibatches."""
    return replace(well, batch_size=BATCH)


def _shared(trace: Trace) -> dict[str, NDArray[Any]]:
    """Return a trace's tuning with one number for all chains, also for those of runs to come."""
    constant = trace.to_datatree()["constant_data"]
    chainwise = {str(name) for name in constant.data_vars if constant[str(name)].dims == ("chain",)}
    return {
        name: np.exp(np.log(values).mean()) if f"tuning_{name}" in chainwise else values
        for name, values in tuned_arrays(trace).items()
    }


def _living(sampler: Sampler, trace: Trace) -> Trace:
    if not bool(trace.alive.all()):
        raise ContractError(
            f"{sampler!r} must be stable on a well with curvatures of U from 150 to 450, but "
            f"{int((~trace.alive).sum())} of {trace.chains} chains blew up.",
            None,
        )
    return trace
