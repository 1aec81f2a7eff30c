"""Newton polyhedra: exact where they are, a bound where they are not, and never a float in between."""

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.analytic import _linear_program
from slt.analytic._faces import compact_faces
from slt.analytic._roots import real_roots
from slt.errors import InputError, NotAvailableError

quick = settings(derandomize=True, deadline=None, max_examples=40)
taus = st.fractions(0, 3, max_denominator=4).filter(bool)


@st.composite
def polyhedra(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[Fraction]]:
    """Exponents and the prior's, in up to four dimensions."""
    d = draw(st.integers(1, 4))
    alpha = st.tuples(*[st.integers(0, 6)] * d).filter(any)
    return draw(st.lists(alpha, min_size=1, max_size=6, unique=True)), [draw(taus) - 1 for _ in range(d)]


@quick
@given(st.lists(st.tuples(st.integers(0, 8), taus), min_size=1, max_size=6))
def test_one_monomial_is_a_normal_crossing(pairs: list[tuple[int, Fraction]]):
    k, h = [x for x, _ in pairs], [t - 1 for _, t in pairs]
    assume(any(k))
    assert analytic.newton([k], h).rlct == analytic.normal_crossing(k, h).rlct


@quick
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda e: e[0] < e[1]), min_size=1, max_size=10))
def test_edge_ideals(edges: set[tuple[int, int]]):
    exponents = [[2 * (i in edge) for i in range(7)] for edge in sorted(edges)]
    assert analytic.newton(exponents).rlct == analytic.edge_ideal(sorted(edges)).rlct


@quick
@given(polyhedra(), st.integers(2, 3), st.randoms(use_true_random=False))
def test_laws(polyhedron: tuple[list[tuple[int, ...]], list[Fraction]], power: int, random: Any):
    exponents, h = polyhedron
    found = analytic.newton(exponents, h)
    assert found.bound == "exact"
    raised = analytic.newton([[power * a for a in alpha] for alpha in exponents], h)
    assert raised.rlct == found.rlct / power
    order = random.sample(range(len(h)), len(h))
    turned = analytic.newton([[alpha[i] for i in order] for alpha in exponents], [h[i] for i in order])
    assert turned.rlct == found.rlct
    for more in product(range(2), repeat=len(h)):
        inside = tuple(a + b for a, b in zip(exponents[0], more, strict=True))
        if inside not in exponents:  # a monomial in the polyhedron changes nothing
            assert analytic.newton([*exponents, inside], h).rlct == found.rlct
    if len(exponents) > 1:
        assert analytic.newton(exponents[1:], h).rlct <= found.rlct  # K with a term less is smaller


@quick
@given(polyhedra(), polyhedra())
def test_disjoint_sums(one: Any, other: Any):
    d, e = len(one[1]), len(other[1])
    together = [(*alpha, *[0] * e) for alpha in one[0]] + [(*[0] * d, *alpha) for alpha in other[0]]
    found = analytic.newton(together, [*one[1], *other[1]]).rlct
    assert found == analytic.newton(*one).rlct + analytic.newton(*other).rlct


@pytest.mark.parametrize(
    ("exponents", "coefficients", "truth"),
    [
        ([(2, 0), (1, 1), (0, 2)], (1, -2, 1), analytic.quasi_homogeneous_squared((1, 1)).rlct),  # (x - y)^2
        ([(4, 0), (2, 2), (0, 4)], (1, -2, 1), analytic.quasi_homogeneous_squared((1, 1), 2).rlct),  # (x^2 - y^2)^2
        (
            [(2, 0, 0), (1, 2, 0), (0, 4, 0), (0, 0, 2)],  # (x + y^2)^2 + z^2
            (1, 2, 1, 1),
            analytic.quasi_homogeneous_squared((2, 1), 2).rlct + analytic.regular(1).rlct,
        ),
    ],
)
def test_degenerate_polynomials_are_bounds(exponents: Any, coefficients: Any, truth: RLCT):
    found = analytic.newton(exponents, coefficients=coefficients)
    assert found.bound == "upper"
    assert truth < found.rlct
    # of the same exponents alone nothing is degenerate: what decides are the coefficients
    assert analytic.newton(exponents).bound == "exact"
    assert analytic.newton(exponents).rlct == found.rlct


def test_the_traps_by_their_numbers():
    trap = analytic.newton([(2, 0, 0), (1, 2, 0), (0, 4, 0), (0, 0, 2)], coefficients=(1, 2, 1, 1))
    assert trap.rlct == RLCT(Fraction(5, 4), 1)
    assert analytic.quasi_homogeneous_squared((2, 1), 2).rlct + analytic.regular(1).rlct == RLCT(1, 1)
    assert analytic.quasi_homogeneous_squared((1, 1)).rlct == RLCT(Fraction(1, 2), 1)
    assert analytic.quasi_homogeneous_squared((1, 1), 2).rlct == RLCT(Fraction(1, 2), 2)
    assert analytic.quasi_homogeneous_squared((1, 1), 2, real_zeros=False).rlct == RLCT(Fraction(1, 2), 1)


@pytest.mark.parametrize(
    ("exponents", "coefficients", "value"),
    [
        ([(4, 0), (2, 2), (0, 4)], (1, 2, 1), Fraction(1, 2)),  # (x^2 + y^2)^2: complex branches do not count
        ([(4, 0), (2, 2), (0, 4)], (1, -1, 1), Fraction(1, 2)),
        ([(2, 0), (1, 1), (0, 2)], (1, Fraction(-19, 10), 1), Fraction(1)),
        ([(2, 0), (0, 2), (1, 1), (3, 0)], (1, 1, 1, -7), Fraction(1)),  # the odd one is inside
        ([(2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (0, 1, 1), (1, 0, 1)], (2, 2, 2, -1, -1, -1), Fraction(3, 2)),
    ],
)
def test_polynomials_positive_on_their_faces_are_exact(exponents: Any, coefficients: Any, value: Fraction):
    found = analytic.newton(exponents, coefficients=coefficients)
    assert (found.bound, found.rlct) == ("exact", RLCT(value, 1))


def test_a_face_of_another_kind_is_not_established():
    # x^4 + y^4 + z^4 - x^2 y z: positive, but no test here shows it
    found = analytic.newton([(4, 0, 0), (0, 4, 0), (0, 0, 4), (2, 1, 1)], coefficients=(1, 1, 1, -1))
    assert found.bound == "upper"


def test_an_orthant_has_fewer_zeros():
    exponents, coefficients = [(2, 0), (1, 1), (0, 2)], (1, 2, 1)  # (x + y)^2
    assert analytic.newton(exponents, coefficients=coefficients).bound == "upper"
    assert analytic.newton(exponents, coefficients=coefficients, orthant=True).rlct == RLCT(1, 1)
    assert analytic.newton([(1, 0), (0, 1)], coefficients=(1, 1), orthant=True).rlct == RLCT(2, 1)


def test_compact_faces_of_a_triangle():
    corners = [(4, 0, 0), (0, 4, 0), (0, 0, 4)]
    faces = compact_faces([*corners, (2, 2, 0), (2, 2, 2)])
    assert len(faces) == 3 + 3 + 1
    assert frozenset(corners[:2]) | {(2, 2, 0)} in faces
    assert not any((2, 2, 2) in face for face in faces)
    assert compact_faces([(2, 2), (6, 0), (3, 3)]) == {
        frozenset([(2, 2)]),
        frozenset([(6, 0)]),
        frozenset([(2, 2), (6, 0)]),
    }


@quick
@given(st.lists(st.tuples(st.integers(-4, 4).filter(bool), st.integers(1, 3)), max_size=3), st.booleans())
def test_real_roots(roots: list[tuple[int, int]], complex_pair: bool):
    p = [Fraction(1)]
    for root, multiplicity in roots:
        for _ in range(multiplicity):
            p = [a - root * b for a, b in zip([Fraction(0), *p], [*p, Fraction(0)], strict=True)]
    if complex_pair:
        p = [a + 2 * b for a, b in zip([Fraction(0), Fraction(0), *p], [*p, Fraction(0), Fraction(0)], strict=True)]
    times: dict[int, int] = {}
    for root, multiplicity in roots:
        times[root] = times.get(root, 0) + multiplicity
    assert real_roots(p) == (len(times), sum(k % 2 for k in times.values()))
    positive = [k for root, k in times.items() if root > 0]
    assert real_roots(p, positive_only=True) == (len(positive), sum(k % 2 for k in positive))


def test_what_floats_find_is_proved(monkeypatch: pytest.MonkeyPatch):
    right = _linear_program._candidate([(2, 0), (0, 4)], [Fraction(1), Fraction(1)])
    assert right == ([Fraction(1, 2), Fraction(1, 4)], [Fraction(1, 2), Fraction(1, 4)])
    v, y = right
    for wrong in [([v[0], v[1] / 2], y), (v, [y[0], y[1] * 2]), ([v[0] * 2, v[1]], y), (v, [y[0], Fraction(0)])]:
        monkeypatch.setattr(_linear_program, "_candidate", lambda *_, wrong=wrong: wrong)
        with pytest.raises(NotAvailableError, match="could not be solved in fractions"):
            analytic.newton([(2, 0), (0, 4)])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([],), {}, "exponents must have at least 1 element"),
        ((3,), {}, "exponents must be a sequence of exponent vectors, got 3"),
        (([(2, -1)],), {}, r"exponents\[0\]\[1\] must be an integer >= 0, got -1"),
        (([(2, 0.5)],), {}, r"exponents\[0\]\[1\] must be an integer >= 0, got 0.5"),
        (([(2, 0), (2,)],), {}, r"exponents must be of one length \(2\), got \(2,\) at position 1"),
        (([(2, 0), (0, 0)],), {}, r"exponents\[1\] must not be 0"),
        (([(2, 0), (2, 0)],), {}, r"exponents must differ from each other, got \(2, 0\) twice"),
        (([(2, 0)], (0,)), {}, r"prior_exponents must have one element per exponent \(2\), got 1"),
        (([(2, 0)], (0, -1)), {}, r"prior_exponents\[1\] must be an int or a Fraction > -1, got -1"),
        (([(2, 0)],), {"coefficients": (1, 1)}, r"one element per exponent vector \(1\), got 2"),
        (([(2, 0)],), {"coefficients": (0,)}, r"coefficients\[0\] must not be 0"),
        (([(2, 0)],), {"coefficients": (0.5,)}, r"coefficients\[0\] must be an int or a Fraction, got 0.5"),
        (([(2, 0)],), {"coefficients": (-1,)}, r"K must be >= 0 near 0, but its vertex \(2, 0\) has coefficient -1"),
        (([(3, 0), (0, 2)],), {"coefficients": (1, 1)}, r"vertex \(3, 0\) .* even exponents"),
        (([(2, 0), (1, 1), (0, 2)],), {"coefficients": (1, -3, 1)}, "changes its sign on the face"),
    ],
)
def test_refuses(arguments: Any, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        analytic.newton(*arguments, **options)
