"""Plane curves of high degree at finite n: against another quadrature, other coordinates, and what must stay unsaid."""

from fractions import Fraction
from math import log, sqrt

import numpy as np
import pytest

from slt import analytic
from slt.analytic.finite import sectors
from slt.analytic.finite.polynomials import polynomial
from slt.analytic.finite.priors import Gaussian, Prior, Uniform
from slt.analytic.finite.sectors import Sectors
from slt.errors import InputError
from tests.analytic.test_plane_curves import nested

N_BETA = 1000 / log(1000)
PRIOR = (Gaussian(1.0), Gaussian(1.0))


def by_polar_grid(polynomials: list, nbeta: float, precision: float = 1.0) -> float:
    """nbeta E[K] in polar coordinates, K as the sum of the squares: nothing adapts, and nothing is written out."""
    angle = np.arange(2400) * 2 * np.pi / 2400
    nodes, weights = np.polynomial.legendre.leggauss(24)
    edges = np.concatenate([np.linspace(0, 1.5, 25), np.linspace(1.5, 9, 16)[1:]]) / sqrt(precision)
    half = np.diff(edges)[:, None] / 2
    radius = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weight = (half * weights).ravel() * radius * np.exp(-precision * radius**2 / 2)
    direction = np.cos(angle), np.sin(angle)
    loss = np.zeros((len(radius), len(angle)))
    for f in polynomials:
        by_degree: dict[int, np.ndarray] = {}
        for (i, j), c in f.items():
            by_degree[i + j] = by_degree.get(i + j, 0.0) + float(c) * direction[0] ** i * direction[1] ** j
        loss += sum(radius[:, None] ** k * g for k, g in by_degree.items()) ** 2
    k = np.minimum(nbeta * loss, 700.0)
    base = np.exp(-k) * weight[:, None]
    return float((k * base).sum() / base.sum())


def assert_on_the_grid(r: int, copies: int, nbeta: float, tolerance: float):
    """The energy is exact to a share of it, and agrees with the grid within its own error."""
    energy = analytic.plane_curve(nested(r, copies)).tempered(nbeta, localization=1.0).energy
    assert energy.kind == "exact"
    assert energy.value is not None
    assert energy.error is not None
    assert energy.error < tolerance * energy.value
    assert energy.value == pytest.approx(by_polar_grid(nested(r, copies), nbeta), abs=energy.error)


@pytest.mark.parametrize(("r", "copies"), [(2, 2), (2, 3), (3, 2), (4, 2)])
@pytest.mark.parametrize("nbeta", [N_BETA, 1e4])
def test_nested_powers_against_a_grid(r: int, copies: int, nbeta: float):
    assert_on_the_grid(r, copies, nbeta, 3e-6)


@pytest.mark.exact
@pytest.mark.parametrize(("r", "copies"), [(2, 4), (3, 3), (4, 3)])
@pytest.mark.parametrize("nbeta", [N_BETA, 1e4, 1e8])
def test_the_largest_nested_powers_against_a_grid(r: int, copies: int, nbeta: float):
    assert_on_the_grid(r, copies, nbeta, 3e-5)


@pytest.mark.parametrize("text", ["(x^2 - y^3)^2", "(x + y)^2 + 2*x^4 + y^4", "3/2*x^2*(y - 2*x)^2 + y^8"])
@pytest.mark.parametrize("precisions", [(1.0, 1.0), (0.5, 20.0)])
def test_against_quadrature_that_follows_the_roots(text: str, precisions: tuple[float, float]):
    terms = analytic.plane_curves.plane_terms(text)
    prior = tuple(Gaussian(gamma) for gamma in precisions)
    ours = Sectors(tuple(terms.items())).tempered(np.array([3.0, 500.0]), prior)
    known = polynomial(terms).tempered(np.array([3.0, 500.0]), prior)
    assert ours is not None
    for name in ("log_z", "energy", "variance"):
        bound = getattr(ours, f"{name}_error") + getattr(known, f"{name}_error")
        assert np.all(bound < 1e-3)
        assert np.all(np.abs(getattr(ours, name) - getattr(known, name)) <= bound)


def test_a_coordinate_that_turns_changes_nothing():
    """A quarter turn and a scaling of both axes, which the localizer undoes."""
    polynomials = nested(3, 2)
    turned = [{(j, i): c * (-1) ** j * 2 ** (i + j) for (i, j), c in f.items()} for f in polynomials]
    energies = [
        analytic.plane_curve(given).tempered(N_BETA, localization=gamma).energy
        for given, gamma in ((polynomials, 1.0), (turned, 4.0))
    ]
    values = [energy.value for energy in energies]
    assert all(energy.error is not None for energy in energies)
    assert values[0] == pytest.approx(values[1], abs=sum(energy.error or 0 for energy in energies))


def test_finds_wells_far_from_zero(monkeypatch: pytest.MonkeyPatch):
    """Of a width of a hundredth at (5/2, 2/3); the quadrature that follows roots knows of it."""
    terms = analytic.plane_curves.plane_terms("((2*x - 5)^2 + (3*y - 2)^2)*(x^2 + y^2)^2")
    law, nbeta = Sectors(tuple(terms.items())), np.array([100.0])
    ours, known = law.tempered(nbeta, PRIOR), polynomial(terms).tempered(nbeta, PRIOR)
    assert ours is not None
    assert ours.energy_error < 1e-3
    assert abs(ours.energy - known.energy) < ours.energy_error + known.energy_error
    monkeypatch.setattr(sectors, "_BENT", np.inf)
    blind = law.tempered(nbeta, PRIOR)
    assert blind is not None
    assert abs(blind.energy - known.energy) > blind.energy_error


def test_says_nothing_where_the_cells_do_not_suffice(monkeypatch: pytest.MonkeyPatch):
    law = Sectors(tuple(analytic.plane_curves.plane_terms("(y - x^2)^2 + x^20").items()))
    good = law.tempered(np.array([1e3]), PRIOR)
    monkeypatch.setattr(sectors, "_MOST_CELLS", 300)
    bad = law.tempered(np.array([1e3]), PRIOR)
    assert good is not None
    assert bad is not None
    assert good.energy_error < 1e-4 < bad.energy_error
    monkeypatch.setattr(sectors, "_LARGEST_ERROR", 1e9)
    shown = law.tempered(np.array([1e3]), PRIOR)
    assert shown is not None
    assert abs(shown.energy - good.energy) <= shown.energy_error


def test_rounding_errors_are_bounded_and_small_near_their_own_line():
    """At y = -x digits cancel about the axis, but not about the line itself; both bounds hold."""
    terms = analytic.plane_curves.plane_terms("(x + y)^40 + x^50")
    about_axis, about_line = (
        next(one for one in sectors._sectors(tuple(terms.items())) if one.center == c and not one.swapped)
        for c in (0, -2)
    )
    exact = Fraction(7, 8) ** 50 + Fraction(7, 8) ** 40 * Fraction(1, 16) ** 40
    wrong = []
    for sector, s in ((about_axis, -15 / 8), (about_line, 1 / 8)):  # y = -15/16 x
        bound = sector.roundings(np.array([7 / 8]), np.array([abs(s)]))[0]
        off = abs(float(Fraction(sector.losses(np.array([[7 / 8]]), np.array([[s]]))[0, 0, 0]) - exact))
        assert off <= bound
        wrong.append((off, bound))
    assert wrong[0][0] > 1e-10
    assert wrong[1][1] < 1e-13


@pytest.mark.parametrize("prior", [(Uniform(-1, 1), Uniform(-1, 1)), (Gaussian(1.0), Uniform(-1, 1))])
def test_other_priors_are_not_available(prior: tuple[Prior, Prior]):
    law = Sectors(((((2, 0)), Fraction(1)), ((0, 2), Fraction(1))))
    assert law.tempered(np.array([1.0]), prior) is None
    assert law.log_volume(np.array([0.1]), PRIOR) is None


def test_negative_values_are_no_law():
    entry = analytic.plane_curve("(x^2 + y^2)^7*(1 - y)")
    energy = entry.tempered(1e3, localization=1.0).energy
    assert energy.kind == "asymptotic"
    assert entry.log_volume(0.1, localization=1.0).kind == "not available"
    with pytest.raises(InputError):
        analytic.plane_curve("(x^2 + y^2)^7*(x - 1)")
