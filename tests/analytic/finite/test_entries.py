"""What entries answer at finite n: stored values, kinds, compositions, priors, and what they refuse."""

import dataclasses
import pickle
from fractions import Fraction
from math import erf, exp, inf, log, pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammainc

from slt import RLCT, analytic
from slt.analytic.finite import Number, Quadratic, polynomial
from slt.analytic.finite.compose import Product
from slt.analytic.finite.norms import Norms
from slt.analytic.finite.priors import priors
from slt.errors import InputError, SettingsError

quick = settings(derandomize=True, deadline=None, max_examples=25)

NOTHING = Number(None, None, "not available")


def exact(number: Number, within: float = 1e-8) -> float:
    assert number.kind == "exact"
    assert number.value is not None
    assert number.error is not None
    assert 0 <= number.error < within
    return number.value


@pytest.mark.parametrize(("nbeta", "energy"), [(145, 0.3614), (1e4, 0.4123), (1e6, 0.4375), (1e9, 0.4564)])
def test_crossing_under_a_localizer(nbeta: float, energy: float):
    # by another quadrature, stored to four digits
    found = exact(analytic.normal_crossing((2, 2)).tempered(nbeta, localization=1.0).energy)
    assert abs(found - energy) <= 5e-5


@pytest.mark.parametrize(("dimension", "rank"), [(1, 1), (4, 4), (5, 2), (3, 0)])
@pytest.mark.parametrize("nbeta", [0.1, 145.0, 1e9])
def test_regular_and_minimally_singular_are_gaussian(dimension: int, rank: int, nbeta: float):
    gamma = 100.0
    singular = analytic.minimally_singular(dimension, rank)
    for entry in [singular] + [analytic.regular(dimension)] * (rank == dimension):
        m = entry.tempered(nbeta, localization=gamma)
        pull = nbeta / (nbeta + gamma)
        assert exact(m.energy) == pytest.approx(rank * pull / 2, rel=1e-12)
        assert exact(m.variance) == pytest.approx(rank * pull**2 / 2, rel=1e-12)
        assert exact(m.log_z) == pytest.approx(-rank / 2 * log(1 + nbeta / gamma), rel=1e-12)
        # K is a chi squared over 2 gamma
        volume = exact(entry.log_volume(0.01, localization=gamma))
        assert volume == pytest.approx(log(gammainc(rank / 2, 0.01 * gamma)) if rank else 0.0, rel=1e-12)


def test_curvatures_choose_the_regular_loss():
    chosen = analytic.regular(2, curvatures=[3.0, 0.2]).tempered(10.0, localization=0.5).energy
    assert exact(chosen) == pytest.approx(0.5 * (30 / 30.5 + 2 / 2.5), rel=1e-12)
    for bad in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, inf]):
        with pytest.raises(InputError, match="curvatures"):
            analytic.regular(2, curvatures=bad)


def test_without_parameters_there_is_no_prior():
    assert analytic.regular(0).law is None


@pytest.mark.parametrize("nbeta", [1.0, 1e3, 1e7, 1e12])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 2), (2, 2), (3, 5)])
def test_product_of_norms_is_one_integral(a: int, b: int, nbeta: float):
    # given |u|^2 = s the other factor is Gaussian: Z = E (1 + 2 nbeta s)^(-b/2)
    def integral(power: int) -> float:
        def f(x: float) -> float:
            s = exp(x)
            k = 2 * nbeta * s
            energy = b / 2 * k / (1 + k)
            return energy**power * (1 + k) ** (-b / 2) * s ** (a / 2) * exp(-s / 2)

        return quad(f, -90, 6, points=[-60, -40, -20, -5, 0, 3], epsabs=0, epsrel=1e-12, limit=2000)[0]

    m = analytic.reduced_rank_regression(a, b, 1).tempered(nbeta, localization=1.0)
    assert exact(m.energy) == pytest.approx(integral(1) / integral(0), rel=1e-8)
    assert exact(m.log_z) == pytest.approx(log(integral(0) / (2 ** (a / 2) * _gamma(a / 2))), abs=1e-8)


def _gamma(x: float) -> float:
    return {0.5: sqrt(pi), 1.0: 1.0, 1.5: sqrt(pi) / 2}[x]


def test_wide_layers_do_not_underflow():
    # both norms are near their means: Z is about (1 + 2 nbeta 768)^(-384), e^-3000 and below
    m = analytic.lora(768, 768, adapter=1).tempered(1e4, localization=1.0)
    assert exact(m.log_z) < -3000
    assert exact(m.energy) == pytest.approx(384, abs=1)


@pytest.mark.parametrize(
    ("entry", "loss"),
    [
        (analytic.deep_linear((2, 1, 3)), lambda w: (w[:, :2] ** 2).sum(1) * (w[:, 2:] ** 2).sum(1)),
        (analytic.deep_linear((1, 1, 1, 1)), lambda w: (w**2).prod(1)),
        (analytic.rank_one_tensor((2, 1, 2)), lambda w: (w[:, :2] ** 2).sum(1) * w[:, 2] ** 2 * (w[:, 3:] ** 2).sum(1)),
        (analytic.diagonal_linear(2, zeros=2, layers=2), lambda w: (w[:, 0] * w[:, 2]) ** 2 + (w[:, 1] * w[:, 3]) ** 2),
        (analytic.symmetric_factorization(3, 1), lambda w: (w**2).sum(1) ** 2),
        (analytic.edge_ideal([(0, 1), (0, 2)]), lambda w: w[:, 0] ** 2 * (w[:, 1] ** 2 + w[:, 2] ** 2)),
        (analytic.edge_ideal([(0, 3), (1, 2)]), lambda w: (w[:, 0] * w[:, 3]) ** 2 + (w[:, 1] * w[:, 2]) ** 2),
        (analytic.newton([(3, 0), (0, 1)]), lambda w: np.abs(w[:, 0]) ** 3 + np.abs(w[:, 1])),
        (analytic.newton([(2, 0, 0), (0, 4, 2)]), lambda w: w[:, 0] ** 2 + w[:, 1] ** 4 * w[:, 2] ** 2),
        (analytic.newton([(2, 0), (1, 1), (0, 2)], coefficients=(1, -2, 1)), lambda w: (w[:, 0] - w[:, 1]) ** 2),
        (analytic.hyperplane_arrangement([(1, 2), (1, -1)]), lambda w: ((w @ [1, 2]) * (w @ [1, -1])) ** 2),
        (
            analytic.quasi_homogeneous_squared((3, 2), 6, exponents=[(2, 0), (0, 3)], coefficients=(1, -1)),
            lambda w: (w[:, 0] ** 2 - w[:, 1] ** 3) ** 2,
        ),
        (analytic.normal_crossing((1, 3), prior_exponents=(0, 0)), lambda w: np.abs(w[:, 0] * w[:, 1] ** 3)),
        (analytic.quadratic([2.0, 0.0, 0.3]), lambda w: w[:, 0] ** 2 + 0.15 * w[:, 2] ** 2),
        (
            analytic.normal_crossing((2, 2)) * analytic.quadratic(2),
            lambda w: (w**2)[:, :2].prod(1) * (w**2)[:, 2:].sum(1) / 2,
        ),
        (analytic.normal_crossing((4,)) + analytic.quadratic([6.0]), lambda w: w[:, 0] ** 4 + 3 * w[:, 1] ** 2),
        ((analytic.quadratic([1.0, 3.0]) / Fraction(3, 2)), lambda w: ((w**2) @ [0.5, 1.5]) ** 1.5),
    ],
    ids=lambda x: x.family if isinstance(x, analytic.Entry) else "",
)
@pytest.mark.parametrize("prior", ["precisions", "precision", "box"])
@pytest.mark.exact
def test_laws_agree_with_draws(entry: analytic.Entry, loss: Any, prior: str):
    assert entry.law is not None
    nbeta, n, d = 5.0, 400_000, entry.law.dimension
    rng = np.random.default_rng(d)
    if prior == "box":
        ends = np.stack([np.linspace(-1.2, -0.4, d), np.linspace(0.9, 1.3, d)], axis=1)
        w, given = rng.uniform(ends[:, 0], ends[:, 1], (n, d)), {"box": ends.tolist()}
    else:
        gamma = np.linspace(1.0, 3.0 if prior == "precisions" else 1.0, d)
        w, given = rng.standard_normal((n, d)) / np.sqrt(gamma), {"localization": gamma.tolist()}
    m = entry.tempered(nbeta, **given)
    if m.log_z.kind == "not available":
        assert prior != "precision"  # of three norms and more there is a closed form only where all is isotropic
        assert m.variance == NOTHING
        return
    k = loss(w)
    weights = np.exp(-nbeta * k)
    assert abs(_z(weights - exp(exact(m.log_z, 1e-4)))) < 4
    energy, variance = exact(m.energy, 1e-4), exact(m.variance, 1e-4)
    assert abs(_z(weights * (nbeta * k - energy))) < 4
    assert abs(_z(weights * (nbeta * k - 1.03 * energy))) > 4  # what it would catch
    assert abs(_z(weights * ((nbeta * k - energy) ** 2 - variance))) < 4
    assert abs(_z(weights * ((nbeta * k - energy) ** 2 - 1.1 * variance))) > 4
    volume = entry.log_volume(0.1, **given)
    if volume.kind == "exact":
        assert abs(_z((k < 0.1) - exp(exact(volume, 1e-4)))) < 4


def _z(values: np.ndarray) -> float:
    return float(values.mean() / (values.std() / sqrt(len(values))))


@quick
@given(
    st.lists(st.floats(0.1, 9), min_size=1, max_size=3),
    st.integers(1, 3),
    st.floats(0, 9),
    st.floats(0.1, 9),
)
def test_sums_add(a: list[float], b: int, decade: float, gamma: float):
    nbeta = 10**decade
    first, second = analytic.quadratic(a), analytic.quadratic(b) * analytic.normal_crossing((2,))
    parts = [entry.tempered(nbeta, localization=gamma) for entry in (first, second)]
    whole = (first + second).tempered(nbeta, localization=gamma)
    for name in ("energy", "variance", "log_z"):
        values = [exact(getattr(part, name)) for part in parts]
        assert exact(getattr(whole, name)) == pytest.approx(sum(values), rel=1e-9)


@quick
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=2),
    st.floats(0, 8),
)
def test_products_of_monomials_are_monomials(a: list[int], b: list[int], decade: float):
    product = analytic.normal_crossing(a) * analytic.normal_crossing(b)
    whole = analytic.normal_crossing(a + b)
    given: list[dict[str, Any]] = [{"localization": 2.0}, {"box": (-1.0, 2.0)}]
    for prior in given:
        here, there = (entry.tempered(10**decade, **prior).energy for entry in (product, whole))
        assert exact(here) == pytest.approx(exact(there), rel=1e-9)
    assert product.rlct == whole.rlct


@quick
@given(st.integers(1, 4), st.integers(1, 3), st.floats(-2, 6))
def test_powers_of_monomials_are_monomials(k: int, power: int, decade: float):
    raised = analytic.normal_crossing((k, 2 * k)) / power
    whole = analytic.normal_crossing((k * power, 2 * k * power))
    here, there = (entry.tempered(10**decade, localization=1.0) for entry in (raised, whole))
    assert exact(here.energy) == pytest.approx(exact(there.energy), rel=1e-9)
    assert raised.rlct == whole.rlct


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.floats(-2, 10), st.floats(0.1, 10))
def test_the_closed_form_of_norms_equals_the_quadrature_over_one_of_them(a: int, b: int, decade: float, gamma: float):
    norms = (analytic.quadratic(a) * analytic.quadratic(b)).law
    product = Product(Quadratic((1.0,) * a), Quadratic((1.0,) * b))
    given, nbeta = priors(a + b, gamma, None), np.array([10.0**decade])
    assert isinstance(norms, Norms)
    here, there = norms.tempered(nbeta, given), product.tempered(nbeta, given)
    assert here is not None
    assert there is not None
    for name in ("log_z", "energy", "variance"):
        bound = getattr(here, f"{name}_error") + getattr(there, f"{name}_error")
        assert bound[0] < 1e-9
        assert abs(getattr(here, name) - getattr(there, name))[0] <= bound[0]


@quick
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(-2, 8), st.floats(0.2, 5))
@pytest.mark.exact
def test_the_unit_of_the_parameters_is_free(h: float, gamma: float, decade: float, unit: float):
    # w -> unit w takes h to h unit^2 and gamma to gamma unit^2
    entry, scaled = (analytic.quadratic([x, 0.5 * x]) * analytic.quadratic([x]) for x in (h, h * unit**2))
    here = entry.tempered(10**decade, localization=gamma)
    there = scaled.tempered(10**decade, localization=gamma * unit**2)
    assert exact(here.energy) == pytest.approx(exact(there.energy), rel=1e-7)
    assert exact(here.log_z) == pytest.approx(exact(there.log_z), rel=1e-7)


@pytest.mark.parametrize("eps", [1e-10, 1e-3, 0.4, 3.0])
def test_a_disc_in_a_rectangle(eps: float):
    # one coordinate at a time: the chord of the disc inside the box
    low, high = (-0.5, -0.7), (1.5, 0.4)
    r = sqrt(2 * eps)

    def chord(x: float) -> float:
        half = sqrt(max(r * r - x * x, 0))
        return max(min(half, high[1]) - max(-half, low[1]), 0.0)

    kinks = [sqrt(r * r - y * y) * s for y in (low[1], high[1]) for s in (-1, 1) if r > abs(y)]
    inside = [x for x in kinks if max(-r, low[0]) < x < min(r, high[0])]
    area = quad(chord, max(-r, low[0]), min(r, high[0]), points=sorted(inside) or None, epsabs=0, epsrel=1e-11)[0]
    found = analytic.quadratic(2).log_volume(eps, box=[(low[0], high[0]), (low[1], high[1])])
    assert exact(found) == pytest.approx(log(area / (2 * 1.1)), abs=1e-8)


def test_what_is_not_known_is_asymptotic_or_nothing():
    entry = analytic.deep_linear((5, 5, 5), rank=2)
    m = entry.tempered(1e6, localization=1.0)
    assert m.energy == Number(11.5 - 1 / log(1e6), None, "asymptotic")
    assert (m.variance, m.log_z) == (NOTHING, NOTHING)
    assert entry.log_volume(1e-3, localization=1.0) == NOTHING
    assert analytic.relu_network(3).tempered(50.0, box=(-1, 1)).energy == Number(0.5, None, "asymptotic")


def test_where_the_expansion_makes_no_sense_there_is_nothing():
    # lambda - (m - 1)/log(nbeta) is below 0, or log(nbeta) is
    entry = analytic.diagonal_linear(4, zeros=3, layers=9)
    for nbeta in (0.5, 1.0, 10.0):
        assert entry.tempered(nbeta, localization=1.0).energy == NOTHING


def test_an_upper_bound_has_no_limit():
    entry = analytic.newton([(2, 0, 0), (1, 1, 1), (0, 2, 2), (0, 0, 4), (0, 6, 0)], coefficients=(1, -2, 1, 1, 1))
    assert entry.bound == "upper"
    assert entry.tempered(1e6, localization=1.0).energy == NOTHING


def test_a_point_that_is_not_zero_has_no_law_about_zero():
    assert analytic.deep_linear((1, 1, 1, 1), factor_ranks=(0, 0, 1)).law is None
    assert analytic.reduced_rank_regression(1, 1, 1, factor_ranks=(1, 0)).law is None
    assert analytic.reduced_rank_regression(1, 1, 1, factor_ranks=(0, 0)).law is not None


def test_a_loss_negative_far_away_has_no_law():
    assert analytic.newton([(2, 0), (0, 2), (0, 4)], coefficients=(1, 1, -1)).law is None


@pytest.mark.exact
def test_where_rounding_has_the_last_word_there_is_no_number():
    # (x^2 - 2)^2 + (y^2 - 3)^2: its zeros are no floats, so K cannot be told from 0 closer than 1e-15
    law = polynomial({(4, 0): 1, (0, 4): 1, (2, 0): -4, (0, 2): -6, (0, 0): 13})
    entry = dataclasses.replace(analytic.regular(2), law=law)
    assert exact(entry.tempered(1e6, localization=1.0).energy, 1e-4) == pytest.approx(1.0, abs=1e-4)
    m = entry.tempered(1e16, localization=1.0)
    assert m.energy == Number(1.0, None, "asymptotic")
    assert (m.variance, m.log_z) == (NOTHING, NOTHING)
    assert entry.log_volume(1e-16, localization=1.0) == NOTHING


def test_the_orthant_cuts_the_prior():
    entry = analytic.newton([(1,)], orthant=True)
    # w uniform on [0, 2] given w >= 0, or half normal
    assert exact(entry.log_volume(0.5, box=(-3.0, 2.0))) == pytest.approx(log(0.25), rel=1e-10)
    assert exact(entry.log_volume(0.5, localization=4.0)) == pytest.approx(log(erf(1 / sqrt(2))), rel=1e-10)
    z = quad(lambda w: exp(-3 * w), 0, 2, epsrel=1e-12)[0] / 2
    assert exact(entry.tempered(3.0, box=(-3.0, 2.0)).log_z) == pytest.approx(log(z), abs=1e-10)
    with pytest.raises(SettingsError, match=r"box must reach into w >= 0"):
        entry.tempered(1.0, box=(-2.0, -1.0))


def test_folding_mixes_both_sides():
    # |w| of w uniform on [-1, 3]
    entry = analytic.newton([(1,)])
    assert exact(entry.log_volume(2.0, box=(-1.0, 3.0))) == pytest.approx(log(3 / 4), rel=1e-10)
    z = (quad(lambda w: exp(-5 * w), 0, 1)[0] + quad(lambda w: exp(-5 * w), 0, 3, epsrel=1e-12)[0]) / 4
    m = entry.tempered(5.0, box=(-1.0, 3.0))
    one = sum(quad(lambda w: 5 * w * exp(-5 * w), 0, end, epsrel=1e-12)[0] for end in (1, 3)) / 4
    assert exact(m.log_z) == pytest.approx(log(z), abs=1e-9)
    assert exact(m.energy) == pytest.approx(one / z, abs=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one of localization and box"),
        ({"localization": 1.0, "box": (-1, 1)}, "exactly one of localization and box"),
        ({"localization": 0.0}, "localization must be positive"),
        ({"localization": float("nan")}, "localization must be positive"),
        ({"localization": [1.0, 2.0, 3.0]}, "one for each of the 2 parameters"),
        ({"localization": "auto"}, "localization must be made of numbers"),
        ({"box": (1, -1)}, "low < high"),
        ({"box": (0, inf)}, "finite ends"),
        ({"box": [(0, 1)] * 3}, "one such pair for each of the 2 parameters"),
    ],
)
def test_refuses_priors(given: dict[str, Any], message: str):
    entry = analytic.normal_crossing((2, 2))
    for ask in (lambda: entry.tempered(10.0, **given), lambda: entry.log_volume(0.1, **given)):
        with pytest.raises(SettingsError, match=message):
            ask()


@pytest.mark.parametrize("bad", [0.0, -1.0, inf, float("nan")])
def test_refuses_what_is_no_temperature(bad: float):
    entry = analytic.normal_crossing((2, 2))
    with pytest.raises(SettingsError, match="nbeta must be positive and finite"):
        entry.tempered(bad, localization=1.0)
    with pytest.raises(SettingsError, match="eps must be positive and finite"):
        entry.log_volume(bad, localization=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exponents": [(2, 0), (0, 3)]}, "degree 4"),
        ({"exponents": [(2, 0, 0)]}, "must have 2 exponents"),
        ({"exponents": []}, "at least 1"),
        ({"exponents": [(2, 0), (2, 0)]}, "different from each other"),
        ({"coefficients": (1, 1)}, "must come with the exponents"),
        ({"exponents": [(2, 0)], "coefficients": (1, 1)}, "one coefficient each"),
        ({"exponents": [(2, 0)], "coefficients": (0,)}, "must not be 0"),
    ],
)
def test_a_homogeneous_loss_must_be_one(arguments: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        analytic.weighted_homogeneous((2, 1), 4, **arguments)


def test_compositions_are_entries():
    a, b = analytic.normal_crossing((2, 2)), analytic.quadratic(3)
    both = a + b
    assert both.rlct == RLCT(Fraction(2), 2) == a.rlct + b.rlct
    assert both.K == "(prod_i |w_i|^(k_i)) + (1/2 sum_i h_i w_i^2), in disjoint parameters"
    assert (a * b).rlct == a.rlct * b.rlct
    assert (a / 3).rlct == a.rlct / 3
    assert min(a, b) is a
    assert pickle.loads(pickle.dumps(both)) == both
    bound = analytic.newton([(2, 0), (1, 1), (0, 2)], coefficients=(1, -2, 1))
    assert (a + bound).bound == "upper"
    with pytest.raises(TypeError):
        a + 1  # pyright: ignore[reportOperatorIssue]
