"""What is zero at w*, as the loss of fitted data is, hides nothing: the checks look beside w* too."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slt.errors import LossError
from slt.problem import Problem
from tests.models import drawn, mlp, per_example

X = drawn(40, 4, seed=1)


def fitted(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    model, x = mlp(4, 5, 3).to(dtype), X.to(dtype)
    return model, (x, model(x).detach())


def off(model: nn.Module, batch: Any) -> Tensor:
    return model(batch[0]) - batch[1]


def centred(model: nn.Module, batch: Any) -> Tensor:
    each = off(model, batch)
    return (each - each.mean(0)).square().sum(1)


def divided(model: nn.Module, batch: Any) -> Tensor:
    each = per_example(model, batch)
    return each / (1e-3 + each.detach().mean())


def by_tokens(model: nn.Module, batch: Any) -> Tensor:
    tokens = 1 + batch[0][:, 0].square()
    return (tokens * per_example(model, batch)).sum() / tokens.sum()


def dropped(model: nn.Module, batch: Any) -> Tensor:
    return functional.dropout(off(model, batch), 0.5, training=True).square().sum(1)


WRONG: dict[str, tuple[Callable[[nn.Module, Any], Tensor], str]] = {
    "a sum": (lambda m, b: per_example(m, b).sum(), "looks like a sum"),
    "a mean over tokens": (by_tokens, "looks like a mean over tokens"),
    "a mix of examples": (centred, r"beside w\* a second evaluation differs.*mixes its examples"),
    "divided by the batch": (divided, r"beside w\* .*divides by something of its batch"),
    "dropout": (dropped, r"beside w\* .*dropout"),
    "dropout, mean": (lambda m, b: dropped(m, b).mean(), r"beside w\* .*dropout"),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", WRONG)
def test_at_zero_loss_a_wrong_loss_is_refused(kind: str, dtype: torch.dtype):
    loss, message = WRONG[kind]
    model, data = fitted(dtype)
    assert not loss(model, data).abs().max() > 0, "the case must hide it at w*"
    before = [(p.data_ptr(), p.detach().clone()) for p in model.parameters()]
    with pytest.raises(LossError, match=message):
        Problem(model, data, loss)
    for p, (at, values) in zip(model.parameters(), before, strict=True):
        assert p.data_ptr() == at
        assert torch.equal(p, values)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", [per_example, lambda m, b: per_example(m, b).mean()], ids=["rows", "mean"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_at_zero_loss_a_right_one_passes(scale: float, loss: Any, dtype: torch.dtype):
    Problem(*fitted(dtype), lambda m, b: scale * loss(m, b))


def test_rounding_that_shows_at_the_center_is_granted_beside_it():
    """A loss as the small difference of large numbers."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return (per_example(model, batch) + 1e4) - 1e4

    model, data = fitted(torch.float32)
    Problem(model, (data[0], data[1] + 0.01), loss)


def test_a_loss_that_ends_near_the_center_is_left_alone():
    """Not finite beyond a hundredth of the weights' size."""
    model, data = fitted()
    center = model[0].weight.detach().clone()

    def loss(model: Any, batch: Any) -> Tensor:
        far = (model[0].weight - center).abs().max() > 1e-3
        return per_example(model, batch) + torch.where(far, torch.inf, 0.0)

    Problem(model, data, loss)
