"""Each sampler against its own law on quadratics, at several localizations, and the order of the leapfrog.

The chains are independent, so the error of the mean over chains needs no theory. A mean of N effective draws of the
energy of d directions has a relative error of sqrt(2 / (N d)): at N d = 2e4 four errors are 4 %, and every case here
has more. `test_contract.py` holds the same code against mutants.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from slt._tree import per_chain
from slt.posterior import LocalPosterior
from slt.running import sample
from slt.samplers import HMC, SGLD, Sampler, hmc
from slt.testing import Well, langevin_law
from slt.testing.runs import ENOUGH, energies, mean_of
from slt.trace import Trace

BATCH = 16
LOCALIZATIONS = [0.0, 1.0, 100.0]


def run(sampler: Sampler, well: Well) -> Trace:
    warmup, draws, thin = (20, 10, 1) if sampler.full_data else (150, 30, 5)
    posterior = well.posterior()
    return sample(posterior, sampler, chains=2000, draws=draws, warmup=warmup, thin=thin, seed=3, progress=False)


def z_score(values: np.ndarray, law: float, dimension: int) -> float:
    """Errors between the mean of independent chains and a law; the draws must be worth 2e4 / d at least."""
    mean = mean_of(values)
    assert mean.effective * dimension >= ENOUGH
    return mean.z(law)


@pytest.mark.parametrize("localization", LOCALIZATIONS)
@pytest.mark.parametrize("batch", [None, BATCH])
def test_sgld_follows_its_own_law(localization: float, batch: int | None) -> None:
    well = Well(localization=localization, batch_size=batch)
    step_size = 0.5 / max(well.pull()[1])
    trace = run(SGLD(step_size=step_size), well)
    law = langevin_law(well, step_size)
    assert abs(z_score(energies(trace), law.energy, well.dimension)) < 4
    assert abs(z_score(trace.get("sample_stats", "surplus"), law.surplus, well.dimension)) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), law.virial, well.dimension)) < 4
    # The step biases the energy: the law of an exact sampler is far from these draws.
    assert abs(z_score(energies(trace), well.energy, well.dimension)) > 6


@pytest.mark.parametrize("localization", LOCALIZATIONS)
def test_hmc_follows_the_posterior(localization: float) -> None:
    well = Well(localization=localization)
    trace = run(HMC(step_size=0.9 / math.sqrt(max(well.pull()[1]))), well)
    assert abs(z_score(energies(trace), well.energy, well.dimension)) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), well.dimension, well.dimension)) < 4


@pytest.mark.parametrize(("localization", "fewer"), [(1.0, False), (3000.0, True)])
def test_a_trajectory_ends_at_a_quarter_turn_of_the_localizer(localization: float, fewer: bool) -> None:
    """Its length is a matter of speed: the law stays, and the gradients spent are those that the tuning tells."""
    well = Well(localization=localization)
    trace = tuned_run(well)
    assert abs(z_score(energies(trace), well.energy, well.dimension)) < 4
    step_size, leapfrogs = (trace.get("constant_data", f"tuning_{name}") for name in ("step_size", "leapfrogs"))
    quarter = math.pi / 2 / (math.sqrt(localization) * step_size)
    assert leapfrogs == pytest.approx(np.clip(quarter, 1, 8))
    assert (leapfrogs < 4).all() == fewer
    per_step = trace.settings["gradients"] / (trace.chains * (trace.draws + trace.settings["warmup"]))
    assert (per_step < 5) == fewer


def tuned_run(well: Well) -> Trace:
    return sample(well.posterior(), HMC(), chains=600, draws=30, warmup=40, seed=3, progress=False)


def test_a_trajectory_that_turns_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a frequency that is too low it goes on: the draws stay right, the gradients do not."""
    true = hmc.localizer_frequency
    monkeypatch.setattr(hmc, "localizer_frequency", lambda posterior, mass: true(posterior, mass) / 100)
    assert (tuned_run(Well(localization=3000.0)).get("constant_data", "tuning_leapfrogs") > 7).all()


class Quartic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def energy_errors(step_size: float) -> float:
    """Root mean square energy error of trajectories of length 1 in an anharmonic well."""
    posterior = LocalPosterior(
        Quartic(),
        torch.zeros(10, 1, dtype=torch.float64),
        lambda model, batch: (model.w**4).sum() + 0.5 * (model.w**2).sum() + model.w.prod(),
        nbeta=5.0,
        localization=1.0,
    ).bind("vectorized", 64)
    generator = torch.Generator().manual_seed(5)
    w = {"w": 0.4 * torch.randn(64, 3, generator=generator, dtype=torch.float64)}
    p = {"w": torch.randn(64, 3, generator=generator, dtype=torch.float64)}
    nbeta = torch.full((64,), 5.0, dtype=torch.float64)
    start = hmc.State(w, *posterior.evaluate(w))
    steps = torch.full((64,), step_size, dtype=torch.float64)
    mass = hmc.Mass(posterior.metric)
    end, q = hmc.trajectory(posterior, start, p, mass, steps, nbeta, round(1 / step_size))
    error = (
        posterior.energy(end.w, end.excess, nbeta)
        + mass.kinetic(q)
        - posterior.energy(w, start.excess, nbeta)
        - mass.kinetic(p)
    )
    return float(error.square().mean().sqrt())


def order() -> float:
    return math.log2(energy_errors(1 / 64) / energy_errors(1 / 128))


def test_leapfrog_is_of_second_order() -> None:
    assert order() == pytest.approx(2.0, abs=0.05)


def stronger(momentum, force, step_size):
    return {name: p - 1.02 * per_chain(step_size, p) * force[name] for name, p in momentum.items()}


def test_a_wrong_kick_shows_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """No law can see it: the Metropolis test keeps the posterior right whatever the kick."""
    monkeypatch.setattr(hmc, "kick", stronger)
    assert order() < 1
