"""Networks with one hidden layer: other formulas, Jacobians and Hessians; and what is not known."""

from collections.abc import Callable
from fractions import Fraction
from math import comb, isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.errors import InputError, NotAvailableError

quick = settings(derandomize=True, deadline=None, max_examples=200)


@quick
@given(st.integers(1, 200))
def test_odd_units_by_the_root_of_their_number(units: int):
    i = isqrt(units)
    expected = RLCT(Fraction(units + i * i + i, 4 * i + 2), 1 + (i * i == units))
    assert analytic.tanh_network(units).rlct == analytic.vandermonde(units, 2).rlct == expected


@quick
@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 6))
def test_vandermonde_is_the_lower_envelope_of_its_lines(units: int, step: int, outputs: int):
    # the formula at every k, as a function of H a line; the one with the right k is the lowest of all
    lines = [
        Fraction(outputs * step * k * (k + 1) + 2 * units, 4 * (1 + k * step)) for k in range(2 * units + 2)
    ]  # fmt: skip
    found = analytic.vandermonde(units, step, outputs).rlct
    assert found == RLCT(min(lines), lines.count(min(lines)))


@quick
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 5))
def test_vandermonde_laws(units: int, step: int, outputs: int):
    found = analytic.vandermonde(units, step, outputs).rlct
    assert found.value < analytic.vandermonde(units + 1, step, outputs).value  # more units, less singular
    assert analytic.vandermonde(units, step + 1, outputs).value <= found.value  # fewer conditions on them
    assert found.value <= Fraction(units, 2)  # all b = 0
    if units <= outputs:
        assert found.value == Fraction(units, 2)


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_one_unit_is_a_product_of_norms(inputs: int, outputs: int, bias: bool):
    found = analytic.tanh_network(1, inputs, outputs, bias=bias).rlct
    assert found == analytic.rank_one_tensor((outputs, inputs + bias)).rlct


@pytest.mark.parametrize("units", [1, 2, 3])
def test_regular_tanh_networks_by_their_jacobian(units: int):
    inputs, outputs = 2, 3
    rng = np.random.default_rng(units)
    a, b = rng.normal(size=(outputs, units)), 2 * rng.normal(size=(units, inputs))
    x = rng.normal(size=(400, inputs))
    active, steep = np.tanh(x @ b.T), 1 / np.cosh(x @ b.T) ** 2
    by_a = [np.einsum("n,o->no", active[:, h], np.eye(outputs)[o]) for h in range(units) for o in range(outputs)]
    by_b = [np.einsum("n,o->no", steep[:, h] * x[:, i], a[:, h]) for h in range(units) for i in range(inputs)]
    rank = int(np.linalg.matrix_rank(np.array([row.ravel() for row in by_a + by_b])))
    found = analytic.tanh_network(units, inputs, outputs, true_units=units).rlct
    assert found == RLCT(Fraction(rank, 2), 1)


@quick
@given(st.integers(1, 12), st.integers(1, 12))
def test_monomial_units(units: int, degree: int):
    found = analytic.monomial_activation(units, degree).rlct
    assert found == RLCT(Fraction(min(degree, units), 2 * degree), 1 + (degree == units))


@quick
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_linear_units_are_a_matrix_product(units: int, inputs: int, outputs: int):
    linear = analytic.monomial_activation(units, 1, inputs, outputs).rlct
    assert linear == analytic.deep_linear((inputs, units, outputs)).rlct


def test_relu():
    assert analytic.relu_network(1).rlct == RLCT(Fraction(1, 2), 2)
    assert analytic.relu_network(5).rlct == RLCT(Fraction(1, 2), 1)
    assert analytic.relu_network(1, 4, true_units=1).rlct == RLCT(2, 1)
    assert analytic.relu_network(4, 3, bias=True).rlct == RLCT(0, 1)


@pytest.mark.parametrize(("inputs", "outputs", "units"), [(2, 1, 1), (3, 2, 2), (3, 2, 9), (4, 3, 4), (6, 3, 8)])
def test_quadratic_networks_by_their_jacobian(inputs: int, outputs: int, units: int):
    rng = np.random.default_rng(0)
    w, a = rng.normal(size=(outputs, units)), rng.normal(size=(units, inputs))
    x = rng.normal(size=(3 * comb(inputs + 1, 2), inputs))
    z = x @ a.T
    by_w = [np.outer(z[:, k] ** 2, np.eye(outputs)[o]) for k in range(units) for o in range(outputs)]
    by_a = [np.outer(2 * z[:, k] * x[:, i], w[:, k]) for k in range(units) for i in range(inputs)]
    rank = int(np.linalg.matrix_rank(np.array([row.ravel() for row in by_w + by_a])))
    assert analytic.quadratic_network(inputs, outputs, units).rlct == RLCT(Fraction(rank, 2), 1)


def test_a_defect_is_seen():
    counted = min(8 * (6 + 3 - 1), 3 * 6 * 7 // 2)
    assert (counted, analytic.quadratic_network(6, 3, 8).value) == (63, 31)


@pytest.mark.parametrize(("modulus", "units"), [(2, 1), (3, 2), (3, 5), (4, 5), (4, 9)])
def test_modular_addition_by_its_jacobian(modulus: int, units: int):
    p = modulus
    rng = np.random.default_rng(0)
    w, a = rng.normal(size=(p, units)), rng.normal(size=(units, 2 * p))
    x = np.array([np.concatenate([np.eye(p)[i], np.eye(p)[j]]) for i in range(p) for j in range(p)])
    z = x @ a.T
    by_w = [np.outer(z[:, k] ** 2, np.eye(p)[o]) for k in range(units) for o in range(p)]
    by_a = [np.outer(2 * z[:, k] * x[:, i], w[:, k]) for k in range(units) for i in range(2 * p)]
    rank = int(np.linalg.matrix_rank(np.array([row.ravel() for row in by_w + by_a])))
    assert analytic.quadratic_network(2 * p, p, units, data="pairs").value == Fraction(rank, 2)


def superposition_loss(x: np.ndarray, c: int) -> float:
    """The loss, integrated over u exactly: each entry is a square of a linear function on one side of its kink."""
    w, b = x[: 2 * c].reshape(2, c), x[2 * c :]
    slopes, bias = w.T @ w, np.broadcast_to(b[:, None], (c, c))
    target = np.eye(c)
    with np.errstate(divide="ignore", invalid="ignore"):
        kink = np.where(slopes != 0, -bias / slopes, 2.0)
    kink = np.where((kink > 0) & (kink < 1), kink, 1.0)
    total = 0.0
    for low, high in ((np.zeros((c, c)), kink), (kink, np.ones((c, c)))):
        on = slopes * (low + high) / 2 + bias > 0
        p, q = np.where(on, slopes, 0) - target, np.where(on, bias, 0)
        total += float((p * p * (high**3 - low**3) / 3 + p * q * (high**2 - low**2) + q * q * (high - low)).sum())
    return total / c


def superposition_spectrum(c: int, k: int, plus: int) -> np.ndarray:
    """Eigenvalues of the Hessian at the polygon, found by Newton steps on its length and bias."""
    from scipy.optimize import minimize

    def at(length: float, bias: float) -> np.ndarray:
        w, b = np.zeros((2, c)), np.full(c, -1.0)
        angles = 2 * np.pi * np.arange(k) / k
        w[:, :k] = length * np.array([np.cos(angles), np.sin(angles)])
        b[:k], b[k : k + plus] = bias, 1 / (2 * c)
        return np.concatenate([w.ravel(), b])

    start = (1.2, -0.3) if k < 6 else (1.4, -0.8)
    found = minimize(
        lambda z: superposition_loss(at(*z), c), start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-15}
    )
    x, h = at(*found.x), 1e-4
    steps = h * np.eye(len(x))

    def loss(*moves: np.ndarray) -> float:
        return superposition_loss(x + sum(moves), c)

    hessian = [[loss(s, t) - loss(s, -t) - loss(-s, t) + loss(-s, -t) for t in steps] for s in steps]
    return np.linalg.eigvalsh(np.array(hessian) / (4 * h * h))


@pytest.mark.parametrize(
    ("c", "k", "plus"), [(5, 5, 0), (7, 5, 0), (6, 5, 1), (7, 5, 2), (6, 6, 0), (8, 7, 1), (9, 9, 0)]
)
def test_polygons_by_their_hessian(c: int, k: int, plus: int):
    spectrum = superposition_spectrum(c, k, plus)
    assert (spectrum > -1e-6).all()
    assert analytic.toy_superposition(c, k, plus).rlct == RLCT(Fraction(int((spectrum > 1e-4).sum()), 2), 1)


@pytest.mark.parametrize(("c", "k", "plus"), [(7, 5, 1), (10, 10, 0)])
def test_polygons_that_are_no_minimum(c: int, k: int, plus: int):
    assert (superposition_spectrum(c, k, plus) < -1e-4).any()
    with pytest.raises(NotAvailableError, match="no minimum"):
        analytic.toy_superposition(c, k, plus)


def test_the_triangle_is_a_trap():
    assert analytic.toy_superposition(3, 3).rlct == RLCT(3, 1)
    with pytest.raises(NotAvailableError, match="triangle is known for 3 features, got 4"):
        analytic.toy_superposition(4, 3)


NOT_KNOWN: list[Callable[[], analytic.Entry]] = [
    lambda: analytic.tanh_network(2, inputs=2),
    lambda: analytic.tanh_network(2, bias=True),
    lambda: analytic.tanh_network(3, true_units=1),
    lambda: analytic.tanh_network(2, bias=True, true_units=2),
    lambda: analytic.relu_network(2, inputs=2),
    lambda: analytic.relu_network(2, true_units=1),
    lambda: analytic.relu_network(1, bias=True, true_units=1),
    lambda: analytic.monomial_activation(2, 2, inputs=2),
    lambda: analytic.quadratic_network(10, 5, 4, data="pairs", weights="fourier"),
    lambda: analytic.quadratic_network(4, 2, 4, weights="zero"),
]


@pytest.mark.parametrize("call", NOT_KNOWN)
def test_not_available(call: Callable[[], analytic.Entry]):
    with pytest.raises(NotAvailableError, match="known"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analytic.vandermonde(0), "units must be an integer >= 1, got 0"),
        (lambda: analytic.vandermonde(2, 0), "step must be an integer >= 1, got 0"),
        (lambda: analytic.tanh_network(2, true_units=3), r"true_units must be at most the units \(2\), got 3"),
        (lambda: analytic.relu_network(1, true_units=2), r"true_units must be at most the units \(1\), got 2"),
        (lambda: analytic.monomial_activation(2, 0), "degree must be an integer >= 1, got 0"),
        (lambda: analytic.quadratic_network(2, 2, 2, data="all"), "data must be one of general, pairs, got 'all'"),  # pyright: ignore[reportArgumentType]
        (lambda: analytic.quadratic_network(3, 2, 2, data="pairs"), r"twice the outputs \(4\) .* got 3"),
        (lambda: analytic.toy_superposition(5, 6), r"polygon must be at most the features \(5\), got 6"),
        (lambda: analytic.toy_superposition(6, 5, 2), r"plus must be at most .* \(1\), got 2"),
    ],
)
def test_refuses(call: Any, message: str):
    with pytest.raises(InputError, match=message):
        call()
