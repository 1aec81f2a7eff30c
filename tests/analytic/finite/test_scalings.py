"""Polynomials of three parameters: closed forms, other routes, draws, and what is refused."""

from collections.abc import Mapping
from fractions import Fraction
from math import log, pi, sqrt

import numpy as np
import pytest
from scipy.integrate import quad

from slt import analytic
from slt.analytic.finite.law import Moments
from slt.analytic.finite.priors import Gaussian, HalfGaussian, Prior, Uniform
from slt.analytic.finite.scalings import scaling

Terms = Mapping[tuple[int, ...], int]

ROUND = {(2, 0, 0): 1, (0, 2, 0): 1, (0, 0, 2): 1}
TURNED = {(2, 0, 2): 1, (1, 1, 2): 2, (0, 2, 2): 1}  # ((x + y) z)^2 = 2 (u z)^2
NORMS = {(2, 2, 0): 1, (2, 0, 2): 1}  # x^2 (y^2 + z^2)
TRIANGLE = {(2, 2, 0): 1, (2, 0, 2): 1, (0, 2, 2): 1}
GRAPH = {(0, 0, 2): 1, (1, 1, 1): -2, (2, 2, 0): 1}  # (z - x y)^2
CONE = {(4, 0, 0): 1, (0, 2, 2): 1, (2, 1, 1): -2}  # (x^2 - y z)^2
UNEVEN = {(6, 0, 0): 1, (0, 4, 2): 2, (2, 2, 2): 1}
STANDARD = (Gaussian(1.0),) * 3
SKEW = (Gaussian(0.3), Gaussian(2.0), Gaussian(20.0))
BOXES = (Uniform(-0.5, 1.0), Uniform(-1.0, 1.0), Uniform(-2.0, 0.7))
slow = pytest.mark.exact
DECADES = [1.0, pytest.param(1e2, marks=slow), 1e4, pytest.param(1e7, marks=slow), pytest.param(1e10, marks=slow)]


def at(terms: Terms, nbeta: float, priors: tuple[Prior, ...] = STANDARD) -> Moments:
    law = scaling({key: Fraction(c) for key, c in terms.items()})
    assert law is not None
    return law.tempered(np.array([nbeta]), priors)


def assert_exact(found: np.ndarray, error: np.ndarray, exact: float, within: float = 1e-5) -> None:
    """The value is within its error, and the error says something."""
    assert error[0] < within
    assert abs(found[0] - exact) <= error[0]
    assert abs(found[0] - exact) < 1e-5


@pytest.mark.parametrize("nbeta", DECADES)
@pytest.mark.parametrize(
    ("terms", "entry"),
    [
        (ROUND, analytic.quadratic([2.0, 2.0, 2.0])),
        (NORMS, analytic.deep_linear((2, 1, 1))),
        (TURNED, analytic.newton([(2, 2)], coefficients=(2,))),
        ({(2, 0, 0): 1, (0, 2, 2): 1}, analytic.quadratic([2.0]) + analytic.normal_crossing((2, 2))),
    ],
)
def test_laws_known_otherwise(terms: Terms, entry: analytic.Entry, nbeta: float):
    m, exact = at(terms, nbeta), entry.tempered(nbeta, localization=1.0)
    assert exact.energy.kind == "exact"
    assert_exact(m.energy, m.energy_error, exact.energy.value or 0)
    assert_exact(m.log_z, m.log_z_error, exact.log_z.value or 0)
    assert abs(m.variance[0] - (exact.variance.value or 0)) < 1e-5


@pytest.mark.parametrize("nbeta", DECADES[1:])
def test_a_graph_is_one_integral(nbeta: float):
    # given x, z - x y is Gaussian with variance 1 + x^2
    def integral(power: int) -> float:
        def f(x: float) -> float:
            s = nbeta * (1 + x * x)
            return (s / (1 + 2 * s)) ** power * np.exp(-x * x / 2) / sqrt(2 * pi * (1 + 2 * s))

        return 2 * quad(f, 0, 12, epsabs=0, epsrel=1e-12)[0]

    m = at(GRAPH, nbeta)
    assert_exact(m.log_z, m.log_z_error, log(integral(0)))
    assert_exact(m.energy, m.energy_error, integral(1) / integral(0))


@pytest.mark.parametrize("nbeta", [10.0, pytest.param(1e6, marks=slow)])
def test_a_triangle_is_a_double_integral(nbeta: float):
    # given x and y, z is Gaussian: a grid in asinh(x / scale) and asinh(y / scale)
    scale, step = 0.2 / sqrt(nbeta), 0.05
    u = np.arange(0, np.arcsinh(12 / scale), step)
    x, weights = scale * np.sinh(u), scale * np.cosh(u) * step
    weights[0] /= 2
    weights *= np.exp(-x * x / 2) * sqrt(2 / pi)
    a, b = nbeta * x[:, None] ** 2 * x**2, nbeta * (x[:, None] ** 2 + x**2)
    z = np.exp(-a) / np.sqrt(1 + 2 * b)
    total = weights @ z @ weights
    m = at(TRIANGLE, nbeta)
    assert_exact(m.log_z, m.log_z_error, log(total))
    assert_exact(m.energy, m.energy_error, float(weights @ (z * (a + b / (1 + 2 * b))) @ weights / total))


@pytest.mark.parametrize("priors", [STANDARD, SKEW, BOXES], ids=["standard", "skew", "boxes"])
@pytest.mark.parametrize("terms", [CONE, UNEVEN, GRAPH])
@pytest.mark.exact
def test_moments_agree_with_draws(terms: Terms, priors: tuple[Prior, ...]):
    nbeta, n = 3.0, 400_000
    rng = np.random.default_rng(0)
    w = [
        rng.uniform(p.low, p.high, n) if isinstance(p, Uniform) else rng.standard_normal(n) / sqrt(p.precision)
        for p in priors
    ]
    k = sum(c * np.prod([x**i for x, i in zip(w, alpha, strict=True)], axis=0) for alpha, c in terms.items())
    m = at(terms, nbeta, priors)
    weights = np.exp(-nbeta * k)
    assert abs((weights.mean() - np.exp(m.log_z[0])) / (weights.std() / sqrt(n))) < 4
    score = weights * (nbeta * k - m.energy[0])  # its mean is 0 at the right energy
    assert abs(score.mean() / (score.std() / sqrt(n))) < 4
    wrong = weights * (nbeta * k - 1.05 * m.energy[0])
    assert abs(wrong.mean() / (wrong.std() / sqrt(n))) > 4


@pytest.mark.exact
def test_names_of_the_parameters_do_not_matter():
    m = at({(c, a, b): v for (a, b, c), v in UNEVEN.items()}, 50.0)
    assert m.energy[0] == pytest.approx(at(UNEVEN, 50.0).energy[0], abs=1e-6)


@pytest.mark.exact
def test_scaling_the_coordinates():
    # x -> 2 x, y -> y / 3: precisions follow, nothing else changes
    scaled = {key: c * Fraction(2) ** key[0] * Fraction(1, 3) ** key[1] for key, c in CONE.items()}
    law = scaling(scaled)
    assert law is not None
    turned = law.tempered(np.array([20.0]), (Gaussian(4.0), Gaussian(1 / 9), Gaussian(1.0)))
    assert turned.energy[0] == pytest.approx(at(CONE, 20.0).energy[0], abs=1e-6)


@pytest.mark.exact
def test_one_side_of_an_even_loss_is_the_whole():
    half = tuple(HalfGaussian(p.precision) for p in STANDARD)
    assert at(TRIANGLE, 30.0, half).energy[0] == pytest.approx(at(TRIANGLE, 30.0).energy[0], abs=1e-5)


@pytest.mark.exact
@pytest.mark.parametrize(("terms", "limit"), [(TRIANGLE, 3 / 4), (CONE, 1 / 2)])
def test_energies_near_the_limit(terms: Terms, limit: float):
    gaps = [limit - at(terms, nbeta).energy[0] for nbeta in (1e4, 1e7, 1e10)]
    assert 0 < gaps[2] < 0.3 * gaps[1] < 0.1 * gaps[0]


def test_entries_answer_with_it():
    energy = analytic.edge_ideal([(0, 1), (1, 2), (2, 0)]).tempered(100.0, localization=1.0).energy
    assert energy.kind == "exact"
    assert energy.value == pytest.approx(at(TRIANGLE, 100.0).energy[0], abs=1e-9)


@pytest.mark.exact
def test_an_orthant():
    folded = analytic.newton([(1, 1, 0), (1, 0, 1), (0, 1, 1)], orthant=True).tempered(10.0, box=(0.0, 1.0))
    x = np.random.default_rng(0).uniform(size=(3, 200_000))
    k = 10.0 * (x[0] * x[1] + x[1] * x[2] + x[2] * x[0])
    score = np.exp(-k) * (k - (folded.energy.value or 0))
    assert folded.energy.kind == "exact"
    assert abs(score.mean() / (score.std() / sqrt(200_000))) < 4


@pytest.mark.parametrize(
    "terms",
    [
        {(2, 0, 0): 1, (0, 2, 0): 1, (0, 0, 2): 1, (2, 2, 2): 1},  # no scaling
        {(2, 0, 0): 1, (0, 1, 1): 1, (0, 2, 0): 1},  # negative at y = 1, z = -3
    ],
)
def test_no_law(terms: Terms):
    assert scaling({key: Fraction(c) for key, c in terms.items()}) is None
