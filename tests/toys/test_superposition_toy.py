"""The toy model of superposition: its closed form against an integral, its critical points, its curvature there."""

from typing import Any

import numpy as np
import pytest
import torch

from slt import analytic, toys
from slt.errors import InputError, NotAvailableError
from slt.toys.superposition import population_loss
from tests.toys.at_points import hessian_rank, loss_at, random_parameters

POINTS = [
    (3, 3, 0),
    (4, 4, 0),
    (6, 4, 0),
    (6, 4, 1),
    (6, 4, 2),
    (5, 5, 0),
    (6, 5, 0),
    (6, 5, 1),
    (6, 6, 0),
    (7, 7, 0),
    (8, 8, 0),
    (9, 9, 0),
]
every_point = pytest.mark.parametrize(("features", "polygon", "plus"), POINTS)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def by_integration(w: np.ndarray, b: np.ndarray) -> float:
    """L by the midpoint rule."""
    u = (np.arange(20_000) + 0.5) / 20_000
    features = np.eye(len(b))
    lines = (w.T @ w)[:, :, None] * u + b[:, None, None]
    return float(((np.maximum(lines, 0) - features[:, :, None] * u) ** 2).sum((0, 1)).mean() / len(b))


@pytest.mark.parametrize("seed", range(5))
def test_closed_form_is_the_integral(seed: int):
    rng = np.random.default_rng(seed)
    w, b = rng.standard_normal((2, 5)), 0.5 * rng.standard_normal(5)
    w[:, 0], b[1] = 0, 0  # a flat line, and a kink at the end of the interval
    found = population_loss(torch.from_numpy(w), torch.from_numpy(b)).item()
    assert found == pytest.approx(by_integration(w, b), rel=1e-7)


@pytest.mark.parametrize(("features", "polygon", "plus", "loss"), [(6, 5, 0, 0.0687436), (6, 6, 0, 0.0481924)])
def test_excess_is_above_the_loss_of_the_point(features: int, polygon: int, plus: int, loss: float):
    toy = toys.toy_superposition(features, polygon, plus)
    w, b = random_parameters(toy)
    assert isinstance(toy.model, toys.Superposition)
    assert toy.model.floor.item() == pytest.approx(loss, abs=5e-8)  # as in the literature
    assert loss_at(toy, w, b) == pytest.approx(by_integration(w, b) - loss, abs=1e-6)


@every_point
def test_curvature_is_the_answer(features: int, polygon: int, plus: int):
    """At all these points the directions that matter to second order are all that matter."""
    toy = toys.toy_superposition(features, polygon, plus)
    assert toy.exact == analytic.toy_superposition(features, polygon, plus)
    assert toy.exact is not None
    assert hessian_rank(toy) == 2 * toy.exact.value


@every_point
def test_no_step_nearby_goes_below(features: int, polygon: int, plus: int):
    toy = toys.toy_superposition(features, polygon, plus)
    start = [parameter.detach().numpy() for parameter in toy.model.parameters()]
    for seed in range(30):
        step = random_parameters(toy, seed, scale=10.0 ** -(1 + seed % 4) / 2)
        assert loss_at(toy, *(a + b for a, b in zip(start, step, strict=True))) > 0


def test_rotations_and_permutations_change_nothing():
    toy = toys.toy_superposition(6, 5)
    w, b = random_parameters(toy)
    turn, order = np.linalg.qr(np.random.default_rng(0).standard_normal((2, 2)))[0], [5, 2, 0, 1, 4, 3]
    assert loss_at(toy, turn @ w, b) == pytest.approx(loss_at(toy, w, b), rel=1e-12)
    assert loss_at(toy, w[:, order], b[order]) == pytest.approx(loss_at(toy, w, b), rel=1e-12)


def test_forward_is_the_network():
    toy = toys.toy_superposition(5, 5)
    w, b = (parameter.detach().numpy() for parameter in toy.model.parameters())
    x = np.random.default_rng(0).uniform(size=(4, 5))
    np.testing.assert_allclose(
        toy.model(torch.from_numpy(x)).detach().numpy(), np.maximum(x @ (w.T @ w) + b, 0), rtol=1e-12, atol=1e-14
    )


def test_dead_features_may_move():
    toy = toys.toy_superposition(6, 5)
    w, b = (parameter.detach().numpy().copy() for parameter in toy.model.parameters())
    b[5] = -0.3
    w[:, 5] = 0.05
    assert loss_at(toy, w, b) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((10, 10), NotAvailableError, "no minimum"),
        ((7, 5, 1), NotAvailableError, "no minimum"),
        ((4, 3), NotAvailableError, "known for 3 features"),
        ((4, 5), InputError, r"polygon must be at most the features \(4\), got 5"),
        ((5, 4, 2), InputError, "plus must be at most"),
    ],
)
def test_refuses(arguments: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        toys.toy_superposition(*arguments)
