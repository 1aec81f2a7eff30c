"""A model that holds no usable numbers is refused by name before anything is called."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slt.degeneracy import explain
from slt.errors import DataError, ParametersError
from slt.posterior import LocalPosterior
from slt.problem import Problem
from tests.models import drawn, mlp, per_example, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


class Turned(nn.Module):
    """A complex factor before a real layer."""

    def __init__(self, factor: complex = 1j) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.tensor([1 + factor] * 4, dtype=torch.complex128))
        self.layer = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer((self.turn * x).real)


def in_inference_mode(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.inference_mode():
        return build()


def with_buffer_of_inference() -> nn.Module:
    model = mlp(4, 3)
    with torch.inference_mode():
        model.register_buffer("held", torch.ones(3))
    return model


REFUSED: dict[str, tuple[Callable[[], nn.Module], type[Exception], str]] = {
    "lazy layer": (lambda: nn.LazyLinear(3), ParametersError, r"'weight' of a lazy module has no shape yet: call"),
    "lazy statistics": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.LazyBatchNorm1d(affine=False)),
        ParametersError,
        r"buffer '1\.running_mean' of a lazy module has no shape yet",
    ),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), ParametersError, "'weight' is on the meta device: load"),
    "meta statistics": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False, device="meta")),
        ParametersError,
        r"buffer '1\.running_mean' is on the meta device",
    ),
    "inference mode": (
        lambda: in_inference_mode(lambda: nn.Linear(4, 3)),
        ParametersError,
        r"parameter 'weight' was made in torch.inference_mode\(\): make the model outside it",
    ),
    "a buffer of inference mode": (with_buffer_of_inference, ParametersError, "buffer 'held' was made in"),
    "complex": (Turned, ParametersError, r"must be real to move, got 'turn' of torch.complex128.*view_as_complex; or"),
    "complex NaN": (lambda: Turned(complex("nan")), DataError, "parameter 'turn' holds NaN"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("entry", [Problem, LocalPosterior, explain])
def test_it_is_refused_before_the_loss_is_called(entry: Callable[..., Any], kind: str):
    build, error, message = REFUSED[kind]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        raise AssertionError("the loss was called")

    with pytest.raises(error, match=message):
        entry(build(), (X, Y), loss)


@pytest.mark.parametrize("chosen", ["turn", "*", {"turn": True}])
def test_a_complex_parameter_that_is_asked_to_move_is_refused(chosen: Any):
    with pytest.raises(ParametersError, match=r"'turn' must be real and floating to move.*view_as_complex\.$"):
        Problem(Turned(), (X, Y), per_example, parameters=chosen)


def test_a_complex_parameter_stays_where_the_user_chose_so():
    model = Turned()
    assert Problem(model, (X, Y), per_example, parameters="layer").dimension == 15
    model.turn.requires_grad_(False)
    assert Problem(model, (X, Y), per_example).dimension == 15


def test_integers_that_need_no_gradient_stay():
    model = mlp(4, 3)
    model.register_parameter("count", nn.Parameter(torch.tensor(3), requires_grad=False))
    assert Problem(model, (X, Y), per_example).dimension == 15


def test_the_remedies_work():
    lazy = seeded(lambda: nn.Sequential(nn.LazyLinear(3)))
    lazy(X)
    made = in_inference_mode(lambda: mlp(4, 3))
    for model in (lazy, copy.deepcopy(made)):
        Problem(model, (X, Y), per_example)
