"""Weights that a model has made before, or reads elsewhere, do not move: refused by name; what nothing reads is not."""

import random
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slt.errors import InputError, LossError
from slt.posterior import LocalPosterior
from slt.problem import problem as problem_module
from slt.problem import untouched
from tests.models import drawn

X, Y = drawn(30, 3, seed=1).float(), drawn(30, 1, seed=2).float()


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(3, 1)


class ByVersion(Around):
    def forward(self, x: Tensor) -> Tensor:
        if getattr(self, "_of", None) != self.inner.weight._version:
            self._of, self._weight = self.inner.weight._version, self.inner.weight.detach().clone()
        return functional.linear(x, self._weight, self.inner.bias)


class Merged(Around):
    """Keeps the product of two weights that it made at the first call, as adapters do."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.merged: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.merged is None:
            self.merged = (self.scale * self.inner.weight).detach()
        return functional.linear(x, self.merged, self.inner.bias)


class Replaces(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.inner.weight = nn.Parameter(self.inner.weight.detach().clone())
        return self.inner(x)


class Freezes(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.inner.bias.requires_grad_(False)
        return self.inner(x)


class ReadsView(Around):
    def __init__(self, *, used: bool = True) -> None:
        super().__init__()
        self.used = used
        self.register_buffer("view", self.inner.weight.detach()[0])

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.view)[:, None] + self.inner.bias if self.used else self.inner(x)


class Unused(Around):
    def __init__(self, hanging: Any = None) -> None:
        super().__init__()
        self.other, self.hanging = nn.Parameter(torch.ones(2)), hanging

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def posterior(model: nn.Module) -> LocalPosterior:
    return LocalPosterior(model, (X, Y), "mse", nbeta=5.0, localization=1.0)


REFUSED = {
    ByVersion: "a merged or a cached weight",
    Merged: "a merged or a cached weight",
    Replaces: "replaced 'inner.weight'",
    Freezes: "froze 'inner.bias'",
    ReadsView: "reads buffer 'view'",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_weights_that_would_not_move_are_refused(kind: type[nn.Module]) -> None:
    model = kind()
    held = dict(vars(model))
    with pytest.raises(LossError, match=REFUSED[kind]):
        posterior(model)
    assert vars(model) == held
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("kind", [ByVersion, Merged, ReadsView])
def test_without_the_check_they_would_pass(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_module, "require_connected", lambda problem: None)
    posterior(kind())


@pytest.mark.parametrize("model", [Unused(), Unused(threading.Lock()), ReadsView(used=False)], ids=str)
def test_what_nothing_reads_is_accepted(model: nn.Module) -> None:
    assert posterior(model).dimension >= 4


def replace(model: Around) -> None:
    model.inner.weight = nn.Parameter(model.inner.weight.detach().clone())


def hook(model: Around) -> None:
    model.inner.register_forward_hook(lambda module, args, output: 2 * output)


def exchange(model: Around) -> None:
    inner = nn.Linear(3, 1)
    inner.load_state_dict(model.inner.state_dict())
    model.inner = inner


@pytest.mark.parametrize("change", [replace, hook, exchange])
def test_a_model_that_is_another_since_is_refused(change: Any) -> None:
    model = Unused()
    found = posterior(model)
    found.problem.require_center()
    change(model)
    with pytest.raises(InputError, match="the model must stay as it was when the posterior was built"):
        found.problem.require_center()


def test_arrays_generators_and_warning_filters_are_put_back() -> None:
    model = Unused()
    model.calls, model.generator = np.zeros(2), torch.Generator()
    state, filters = model.generator.get_state(), list(warnings.filters)
    with untouched(model):
        model.calls += random.random()
        torch.randn(1, generator=model.generator)
        warnings.simplefilter("ignore", BytesWarning)
    assert not model.calls.any()
    assert torch.equal(model.generator.get_state(), state)
    assert list(warnings.filters) == filters
