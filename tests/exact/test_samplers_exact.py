"""Estimates on singular models against what is known exactly, or by a long run that shares no code with slt."""

import math

import pytest

import slt
from slt.analytic.finite import crossing_energy
from slt.diagnostics import standard_cases

pytestmark = pytest.mark.exact


@pytest.mark.parametrize("nbeta", [1000 / math.log(1000), 1e4])
def test_hmc_on_a_normal_crossing(nbeta: float) -> None:
    """(xy)^2 under a Gaussian at 0: the Bessel form at this nbeta, not the limit 1/2; 64 chains x 4,800 draws."""
    toy = slt.toys.normal_crossing([2, 2], n=1000)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, nbeta=nbeta, localization=1.0)
    estimate = slt.llc(slt.sample(posterior, slt.HMC(), chains=64, draws=4800, warmup=500, seed=1, progress=False))
    exact = crossing_energy(nbeta, 1.0)
    assert estimate.verdict.ok, estimate.verdict
    assert estimate.mcse < 0.01 * exact
    assert abs(estimate.value - exact) < min(0.03 * exact, 4 * estimate.mcse)
    assert abs(estimate.value - 0.5) > 8 * estimate.mcse  # the limit is another number


def test_hmc_on_a_deep_linear_network() -> None:
    """5-5-5 at true rank 2 against block Gibbs: within 3 joint standard errors, each at most 0.5 %."""
    case = standard_cases()[-1]
    assert case.kind == "reference"
    posterior = case.posterior
    estimate = slt.llc(slt.sample(posterior, slt.HMC(), chains=64, draws=1500, warmup=400, seed=2, progress=False))
    assert estimate.verdict.ok, estimate.verdict
    assert case.error <= 0.005 * case.value
    assert estimate.mcse <= 0.005 * case.value
    joint = math.hypot(estimate.mcse, case.error)
    assert abs(estimate.value - case.value) < 3 * joint


@pytest.mark.parametrize("sampler", [slt.SGLD(), slt.HMC()])
def test_a_sampler_with_no_arguments_on_an_ill_conditioned_quadratic(sampler: slt.SGLD | slt.HMC) -> None:
    """What warmup finds is good to 5 % for SGLD, whose verdict tells its step bias, and exact for HMC."""
    curvatures = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    toy = slt.toys.quadratic(curvatures)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    estimate = slt.llc(slt.sample(posterior, sampler, chains=64, draws=3000, warmup=3000, seed=3, progress=False))
    nbeta = posterior.nbeta
    exact = sum(0.5 * nbeta * h / (nbeta * h + 1.0) for h in curvatures)
    bias = 0.05 * exact if sampler.unadjusted else 0.0
    assert abs(estimate.value - exact) < bias + 4 * estimate.mcse
    assert estimate.verdict.ok, estimate.verdict
