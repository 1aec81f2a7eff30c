"""Quadratics, crossings and free potentials: their formulas, their Hessians, and inputs read with care."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slt import analytic, toys
from slt.errors import InputError


def at(toy: toys.Toy, w: Tensor) -> Tensor:
    """K at w."""
    with torch.no_grad():
        for parameter in toy.model.parameters():
            parameter.copy_(w)
    return toy.loss(toy.model, toy.data)


def hessian(toy: toys.Toy) -> Tensor:
    """The Hessian of K at w*, in the one parameter vector."""
    (w,) = toy.model.parameters()

    def value(v: Tensor) -> Tensor:
        return torch.func.functional_call(Energy(toy), {"model.w": v}, (toy.data,))

    return torch.autograd.functional.hessian(value, w.detach())  # pyright: ignore[reportReturnType]


class Energy(torch.nn.Module):
    """A module whose output is the toy's loss."""

    def __init__(self, toy: toys.Toy) -> None:
        super().__init__()
        self.model, self.loss = toy.model, toy.loss

    def forward(self, batch: tuple[Tensor, ...]) -> Tensor:
        return self.loss(self.model, batch)


@pytest.mark.parametrize("seed", range(5))
def test_quadratic_formula(seed: int):
    rng = np.random.default_rng(seed)
    h, w = rng.uniform(0, 10, 6), rng.standard_normal(6)
    toy = toys.quadratic(h.tolist())
    expected = 0.5 * sum(h_i * w_i**2 for h_i, w_i in zip(h, w, strict=True))
    assert at(toy, torch.tensor(w)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("exponents", [(2,), (1,), (2, 2), (4, 2, 6), (1, 3), (3, 0, 2, 1)])
def test_crossing_formula(exponents: tuple[int, ...]):
    w = np.random.default_rng(0).standard_normal(len(exponents))
    expected = np.prod(np.abs(w) ** np.array(exponents))
    assert at(toys.normal_crossing(exponents), torch.tensor(w)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("toy", "diagonal"),
    [
        (toys.quadratic([100.0, 1.0, 0.0]), [100.0, 1.0, 0.0]),
        (toys.quadratic(2), [1.0, 1.0]),
        (toys.normal_crossing((2,)), [2.0]),
        (toys.normal_crossing((2, 0)), [2.0, 0.0]),
        (toys.normal_crossing((3,)), [0.0]),
        (toys.normal_crossing((4,)), [0.0]),
        (toys.normal_crossing((2, 2)), [0.0, 0.0]),
        (toys.from_potential(lambda w: w[..., 0] ** 2 + w[..., 1] ** 4, [0.0, 0.0]), [2.0, 0.0]),
    ],
    ids=lambda value: value.name if isinstance(value, toys.Toy) else "",
)
def test_hessian_at_center(toy: toys.Toy, diagonal: list[float]):
    assert torch.equal(hessian(toy), torch.diag(torch.tensor(diagonal)))


def test_exact_answers():
    assert toys.quadratic([4.0, 0.0]).exact == analytic.quadratic([4.0, 0.0])
    assert toys.normal_crossing((2, 4)).exact == analytic.normal_crossing((2, 4))
    assert toys.from_potential(lambda w: w.square().sum(-1), [0.0]).exact is None


def test_model_returns_its_parameter():
    toy = toys.from_potential(lambda w: w.square().sum(-1), [1.0, 2.0])
    assert [name for name, _ in toy.model.named_parameters()] == ["w"]
    assert torch.equal(toy.model(*toy.data), torch.tensor([1.0, 2.0]))
    assert torch.equal(toy.model(), torch.tensor([1.0, 2.0]))


def test_center_is_copied_and_may_lie_above_zero():
    center = torch.tensor([3.0])
    toy = toys.from_potential(lambda w: w.square().sum(-1) + 1, center)
    center.zero_()
    assert toy.loss(toy.model, toy.data).item() == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("function", "center", "message"),
    [
        (lambda w: w, [0.0, 0.0], r"function must map w of shape \(2,\) to a scalar tensor, got \(2,\)"),
        (lambda w: 0.0, [0.0], "to a scalar tensor, got float"),
        (
            lambda w: w[0] ** 2 + w[1] ** 2,
            [0.0, 0.0],
            r"to \(...\), got \(2,\) for \(3, 2\): write w\[..., 0\]",
        ),
        (lambda w: w.square().sum(), [0.0, 0.0], r"to \(...\), got \(\) for \(3, 2\)"),
        (lambda w: torch.zeros(w.shape[:-1]), [0.0], "must depend on w through torch operations"),
        (lambda w: w.log().sum(-1), [0.0], "function must be finite at the center, got -inf"),
        (lambda w: w.sum(-1), [], r"center must have shape \(d,\) with d >= 1, got shape \(0,\)"),
        (lambda w: w.sum(-1), 0.0, r"center must have shape \(d,\) with d >= 1, got shape \(\)"),
        (lambda w: w.sum(-1), [float("nan")], "center must be finite"),
        (lambda w: w.sum(-1), "abc", "center must be a vector of numbers, got 'abc'"),
    ],
)
def test_from_potential_refuses(function: Callable[[Tensor], Any], center: Any, message: str):
    with pytest.raises(InputError, match=message):
        toys.from_potential(function, center)


@pytest.mark.parametrize("curvatures", [0, -1, [], [-1.0], [float("nan")], "ab", None, 1.5])
def test_quadratic_refuses(curvatures: Any):
    with pytest.raises(InputError, match="curvatures"):
        toys.quadratic(curvatures)


@pytest.mark.parametrize("exponents", [(), (0,), (-1,), (1.5,), 2, None])
def test_crossing_refuses(exponents: Any):
    with pytest.raises(InputError, match="exponents"):
        toys.normal_crossing(exponents)
