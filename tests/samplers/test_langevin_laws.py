"""Laws of second-order, controlled and preconditioned Langevin steps, of MALA and of the thermostat, on the same wells.

What each could miss is told in `test_laws`: every comparison has effective draws times dimension above 2e4.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from slt._tree import per_chain
from slt.errors import ParametersError, SettingsError
from slt.posterior import LocalPosterior
from slt.running import sample
from slt.samplers import HMC, MALA, SGLD, SGNHT, Diagonal, RMSprop, Sampler, mala, sgld, sgnht
from slt.trace import Trace
from tests.samplers.test_laws import BATCH, CURVATURES, NBETA, PUSH, Well, hmc_law, pushes, run, well_loss, z_score

NOISE = NBETA**2 * PUSH**2 / BATCH
STEP = 0.5 / (NBETA * 2.0 + 1.0)


def energy(trace: Trace) -> np.ndarray:
    return NBETA * trace.get("posterior", "excess")


def langevin_law(step_size: float, c: float, metric: np.ndarray | float = 1.0, *, second_order: bool = False) -> float:
    h = NBETA * CURVATURES.double().numpy()
    total = h + 1.0
    size = step_size * metric
    lag = size * total / 4
    variance = 1 + (size * c / 4) / (1 - lag) if second_order else (1 + size * c / 4) / (1 - lag)
    return float((0.5 * h / total * variance).sum())


@pytest.mark.parametrize("batch", [None, BATCH])
def test_the_second_order_form_has_the_bias_of_the_gradient_noise_alone(batch: int | None) -> None:
    trace = run(SGLD(step_size=STEP, second_order=True), 1.0, batch)
    c = 0.0 if batch is None else NOISE
    assert abs(z_score(energy(trace), langevin_law(STEP, c, second_order=True))) < 4
    assert abs(z_score(energy(trace), langevin_law(STEP, c))) > 6
    # its measured bias too: the share of the loss of (step / 4) c, and nothing without noise
    h = NBETA * CURVATURES.double().numpy()
    bias = (STEP / 4 * c * (1 + STEP * h / 4 / (1 - STEP * (h + 1) / 4))).sum()
    assert abs(z_score(trace.get("sample_stats", "surplus"), float(bias))) < 4


def lopsided(w, shared, metric, step_size, random, t) -> None:
    """The noise of this step alone counts: of the right size, but not the form of second order."""
    for name, leaf in w.items():
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), shared[name])


def test_a_mutant_of_the_second_order_form_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sgld, "diffuse_twice", lopsided)
    trace = run(SGLD(step_size=STEP, second_order=True), 1.0, BATCH)
    assert abs(z_score(energy(trace), langevin_law(STEP, NOISE, second_order=True))) > 6


def test_the_control_variate_takes_noise_that_does_not_depend_on_w_out_entirely() -> None:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0).bind("vectorized", 5)
    generator = torch.Generator().manual_seed(1)
    w = {"w": 0.1 * torch.randn(5, len(CURVATURES), generator=generator)}
    rows = torch.randint(512, (5, BATCH), generator=generator)
    noisy, controlled, full = posterior.evaluate(w, rows), posterior.controlled(w, rows), posterior.evaluate(w)
    torch.testing.assert_close(controlled.excess, full.excess, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(controlled.grad, full.grad, rtol=1e-5, atol=1e-6)
    assert float((noisy.excess - full.excess).abs().max()) > 1e-3
    trace = run(SGLD(step_size=STEP, control_variate=True), 1.0, BATCH)
    assert abs(z_score(energy(trace), langevin_law(STEP, 0.0))) < 4


def test_an_own_diagonal_is_the_metric_of_the_step() -> None:
    units = 1 / (NBETA * CURVATURES + 1.0)
    trace = run(SGLD(step_size=0.5, preconditioner=Diagonal({"w": units})), 1.0, BATCH)
    assert abs(z_score(energy(trace), langevin_law(0.5, NOISE, units.double().numpy()))) < 4


def test_rmsprop_frozen_after_warmup_has_the_law_of_its_diagonal() -> None:
    trace = run(SGLD(step_size=STEP / 10, preconditioner=RMSprop(decay=0.9, epsilon=0.05)), 1.0, BATCH)
    metric = trace.get("constant_data", "tuning_metric").astype(float)
    assert np.ptp(metric) > 0.1 * metric.mean()
    # as many steps as the softest direction needs to forget the way in
    assert abs(z_score(energy(trace), langevin_law(STEP / 10, NOISE, metric))) < 4


@pytest.mark.parametrize("sampler", [SGLD(preconditioner="diagonal"), SGNHT(preconditioner="diagonal")])
def test_the_spread_seen_in_warmup_becomes_the_metric(sampler: Sampler) -> None:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0, batch_size=256)
    trace = sample(posterior, sampler, chains=64, draws=5, warmup=600, seed=0, progress=False)
    metric = trace.get("constant_data", "tuning_metric")
    spread = 1 / (NBETA * CURVATURES.double().numpy() + 1.0)
    assert np.allclose(metric, spread, rtol=0.25)


@pytest.mark.parametrize("localization", [0.0, 1.0, 100.0])
def test_mala_follows_the_posterior(localization: float) -> None:
    trace = mala_run(0.6 / (NBETA * 2.0 + localization), localization)
    assert abs(z_score(energy(trace), hmc_law(localization))) < 4
    assert abs(z_score(trace.get("sample_stats", "virial"), len(CURVATURES))) < 4


def mala_run(step_size: float, localization: float = 1.0) -> Trace:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=localization)
    # the softest direction has a fortieth of the largest curvature, and 0.6 / 40 of its scale goes into a step
    warmup, sampler = 400, MALA(step_size=step_size)
    return sample(posterior, sampler, chains=2000, draws=10, thin=10, warmup=warmup, seed=3, progress=False)


def test_mala_without_its_metropolis_test_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    step = 1.5 / (NBETA * 2.0 + 1.0)
    assert mala_run(step).get("sample_stats", "acceptance_rate").mean() < 0.95
    monkeypatch.setattr(mala, "acceptance_probability", torch.ones_like)
    assert abs(z_score(energy(mala_run(step)), hmc_law(1.0))) > 6


def forward_only(noise: dict[str, Tensor], force, end_force, metric, step_size) -> dict[str, Tensor]:
    return noise


def test_mala_without_the_density_of_the_way_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mala, "reverse_noise", forward_only)
    assert abs(z_score(energy(mala_run(0.6 / (NBETA * 2.0 + 1.0))), hmc_law(1.0))) > 6


def test_a_wrong_drift_of_mala_shows_in_its_acceptance_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back is computed from the same wrong drift, so the posterior stays right: no law can see it."""
    step = 0.6 / (NBETA * 2.0 + 1.0)
    right = mala_run(step).get("sample_stats", "acceptance_rate").mean()
    propose, back = mala.propose, mala.reverse_noise

    def scaled(force: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: 1.5 * f for name, f in force.items()}

    monkeypatch.setattr(mala, "propose", lambda w, f, *rest: propose(w, scaled(f), *rest))
    monkeypatch.setattr(mala, "reverse_noise", lambda n, f, e, *rest: back(n, scaled(f), scaled(e), *rest))
    trace = mala_run(step)
    assert abs(z_score(energy(trace), hmc_law(1.0))) < 4
    assert 1 - trace.get("sample_stats", "acceptance_rate").mean() > 3 * (1 - right)


def thermostat_run(fraction: float, batch: int | None) -> Trace:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0, batch_size=batch)
    frequency = math.sqrt(NBETA * 2.0 + 1.0)
    sampler = SGNHT(step_size=fraction / frequency, diffusion=frequency / 4)
    warmup, thin = round(60 / fraction), round(5 / fraction)
    return sample(posterior, sampler, chains=1000, draws=20, thin=thin, warmup=warmup, seed=3, progress=False)


@pytest.mark.parametrize("fraction", [1.0, 0.25])
def test_without_gradient_noise_the_thermostat_follows_the_posterior(fraction: float) -> None:
    """The symmetric splitting leaves no bias of the positions on a quadratic, whatever the step."""
    assert abs(z_score(energy(thermostat_run(fraction, None)), hmc_law(1.0))) < 4


def test_the_thermostat_absorbs_noise_that_is_the_same_in_all_directions() -> None:
    trace = thermostat_run(0.25, BATCH)
    assert abs(energy(trace).mean() / hmc_law(1.0) - 1) < 0.01
    assert np.isnan(trace.get("sample_stats", "surplus")).all()


@pytest.mark.parametrize(
    ("part", "mutant"),
    [
        ("kick", lambda p, f, metric, h: sgnht_kick(p, f, metric, 1.1 * h)),
        ("heat", lambda p, d: sgnht_heat(p, d) + 0.1),
    ],
)
def test_mutants_of_the_thermostat_are_caught(
    monkeypatch: pytest.MonkeyPatch, part: str, mutant: Callable[..., object]
) -> None:
    """Wrong noise it would absorb: the drift and the temperature are what can be wrong."""
    monkeypatch.setattr(sgnht, part, mutant)
    assert abs(z_score(energy(thermostat_run(0.25, None)), hmc_law(1.0))) > 6


sgnht_kick, sgnht_heat = sgnht.kick, sgnht.heat


@pytest.mark.parametrize("mass", ["diagonal", "low_rank", Diagonal({"w": 1 / (NBETA * CURVATURES + 1.0)})])
def test_hmc_is_exact_with_any_mass(mass: str | Diagonal) -> None:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0)
    sampler = HMC(mass=mass)  # pyright: ignore[reportArgumentType]
    trace = sample(posterior, sampler, chains=500, draws=20, warmup=100, thin=2, seed=3, progress=False)
    assert abs(z_score(energy(trace), hmc_law(1.0))) < 4
    assert 0.75 < trace.get("sample_stats", "acceptance_rate").mean() < 0.85


def test_the_low_rank_mass_levels_the_stiff_directions() -> None:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0)
    trace = sample(posterior, HMC(mass="low_rank"), chains=8, draws=5, warmup=100, seed=3, progress=False)
    basis = trace.get("constant_data", "tuning_basis").astype(float)
    precision = NBETA * CURVATURES.double().numpy() + 1.0
    inverse = np.eye(len(precision)) - basis.T @ basis
    # eight chains see all eight directions: each becomes as soft as the softest
    levelled = np.linalg.eigvals(inverse @ np.diag(precision)).real
    assert levelled.max() / levelled.min() < 1.1
    again = sample(posterior, HMC(mass="low_rank"), chains=8, draws=5, tuning=trace, seed=3, progress=False)
    assert np.array_equal(again.get("constant_data", "tuning_basis"), trace.get("constant_data", "tuning_basis"))


def test_preconditioners_refuse_what_they_cannot_use() -> None:
    posterior = LocalPosterior(Well(), pushes(), well_loss, nbeta=NBETA, localization=1.0)
    with pytest.raises(SettingsError, match=r'preconditioner must be "localizer", "diagonal", slt\.RMSprop'):
        SGLD(preconditioner="low_rank")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ParametersError, match="missing \\['w'\\]"):
        sample(posterior, SGLD(preconditioner=Diagonal({"v": 1.0})), chains=2, draws=2, progress=False)
    with pytest.raises(SettingsError, match="positive everywhere"):
        sample(posterior, MALA(preconditioner=Diagonal({"w": 0.0})), chains=2, draws=2, progress=False)
    with pytest.raises(SettingsError, match="decay must be in"):
        RMSprop(decay=1.0)


def test_diagonals_that_differ_do_not_look_alike() -> None:
    ones, others = torch.ones(5000), torch.ones(5000)
    others[2500] = 2
    assert repr(Diagonal({"w": ones})) == repr(Diagonal({"w": ones.clone()}))
    assert repr(Diagonal({"w": ones})) != repr(Diagonal({"w": others}))
