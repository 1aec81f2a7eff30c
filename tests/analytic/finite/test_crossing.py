"""Normal crossings at finite n against sums over grids of logarithms, and closed forms of volumes."""

from math import exp, factorial, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln

from slt.analytic.finite import NormalCrossing
from slt.analytic.finite.priors import Gaussian, Uniform

quick = settings(derandomize=True, deadline=None, max_examples=15)


def by_grid(k: tuple[float, ...], h: tuple[float, ...], gamma: tuple[float, ...], nbeta: float) -> tuple[float, float]:
    """log Z and the energy, |w_i| = e^(u_i): the integrand is smooth and dies off, so the trapezoidal rule is exact."""
    u = np.arange(-70.0, 5.0, 0.08)
    logs = [(a + 1) * u - g * np.exp(2 * u) / 2 for a, g in zip(h, gamma, strict=True)]
    norms = [(a + 1) / 2 * log(2 / g) + gammaln((a + 1) / 2) - log(2) for a, g in zip(h, gamma, strict=True)]
    weight = np.exp((logs[0] - norms[0])[:, None] + (logs[1] - norms[1])[None, :]) * 0.08**2
    loss = nbeta * np.exp(np.minimum(k[0] * u[:, None] + k[1] * u[None, :], 600 - log(nbeta)))
    z = float((weight * np.exp(-loss)).sum())
    return log(z), float((weight * loss * np.exp(-loss)).sum()) / z


@pytest.mark.parametrize("k", [(2, 2), (2, 4), (1, 3), (6, 2)])
@pytest.mark.parametrize("h", [(0.0, 0.0), (1.0, 0.5), (0.0, 2.0)])
@pytest.mark.parametrize("nbeta", [1.0, 1e4, 1e9])
def test_tempered_equals_a_sum_over_a_grid(k: tuple[int, int], h: tuple[float, float], nbeta: float):
    gamma = (1.0, 3.0)
    m = NormalCrossing(k, h).tempered(np.array([nbeta]), tuple(Gaussian(g) for g in gamma))
    assert m is not None
    log_z, energy = by_grid(k, h, gamma, nbeta)
    assert m.log_z_error[0] < 1e-10
    assert m.energy_error[0] < 1e-10
    assert m.log_z[0] == pytest.approx(log_z, abs=1e-9)
    assert m.energy[0] == pytest.approx(energy, abs=1e-9)
    # what it would catch: the first two terms of the limit are far off
    rates = sorted((a + 1) / b for a, b in zip(h, k, strict=True))
    limit = rates[0] - (rates[0] == rates[1]) / log(nbeta) if nbeta > 1 else rates[0]
    assert abs(limit - energy) > 5e-9


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-2, 0.9])
def test_volumes_in_the_unit_box(eps: float):
    def volume(k: tuple[float, ...], h: tuple[float, ...] | None = None, low: float = 0.0) -> float:
        law = NormalCrossing(k, h or (0.0,) * len(k))
        v = law.log_volume(np.array([eps]), tuple(Uniform(low, 1.0) for _ in k))
        assert v is not None
        assert v.error[0] < 1e-9
        return exp(v.value[0])

    assert volume((2, 4)) == pytest.approx(2 * eps**0.25 - eps**0.5, rel=1e-9)
    level = -log(eps)
    for d in range(2, 6):
        expected = eps * sum(level**j / factorial(j) for j in range(d))
        assert volume((1,) * d) == pytest.approx(expected, rel=1e-9)
        assert volume((1,) * d, low=-1.0) == pytest.approx(expected, rel=1e-9)
        # K^2 and the density 2 w on [0, 1]: w^2 is uniform
        assert volume((2,) * d, (1.0,) * d) == pytest.approx(expected, rel=1e-9)


def test_volume_in_a_box_about_0_that_is_not_symmetric():
    # P(|x y| < eps): given x, y uniform
    eps, (low, high) = 0.03, (-0.5, 2.0)
    law = NormalCrossing((1, 1), (0.0, 0.0))
    v = law.log_volume(np.array([eps]), (Uniform(low, high), Uniform(low, high)))

    def mass(x: float) -> float:
        reach = eps / abs(x) if x else 9.0
        return (min(reach, high) + min(reach, -low)) / (high - low)

    kinks = [s * eps / end for s in (-1, 1) for end in (0.5, 2.0)]
    inside = quad(mass, low, high, points=sorted(kinks), epsrel=1e-11, limit=500)[0] / (high - low)
    assert v is not None
    assert v.value[0] == pytest.approx(log(inside), abs=1e-8)


@pytest.mark.parametrize("nbeta", [3.0, 1e6])
def test_laplace_transform_of_the_volume_is_z_in_a_box(nbeta: float):
    law, box = NormalCrossing((2, 3, 1), (0.0, 1.0, 0.0)), (Uniform(-1.0, 2.0), Uniform(0.0, 1.0), Uniform(-2.0, 0.0))
    m = law.tempered(np.array([nbeta]), box)
    assert m is not None

    def integrand(x: float) -> float:
        v = law.log_volume(np.array([exp(x) / nbeta]), box)
        assert v is not None
        return exp(v.value[0] - exp(x) + x)

    z = quad(integrand, -60, 5, epsabs=0, epsrel=1e-9, limit=300)[0]
    assert exp(m.log_z[0]) == pytest.approx(z, rel=1e-7)


@quick
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.floats(-1, 10), st.floats(0.1, 10))
def test_energy_is_the_slope_of_log_z(k: list[int], decade: float, gamma: float):
    law, step = NormalCrossing(tuple(k), (0.0,) * len(k)), 1e-3
    m = law.tempered(10**decade * np.exp([-step, 0.0, step]), (Gaussian(gamma),) * len(k))
    assert m is not None
    assert (m.log_z[0] - m.log_z[2]) / (2 * step) == pytest.approx(m.energy[1], abs=1e-6)
    assert m.energy[1] + (m.energy[0] - m.energy[2]) / (2 * step) == pytest.approx(m.variance[1], abs=1e-6)


@quick
@given(st.permutations([(2, 0.0, 1.0), (4, 1.0, 0.3), (1, -0.5, 5.0)]), st.floats(0, 10))
def test_the_order_of_the_coordinates_is_free(listed: list[tuple[int, float, float]], decade: float):
    def energy(rows: list[tuple[int, float, float]]) -> float:
        law = NormalCrossing(tuple(k for k, _, _ in rows), tuple(h for _, h, _ in rows))
        m = law.tempered(np.array([10**decade]), tuple(Gaussian(g) for _, _, g in rows))
        assert m is not None
        return float(m.energy[0])

    assert energy(listed) == pytest.approx(energy(sorted(listed)), rel=1e-11)


def test_a_box_that_leaves_out_0_has_no_answer():
    law = NormalCrossing((2, 2), (0.0, 0.0))
    assert law.tempered(np.array([10.0]), (Uniform(0.5, 1.0), Uniform(-1.0, 1.0))) is None


def test_very_high_and_low_nbeta_keep_their_digits():
    law = NormalCrossing((2, 2), (0.0, 0.0))
    m = law.tempered(np.array([1e-12, 1e60]), (Gaussian(1.0), Gaussian(1.0)))
    assert m is not None
    assert m.energy[0] == pytest.approx(1e-12, rel=1e-6)  # E[K] = 1
    # log(2 / t) - Euler's constant stands for log nbeta; t = 1/(8 nbeta)
    assert 0.5 - m.energy[1] == pytest.approx(1 / (log(16e60) - np.euler_gamma), rel=1e-9)
    assert m.log_z[1] == pytest.approx(log((log(16e60) - np.euler_gamma) * sqrt(2 / (8e60 * pi))), rel=1e-12)
