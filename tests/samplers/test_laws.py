"""Each sampler against its own law on quadratics, beside mutants of the shipped code that the same test must catch.

The chains are independent, so the error of the mean over chains needs no theory. A mean of N effective draws of the
energy of d directions has a relative error of sqrt(2 / (N d)): at N d = 2e4 four errors are 4 %, and every case here
has more.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slt._tree import per_chain
from slt.posterior import LocalPosterior
from slt.running import sample
from slt.samplers import HMC, SGLD, Sampler, hmc, sgld
from slt.trace import Trace

ROWS, BATCH, NBETA = 512, 16, 200.0
CURVATURES = torch.tensor([1.0, 0.5, 0.25, 2.0, 0.1, 1.5, 0.75, 0.3])
PUSH = 0.05  # spread of the linear terms, which the full data cancel


class Well(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(len(CURVATURES)))


def well_loss(model: Well, batch: Tensor) -> Tensor:
    """1/2 sum h w^2 + x . w of each example: additive gradient noise on minibatches, none on all the data."""
    return 0.5 * (CURVATURES * model.w**2).sum() + batch @ model.w


def pushes() -> Tensor:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(ROWS, len(CURVATURES), generator=generator, dtype=torch.float64)
    return (PUSH * (x - x.mean(0)) / x.std(0, correction=0)).float()


class Law(NamedTuple):
    energy: float
    surplus: float
    virial: float


def sgld_law(step_size: float, localization: float, batch: int | None) -> Law:
    h = NBETA * CURVATURES.double().numpy()
    total = h + localization
    c = 0.0 if batch is None else NBETA**2 * PUSH**2 / batch
    inflation = (1 + step_size * c / 4) / (1 - step_size * total / 4)
    return Law(
        energy=float((0.5 * h / total * inflation).sum()),
        surplus=float((step_size / 4 * (h * inflation + c)).sum()),
        virial=float(inflation.sum()),
    )


def hmc_law(localization: float) -> float:
    h = NBETA * CURVATURES.double().numpy()
    return float((0.5 * h / (h + localization)).sum())


def run(sampler: Sampler, localization: float, batch: int | None = None) -> Trace:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=localization, batch_size=batch)
    warmup, draws, thin = (20, 10, 1) if sampler.full_data else (150, 30, 5)
    return sample(posterior, sampler, chains=2000, draws=draws, warmup=warmup, thin=thin, seed=3, progress=False)


def z_score(values: np.ndarray, law: float) -> float:
    """Errors between the mean of independent chains and a law; the draws must be worth 2e4 / d at least."""
    means = values.mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means))
    effective_draws = values.var() / error**2
    assert effective_draws * len(CURVATURES) >= 2e4
    return float((means.mean() - law) / error)


@pytest.mark.parametrize("localization", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("batch", [None, BATCH])
def test_sgld_follows_its_own_law(localization: float, batch: int | None) -> None:
    step_size = 0.5 / (NBETA * 2.0 + localization)
    trace = run(SGLD(step_size=step_size), localization, batch)
    law = sgld_law(step_size, localization, batch)
    energy = NBETA * trace.get("posterior", "excess")
    assert abs(z_score(energy, law.energy)) < 4
    assert abs(z_score(trace.get("sample_stats", "surplus"), law.surplus)) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), law.virial)) < 4
    # The step biases the energy: the law of an exact sampler is far from these draws.
    assert abs(z_score(energy, hmc_law(localization))) > 6


def noisier(w, spent, metric, step_size, random, t) -> None:
    for name, leaf in w.items():
        noise = random.normal(t, name)
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), 1.05 * noise)


def steeper(w, force, metric, step_size) -> None:
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name], force[name], value=-0.55)


@pytest.mark.parametrize(("part", "mutant"), [("diffuse", noisier), ("drift", steeper)])
@pytest.mark.parametrize("batch", [None, BATCH])
def test_mutants_of_sgld_are_caught(
    monkeypatch: pytest.MonkeyPatch, part: str, mutant: Callable[..., None], batch: int | None
) -> None:
    monkeypatch.setattr(sgld, part, mutant)
    step_size = 0.5 / (NBETA * 2.0 + 1.0)
    trace = run(SGLD(step_size=step_size), 1.0, batch)
    assert abs(z_score(NBETA * trace.get("posterior", "excess"), sgld_law(step_size, 1.0, batch).energy)) > 6


@pytest.mark.parametrize("localization", [0.0, 1.0, 100.0])
def test_hmc_follows_the_posterior(localization: float) -> None:
    trace = run(HMC(step_size=0.9 / math.sqrt(NBETA * 2.0 + localization)), localization)
    assert abs(z_score(NBETA * trace.get("posterior", "excess"), hmc_law(localization))) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), len(CURVATURES))) < 4


def heavier(mass, w, random, t):
    return {name: 1.05 * random.normal(t, name) / mass.diagonal[name].sqrt() for name in w}


def always(energy_error: Tensor) -> Tensor:
    return torch.ones_like(energy_error)


@pytest.mark.parametrize(("part", "mutant", "step"), [("draw", heavier, 0.9), ("acceptance_probability", always, 1.4)])
def test_mutants_of_hmc_are_caught(
    monkeypatch: pytest.MonkeyPatch, part: str, mutant: Callable[..., object], step: float
) -> None:
    sampler = HMC(step_size=step / math.sqrt(NBETA * 2.0 + 1.0), jitter=(0.0, 0.0))
    honest = run(sampler, 1.0)
    assert abs(z_score(NBETA * honest.get("posterior", "excess"), hmc_law(1.0))) < 4
    if part == "acceptance_probability":  # a missing Metropolis test shows only where it would have rejected
        assert honest.get("sample_stats", "acceptance_rate").mean() <= 0.93
    monkeypatch.setattr(hmc.Mass if part == "draw" else hmc, part, mutant)
    trace = run(sampler, 1.0)
    assert abs(z_score(NBETA * trace.get("posterior", "excess"), hmc_law(1.0))) > 6


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
