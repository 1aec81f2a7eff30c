"""The deep linear toy: its formula, its balanced minimum, and the rank of its Hessian there."""

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slt import analytic, toys
from slt.errors import InputError, SettingsError

SHAPES = [
    ((4, 3), 2),
    ((5, 5, 5), 2),
    ((4, 3, 5), 3),
    ((2, 3, 4), 0),
    ((4, 3, 5, 3, 2), 1),
    ((6, 4, 4, 5), 2),
]
every_shape = pytest.mark.parametrize(("widths", "rank"), SHAPES)


def model_of(toy: toys.Toy) -> toys.DeepLinear:
    assert isinstance(toy.model, toys.DeepLinear)
    return toy.model


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@every_shape
@pytest.mark.usefixtures("float64")
def test_formula(widths: tuple[int, ...], rank: int):
    toy = toys.deep_linear(widths, rank)
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((above, below)) for below, above in pairwise(widths)]
    with torch.no_grad():
        for parameter, matrix in zip(toy.model.parameters(), matrices, strict=True):
            parameter.copy_(torch.from_numpy(matrix))
    truth = np.zeros((widths[-1], widths[0]))
    truth[range(rank), range(rank)] = 1
    expected = np.linalg.norm(reduce(np.dot, matrices[::-1]) - truth) ** 2
    assert toy.loss(toy.model, toy.data).item() == pytest.approx(expected, rel=1e-12)


@every_shape
@pytest.mark.usefixtures("float64")
def test_forward_applies_the_product(widths: tuple[int, ...], rank: int):
    model = model_of(toys.deep_linear(widths, rank))
    x = torch.randn(3, 2, widths[0], generator=torch.Generator().manual_seed(0))
    by_layer = reduce(lambda y, layer: torch.einsum("oi,...i->...o", layer, y), model.layers, x)
    torch.testing.assert_close(model(x), by_layer, rtol=1e-12, atol=1e-12)


@every_shape
@pytest.mark.usefixtures("float64")
def test_center_is_balanced(widths: tuple[int, ...], rank: int):
    model = model_of(toys.deep_linear(widths, rank, seed=3))
    for layer in model.layers:
        singular = torch.linalg.svdvals(layer)
        assert torch.allclose(singular[:rank], torch.ones(rank), rtol=0, atol=1e-14)
        assert (singular[rank:] < 1e-14).all()
    for below, above in pairwise(model.layers):
        torch.testing.assert_close(below @ below.T, above.T @ above, rtol=0, atol=1e-14)
    torch.testing.assert_close(model.product(), model.truth, rtol=0, atol=1e-14)


@every_shape
@pytest.mark.usefixtures("float64")
def test_hessian_rank_is_the_tangent_dimension(widths: tuple[int, ...], rank: int):
    toy = toys.deep_linear(widths, rank)
    shapes = [p.shape for p in toy.model.parameters()]
    sizes = [shape.numel() for shape in shapes]
    truth = model_of(toy).truth

    def value(flat: Tensor) -> Tensor:
        layers = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
        return (reduce(lambda below, layer: layer @ below, layers) - truth).square().sum()

    flat = torch.cat([p.detach().flatten() for p in toy.model.parameters()])
    eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(value, flat))
    one_layer = len(widths) == 2
    expected = widths[0] * widths[1] if one_layer else rank * (widths[0] + widths[-1]) - rank**2
    assert (eigenvalues > 1e-6).sum() == expected
    assert (eigenvalues > -1e-12).all()


def test_seed_turns_the_hidden_coordinates_only():
    one, same, other = (model_of(toys.deep_linear((4, 3, 5), 2, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.layers, same.layers, strict=True))
    assert not any(torch.allclose(a, b) for a, b in zip(one.layers, other.layers, strict=True))
    assert torch.equal(one.truth, other.truth)


def test_exact_answer():
    toy = toys.deep_linear((5, 5, 5), rank=2)
    assert toy.exact == analytic.deep_linear((5, 5, 5), rank=2)


def test_accepts_a_list_of_numpy_integers():
    assert toys.deep_linear(list(np.array([2, 3, 2])), 1).name == "deep_linear((2, 3, 2), rank=1)"


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (((3,),), {}, InputError, "widths must have at least 2 elements"),
        (((3, 2, 3), 3), {}, InputError, r"rank must be at most the smallest width \(2\), got 3"),
        (((3, 2.5, 3),), {}, InputError, r"widths\[1\] must be an integer >= 1, got 2.5"),
        (((3, 2, 3),), {"seed": -1}, SettingsError, "seed must be an integer >= 0, got -1"),
        (((3, 2, 3),), {"seed": None}, SettingsError, "seed must be an integer >= 0, got None"),
    ],
)
def test_refuses(arguments: Any, settings: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        toys.deep_linear(*arguments, **settings)
