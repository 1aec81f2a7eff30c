"""The gradient must be that of the loss; no kink, no rounding and no pooling is taken for another one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slt.degeneracy import explain
from slt.errors import LossError
from slt.problem import Problem, untouched
from slt.problem.evaluate import choose_evaluator
from slt.problem.slopes import require_own_gradient
from tests.models import CASES, drawn, integers, mlp, per_example, seeded

X, Y = drawn(40, 4, seed=1), drawn(40, 3, seed=2)


class Reversed(torch.autograd.Function):
    """The identity, with minus its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


class Through(nn.Module):
    """A network with something between its layers."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.outer, self.between = nn.Linear(4, 8), nn.Linear(8, 3), between

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.between(self.inner(x).tanh()))


def hooked(h: Tensor) -> Tensor:
    if h.requires_grad:
        h.register_hook(lambda grad: 0.1 * grad)
    return h


def own_target(model: nn.Module, batch: Any) -> Tensor:
    return (model(batch[0]) - 0.9 * model(batch[0].flip(1)).detach()).square().sum(1)


def halved(model: nn.Module, batch: Any) -> Tensor:
    each = per_example(model, batch)
    return 0.5 * each + 0.5 * each.detach()


WRONG: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "a faulty backward": (lambda: Through(Reversed.apply), per_example),
    "a hook in the forward pass": (lambda: Through(hooked), per_example),
    "a detached target": (lambda: Through(torch.tanh), own_target),
    "half of it detached": (lambda: Through(torch.tanh), halved),
}


@pytest.mark.parametrize("method", ["auto", "in_place"])
@pytest.mark.parametrize("kind", WRONG)
def test_another_gradient_is_refused(kind: str, method: Any):
    build, loss = WRONG[kind]
    model = seeded(build)
    problem = Problem(model, (X, Y), loss)
    with untouched(model), pytest.raises(LossError, match="gradient must be that of the loss"):
        choose_evaluator(problem, method, 2)


def test_explain_refuses_it_too():
    with pytest.raises(LossError, match="gradient must be that of the loss"):
        explain(seeded(lambda: Through(hooked)), (X, Y), "mse")


@pytest.mark.parametrize("name", CASES)
def test_models_of_all_kinds_pass(name: str):
    case = CASES[name]()
    problem = Problem(case.model, case.data, case.loss, parameters=case.parameters)
    with untouched(case.model):
        require_own_gradient(problem)


class Lower(nn.Module):
    """Computes in bfloat16."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(x).float()


def rectified() -> nn.Module:
    return nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 3))


def pooled() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", ["cross_entropy", lambda m, b: (m(b[0]) - 1).abs().sum(1)], ids=["entropy", "l1"])
@pytest.mark.parametrize("build", [rectified, pooled])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16, "autocast"], ids=str)
def test_kinks_pooling_and_rounding_pass(kind: Any, build: Callable[[], nn.Module], loss: Any, seed: int):
    model = seeded(build, seed)
    dtype = torch.float32 if kind == "autocast" else kind
    model = Lower(model.float()) if kind == "autocast" else model.to(dtype)
    problem = Problem(model, (drawn(40, 16, seed=seed).to(dtype), integers(3, 40, seed=seed)), loss)
    with untouched(model):
        require_own_gradient(problem)


def test_a_plateau_passes():
    """All rectifiers are off: loss and gradient are constant."""
    model = mlp(4, 5, 3)
    model[1] = nn.ReLU()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    problem = Problem(model, (X, Y), per_example, parameters="0")
    with untouched(model):
        require_own_gradient(problem)
