"""Linear networks away from the balanced point, with a frozen part, and in the names of regression."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from slt import analytic, toys
from slt.errors import InputError, NotAvailableError
from tests.toys.at_points import hessian_rank, loss_at, random_parameters


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model_of(toy: toys.Toy) -> toys.DeepLinear:
    assert isinstance(toy.model, toys.DeepLinear)
    return toy.model


def possible(widths: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    """All ranks that the entry accepts."""
    found = []
    for ranks in product(range(max(widths) + 1), repeat=len(widths) - 1):
        try:
            analytic.deep_linear(widths, rank, factor_ranks=ranks)
        except InputError:
            continue
        except NotAvailableError:
            pass
        found.append(ranks)
    return found


@pytest.mark.parametrize("widths", [(3, 2, 4), (2, 3, 2), (3, 2, 2, 3), (2, 3, 1, 2), (2, 2, 2, 2, 2)])
@pytest.mark.usefixtures("float64")
def test_factors_have_the_ranks_that_were_asked_for(widths: tuple[int, ...]):
    for rank in range(min(widths) + 1):
        given = possible(widths, rank)
        assert (rank,) * (len(widths) - 1) in given
        for ranks in given:
            toy = toys.deep_linear(widths, rank, factor_ranks=ranks, seed=1)
            layers = list(model_of(toy).layers)
            assert [int(torch.linalg.matrix_rank(layer)) for layer in layers] == list(ranks)
            singular = torch.cat([torch.linalg.svdvals(layer) for layer in layers])
            assert ((singular < 1e-13) | ((singular - 1).abs() < 1e-13)).all()
            assert toy.loss(toy.model, toy.data).item() < 1e-26


@pytest.mark.parametrize(
    ("rank", "ranks", "value"), [(2, (2, 2), 23), (2, (5, 2), 25), (2, (3, 4), 23), (0, (0, 5), 25), (0, (2, 3), 19)]
)
def test_local_value_of_one_hidden_layer(rank: int, ranks: tuple[int, int], value: int):
    toy = toys.deep_linear((5, 5, 5), rank, factor_ranks=ranks)
    assert toy.exact is not None
    assert toy.exact == analytic.deep_linear((5, 5, 5), rank, factor_ranks=ranks)
    assert 2 * toy.exact.value == value


@pytest.mark.usefixtures("float64")
def test_hessian_rank_off_balance():
    # a factor of full rank leaves the product free on one side: all directions of K are regular
    toy = toys.deep_linear((3, 2, 4), 1, factor_ranks=(2, 1))
    assert toy.exact is not None
    assert hessian_rank(toy) == 2 * toy.exact.value == 2 * 4 + 1 * 3 - 2


def test_unknown_local_value_is_none():
    assert toys.deep_linear((2, 2, 2, 2), 1, factor_ranks=(1, 2, 1)).exact is None
    known = toys.deep_linear((2, 2, 2, 2), 1, factor_ranks=(1, 1, 1)).exact
    assert known is not None
    assert known.rlct == analytic.deep_linear((2, 2, 2, 2), 1).rlct


def test_balanced_ranks_are_the_default_point():
    default, named = (toys.deep_linear((4, 3, 5, 3), 2, seed=4, **kw) for kw in ({}, {"factor_ranks": (2, 2, 2)}))
    pairs = zip(model_of(default).layers, model_of(named).layers, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_regression_is_the_network_with_one_hidden_layer():
    regression = toys.reduced_rank_regression(4, 5, 3, 2, factor_ranks=(2, 3), seed=2)
    network = toys.deep_linear((4, 3, 5), 2, factor_ranks=(2, 3), seed=2)
    pairs = zip(model_of(regression).layers, model_of(network).layers, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert regression.exact == analytic.reduced_rank_regression(4, 5, 3, 2, factor_ranks=(2, 3))
    assert regression.name == "reduced_rank_regression(4, 5, 3, rank=2, factor_ranks=(2, 3))"
    assert toys.reduced_rank_regression(4, 5, 3, 2).exact == analytic.reduced_rank_regression(4, 5, 3, 2)


def test_adapter_adds_to_a_frozen_layer():
    toy = toys.lora(5, 4, 3, 2, seed=1)
    model = toy.model
    assert isinstance(model, toys.Adapter)
    assert [tuple(p.shape) for p in model.parameters()] == [(3, 5), (4, 3)]
    frozen, x = model.frozen.double().numpy(), np.random.default_rng(0).standard_normal((7, 5))
    assert frozen.std() > 0.2
    a, b = random_parameters(toy)
    update = np.zeros((4, 5))
    update[range(2), range(2)] = 1
    assert loss_at(toy, a, b) == pytest.approx(np.linalg.norm(b @ a - update) ** 2, rel=1e-6)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (a, b), strict=True):
            parameter.copy_(torch.from_numpy(value))
    expected = x @ (frozen + b @ a).T
    np.testing.assert_allclose(model.double()(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    assert toy.exact == analytic.lora(5, 4, 3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toys.deep_linear((2, 2, 2), 1, factor_ranks=(2, 2)), "make the rank of the product at least 2, got"),
        (lambda: toys.deep_linear((2, 2, 2), 1, factor_ranks=(1,)), "one element per factor"),
        (lambda: toys.deep_linear((2, 2, 2), 1, factor_ranks=(0, 1)), r"factor_ranks\[0\] must be from 1 to 2, got 0"),
        (lambda: toys.deep_linear((2, 2, 2), 1, factor_ranks=1), "factor_ranks must be a sequence of integers"),
        (lambda: toys.reduced_rank_regression(2, 2, 2, 3), "rank must be at most the smallest"),
        (lambda: toys.reduced_rank_regression(2, 2, 2, factor_ranks=(2, 2)), "with a sum of at most 2"),
        (lambda: toys.lora(2, 2, 1, 2), "rank must be at most the smallest"),
        (lambda: toys.lora(2, 2, 1, seed=-1), "seed must be an integer >= 0"),
    ],
)
def test_refuses(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()
