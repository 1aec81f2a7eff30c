"""Diagonal networks, squares, rank-one tensors and power sums: their formulas, symmetries and answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from slt import analytic, toys
from slt.errors import InputError
from tests.toys.at_points import hessian_rank, loss_at, random_parameters

rng = np.random.default_rng(7)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_diagonal_formula():
    toy = toys.diagonal_linear(4, zeros=1, layers=3)
    u = random_parameters(toy)
    expected = sum((u[0][i] * u[1][i] * u[2][i] - theta) ** 2 for i, theta in enumerate([1, 1, 1, 0]))
    assert loss_at(toy, *u) == pytest.approx(expected, rel=1e-12)


def test_square_formula_and_rotations():
    toy = toys.symmetric_factorization(4, 3, rank=2)
    (u,) = random_parameters(toy)
    truth = np.diag([1.0, 1.0, 0.0, 0.0])
    assert loss_at(toy, u) == pytest.approx(np.linalg.norm(u @ u.T - truth) ** 2, rel=1e-12)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert loss_at(toy, u @ turn) == pytest.approx(loss_at(toy, u), rel=1e-12)


def test_tensor_formula():
    toy = toys.rank_one_tensor((2, 3, 4))
    vectors = random_parameters(toy)
    expected = np.linalg.norm(np.einsum("i,j,k->ijk", *vectors)) ** 2
    assert loss_at(toy, *vectors) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("units", "step", "outputs"), [(1, 1, 1), (3, 2, 1), (2, 1, 3)])
def test_power_sums_formula_and_permutations(units: int, step: int, outputs: int):
    toy = toys.vandermonde(units, step, outputs)
    a, b = random_parameters(toy)
    powers = np.array([[b_h ** (step * n + 1) for n in range(units)] for b_h in b])
    assert loss_at(toy, a, b) == pytest.approx(((a @ powers) ** 2).sum(), rel=1e-12)
    order = rng.permutation(units)
    assert loss_at(toy, a[:, order], b[order]) == pytest.approx(loss_at(toy, a, b), rel=1e-12)


@pytest.mark.parametrize(("units", "step"), [(2, 1), (2, 2), (3, 2)])
def test_later_power_sums_follow_from_those_that_count(units: int, step: int):
    """The next sum is bounded by those before it near 0; with one term fewer it is not, where they cancel."""
    toy = toys.vandermonde(units, step)
    worst = 0.0
    for size in 0.5 ** np.arange(1, 12):
        for _ in range(20):
            b = size * rng.standard_normal(units)
            powers = np.array([b ** (step * n + 1) for n in range(units + 2)])
            # a for which all sums but the last vanish, to rounding, and a little off it
            a = np.linalg.svd(powers[: units - 1])[2][-1] + 1e-3 * size * rng.standard_normal(units)
            worst = max(worst, (powers[units] @ a) ** 2 / loss_at(toy, a[None], b))
    assert worst < 50


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda: toys.diagonal_linear(5, 2, 3), analytic.diagonal_linear(5, 2, 3)),
        (lambda: toys.symmetric_factorization(4, 3, 2), analytic.symmetric_factorization(4, 3, 2)),
        (lambda: toys.rank_one_tensor((3, 2)), analytic.rank_one_tensor((3, 2))),
        (lambda: toys.vandermonde(3, 2, 2), analytic.vandermonde(3, 2, 2)),
    ],
)
def test_exact_answers(make: Callable[[], toys.Toy], answer: analytic.Entry):
    assert make().exact == answer


@pytest.mark.usefixtures("float64")
def test_hessian_ranks():
    assert hessian_rank(toys.diagonal_linear(5, zeros=2)) == 3
    assert hessian_rank(toys.symmetric_factorization(4, 3, rank=2)) == 4 * 2 - 1
    assert hessian_rank(toys.rank_one_tensor((3,))) == 3
    assert hessian_rank(toys.vandermonde(2)) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toys.diagonal_linear(2, zeros=3), r"zeros must be at most the dimension \(2\), got 3"),
        (lambda: toys.diagonal_linear(2, layers=0), "layers must be an integer >= 1, got 0"),
        (lambda: toys.symmetric_factorization(2, 1, 2), "rank must be at most the smaller of size and columns"),
        (lambda: toys.rank_one_tensor(()), "dimensions must have at least 1 elements"),
        (lambda: toys.vandermonde(0), "units must be an integer >= 1, got 0"),
        (lambda: toys.vandermonde(1, step=0), "step must be an integer >= 1, got 0"),
    ],
)
def test_refuses(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()
