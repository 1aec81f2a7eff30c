"""The closed means at finite nbeta against quadrature, and their limits."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad, simpson

from slt import analytic
from slt.analytic.finite import crossing_energy, quadratic_energy
from slt.errors import InputError, SettingsError


@pytest.mark.parametrize(("h", "nbeta", "gamma"), [(1.0, 10.0, 1.0), (100.0, 3.0, 7.0), (0.01, 50.0, 2.0)])
def test_quadratic_equals_quadrature(h: float, nbeta: float, gamma: float):
    def weight(w: float) -> float:
        return np.exp(-(nbeta * h + gamma) * w**2 / 2)

    mass = quad(weight, -np.inf, np.inf)[0]
    energy = quad(lambda w: nbeta * h * w**2 / 2 * weight(w), -np.inf, np.inf)[0] / mass
    assert quadratic_energy([h], nbeta, gamma) == pytest.approx(energy, rel=1e-9)


def test_quadratic_adds_over_coordinates():
    parts = [quadratic_energy([h], 30.0, 2.0) for h in (5.0, 0.1, 0.0)]
    assert quadratic_energy([5.0, 0.1, 0.0], 30.0, 2.0) == pytest.approx(sum(parts), rel=1e-14)


def test_quadratic_limits():
    assert quadratic_energy([3.0, 1.0], nbeta=7.0, localization=0.0) == pytest.approx(1.0, rel=1e-15)
    limit = float(analytic.quadratic([3.0, 1.0, 0.0]).value)
    assert quadratic_energy([3.0, 1.0, 0.0], 1e12, localization=1.0) == pytest.approx(limit, rel=1e-11)
    # ten unit curvatures: 5, pulled down by a strong localizer
    assert quadratic_energy(10, nbeta=145.0, localization=100.0) == pytest.approx(5 * 145 / 245)


@pytest.mark.parametrize(("nbeta", "gamma"), [(0.3, 1.0), (145.0, 1.0), (1e4, 1.0), (145.0, 10.0), (20.0, 0.1)])
def test_crossing_equals_quadrature(nbeta: float, gamma: float):
    # y is Gaussian given x, with precision gamma + 2 nbeta x^2; x = e^u spreads the ridge at 0 evenly
    def weight(u: float) -> float:
        x2 = np.exp(2 * u)
        return np.exp(u - gamma * x2 / 2) / np.sqrt(gamma + 2 * nbeta * x2)

    def energy(u: float) -> float:
        x2 = np.exp(2 * u)
        return nbeta * x2 / (gamma + 2 * nbeta * x2) * weight(u)

    low, high = -40.0, 5.0
    mass = quad(weight, low, high, epsabs=0, epsrel=1e-11, limit=500)[0]
    mean = quad(energy, low, high, epsabs=0, epsrel=1e-11, limit=500)[0] / mass
    assert crossing_energy(nbeta, gamma) == pytest.approx(mean, rel=1e-9)


def test_crossing_equals_a_plain_grid():
    nbeta, gamma = 5.0, 2.0
    x = np.linspace(-8, 8, 1601)
    k = np.multiply.outer(x, x) ** 2
    weight = np.exp(-nbeta * k - gamma / 2 * np.add.outer(x**2, x**2))
    mass, moment = (simpson(simpson(f, x), x) for f in (weight, nbeta * k * weight))
    assert crossing_energy(nbeta, gamma) == pytest.approx(moment / mass, rel=1e-8)


@pytest.mark.parametrize(("nbeta", "energy"), [(145.0, 0.3614), (1e4, 0.4123), (1e6, 0.4375), (1e9, 0.4564)])
def test_crossing_is_far_from_its_limit(nbeta: float, energy: float):
    assert crossing_energy(nbeta, localization=1.0) == pytest.approx(energy, abs=5e-5)


def test_crossing_scales():
    # w -> c w turns localization g into g c^2 and nbeta into nbeta c^4
    assert crossing_energy(50.0 * 2**4, 3.0 * 2**2) == pytest.approx(crossing_energy(50.0, 3.0), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "arguments", "error", "message"),
    [
        (quadratic_energy, (2, 0.0, 1.0), SettingsError, "nbeta must be positive and finite, got 0.0"),
        (
            quadratic_energy,
            (2, float("nan"), 1.0),
            SettingsError,
            "nbeta must be positive and finite, got nan",
        ),
        (quadratic_energy, (2, 1.0, -1.0), SettingsError, "localization must be finite and >= 0, got -1.0"),
        (quadratic_energy, ([1.0, 0.0], 1.0, 0.0), SettingsError, "positive where a curvature is 0"),
        (quadratic_energy, ([-1.0], 1.0, 1.0), InputError, "curvatures must be finite and >= 0"),
        (crossing_energy, (1.0, 0.0), SettingsError, "localization must be positive and finite, got 0.0"),
        (crossing_energy, (float("inf"), 1.0), SettingsError, "nbeta must be positive and finite, got inf"),
    ],
)
def test_refuses(call: Any, arguments: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call(*arguments)
