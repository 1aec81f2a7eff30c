"""Homogeneous losses, arrangements, determinants: against other derivations, and what they refuse."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.analytic.edge_ideals import complete
from slt.errors import InputError

quick = settings(derandomize=True, deadline=None, max_examples=100)


@quick
@given(st.lists(st.integers(1, 8), min_size=1, max_size=5))
def test_sums_of_powers(powers: list[int]):
    weights = [Fraction(1, p) for p in powers]
    newton = analytic.newton([[p * (i == j) for j in range(len(powers))] for i, p in enumerate(powers)])
    assert analytic.weighted_homogeneous(weights).rlct == newton.rlct


@quick
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_the_unit_of_weights_is_free(weights: list[int], degree: int, unit: int, zeros: bool):
    scaled = [unit * w for w in weights]
    for family in (analytic.weighted_homogeneous, analytic.quasi_homogeneous_squared):
        assert family(scaled, unit * degree).rlct == family(weights, degree).rlct
    squared = analytic.quasi_homogeneous_squared(weights, degree, real_zeros=zeros).rlct
    isolated = analytic.weighted_homogeneous(weights, degree).rlct / 2
    assert squared <= isolated
    assert zeros or squared == isolated
    assert not zeros or squared <= RLCT(Fraction(1, 2), 1)  # the smooth zeros are there


@quick
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_coordinate_planes_are_a_normal_crossing(exponents: list[int]):
    d = len(exponents)
    forms = [[int(i == j) for j in range(d)] for i in range(d)]
    assert analytic.hyperplane_arrangement(forms, exponents).rlct == analytic.normal_crossing(exponents).rlct


@quick
@given(st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=1, max_size=5), st.randoms())
def test_arrangements_do_not_depend_on_how_they_are_written(forms: list[tuple[int, ...]], random: Any):
    found = analytic.hyperplane_arrangement(forms).rlct
    sheared = [(a, b - 2 * a, c + a + b) for a, b, c in forms]
    assert analytic.hyperplane_arrangement(sheared).rlct == found
    assert analytic.hyperplane_arrangement([[-3 * x for x in form] for form in forms]).rlct == found
    assert analytic.hyperplane_arrangement(random.sample(forms, len(forms))).rlct == found
    merged = {form: 2 * forms.count(form) for form in forms}
    assert analytic.hyperplane_arrangement(list(merged), list(merged.values())).rlct == found
    # a homogeneous product of n linear forms squared in three dimensions
    assert found <= RLCT(Fraction(3, 2 * len(forms)), 1)
    assert found <= RLCT(Fraction(1, 2), 1)


@pytest.mark.parametrize("n", range(2, 7))
def test_differences_follow_the_integral_of_mehta(n: int):
    # E prod |w_i - w_j|^(2z) = prod_j Gamma(1 + j z) / Gamma(1 + z) has its first pole at z = -1/n, simple
    forms = [[(k == i) - (k == j) for k in range(n)] for i, j in complete(n)]
    assert analytic.hyperplane_arrangement(forms).rlct == RLCT(Fraction(1, n), 1)


@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize("columns", range(1, 6))
def test_minors_by_singular_values(rows: int, columns: int):
    # with s_i = t_1 ... t_i the density of the singular values and the squared minors are monomials
    n, gap = min(rows, columns), abs(rows - columns)
    for size in range(1, n + 1):
        tau = [sum(gap + 2 * (n - i) + 1 for i in range(j, n + 1)) for j in range(1, n + 1)]
        k = [2 * max(size - j, 0) for j in range(n)]
        crossing = analytic.normal_crossing(k, [t - 1 for t in tau])
        assert analytic.determinantal(rows, columns, size).rlct == crossing.rlct


@pytest.mark.parametrize("n", range(1, 6))
def test_symmetric_minors_by_eigenvalues(n: int):
    for size in range(1, n + 1):
        tau = [sum(n - i + 1 for i in range(j, n + 1)) for j in range(1, n + 1)]
        k = [2 * max(size - j, 0) for j in range(n)]
        crossing = analytic.normal_crossing(k, [t - 1 for t in tau])
        assert analytic.determinantal(n, n, size, symmetric=True).rlct == crossing.rlct


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        (analytic.weighted_homogeneous, ((),), "weights must have at least 1 element"),
        (analytic.weighted_homogeneous, ((1, 0),), r"weights\[1\] must be an int or a Fraction > 0, got 0"),
        (analytic.weighted_homogeneous, ((0.5,),), r"weights\[0\] must be an int or a Fraction > 0, got 0.5"),
        (analytic.weighted_homogeneous, ((1,), 0), "degree must be an int or a Fraction > 0, got 0"),
        (analytic.weighted_homogeneous, (2,), "weights must be a sequence"),
        (analytic.quasi_homogeneous_squared, ((1,),), "real_zeros must be False for one weight"),
        (analytic.hyperplane_arrangement, ([],), "forms must have at least 1 element"),
        (analytic.hyperplane_arrangement, ([(1, 0), (0, 0)],), "forms must be nonzero and of one length"),
        (analytic.hyperplane_arrangement, ([(1, 0), (1,)],), "forms must be nonzero and of one length"),
        (analytic.hyperplane_arrangement, ([(1, 0)], (2, 2)), r"exponents must have one element per form \(1\), got 2"),
        (analytic.hyperplane_arrangement, ([(1, 0)], (0,)), r"exponents\[0\] must be an integer >= 1, got 0"),
        (analytic.edge_ideal, ([],), "edges must have at least 1 element"),
        (analytic.edge_ideal, ([(1, 1)],), r"edges\[0\] must be a pair of different vertices, got \(1, 1\)"),
        (analytic.edge_ideal, ([(1, 2, 3)],), r"edges\[0\] must be a pair"),
        (analytic.edge_ideal, ([(1, -2)],), r"edges\[0\]\[1\] must be an integer >= 0, got -2"),
        (analytic.determinantal, (2, 3, 3), r"size must be at most the smaller of rows and columns \(2\), got 3"),
        (analytic.determinantal, (0, 3, 1), "rows must be an integer >= 1, got 0"),
        (analytic.minimally_singular, (2, 3), r"rank must be at most the dimension \(2\), got 3"),
    ],
)
def test_refuses(family: Any, arguments: Any, message: str):
    with pytest.raises(InputError, match=message):
        family(*arguments)
