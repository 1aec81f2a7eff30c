"""Polynomials of one and two parameters against closed forms, other routes and their limits, over many decades."""

from collections.abc import Mapping
from fractions import Fraction
from math import erf, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import k0e, k1e

from slt.analytic.finite import polynomial
from slt.analytic.finite.law import Law, LogVolume, Moments
from slt.analytic.finite.priors import Gaussian, Prior, Uniform
from slt.errors import InputError

Terms = Mapping[tuple[int, ...], float]

CROSSING = {(2, 2): 1}
LINES = {(4, 0): 1, (2, 2): -2, (0, 4): 1}  # (x^2 - y^2)^2
PARABOLA = {(2, 0): 1, (1, 2): 2, (0, 4): 1}  # (x + y^2)^2
ROUND = {(4, 0): 1, (2, 2): 2, (0, 4): 1}  # (x^2 + y^2)^2
CUSP = {(4, 0): 1, (2, 3): -2, (0, 6): 1}  # (x^2 - y^3)^2
VALLEY = {(2, 0): 1, (1, 1): -2, (0, 2): 1}  # (x - y)^2
CIRCLE = {(4, 0): 1, (0, 4): 1, (2, 2): 2, (2, 0): -2, (0, 2): -2, (0, 0): 1}  # (x^2 + y^2 - 1)^2
HYPERBOLA = {(2, 2): 1, (1, 1): -2, (0, 0): 1}  # (x y - 1)^2

STANDARD = (Gaussian(1.0), Gaussian(1.0))
DECADES = [1.0, pytest.param(1e2, marks=pytest.mark.exact), 1e4, pytest.param(1e8, marks=pytest.mark.exact), 1e16]


def at(law: Law, nbeta: float, priors: tuple[Prior, ...] = STANDARD) -> Moments:
    found = law.tempered(np.array([nbeta]), priors)
    assert found is not None
    return found


def volume_at(law: Law, eps: float, priors: tuple[Prior, ...] = STANDARD) -> LogVolume:
    found = law.log_volume(np.array([eps]), priors)
    assert found is not None
    return found


def assert_exact(found: np.ndarray, error: np.ndarray, exact: float, within: float = 1e-10) -> None:
    """The value is right, and its error bounds what is wrong but is not so large that this says nothing."""
    assert error[0] < within
    assert abs(found[0] - exact) <= error[0] + 1e-13 * abs(exact)


@pytest.mark.parametrize("nbeta", DECADES)
def test_crossing_lines_are_bessel_functions(nbeta: float):
    m, t = at(polynomial(CROSSING), nbeta), 1 / (8 * nbeta)
    ratio = k1e(t) / k0e(t)
    assert_exact(m.log_z, m.log_z_error, np.log(np.sqrt(2 * t / np.pi) * k0e(t)))
    assert_exact(m.energy, m.energy_error, 0.5 + t * (1 - ratio))
    assert_exact(m.variance, m.variance_error, 0.5 + t * (1 - ratio) + t + t**2 * (1 - ratio**2))


@pytest.mark.parametrize("nbeta", DECADES)
@pytest.mark.exact
def test_turned_crossing_lines_are_the_same_as_straight_ones(nbeta: float):
    # (x^2 - y^2)^2 = (2 u v)^2 in coordinates turned by 45 degrees, under the same Gaussian
    turned, straight = at(polynomial(LINES), nbeta), at(polynomial({(2, 2): 4}), nbeta)
    assert_exact(turned.energy, turned.energy_error, straight.energy[0])
    assert_exact(turned.log_z, turned.log_z_error, straight.log_z[0])
    turned, straight = (volume_at(polynomial(t), 1 / nbeta) for t in (LINES, {(2, 2): 4}))
    assert_exact(turned.value, turned.error, straight.value[0] + 0.0)


@pytest.mark.parametrize("nbeta", DECADES)
def test_valley_is_a_gaussian_integral(nbeta: float):
    # x - y is Gaussian with variance 2
    m, v = at(polynomial(VALLEY), nbeta), volume_at(polynomial(VALLEY), 1 / nbeta)
    assert_exact(m.log_z, m.log_z_error, -0.5 * np.log1p(4 * nbeta))
    assert_exact(m.energy, m.energy_error, 2 * nbeta / (1 + 4 * nbeta))
    assert_exact(v.value, v.error, log(erf(sqrt(1 / nbeta) / 2)))


@pytest.mark.parametrize("nbeta", DECADES)
def test_round_zero_is_an_integral_over_the_radius(nbeta: float):
    # r = (x^2 + y^2)/2 is exponential with mean 1, K = 4 r^2; r = e^u spreads its decades evenly
    def integral(power: int) -> float:
        def f(u: float) -> float:
            k = 4 * nbeta * np.exp(2 * u)
            return k**power * np.exp(-k - np.exp(u) + u)

        peak = -0.5 * np.log(4 * nbeta)
        return quad(f, peak - 60, min(peak, 0) + 6, points=[peak - 4, peak], epsabs=0, epsrel=1e-12, limit=500)[0]

    m, v = at(polynomial(ROUND), nbeta), volume_at(polynomial(ROUND), 1 / nbeta)
    assert_exact(m.log_z, m.log_z_error, log(integral(0)))
    assert_exact(m.energy, m.energy_error, integral(1) / integral(0))
    assert_exact(v.value, v.error, log(-np.expm1(-(nbeta**-0.5) / 2)))


@pytest.mark.parametrize("nbeta", DECADES)
def test_a_smooth_curve_costs_half_a_parameter(nbeta: float):
    # on the unit circle, R^2/2 exponential with mean 1: K = (R^2 - 1)^2, integrated over s = R^2 - 1
    law = polynomial(CIRCLE)
    m, v = at(law, nbeta), volume_at(law, 1 / nbeta)
    width = 1 / sqrt(nbeta)
    low = max(-1.0, -30 * width)

    def integral(power: int) -> float:
        return quad(
            lambda s: (nbeta * s * s) ** power * np.exp(-nbeta * s * s - s / 2),
            low,
            30 * width,
            points=[-3 * width, 0, 3 * width] if low < -3 * width else None,
            epsabs=0,
            epsrel=1e-12,
            limit=500,
        )[0]

    assert_exact(m.log_z, m.log_z_error, log(integral(0) / 2) - 0.5, within=1e-6)
    assert_exact(m.energy, m.energy_error, integral(1) / integral(0), within=1e-6)
    inside = np.exp(-max(1 - width, 0) / 2) * -np.expm1(-(min(width, 1) + width) / 2)
    assert_exact(v.value, v.error, log(inside), within=1e-6)


def test_hyperbola_has_an_inner_closed_form():
    # y given x is Gaussian: one integral over x is left
    nbeta = 1e4

    def inner(x: float) -> float:
        p = 2 * nbeta * x * x
        return np.exp(-nbeta / (1 + p)) / np.sqrt(1 + p) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    z = 2 * quad(inner, 0, 12, points=[0.01, 0.1, 0.5, 1, 2], epsabs=0, epsrel=1e-13, limit=500)[0]
    m = at(polynomial(HYPERBOLA), nbeta)
    assert_exact(m.log_z, m.log_z_error, log(z))


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-6, 1e-12])
def test_monomial_in_the_unit_square(eps: float):
    # V = 2 eps^(1/4) - eps^(1/2) for x^2 y^4
    v = volume_at(polynomial({(2, 4): 1}), eps, (Uniform(0, 1), Uniform(0, 1)))
    assert_exact(v.value, v.error, log(2 * eps**0.25 - eps**0.5))


@pytest.mark.exact
@pytest.mark.parametrize(
    ("terms", "rlct"),
    [(PARABOLA, 1 / 2), (CUSP, 5 / 12), ({(2, 0): 1, (0, 4): 1}, 3 / 4), ({(8, 0): 1, (0, 6): 3}, 7 / 24)],
)
def test_energy_nears_the_rlct(terms: Terms, rlct: float):
    # multiplicity 1: the next term of the volume is smaller by a power of eps
    energies = np.array([at(polynomial(terms), nbeta).energy[0] for nbeta in (1e8, 1e12, 1e16)])
    gaps = np.abs(rlct - energies)
    assert gaps[2] < 3e-3
    assert (gaps[1:] < 0.6 * gaps[:-1] + 1e-11).all()


@pytest.mark.exact
@pytest.mark.parametrize("terms", [CROSSING, PARABOLA, CUSP, CIRCLE, HYPERBOLA, {(2, 0): 1, (0, 4): 1}])
@pytest.mark.parametrize("precisions", [(1.0, 1.0), (0.3, 20.0)])
def test_moments_agree_with_draws(terms: Terms, precisions: tuple[float, float]):
    nbeta, n = 3.0, 400_000
    x, y = np.random.default_rng(0).standard_normal((2, n)) / np.sqrt(precisions)[:, None]
    k = sum(c * x**i * y**j for (i, j), c in terms.items())
    m = at(polynomial(terms), nbeta, tuple(Gaussian(g) for g in precisions))
    weights = np.exp(-nbeta * k)
    z = (weights.mean() - np.exp(m.log_z[0])) / (weights.std() / sqrt(n))
    assert abs(z) < 4
    score = weights * (nbeta * k - m.energy[0])  # its mean is 0 at the right energy
    assert abs(score.mean() / (score.std() / sqrt(n))) < 4
    wrong = weights * (nbeta * k - 1.05 * m.energy[0])
    assert abs(wrong.mean() / (wrong.std() / sqrt(n))) > 4
    inside = k < 0.1
    v = volume_at(polynomial(terms), 0.1, tuple(Gaussian(g) for g in precisions))
    assert abs(inside.mean() - np.exp(v.value[0])) < 4 * inside.std() / sqrt(n)


@pytest.mark.exact
@pytest.mark.parametrize("terms", [CUSP, PARABOLA, LINES, CIRCLE, {(2, 0): 1, (0, 4): 1}])
@pytest.mark.parametrize("box", [None, (-0.7, 1.3)])
@pytest.mark.parametrize("nbeta", [5.0, 1e5])
def test_laplace_transform_of_the_volume_is_z(terms: Terms, box: tuple[float, float] | None, nbeta: float):
    # Z = int V(s/nbeta) e^-s ds: the volume's roots and the moments' quadrature share little
    priors = STANDARD if box is None else (Uniform(*box), Uniform(*box))
    law = polynomial(terms)
    u, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for low, high in ((-12.0, -4.0), (-4.0, 0.0), (0.0, 2.0), (2.0, 3.7)):
        s = np.exp(low + (high - low) * (1 + u) / 2)
        found = law.log_volume(s / nbeta, priors)
        total += float((weights * np.exp(found.value - s) * s).sum() * (high - low) / 2)
    rest = np.exp(volume_at(law, np.exp(-12.0) / nbeta, priors).value[0] - 12)
    z = np.exp(at(law, nbeta, priors).log_z[0])
    assert total == pytest.approx(z, rel=2e-4, abs=2 * rest)


@pytest.mark.exact
@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 8), st.floats(0.1, 8), st.floats(0, 10))
def test_scaling_the_coordinates(a: float, b: float, decade: float):
    # x -> a x, y -> b y: the precisions follow, nothing else changes
    scaled = {(i, j): c * Fraction(a) ** i * Fraction(b) ** j for (i, j), c in CUSP.items()}
    here = at(polynomial(CUSP), 10**decade, (Gaussian(1.0), Gaussian(2.0)))
    there = at(polynomial(scaled), 10**decade, (Gaussian(a * a), Gaussian(2 * b * b)))
    assert there.log_z[0] == pytest.approx(here.log_z[0], abs=1e-9)
    assert there.energy[0] == pytest.approx(here.energy[0], abs=1e-9)


@pytest.mark.exact
@settings(max_examples=10, deadline=None)
@given(st.sampled_from([CROSSING, CUSP, LINES, CIRCLE]), st.floats(0, 12))
def test_energy_is_the_slope_of_log_z(terms: Terms, decade: float):
    law, nbeta, h = polynomial(terms), 10**decade, 1e-3
    left, here, right = (at(law, nbeta * np.exp(x)) for x in (-h, 0.0, h))
    slope = (left.log_z[0] - right.log_z[0]) / (2 * h)
    assert slope == pytest.approx(here.energy[0], abs=2e-6)
    # nbeta^2 d^2 log Z / dnbeta^2 is the variance: with E = -dlogZ/du, V = E - dE/du, u = log nbeta
    assert here.variance[0] == pytest.approx(here.energy[0] + (left.energy[0] - right.energy[0]) / (2 * h), abs=2e-6)


@pytest.mark.exact
@pytest.mark.parametrize("terms", [CUSP, CIRCLE, {(2, 0): 1, (0, 4): 1}])
def test_volume_grows_with_eps(terms: Terms):
    v = polynomial(terms).log_volume(np.logspace(-14, 2, 60), STANDARD)
    assert (np.diff(v.value) > 0).all()
    assert v.value[-1] < 1e-12


def test_one_parameter_is_a_single_quadrature():
    law = polynomial({(2,): 0.5, (4,): 2.0})
    m = at(law, 3.0, (Gaussian(1.5),))
    z = quad(lambda w: np.exp(-3 * (w**2 / 2 + 2 * w**4) - 0.75 * w**2), -9, 9, epsabs=0, epsrel=1e-13)[0]
    assert_exact(m.log_z, m.log_z_error, log(z * sqrt(1.5 / (2 * np.pi))))
    v = volume_at(law, 2.5, (Gaussian(1.5),))  # w^2/2 + 2 w^4 < 5/2 up to |w| = 1
    assert_exact(v.value, v.error, log(erf(sqrt(0.75))))


def test_a_well_of_its_own_away_from_the_axes():
    # K = (x^2 + y^2)((x - 3)^2 + (y + 2)^2): two isolated zeros, each with its own curvature
    terms = {(4, 0): 1, (0, 4): 1, (2, 2): 2, (3, 0): -6, (1, 2): -6, (2, 1): 4, (0, 3): 4, (2, 0): 13, (0, 2): 13}
    nbeta = 1e6
    m = at(polynomial(terms), nbeta)
    # Laplace: near each zero K is 13 r^2, and the prior's mass is e^(-13/2) at the second
    assert m.log_z[0] == pytest.approx(log((1 + np.exp(-6.5)) / (26 * nbeta)), abs=1e-5)
    assert m.log_z_error[0] < 1e-4


@pytest.mark.exact
def test_rounding_away_from_the_origin_is_in_the_error():
    # K = (x^2 - 2)^2 + (y^2 - 3)^2 at its zeros is evaluated to about 1e-15: not good enough for nbeta 1e16
    law = polynomial({(4, 0): 1, (0, 4): 1, (2, 0): -4, (0, 2): -6, (0, 0): 13})
    for nbeta in (1e6, 1e10, 1e12, 1e14, 1e16):
        laplace = log(4 * np.exp(-2.5) / (2 * np.pi) * np.pi / (nbeta * sqrt(96)))
        m, v = at(law, nbeta), volume_at(law, 1 / nbeta)
        assert abs(m.log_z[0] - laplace) < m.log_z_error[0] + 1 / nbeta
        assert abs(v.value[0] - laplace) < v.error[0] + 1 / nbeta
    assert m.log_z_error[0] > 1
    assert v.error[0] > 1


def test_zeros_on_an_axis_away_from_the_origin_are_not_rounded():
    # K = x^2 + (y^2 - 2)^2
    m = at(polynomial({(2, 0): 1, (0, 4): 1, (0, 2): -4, (0, 0): 4}), 1e16)
    assert_exact(m.log_z, m.log_z_error, log(np.exp(-1.0) / (1e16 * sqrt(8))))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "must be"),
        ({(0, 0): 1}, "not be constant"),
        ({(1, 0): 1}, "must be >= 0 everywhere"),
        ({(2, 0): 1, (0, 2): -1}, "must be >= 0 everywhere"),
        ({(2, 0, 0): 1}, r"must be \{\(i, j\): c\}"),
        ({(-2, 0): 1}, "exponents must be integers >= 0"),
        ({(2, 0): float("nan")}, "coefficients must be finite"),
    ],
)
def test_refuses(terms: Terms, message: str):
    with pytest.raises(InputError, match=message):
        polynomial(terms)


def test_refuses_a_sign_that_only_the_quadrature_meets():
    with pytest.raises(InputError, match="changes sign"):
        at(polynomial({(2, 0): 1, (0, 0): 0.01, (0, 1): -0.21, (0, 2): 1.05}), 1.0)
