"""Laws of second-order, controlled and preconditioned Langevin steps, of MALA and of the thermostat, on the same wells.

What each could miss is told in `test_laws`: every comparison has effective draws times dimension above 2e4. Mutants of
the same code are in `test_contract`.
"""

import math

import numpy as np
import pytest
import torch

from slt.errors import ParametersError, SettingsError
from slt.running import sample
from slt.samplers import HMC, MALA, SGLD, SGNHT, Diagonal, RMSprop, Sampler
from slt.testing import Well, langevin_law
from slt.testing.runs import energies
from slt.trace import Trace
from tests.samplers.test_laws import BATCH, run, z_score

LOCALIZATION = 1.0
STEP = 0.5 / (200.0 * 2.0 + LOCALIZATION)


def well(batch: int | None = None, localization: float = LOCALIZATION) -> Well:
    return Well(localization=localization, batch_size=batch)


def spread() -> np.ndarray:
    """The variance of every parameter under the posterior."""
    return 1 / well().pull()[1]


def own(values: np.ndarray) -> Diagonal:
    tensor = torch.from_numpy(values).float()
    return Diagonal({"first": tensor[:3], "second": tensor[3:]})


@pytest.mark.parametrize("batch", [None, BATCH])
def test_the_second_order_form_has_the_bias_of_the_gradient_noise_alone(batch: int | None) -> None:
    target = well(batch)
    trace = run(SGLD(step_size=STEP, second_order=True), target)
    law = langevin_law(target, STEP, second_order=True)
    assert abs(z_score(energies(trace), law.energy, target.dimension)) < 4
    assert abs(z_score(energies(trace), langevin_law(target, STEP).energy, target.dimension)) > 6
    # its measured bias too: the share of the loss of (step / 4) c, and nothing without noise
    assert abs(z_score(trace.get("sample_stats", "surplus"), law.surplus, target.dimension)) < 4


def test_the_control_variate_takes_noise_that_does_not_depend_on_w_out_entirely() -> None:
    target = well(BATCH)
    posterior = target.posterior().bind("vectorized", 5)
    generator = torch.Generator().manual_seed(1)
    w = {name: 0.1 * torch.randn(5, leaf.shape[1], generator=generator) for name, leaf in posterior.center.items()}
    rows = torch.randint(64, (5, BATCH), generator=generator)
    noisy, controlled, full = posterior.evaluate(w, rows), posterior.controlled(w, rows), posterior.evaluate(w)
    torch.testing.assert_close(controlled.excess, full.excess, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(controlled.grad, full.grad, rtol=1e-5, atol=1e-6)
    assert float((noisy.excess - full.excess).abs().max()) > 1e-3
    trace = run(SGLD(step_size=STEP, control_variate=True), target)
    assert abs(z_score(energies(trace), langevin_law(well(), STEP).energy, target.dimension)) < 4


def test_an_own_diagonal_is_the_metric_of_the_step() -> None:
    target = well(BATCH)
    trace = run(SGLD(step_size=0.5, preconditioner=own(spread())), target)
    assert abs(z_score(energies(trace), langevin_law(target, 0.5, spread()).energy, target.dimension)) < 4


def test_rmsprop_frozen_after_warmup_has_the_law_of_its_diagonal() -> None:
    target = well(BATCH)
    trace = run(SGLD(step_size=STEP / 10, preconditioner=RMSprop(decay=0.9, epsilon=0.05)), target)
    metric = trace.get("constant_data", "tuning_metric").astype(float)
    assert np.ptp(metric) > 0.1 * metric.mean()
    # as many steps as the softest direction needs to forget the start
    assert abs(z_score(energies(trace), langevin_law(target, STEP / 10, metric).energy, target.dimension)) < 4


@pytest.mark.parametrize("sampler", [SGLD(preconditioner="diagonal"), SGNHT(preconditioner="diagonal")])
def test_the_spread_seen_in_warmup_becomes_the_metric(sampler: Sampler) -> None:
    trace = sample(well(32).posterior(), sampler, chains=64, draws=5, warmup=600, seed=0, progress=False)
    assert np.allclose(trace.get("constant_data", "tuning_metric"), spread(), rtol=0.25)


@pytest.mark.parametrize("localization", [0.0, 1.0, 100.0])
def test_mala_follows_the_posterior(localization: float) -> None:
    target = well(localization=localization)
    step = 0.6 / max(target.pull()[1])
    trace = sample(
        target.posterior(), MALA(step_size=step), chains=2000, draws=10, thin=10, warmup=100, seed=3, progress=False
    )
    assert abs(z_score(energies(trace), target.energy, target.dimension)) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), target.dimension, target.dimension)) < 4


def thermostat_run(fraction: float, batch: int | None) -> Trace:
    frequency = math.sqrt(max(well().pull()[1]))
    sampler = SGNHT(step_size=fraction / frequency, diffusion=frequency / 4)
    warmup, thin = round(60 / fraction), round(5 / fraction)
    posterior = well(batch).posterior()
    return sample(posterior, sampler, chains=1000, draws=20, thin=thin, warmup=warmup, seed=3, progress=False)


@pytest.mark.parametrize("fraction", [1.0, 0.25])
def test_without_gradient_noise_the_thermostat_follows_the_posterior(fraction: float) -> None:
    """The symmetric splitting leaves no bias of the positions on a quadratic, whatever the step."""
    assert abs(z_score(energies(thermostat_run(fraction, None)), well().energy, well().dimension)) < 4


def test_the_thermostat_absorbs_noise_that_is_the_same_in_all_directions() -> None:
    trace = thermostat_run(0.25, BATCH)
    assert abs(energies(trace).mean() / well().energy - 1) < 0.01
    assert np.isnan(trace.get("sample_stats", "surplus")).all()


@pytest.mark.parametrize("mass", ["diagonal", "low_rank", "dense", own(spread())])
def test_hmc_is_exact_with_any_mass(mass: str | Diagonal) -> None:
    target = well()
    sampler = HMC(mass=mass)  # pyright: ignore[reportArgumentType]
    trace = sample(target.posterior(), sampler, chains=500, draws=20, warmup=100, thin=2, seed=3, progress=False)
    assert abs(z_score(energies(trace), target.energy, target.dimension)) < 4
    assert 0.75 < trace.get("sample_stats", "acceptance_rate").mean() < 0.85


def test_the_low_rank_mass_levels_the_stiff_directions() -> None:
    posterior = well().posterior()
    trace = sample(posterior, HMC(mass="low_rank"), chains=8, draws=5, warmup=100, seed=3, progress=False)
    basis = trace.get("constant_data", "tuning_basis").astype(float)
    precision = well().pull()[1]
    inverse = np.eye(len(precision)) - basis.T @ basis
    # eight chains see all eight directions: each becomes as soft as the softest
    levelled = np.linalg.eigvals(inverse @ np.diag(precision)).real
    assert levelled.max() / levelled.min() < 1.1
    again = sample(posterior, HMC(mass="low_rank"), chains=8, draws=5, warmup=0, tuning=trace, progress=False)
    assert np.array_equal(again.get("constant_data", "tuning_basis"), trace.get("constant_data", "tuning_basis"))


def test_preconditioners_refuse_what_they_cannot_use() -> None:
    posterior = well().posterior()
    with pytest.raises(SettingsError, match=r'preconditioner must be "localizer", "diagonal", slt\.RMSprop'):
        SGLD(preconditioner="low_rank")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ParametersError, match="missing \\['second'\\]"):
        sample(posterior, SGLD(preconditioner=Diagonal({"first": 1.0})), chains=2, draws=2, progress=False)
    zero = Diagonal({"first": 0.0, "second": 1.0})
    with pytest.raises(SettingsError, match="positive everywhere"):
        sample(posterior, MALA(preconditioner=zero), chains=2, draws=2, progress=False)
    with pytest.raises(SettingsError, match="decay must be in"):
        RMSprop(decay=1.0)


def test_diagonals_that_differ_do_not_look_alike() -> None:
    ones, others = torch.ones(5000), torch.ones(5000)
    others[2500] = 2
    assert repr(Diagonal({"w": ones})) == repr(Diagonal({"w": ones.clone()}))
    assert repr(Diagonal({"w": ones})) != repr(Diagonal({"w": others}))
