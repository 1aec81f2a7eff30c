"""Exact polynomial arithmetic: what is multiplied comes apart again."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slt.analytic.finite import algebra
from slt.analytic.finite.algebra import Line, Plane

CUSP = {(2, 0): 1, (0, 3): -1}
CIRCLE = {(2, 0): 1, (0, 2): 1}
LINE = {(1, 0): 1, (0, 1): -1}
VERTICAL = {(1, 0): 2, (0, 0): -3}
NODE = {(0, 2): 1, (2, 0): -1, (3, 0): -1}


def plane(terms: dict[tuple[int, int], int]) -> Plane:
    return algebra.from_terms({key: Fraction(c) for key, c in terms.items()})


def times(f: Plane, g: Plane) -> Plane:
    terms: dict[tuple[int, int], Fraction] = {}
    for (j, row), (k, other) in product(enumerate(f), enumerate(g)):
        for i, c in enumerate(algebra.multiply(row, other)):
            terms[i, j + k] = terms.get((i, j + k), Fraction(0)) + c
    return algebra.from_terms(terms)


@pytest.mark.parametrize(
    "powers",
    [
        (1, 0, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (2, 1, 0, 2, 0),
        (0, 1, 2, 0, 0),
        (2, 0, 0, 1, 3),
        (1, 1, 1, 1, 1),
        (0, 0, 4, 0, 2),
    ],
)
def test_factors_come_apart_by_their_powers(powers: tuple[int, ...]):
    parts = [plane(t) for t in (CUSP, CIRCLE, LINE, VERTICAL, NODE)]
    whole = plane({(0, 0): 5})
    for f, power in zip(parts, powers, strict=True):
        for _ in range(power):
            whole = times(whole, f)
    found = algebra.squarefree(whole)
    expected_degree = {p: sum(_degree(f) for f, power in zip(parts, powers, strict=True) if power == p) for p in powers}
    assert {p: sum(_degree(g) for g, q in found if q == p) for _, p in found} == {
        p: d for p, d in expected_degree.items() if p
    }
    again = plane({(0, 0): 1})
    for g, power in found:
        for _ in range(power):
            again = times(again, g)
    constant = algebra.leading_constant(whole, found)
    assert times(again, ((constant,),)) == whole


def _degree(f: Plane) -> int:
    return max(i + j for j, row in enumerate(f) for i, c in enumerate(row) if c)


def _monic(p: Line) -> Line:
    return tuple(c / p[-1] for c in p)


def test_discriminants():
    # but for a factor
    assert _monic(algebra.discriminant(plane({(0, 2): 1, (1, 0): -1}))) == (0, 1)  # y^2 = x: at x = 0
    assert _monic(algebra.discriminant(plane(CUSP))) == (0, 0, 0, 0, 1)
    assert _monic(algebra.discriminant(plane({(1, 1): 1, (0, 0): -1}))) == (0, 1)  # x y = 1: the root leaves at x = 0
    circle = algebra.discriminant(plane({(2, 0): 1, (0, 2): 1, (0, 0): -1}))
    assert [algebra.evaluate(circle, Fraction(x)) == 0 for x in (-1, 0, 1, 2)] == [True, False, True, False]


@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.fractions(-5, 5, max_denominator=50), st.integers(-7, 7)
)
def test_shifting_and_evaluating_agree(coefficients: list[int], center: Fraction, x: int):
    p = tuple(Fraction(c) for c in coefficients)
    moved = algebra.shifted(p, center)
    assert algebra.evaluate(moved, Fraction(x)) == algebra.evaluate(p, center + x)


@given(*[st.lists(st.integers(-9, 9), min_size=1, max_size=5)] * 3)
def test_the_greatest_common_divisor_divides_and_holds_the_common_factor(a: list[int], b: list[int], c: list[int]):
    p, q, common = (algebra.from_terms({(i, 0): Fraction(x) for i, x in enumerate(z) if x}) for z in (a, b, c))
    if not (p and q and common):
        return
    first, second = algebra.multiply(p[0], common[0]), algebra.multiply(q[0], common[0])
    found = algebra.gcd(first, second)
    assert algebra.divide(first, found)[1] == algebra.divide(second, found)[1] == ()
    assert algebra.divide(found, common[0])[1] == ()
