"""Linear networks with noisy rows: the loss from second moments, the least-squares solution, and its law."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slt import analytic, toys
from slt.errors import InputError, SettingsError
from slt.toys.second_moments import SecondMomentLoss, least_squares, of_rank, second_moments
from tests.toys.at_points import hessian_rank, loss_at, random_parameters


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model_of(toy: toys.Toy) -> toys.DeepLinear:
    assert isinstance(toy.model, toys.DeepLinear)
    return toy.model


def test_loss_is_that_of_the_rows():
    x, y = normal(50, 3), normal(50, 4, seed=1)
    second, target = x.T @ x / 50, torch.linalg.lstsq(x, y).solution.T
    model, other = (toys.DeepLinear([normal(2, 3, seed=s), normal(4, 2, seed=s + 1)], target) for s in (2, 4))

    def direct(network: toys.DeepLinear) -> Tensor:
        return (network(x) - y).square().sum(1).mean()

    def rows_fit(network: toys.DeepLinear) -> Tensor:
        return (network(x) - x @ target.T).square().sum(1).mean()

    whole, less = SecondMomentLoss(second, target), SecondMomentLoss(second, target, start=other)
    torch.testing.assert_close(whole(model, (x,)), rows_fit(model), rtol=1e-12, atol=0)
    torch.testing.assert_close(less(model, ()), direct(model) - direct(other), rtol=1e-11, atol=1e-12)
    assert less(other, ()).item() == 0


def test_moments_are_those_of_rows_drawn_in_pieces():
    drawn = []

    def draw(count: int) -> Tensor:
        drawn.append(normal(count, 2, seed=len(drawn)))
        return drawn[-1]

    moments = second_moments(draw, 45_000)
    assert [len(z) for z in drawn] == [20_000, 20_000, 5_000]
    z = torch.cat(drawn)
    torch.testing.assert_close(moments, z.T @ z / 45_000, rtol=1e-12, atol=1e-13)


def test_least_squares_solution():
    truth, generator = normal(3, 2), torch.Generator().manual_seed(5)
    second, target = least_squares(truth, 0.7, 200, generator)
    z = torch.randn(200, 5, generator=torch.Generator().manual_seed(5))
    x, y = z[:, :2], z[:, :2] @ truth.T + 0.7 * z[:, 2:]
    torch.testing.assert_close(second, x.T @ x / 200)
    torch.testing.assert_close(target, torch.linalg.lstsq(x, y).solution.T)


def test_reduced_rank_solution_is_the_best():
    """No matrix of its rank fits better: neither one nearby nor what alternating least squares finds from afar."""
    target, root = normal(5, 4), normal(4, 4, seed=1)
    second = root @ root.T

    def misfit(w: Tensor) -> float:
        return float((((w - target) @ second) * (w - target)).sum())

    best = of_rank(target, second, 2)
    assert torch.linalg.matrix_rank(best) == 2
    torch.testing.assert_close(of_rank(target, second, 4), target)
    for seed in range(5):
        b = normal(5, 2, seed=seed)
        for _ in range(300):
            a = torch.linalg.lstsq(b, target).solution
            b = torch.linalg.solve(a @ second @ a.T, a @ second @ target.T).T
        assert misfit(best) <= misfit(b @ a) + 1e-10
        assert misfit(b @ a) < 1.5 * misfit(best)


@pytest.mark.parametrize(
    ("widths", "rank"), [((4, 3), 1), ((3, 2, 4), 0), ((4, 2, 5), 1), ((3, 4, 3, 5), 3), ((3, 5, 2, 4, 3), 2)]
)
def test_center_is_a_balanced_minimum_with_regular_directions(widths: tuple[int, ...], rank: int):
    toy = toys.deep_linear(widths, rank, noise=0.5, n=300, seed=1)
    model, highest = model_of(toy), min(widths)
    for below, above in zip(list(model.layers)[:-1], list(model.layers)[1:], strict=True):
        torch.testing.assert_close(below @ below.T, above.T @ above, rtol=0, atol=1e-12)
    assert toy.exact == analytic.deep_linear(widths, highest)
    assert toy.exact is not None
    assert hessian_rank(toy, rtol=1e-9) == 2 * toy.exact.value
    start = [parameter.detach().numpy() for parameter in model.parameters()]
    for seed in range(30):
        step = random_parameters(toy, seed, scale=10.0 ** -(seed % 4))
        assert loss_at(toy, *(a + b for a, b in zip(start, step, strict=True))) > 0


def chi_square_z(noise: float, claimed: float) -> float:
    """The z-score of n L_n(T) / noise^2, chi^2 with one degree of freedom for each entry of T."""
    seeds, n, entries = 60, 500, 8 * 6
    truth = np.diag([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])[:6]
    found = [n * loss_at(toys.deep_linear((8, 6), 2, noise=noise, n=n, seed=seed), truth) for seed in range(seeds)]
    return float((np.mean(found) / claimed**2 - entries) / np.sqrt(2 * entries / seeds))


def test_the_truth_is_as_far_off_as_noise_says():
    assert abs(chi_square_z(0.3, 0.3)) < 4
    assert abs(chi_square_z(0.3, 0.33)) > 4, "noise that is a tenth off would not have been seen"


def test_many_rows_lead_to_the_truth():
    toy = toys.deep_linear((4, 3, 4), 2, noise=0.1, n=200_000)
    off = (model_of(toy).product() - model_of(toy).truth).abs().max().item()
    assert 0 < off < 5 * 0.1 / np.sqrt(200_000)


def test_name_and_data():
    toy = toys.deep_linear((4, 3, 4), 2, noise=0.25, n=400)
    assert toy.name == "deep_linear((4, 3, 4), rank=2, noise=0.25)"
    assert tuple(toy.data[0].shape) == (400, 0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"noise": 0.0}, SettingsError, "noise must be positive and finite, got 0.0"),
        ({"noise": float("nan")}, SettingsError, "noise must be positive and finite, got nan"),
        ({"noise": 1.0, "n": 3}, SettingsError, r"n must be at least the inputs \(4\) with noise, got 3"),
        ({"noise": 1.0, "rank": 4}, InputError, r"rank must be at most the smallest width \(3\), got 4"),
        ({"noise": 1.0, "factor_ranks": (0, 0)}, InputError, "factor_ranks must be None with noise"),
        ({"noise": 1.0, "seed": -1}, SettingsError, "seed must be an integer >= 0"),
    ],
)
def test_refuses(settings: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        toys.deep_linear((4, 3, 5), **settings)
