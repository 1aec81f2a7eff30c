"""Products of matrices: strata, options that reduce to smaller networks, factorizations, and what is not known."""

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.errors import InputError, NotAvailableError

quick = settings(derandomize=True, deadline=None, max_examples=200)


def test_one_hidden_layer_is_reduced_rank_regression():
    for inputs, hidden, outputs in product(range(1, 8), repeat=3):
        for rank in range(min(inputs, hidden, outputs) + 1):
            regression = analytic.reduced_rank_regression(inputs, outputs, hidden, rank)
            assert analytic.deep_linear((inputs, hidden, outputs), rank).rlct == regression.rlct


def test_the_smallest_stratum_is_the_global_value():
    for inputs, hidden, outputs in product(range(1, 6), repeat=3):
        for r in range(min(inputs, hidden, outputs) + 1):
            strata = [
                analytic.reduced_rank_regression(inputs, outputs, hidden, r, factor_ranks=(a, b)).rlct
                for a in range(r, min(hidden, inputs) + 1)
                for b in range(r, min(hidden, outputs) + 1)
                if a + b - r <= hidden
            ]
            everywhere = analytic.reduced_rank_regression(inputs, outputs, hidden, r).rlct
            assert min(strata) == strata[0] == everywhere  # the first is the balanced one


@pytest.mark.parametrize("ranks", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 0), (0, 2)])
def test_local_value_where_the_zeros_are_smooth_is_half_the_rank(ranks: tuple[int, int]):
    # where the smaller product at 0 is empty, the Jacobian of (A, B) -> BA has the rank of the tangent space
    a, b = ranks
    n, m, h = 3, 2, max(a, b, a + b)
    rng = np.random.default_rng(0)
    first, second = np.zeros((h, n)), np.zeros((m, h))
    first[:a] = rng.normal(size=(a, n))
    second[:, h - b :] = rng.normal(size=(m, b))
    jacobian = np.hstack([np.kron(second, np.eye(n)), np.kron(np.eye(m), first.T)])
    rank = np.linalg.matrix_rank(jacobian)
    assert rank == a * m + b * n - a * b
    found = analytic.reduced_rank_regression(n, m, h, 0, factor_ranks=ranks).rlct
    assert found == RLCT(Fraction(int(rank), 2), 1)


@pytest.mark.parametrize(("rank", "value", "popular"), [(1, "21/2", 4.5), (2, "23/2", 8), (3, "12", 10.5)])
def test_square_factorizations(rank: int, value: str, popular: float):
    # half the count of parameters of a matrix of rank r is not the answer: K is singular in the rest
    assert analytic.reduced_rank_regression(5, 5, 5, rank).value == Fraction(value)
    assert float(Fraction(value)) > popular == rank * (10 - rank) / 2


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[int], int]:
    widths = draw(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    return widths, draw(st.integers(0, min(widths)))


@quick
@given(networks())
def test_options_are_smaller_networks(network: tuple[list[int], int]):
    widths, rank = network
    plain = analytic.deep_linear(widths, rank).rlct
    assert analytic.deep_linear(widths, rank, biases=True).rlct == plain + RLCT(Fraction(widths[-1], 2), 1)
    assert analytic.deep_linear([widths[0] + 3, *widths[1:]], rank, input_rank=widths[0]).rlct == plain
    assert analytic.deep_linear([*widths[:-1], widths[-1] + 1], rank, softmax=True).rlct == plain
    assert analytic.deep_linear(widths, rank, factor_ranks=[rank] * (len(widths) - 1)).rlct == plain


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.data())
def test_local_value_of_two_factors(n: int, h: int, m: int, data: Any):
    r = data.draw(st.integers(0, min(n, h, m)))
    a = data.draw(st.integers(r, min(h, n)))
    b = data.draw(st.integers(r, min(h, m, h + r - a)))
    local = analytic.deep_linear((n, h, m), r, factor_ranks=(a, b)).rlct
    assert local == analytic.reduced_rank_regression(n, m, h, r, factor_ranks=(a, b)).rlct
    assert local >= analytic.deep_linear((n, h, m), r).rlct


@pytest.mark.parametrize("ranks", [(0, 0, 1), (0, 1, 1), (0, 0, 0)])
def test_scalar_chains_count_their_zeros(ranks: tuple[int, ...]):
    found = analytic.deep_linear((1, 1, 1, 1), factor_ranks=ranks).rlct
    assert found == RLCT(Fraction(1, 2), ranks.count(0))


@pytest.mark.parametrize("options", [{"factor_ranks": (0, 1, 0)}, {"factor_ranks": (0, 0, 0), "softmax": True}])
def test_unbalanced_deep_networks_are_not_available(options: dict[str, Any]):
    with pytest.raises(NotAvailableError, match="local value"):
        analytic.deep_linear((2, 2, 2, 2), **options)


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_symmetric_factorizations_by_their_tangent(n: int, p: int, data: Any):
    r = data.draw(st.integers(0, min(n, p)))
    found = analytic.symmetric_factorization(n, p, r).rlct
    assert found.multiplicity == 1
    truth = np.zeros((n, p))
    truth[:r, :r] = np.eye(r)
    rows = []
    for i, j in product(range(n), range(p)):
        step = np.zeros((n, p))
        step[i, j] = 1
        rows.append((step @ truth.T + truth @ step.T).ravel())
    rank = int(np.linalg.matrix_rank(np.array(rows)))
    # the Hessian counts half a direction each; what it leaves out is a form of degree 4 in (n - r)(p - r) numbers
    assert found.value == Fraction(rank, 2) + Fraction((n - r) * (p - r), 4)


@quick
@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 5))
def test_diagonal_networks_are_sums(d: int, z: int, depth: int):
    z = min(z, d)
    found = analytic.diagonal_linear(d, z, depth).rlct
    assert found == RLCT(Fraction(d, 2), 1 + z * (depth - 1))
    if z == d == 1:
        assert found == analytic.normal_crossing((2,) * depth).rlct


@quick
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 8))
def test_lora_is_a_linear_network(inputs: int, outputs: int, adapter: int, rank: int):
    rank = min(rank, inputs, outputs, adapter)
    assert (
        analytic.lora(inputs, outputs, adapter, rank).rlct
        == analytic.deep_linear((inputs, adapter, outputs), rank).rlct
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analytic.reduced_rank_regression(3, 2, -1), "hidden must be an integer >= 1, got -1"),
        (lambda: analytic.reduced_rank_regression(3, 2, 3, 3), r"rank must be at most the smallest .* \(2\), got 3"),
        (lambda: analytic.reduced_rank_regression(3, 3, 3, factor_ranks=(2, 2)), "sum of at most 3"),
        (lambda: analytic.reduced_rank_regression(3, 3, 3, 1, factor_ranks=(0, 2)), "from 1 to 3"),
        (lambda: analytic.reduced_rank_regression(3, 3, 3, factor_ranks=(1, 1, 1)), "ranks of A. and B., got 3"),
        (lambda: analytic.deep_linear((3, -1, 2)), r"widths\[1\] must be an integer >= 1, got -1"),
        (lambda: analytic.deep_linear((3, 4), 2, input_rank=1), r"smallest width \(1\), got 2"),
        (
            lambda: analytic.deep_linear((3, 4), input_rank=4),
            r"input_rank must be at most the first width \(3\), got 4",
        ),
        (lambda: analytic.deep_linear((3, 2), 2, softmax=True), r"smallest width \(1\), got 2"),
        (lambda: analytic.deep_linear((2, 2, 2), factor_ranks=(1,)), r"one element per factor \(2\), got 1"),
        (lambda: analytic.deep_linear((2, 2, 2), factor_ranks=(2, 1)), "rank of the product at least 1, got rank 0"),
        (lambda: analytic.deep_linear((2, 2, 2), factor_ranks=(3, 0)), r"factor_ranks\[0\] must be from 0 to 2, got 3"),
        (lambda: analytic.lora(4, 4, 2, 3), r"inputs, outputs and adapter \(2\), got 3"),
        (lambda: analytic.diagonal_linear(2, 3), r"zeros must be at most the dimension \(2\), got 3"),
        (lambda: analytic.symmetric_factorization(3, 2, 3), r"rank must be at most .* \(2\), got 3"),
        (lambda: analytic.rank_one_tensor(()), "dimensions must have at least 1 elements"),
    ],
)
def test_refuses(call: Any, message: str):
    with pytest.raises(InputError, match=message):
        call()
