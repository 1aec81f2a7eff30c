"""Families of two parameters or fewer against the Laplace integral of their loss; each check refuses neighbours."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from slt import analytic
from tests.analytic.laplace import Chart, agrees, grids, monomials, slope, wrong

HALF = Fraction(1, 2)
MONOMIALS: list[tuple[analytic.Entry, list[tuple[int, ...]], tuple[float, ...]]] = [
    (analytic.regular(2), [(2, 0), (0, 2)], (1, 1)),
    (analytic.minimally_singular(2, 1), [(2, 0)], (1, 1)),
    (analytic.normal_crossing((2, 4)), [(2, 4)], (1, 1)),
    (analytic.normal_crossing((2, 2)), [(2, 2)], (1, 1)),
    (analytic.normal_crossing((2, 4), (0, 1)), [(2, 4)], (1, 2)),
    (analytic.normal_crossing((3, 1), (-HALF, 0)), [(3, 1)], (0.5, 1)),
    (analytic.weighted_homogeneous((2, 1), degree=4), [(2, 0), (0, 4)], (1, 1)),
    (analytic.weighted_homogeneous((3, 2), degree=6), [(2, 0), (0, 3)], (1, 1)),
    (analytic.newton([(2, 2), (6, 0), (0, 6)]), [(2, 2), (6, 0), (0, 6)], (1, 1)),
    (analytic.newton([(4, 0), (2, 2)]), [(4, 0), (2, 2)], (1, 1)),
    (analytic.newton([(4, 2), (2, 6)]), [(4, 2), (2, 6)], (1, 1)),
    (analytic.newton([(3, 1), (1, 2)], (1, 0)), [(3, 1), (1, 2)], (2, 1)),
    (analytic.newton([(3, 1), (1, 2)], (0, HALF)), [(3, 1), (1, 2)], (1, 1.5)),
    (analytic.edge_ideal([(0, 1)]), [(2, 2)], (1, 1)),
    (analytic.determinantal(1, 2, 1), [(2, 0), (0, 2)], (1, 1)),
    (analytic.reduced_rank_regression(1, 1, 1), [(2, 2)], (1, 1)),
    (analytic.deep_linear((1, 1, 1)), [(2, 2)], (1, 1)),
    (analytic.diagonal_linear(1, zeros=1), [(2, 2)], (1, 1)),
    (analytic.lora(1, 1, adapter=1), [(2, 2)], (1, 1)),
    (analytic.symmetric_factorization(1, 1), [(4,)], (1,)),
    (analytic.symmetric_factorization(2, 1), [(4,)], (2,)),  # |u|^4, by the radius
    (analytic.rank_one_tensor((2, 3)), [(2, 2)], (2, 3)),  # by the radii
    (analytic.rank_one_tensor((2, 2)), [(2, 2)], (2, 2)),
    (analytic.relu_network(1), [(2, 2)], (1, 1)),
    (analytic.relu_network(1, inputs=3), [(2, 2)], (1, 3)),
    (analytic.monomial_activation(1, degree=3), [(2, 6)], (1, 1)),
    (analytic.monomial_activation(1, degree=2, inputs=2, outputs=1), [(2, 4)], (1, 2)),
    (analytic.nmf(1, 1, 1), [(2, 2)], (1, 1)),
    (analytic.nmf(2, 1, 1, shapes=(HALF, 2)), [(2, 2)], (1, 2)),  # by the sums of the entries
]


def require(entry: analytic.Entry, at: Any, tolerance: float = 1e-3) -> None:
    assert agrees(entry.rlct, at, tolerance), (entry, at(40.0), at(70.0))
    assert not [claim for claim in wrong(entry.rlct) if agrees(claim, at, tolerance)]


@pytest.mark.parametrize(("entry", "exponents", "tau"), MONOMIALS, ids=lambda x: repr(x)[:60])
def test_monomials(entry: analytic.Entry, exponents: Any, tau: Any):
    charts = monomials(exponents, tau)
    require(entry, lambda log_n: slope(charts, log_n))


def test_tanh_unit():
    u, v = grids(2)
    x = (np.arange(8) + 0.5) / 8
    squares = [np.log(np.tanh(np.exp(v) * x_i)) * 2 for x_i in x]
    charts = [Chart(2 * u + np.logaddexp.reduce(squares), u + v)]
    require(analytic.tanh_network(1), lambda log_n: slope(charts, log_n))


def test_boltzmann_machine_by_its_divergence():
    # KL(uniform || cosh(a . x)) for two units is -log(1 - tanh^2 a_1 tanh^2 a_2) / 2
    u, v = grids(2)
    product = (np.tanh(np.exp(u)) * np.tanh(np.exp(v))) ** 2
    inside = product > 1e-300
    charts = [Chart(np.log(-np.log1p(-product[inside])), (u + v)[inside])]
    require(analytic.rbm(2), lambda log_n: slope(charts, log_n))


@pytest.mark.parametrize("concentration", [HALF, 1, 2])
def test_bernoulli_at_the_boundary(concentration: Any):
    (u,) = grids(1)
    charts = [Chart(np.log(-np.log1p(-np.exp(u))), float(concentration) * u)]
    require(analytic.multinomial_boundary(2, 1, concentration), lambda log_n: slope(charts, log_n))


@pytest.mark.parametrize("exponents", [(2, 2, 2), (2, 4, 2), (1, 6, 1), (1, 1, 3), (3, 3, 4), (4, 2, 2), (2, 3, 5)])
def test_three_lines(exponents: tuple[int, int, int]):
    # K = x^a y^b |x - y|^c in the quarter plane, by radius and ratio: near each line, the distance from it
    a, b, c = exponents
    u, v = grids(2, step=0.2)
    v = v + np.log(0.5)
    rest = np.log1p(-np.exp(v))
    near = [b * v + c * rest, a * v + c * rest, c * v + a * rest, c * v + b * rest]
    charts = [Chart((a + b + c) * u + k, 2 * u + v) for k in near]
    entry = analytic.hyperplane_arrangement([(1, 0), (0, 1), (1, -1)], exponents)
    require(entry, lambda log_n: slope(charts, log_n))


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_two_units(step: int, outputs: int):
    # the a_h integrate to det(1 + 2n G)^(-M/2) with the Gram matrix G of (b_h, b_h^(Q + 1)), b_2 = b_1 (1 - delta)
    u, v = grids(2)
    log_t = np.log1p(-np.exp(v))
    log_trace = np.log(2) + np.logaddexp(2 * u + np.logaddexp(0, 2 * log_t), 2 * (step + 1) * u)
    log_gap = np.log(-np.expm1(step * log_t))
    log_det = np.log(4) + (4 + 2 * step) * u + 2 * log_t + 2 * log_gap

    def at(log_n: float) -> float:
        log_d = np.logaddexp(0, np.logaddexp(log_n + log_trace, 2 * log_n + log_det))
        share = np.exp(log_n + log_trace - log_d) + 2 * np.exp(2 * log_n + log_det - log_d)
        weight = 2 * u + v - outputs / 2 * log_d
        weight = np.exp(weight - weight.max())
        return float((weight * share).sum() / weight.sum()) * outputs / 2

    require(analytic.vandermonde(2, step, outputs), at)


def area(a: int, b: int, log_s: float, step: float, *, zeros: bool) -> float:
    """The area of |x^a + y^b| < s, and where there are zeros of |x^a - y^b| < s, in the unit square."""
    log_x = np.arange(-60 * step * 40, 0, step) - step / 2
    log_r = log_s - a * log_x  # s / x^a
    inner = log_r > 0
    together = np.where(inner, np.expm1(np.maximum(log_r, 1e-300)), 0) ** (1 / b)
    width = np.exp(a / b * log_x)
    plus = width * together
    r = np.exp(np.minimum(log_r, 0))
    with np.errstate(divide="ignore"):
        lower = np.where(inner, -1.0, np.expm1(np.log1p(-r) / b))
    upper = np.where(inner, (1 + np.exp(log_r)) ** (1 / b) - 1, np.expm1(np.log1p(r) / b))
    minus = np.minimum(width * (upper - lower), 1)
    return float((np.exp(log_x) * (plus + zeros * minus)).sum()) * step


@pytest.mark.parametrize(
    ("a", "b", "zeros"),
    [(2, 5, True), (3, 4, True), (3, 5, True), (2, 4, False), (2, 2, True), (2, 2, False), (1, 2, True), (1, 1, True)],
)
def test_squares_of_plane_curves_by_their_area(a: int, b: int, zeros: bool):
    entry = analytic.quasi_homogeneous_squared((b, a), degree=a * b, real_zeros=zeros)
    step = 0.01
    logs = [-12.0, -18.0, -24.0]  # of s = sqrt(eps), apart by whole steps in log x, so that kinks fall alike
    areas = [area(a, b, log_s, step, zeros=zeros) for log_s in logs]

    def fits(value: Fraction, multiplicity: int) -> bool:
        low, middle, high = (v / np.exp(2 * float(value) * x) for v, x in zip(areas, logs, strict=True))
        if multiplicity == 1:
            return abs(high / middle - 1) < 3e-3
        # V = s (A log 1/s + B): equal steps of log s add equal amounts
        return high / middle > 1.1 and abs((high - middle) / (middle - low) - 1) < 0.05

    assert fits(entry.value, entry.multiplicity), areas
    assert not [x for x in wrong(entry.rlct) if x.multiplicity < 3 and fits(x.value, x.multiplicity)]
