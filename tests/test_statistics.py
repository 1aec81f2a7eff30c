import logging

import numpy as np
import pytest
from scipy.signal import lfilter

from slt._statistics import between_chains, block_means, drift, ess, mcse, rhat, slow

RHO = 0.9
TIME = (1 + RHO) / (1 - RHO)  # integrated autocorrelation time, exact for AR(1): 19 draws are worth one


def autoregressive(rng, chains, draws, rho=RHO):
    noise = rng.normal(size=(chains, draws))
    noise[:, 0] /= np.sqrt(1 - rho**2)  # stationary from the first draw
    return np.sqrt(1 - rho**2) * lfilter([1], [1, -rho], noise, axis=1)


def replicas(chains, draws, count=200, rho=RHO):
    return [autoregressive(np.random.default_rng([5, i]), chains, draws, rho) for i in range(count)]


def iid_error(x):
    return x.std() / np.sqrt(x.size)


@pytest.mark.parametrize(("error", "holds"), [(mcse, True), (iid_error, False)])
@pytest.mark.parametrize("chains", [1, 4])
def test_error_of_the_mean_matches_the_spread_of_means(chains, error, holds):
    z = np.array([x.mean() / error(x) for x in replicas(chains, 4000 // chains)])
    # chi-squared of 200: four of its standard deviations are a fifth of the error; the mutant is off by 19
    assert (abs((z**2).mean() - 1) < 4 * np.sqrt(2 / len(z))) == holds


def test_ess_is_draws_over_the_autocorrelation_time():
    values = [ess(x) for x in replicas(4, 2000, count=40)]
    expected = 4 * 2000 / TIME
    assert abs(np.mean(values) / expected - 1) < 0.05  # the mean of 40 is known to 2 %


def test_mcse_is_spread_over_the_root_of_ess():
    x = autoregressive(np.random.default_rng(0), 4, 500)
    assert mcse(x) == pytest.approx(x.std(ddof=1) / np.sqrt(ess(x)))


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_units_do_not_matter(scale):
    x = autoregressive(np.random.default_rng(1), 4, 200)
    assert ess(scale * x) == pytest.approx(ess(x))
    assert rhat(scale * x) == pytest.approx(rhat(x))
    assert mcse(scale * x) == pytest.approx(scale * mcse(x))


@pytest.mark.parametrize("chains", [1, 2, 8])
def test_rhat_of_independent_draws_is_one(chains):
    assert rhat(np.random.default_rng(2).normal(size=(chains, 1000))) < 1.01


def test_rhat_of_a_single_chain_is_that_of_its_halves():
    x = autoregressive(np.random.default_rng(8), 1, 101)
    assert rhat(x) == rhat(np.stack([x[0, :50], x[0, -50:]]))


def test_rhat_sees_a_chain_that_stands_apart():
    x = np.random.default_rng(3).normal(size=(4, 500))
    x[0] += 1.5
    assert rhat(x) > 1.05


def test_rhat_of_a_single_chain_sees_its_trend():
    x = np.random.default_rng(4).normal(size=(1, 1000)) + np.linspace(0, 2, 1000)
    assert rhat(x) > 1.05


@pytest.mark.parametrize(
    ("function", "x"),
    [
        *((f, np.random.default_rng(0).normal(size=(4, 3))) for f in (ess, mcse, rhat)),
        *((f, np.full((4, 100), 0.1)) for f in (ess, mcse, rhat)),
        (rhat, np.random.default_rng(0).normal(size=(1, 7))),
        (lambda x: drift(x).errors, np.full((4, 100), 0.1)),
        (lambda x: drift(x).errors, np.random.default_rng(0).normal(size=(4, 7))),
        (between_chains, np.random.default_rng(0).normal(size=(3, 100))),
    ],
)
def test_where_nothing_can_be_said_it_is_nan_and_nothing_is_logged(function, x, caplog):
    with caplog.at_level(logging.DEBUG):
        assert np.isnan(function(x))
    assert not caplog.records


def test_rhat_of_chains_that_stand_still_apart_is_infinite():
    assert rhat(np.repeat(np.arange(4.0)[:, None], 50, axis=1)) == np.inf


def test_between_chains_is_the_textbook_error():
    x = np.random.default_rng(6).normal(size=(5, 7))
    assert between_chains(x) == pytest.approx(np.std(x.mean(axis=1), ddof=1) / np.sqrt(5))


def test_block_means_keep_the_end_of_the_chain():
    x = np.arange(22.0).reshape(2, 11)
    assert block_means(x, 5).tolist() == [[1.5, 3.5, 5.5, 7.5, 9.5], [12.5, 14.5, 16.5, 18.5, 20.5]]
    assert np.array_equal(block_means(x, 20), x)


@pytest.mark.parametrize(("chains", "draws", "rho"), [(2, 1000, RHO), (8, 1000, RHO), (64, 10, 0.5)])
def test_drift_of_stationary_chains_is_noise(chains, draws, rho):
    errors = np.array([drift(x).errors for x in replicas(chains, draws, rho=rho)])
    # the larger of two correlated normals in absolute value: standard deviation 1.1 to 1.3
    assert 0.9 < errors.std() < 1.45
    assert (abs(errors) > 4).mean() <= 0.01


@pytest.mark.parametrize("chains", [1, 8])
@pytest.mark.parametrize("length", [0.05, 0.5])
def test_drift_sees_a_short_and_a_long_approach(chains, length):
    x = autoregressive(np.random.default_rng(7), chains, 16_000 // chains, rho=0.5)
    approach = np.exp(-np.arange(x.shape[1]) / (length * x.shape[1]))
    found = drift(x - 3 * approach)
    assert found.errors > 5  # the verdict asks for 4
    # the mean of the approach, less its mean over the last half
    expected = 3 * (approach.mean() - approach[len(approach) // 2 :].mean())
    assert found.shift == pytest.approx(expected, abs=4 * np.sqrt(3 / 16_000) * np.sqrt(2))


def test_drift_sees_an_approach_that_the_first_third_would_hide():
    x = np.random.default_rng(9).normal(size=(16, 1000))
    x[:, :100] -= 0.17
    third = (x[:, 500:].mean() - x[:, :334].mean()) / np.sqrt(1 / (16 * 500) + 1 / (16 * 334))
    assert third < 4 < drift(x).errors


def slow_and_fast(chains, draws, time, share, seed=0):
    """Draws of variance 1, of which a share has the relaxation time and the rest is forgotten at once."""
    rng = np.random.default_rng([7, seed])
    rest = rng.normal(size=(chains, draws))
    return np.sqrt(share) * autoregressive(rng, chains, draws, np.exp(-1 / time)) + np.sqrt(1 - share) * rest


@pytest.mark.parametrize("time", [100, 400, 4000])
def test_relaxation_time_and_size_of_a_slow_part_are_found(time):
    found = [slow(slow_and_fast(256, 400, time, 0.3, seed)) for seed in range(20)]
    rates = np.array([1 / s.time for s in found])  # is unbiased where the time is not: at 4,000 it may not fall at all
    assert abs(rates.mean() - 1 / time) < 4 * rates.std(ddof=1) / np.sqrt(20) + 0.15 / time
    within = -np.expm1(-100 / time) * time / 100  # of a slow part's deviation stays in the mean of a quarter, about
    spreads = np.array([s.spread for s in found])
    assert abs(spreads.mean() / (np.sqrt(0.3) * within) - 1) < 0.1
    assert min(s.errors for s in found) > (4 if time > 100 else 0)


def test_without_a_slow_part_nothing_is_certain():
    errors = np.array([slow(slow_and_fast(64, 200, 2, 0.3, seed)).errors for seed in range(400)])
    assert abs(errors.mean()) < 0.2
    assert (errors > 4).sum() == 0


def test_a_rise_that_all_chains_share_is_not_slow():
    x = slow_and_fast(64, 200, 2, 0.3) + np.linspace(0, 5, 200)
    assert abs(slow(x).errors) < 4


@pytest.mark.parametrize("x", [np.zeros((3, 100)), np.zeros((8, 3))])
def test_too_little_tells_nothing_of_what_is_slow(x):
    assert all(np.isnan(slow(x)))
