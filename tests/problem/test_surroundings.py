"""What gives torch's operations another meaning is refused before any work; what only places tensors is not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from slt.errors import SettingsError
from slt.problem import Problem
from tests.models import drawn, mlp

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


class Halving(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


MODEL = mlp(4, 3)


def work(x: torch.Tensor | None = None) -> torch.Tensor:
    Problem(MODEL, (X, Y), "mse")
    return torch.zeros(()) if x is None else x.sum()


def within(mode: Any) -> None:
    with mode:
        work()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: torch.vmap(work)(X), "vmap, grad or jvp"),
        (lambda: torch.func.grad(work)(X), "vmap, grad or jvp"),
        (lambda: torch.func.jvp(work, (X,), (X,)), "vmap, grad or jvp"),
        (lambda: torch.func.functionalize(work)(X), "vmap, grad or jvp"),
        (lambda: within(Halving()), "the mode Halving"),
        (lambda: within(FakeTensorMode()), "the mode FakeTensorMode"),
    ],
    ids=["vmap", "grad", "jvp", "functionalize", "function mode", "fake tensors"],
)
def test_transforms_and_modes_are_refused_by_name(call: Callable[[], Any], named: str):
    with pytest.raises(SettingsError, match=rf"ordinary tensors, but was called inside .*{named}"):
        call()


def test_a_device_is_no_such_mode():
    within(torch.device("meta"))
