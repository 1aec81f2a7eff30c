"""Volumes of quadratics under a Gaussian and in boxes, against other routes."""

from math import erf, exp, factorial, log, pi, sqrt

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2

from slt.analytic.finite import Quadratic
from slt.analytic.finite.priors import Gaussian, Uniform

EPS = [1e-12, 1e-4, 0.3, 2.0, 50.0]


def log_volume(curvatures: tuple[float, ...], eps: float, *priors: Gaussian | Uniform) -> float:
    v = Quadratic(curvatures).log_volume(np.array([eps]), priors)
    assert v is not None
    assert v.error[0] < 1e-9
    return float(v.value[0])


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("scales", [(1.0, 0.3), (5.0, 0.01), (2.0, 1.99)])
def test_two_pairs_of_equal_curvatures_are_two_exponentials(eps: float, scales: tuple[float, float]):
    # 1/2 a (z_1^2 + z_2^2) is exponential with mean a
    a, b = scales
    found = log_volume((a, b, b, a), eps, *[Gaussian(1.0)] * 4)
    if eps < b:  # as a series, where differences would cancel
        terms = [(-eps) ** n / factorial(n) * (b ** (1 - n) - a ** (1 - n)) / (a - b) for n in range(2, 30)]
        expected = sum(terms)
    else:
        expected = 1 - (a * exp(-eps / a) - b * exp(-eps / b)) / (a - b)
    assert found == pytest.approx(log(expected), abs=1e-9)


@pytest.mark.parametrize("eps", EPS)
def test_two_curvatures_are_one_integral(eps: float):
    a, b = 3.0, 0.2
    end = min(sqrt(2 * eps / a), 12.0)

    def given(z: float) -> float:
        return erf(sqrt(max(eps - a * z * z / 2, 0) / b)) * exp(-z * z / 2) / sqrt(2 * pi)

    expected = 2 * quad(given, 0, end, epsabs=0, epsrel=1e-11, limit=200)[0]
    assert log_volume((a * 7, b), eps, Gaussian(7.0), Gaussian(1.0)) == pytest.approx(log(expected), abs=1e-8)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("rank", [1, 2, 7, 100])
def test_equal_curvatures_are_a_chi_squared(eps: float, rank: int):
    found = log_volume((2.0,) * rank + (0.0,), eps, *[Gaussian(0.5)] * (rank + 1))
    x = eps / 2  # of K = 2 sum z_i^2 = 4 chi^2 / 2
    expected = chi2.logcdf(x, rank)
    if np.isfinite(expected) and expected > -600:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found <= 0


def test_an_ellipsoid_inside_a_box():
    # the ball 1/2 |w|^2 < eps of radius sqrt(2 eps) in [-1, 1]^3
    eps = 0.4
    found = log_volume((1.0, 1.0, 1.0), eps, *[Uniform(-1.0, 1.0)] * 3)
    assert found == pytest.approx(log(4 / 3 * pi * (2 * eps) ** 1.5 / 8), rel=1e-12)


def test_beyond_two_curved_directions_a_cut_ellipsoid_is_not_available():
    law = Quadratic((1.0, 1.0, 1.0))
    assert law.log_volume(np.array([0.6]), (Uniform(-1.0, 1.0),) * 3) is None


def test_hundred_directions_far_out():
    # a saddle point far from 0: probabilities of e^-300 keep their digits
    a = tuple(np.linspace(0.5, 2.0, 100))
    values = [log_volume(a, eps, *[Gaussian(1.0)] * 100) for eps in (1.0, 1.001)]
    slope = (values[1] - values[0]) / log(1.001)
    assert values[0] < -100
    assert 40 < slope < 50  # nearly half the dimension
