"""The random deep linear benchmark: its draws, its loss from second moments, its bound from the Hessian's rank."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from slt import toys
from slt.analytic import deep_linear
from slt.errors import InputError, SettingsError
from slt.toys.random_linear import tangent_dimension


@pytest.fixture(scope="module")
def drawn() -> list[toys.RandomDeepLinear]:
    return [toys.random_deep_linear("1K", seed=seed) for seed in range(12)]


def model_of(toy: toys.Toy) -> toys.DeepLinear:
    assert isinstance(toy.model, toys.DeepLinear)
    return toy.model


def widths_of(toy: toys.Toy) -> list[int]:
    layers = list(model_of(toy).layers)
    return [layers[0].shape[1], *[layer.shape[0] for layer in layers]]


@pytest.mark.parametrize("seed", range(20))
def test_the_dimension_of_the_tangent_space(seed: int):
    rng = torch.Generator().manual_seed(seed)
    widths = torch.randint(1, 6, (int(torch.randint(2, 6, (), generator=rng)),), generator=rng).tolist()
    factors, ranks = [], []
    for below, above in pairwise(widths):
        rank = int(torch.randint(0, min(below, above) + 1, (), generator=rng))
        shapes = (above, rank), (rank, below)
        left, right = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in shapes)
        factors.append(left @ right)
        ranks.append(rank)

    def product(*layers: torch.Tensor) -> torch.Tensor:
        out = layers[0]
        for layer in layers[1:]:
            out = layer @ out
        return out.flatten()

    parts = torch.autograd.functional.jacobian(product, tuple(factors))
    jacobian = torch.cat([part.flatten(1) for part in parts], 1)
    assert tangent_dimension(widths, ranks) == int(torch.linalg.matrix_rank(jacobian, atol=1e-9))


def test_draws_are_of_the_class(drawn: list[toys.RandomDeepLinear]):
    for toy in drawn:
        assert 3 <= len(widths_of(toy)) <= 6
        assert all(5 <= width <= 50 for width in widths_of(toy))
        assert len(toy.data[0]) == 100_000
    assert len({tuple(widths_of(toy)) for toy in drawn}) == len(drawn)
    assert False in {toy.formula_holds for toy in drawn}
    assert any(toy.hessian_rank > 2 * toy.formula.value for toy in drawn)  # the formula's known defect here


def test_each_toy_is_at_a_minimum_that_its_numbers_describe(drawn: list[toys.RandomDeepLinear]):
    for toy in drawn:
        loss = toy.loss(toy.model, toy.data)
        assert loss.item() == 0
        gradients = torch.autograd.grad(loss, list(toy.model.parameters()))
        assert max(g.abs().max() for g in gradients) < 1e-6
        parameters = sum(p.numel() for p in toy.model.parameters())
        assert toy.formula.value <= parameters / 2
        if toy.exact is not None:
            assert toy.formula.value <= toy.exact.value
            assert toy.hessian_rank <= 2 * toy.exact.value <= parameters
            assert toy.formula_holds == (toy.exact.rlct == toy.formula.rlct)
        if 2 * toy.formula.value < toy.hessian_rank:
            assert toy.formula_holds is False
        ranks = [int(torch.linalg.matrix_rank(layer.double(), atol=1e-4)) for layer in model_of(toy).layers]
        assert toy.formula == deep_linear(widths_of(toy), min(ranks))


def test_the_seed_decides_and_global_state_is_left_alone():
    state = torch.get_rng_state()
    one, same = (toys.random_deep_linear("1K", seed=5) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), same.model.parameters(), strict=True))
    assert repr(one) == repr(same)


@pytest.mark.parametrize(
    ("size", "seed", "error", "message"),
    [
        ("1k", 0, InputError, "size must be one of 1K, 10K, 100K, got '1k'"),
        ("1K", -1, SettingsError, "seed must be an integer >= 0, got -1"),
    ],
)
def test_refuses(size: Any, seed: int, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        toys.random_deep_linear(size, seed=seed)
