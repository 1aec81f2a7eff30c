"""Plane curves: values found by other routes, invariance under changes of coordinates, signs, refusals."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import reduce
from math import exp
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.analytic._expressions import parse
from slt.errors import InputError
from tests.analytic.laplace import agrees, wrong

Terms = dict[tuple[int, int], Fraction]

quick = settings(derandomize=True, deadline=None, max_examples=15)
NESTED = {2: ("3/4", "1/4", "3/28", "1/20"), 3: ("3/4", "3/16", "3/52"), 4: ("3/4", "3/20", "1/28")}


def plus(p: Mapping[tuple[int, int], Any], q: Mapping[tuple[int, int], Any]) -> Terms:
    total = {point: p.get(point, 0) + q.get(point, 0) for point in p | q}
    return {point: c for point, c in total.items() if c}


def times(p: Mapping[tuple[int, int], Any], q: Mapping[tuple[int, int], Any]) -> Terms:
    out: Terms = {}
    for (i, j), c in p.items():
        for (k, m), d in q.items():
            out[i + k, j + m] = out.get((i + k, j + m), 0) + c * d
    return {point: c for point, c in out.items() if c}


def power(p: Mapping[tuple[int, int], Any], n: int) -> Terms:
    return reduce(times, [p] * n, {(0, 0): Fraction(1)})


def substituted(p: Terms, x: Terms, y: Terms) -> Terms:
    """P(x(u, v), y(u, v))."""
    return reduce(plus, [times({(0, 0): c}, times(power(x, i), power(y, j))) for (i, j), c in p.items()], {})


def nested(r: int, copies: int) -> list[Terms]:
    """The coefficients of f = W s(W ... s(W z)), s(z) = z^r, as polynomials in t1 and t2."""
    first, off, last = parse("x + y"), parse("x^2"), parse("y^2")
    weights = ((first, off), (off, last))
    # a component of f by the power of the first input; the other has the rest
    f: list[dict[int, Mapping]] = [{1: row[0], 0: row[1]} for row in weights]

    def product(p: Mapping[int, Mapping], q: Mapping[int, Mapping]) -> dict[int, Mapping]:
        out: dict[int, Mapping] = {}
        for k, c in p.items():
            for m, d in q.items():
                out[k + m] = plus(out.get(k + m, {}), times(c, d))
        return out

    for _ in range(copies - 1):
        s = [reduce(product, [g] * r) for g in f]
        f = [{k: plus(times(w, s[0][k]), times(v, s[1][k])) for k in s[0]} for w, v in weights]
    return [dict(c) for g in f for c in g.values()]


small = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda e: 0 < sum(e) <= 3),
    st.integers(-2, 2).filter(bool).map(Fraction),
    min_size=1,
    max_size=4,
)
squares = st.lists(small, min_size=1, max_size=2)


@pytest.mark.parametrize(
    ("r", "copies", "value"), [(r, k, x) for r, row in NESTED.items() for k, x in enumerate(row, 1) if (r, k) != (4, 3)]
)
def test_nested_powers(r: int, copies: int, value: str):
    assert analytic.plane_curve(nested(r, copies)).value == Fraction(value)


@pytest.mark.exact
def test_the_largest_nested_power():
    assert analytic.plane_curve(nested(4, 3)).value == Fraction(NESTED[4][2])


@pytest.mark.parametrize(
    ("text", "value", "m"),
    [
        ("(x^2 + y^2)^2", "1/2", 1),  # its lines are complex
        ("(x^2 - y^2)^2", "1/2", 2),  # real ones
        ("(x^2 - 2*y^2)^2", "1/2", 2),  # of irrational slope
        ("(x^2 + x*y + y^2)^3*(x^2 + y^2)^2", "1/5", 1),
        ("((x^2 + y^2)*(x - y)*(x + 3*y))^2", "1/4", 1),  # four lines, so that no root decides
        ("(x + y^2)^2", "1/2", 1),
        ("(x^2 - y^3)^2", "5/12", 1),
        ("x^2*y^2 + (x - y)^8", "1/2", 2),  # a corner on the diagonal
        ("((y - x^2)^2 - x^5)^2", "7/20", 1),  # seen after one shift
        ("(y - x^2 - x^3)^4 + x^40", "11/40", 1),  # after two
        ("(y - x^2 - x^3 - x^5 + 2*x^9)^6", "1/6", 1),  # a branch
        ("(y - 3*x^2 + y^2*x)^4", "1/4", 1),  # a branch whose series does not end
        ("(y - x^2 + y^2*x)^4*(x^2 + y^2)", "1/4", 1),
        ("(2*x - 3*y^3)^2*(x + y)^2", "1/2", 2),
        ("(y^2 - x^3)^2*(y - x)^2", "5/16", 1),
        ("x^2*(1 + y)", "1/2", 1),
        ("x^6*y^2 + x^2*y^10", "3/14", 1),
    ],
)
def test_values(text: str, value: str, m: int):
    assert analytic.plane_curve(text).rlct == RLCT(Fraction(value), m)


@quick
@given(squares)
def test_agrees_with_newton_where_that_is_not_degenerate(polynomials: list[Terms]):
    k = reduce(plus, [times(f, f) for f in polynomials])
    by_polyhedron = analytic.newton(list(k), coefficients=list(k.values()))
    found = analytic.plane_curve(k).rlct
    assert found <= by_polyhedron.rlct
    assume(by_polyhedron.bound == "exact")
    assert found == by_polyhedron.rlct


@quick
@given(squares, st.integers(-2, 2), st.integers(1, 3), st.integers(-2, 2), st.integers(1, 2))
def test_coordinates_do_not_matter(polynomials: list[Terms], a: int, p: int, b: int, q: int):
    x, y = parse("x"), parse("y")
    moved = [substituted(f, x, plus(y, {(p, 0): Fraction(a)})) for f in polynomials]
    assume(b * a != -1 or p * q > 1)
    assume(p == 1 or q == 1)
    again = [substituted(f, plus(x, {(0, q): Fraction(b)}), y) for f in moved]
    entry = analytic.plane_curve(polynomials)
    assert analytic.plane_curve(moved).rlct == entry.rlct
    assert analytic.plane_curve(again).rlct == entry.rlct
    turned = [{(j, i): 3 * c for (i, j), c in f.items()} for f in polynomials]
    assert analytic.plane_curve(turned).rlct == entry.rlct


@quick
@given(squares, st.integers(2, 3))
def test_powers(polynomials: list[Terms], n: int):
    k = reduce(plus, [times(f, f) for f in polynomials])
    assert analytic.plane_curve(power(k, n)).rlct == analytic.plane_curve(polynomials).rlct / n


@quick
@given(small, st.integers(-1, 1), st.integers(-2, 2), st.integers(1, 2))
def test_a_sum_is_a_loss_and_a_change_of_sign_is_none(f: Terms, a: int, b: int, n: int):
    k = plus(times(f, f), {(6, 0): Fraction(1)})
    assert analytic.plane_curve(k).rlct == analytic.plane_curve([f, {(3, 0): 1}]).rlct
    with pytest.raises(InputError, match="K must be >= 0 near 0"):
        analytic.plane_curve({point: -c for point, c in k.items()})
    crossed = {
        (0, 1): Fraction(1),
        (1, 0): Fraction(a),
        (2, 0): Fraction(b),
    }  # y + a x + b x^2, which K need not divide
    with pytest.raises(InputError, match="K must be >= 0 near 0"):
        analytic.plane_curve(times(k, power(crossed, 2 * n - 1)))
    analytic.plane_curve(times(k, power(crossed, 2 * n)))


@pytest.mark.parametrize("a", [1, 2, 3])
@pytest.mark.parametrize(("b", "zeros"), [(3, True), (5, True), (4, True), (4, False), (6, False)])
def test_quasi_homogeneous_squares(a: int, b: int, zeros: bool):
    entry = analytic.plane_curve([{(2 * a, 0): Fraction(1), (0, b): Fraction(-1 if zeros else 1)}])
    known = analytic.quasi_homogeneous_squared((b, 2 * a), 2 * a * b, real_zeros=zeros)
    assert entry.rlct == known.rlct


@pytest.mark.exact
@pytest.mark.parametrize(
    "text",
    [
        "(x^2 + y^2)^2",
        "(x^2 - 2*y^2)^2",
        "(x^2 - y^3)^2",
        "x^2*y^2 + (x - y)^6",  # the roots on the lines through 0 are of very different sizes
    ],
)
def test_against_the_energies_at_finite_n(text: str):
    entry = analytic.plane_curve(text)

    def at(log_n: float) -> float:
        energy = entry.tempered(exp(log_n), box=(-1, 1)).energy
        assert energy.kind == "exact"
        assert energy.value is not None
        return energy.value

    assert agrees(entry.rlct, at), (entry, at(40.0), at(70.0))
    assert not [claim for claim in wrong(entry.rlct) if agrees(claim, at)]


@pytest.mark.parametrize(("text", "limit"), [("(y - x^2)^2 + x^6", 2 / 3), ("(y - x^2)^2*(y + x)^2", 0.4747)])
def test_energies_where_branches_meet(text: str, limit: float):
    energy = analytic.plane_curve(text).tempered(1e17, localization=1.0).energy
    assert energy.kind == "exact"
    assert energy.value == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "x^2 - y^2",
        "x^2*y",
        "-x^2 - y^4",
        "x^4 + y^4 - 3*x^2*y^2",
        "(y - x^2)^2 - x^5",
        "(y - x^2)^2 - x^6",
        "(y - x^2 - x^3)^2 + x^7",
        "(x^2 + y^2)*(y - x^3 + y^4)",
        "(x^2 - 2*y^2)^2*(x^2 - y^3)",
        "y^2 - 2*x^2*y + x^4*(1 - x^10)",
    ],
)
def test_refuses_negative_values(text: str):
    with pytest.raises(InputError, match="K must be >= 0 near 0"):
        analytic.plane_curve(text)


@pytest.mark.parametrize(
    "text", ["(y - x^2)^2 + x^6", "(x^2 - 2*y^2)^4*(x^2 + y^4)", "x^2*(1 - y)", "(y^2 - 3*x^2*y + 3*x^4)^3"]
)
def test_takes_what_is_positive_near_0_only(text: str):
    assert analytic.plane_curve(text).bound == "exact"


@pytest.mark.parametrize(
    ("polynomial", "message"),
    [
        ({}, "polynomial must not be 0 everywhere"),
        ([], "polynomial must not be 0 everywhere"),
        ({(2, 0): 0}, "polynomial must not be 0 everywhere"),
        ({(0, 0): 1, (2, 0): 1}, r"K must vanish at \(0, 0\), got K\(0, 0\) = 1"),
        ([{(0, 0): 2, (2, 0): 1}], r"K must vanish at \(0, 0\), got K\(0, 0\) = 4"),
        ({(2, 0): 0.5}, r"polynomial\[\(2, 0\)\] must be an int or a Fraction, got 0.5"),
        ({(2, 0): True}, "must be an int or a Fraction, got True"),
        ({(2, -1): 1}, r"polynomial's exponents\[1\] must be an integer >= 0, got -1"),
        ({(2, 0, 0): 1}, r"polynomial's exponents must be pairs \(i, j\), got \(2, 0, 0\)"),
        ({2: 1}, "polynomial's exponents must be a sequence of integers >= 0, got 2"),
        (3, r"polynomial must be a mapping \{\(i, j\): c\}, a text, or a sequence of mappings, got 3"),
        ([3], r"polynomial\[0\] must be a mapping"),
        ([{(1, 0): "a"}], r"polynomial\[0\]\[\(1, 0\)\] must be an int or a Fraction, got 'a'"),
        ("x^2 + z^2", r"polynomial, as text, is made of x, y, integers"),
        ("2x^2", "polynomial, as text, is made of"),
        ("x^2.5", "polynomial, as text, is made of"),
        ("x/y", "polynomial, as text, is made of"),
        ("x/0", "polynomial, as text, is made of"),
        ("x^-1", "polynomial, as text, is made of"),
        ("__import__('os')", "polynomial, as text, is made of"),
        ("", "polynomial, as text, is made of"),
        ("x^1000", "powers of at most 200, got 1000"),
        ("(x^150)^2", "a degree of at most 200"),
    ],
)
def test_refuses(polynomial: Any, message: str):
    with pytest.raises(InputError, match=message):
        analytic.plane_curve(polynomial)


def test_says_what_was_given():
    given: Sequence[Any] = [{(2, 0): Fraction(2), (0, 3): Fraction(-1, 2), (1, 1): 0}]
    entry = analytic.plane_curve(given)
    assert entry.parameters == {"polynomial": ({(2, 0): 2, (0, 3): Fraction(-1, 2)},)}
    assert entry == analytic.plane_curve(entry.parameters["polynomial"])
    assert analytic.plane_curve("x^2 + y^4").parameters == {"polynomial": "x^2 + y^4"}
    assert analytic.plane_curve("x^2 + y^4").rlct == analytic.plane_curve({(2, 0): 1, (0, 4): 1}).rlct
