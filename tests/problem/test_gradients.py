"""The gradient is that of the loss: hooks on gradients are off inside, and on again afterwards, to the same object."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)

from slt.degeneracy import explain
from slt.problem import Problem, untouched
from slt.problem.evaluate import Evaluator, InPlace, Vectorized
from tests.models import by_tensor, drawn, integers, mlp, per_example, positions, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)
METHODS: list[Callable[[Problem], Evaluator]] = [InPlace, Vectorized]


def gradients(model: nn.Module, method: Callable[[Problem], Evaluator], data: Any = (X, Y)) -> list[Tensor]:
    problem = Problem(model, data, per_example)
    with untouched(model):
        evaluator = method(problem)
        w, _ = positions(evaluator, problem.segments, 2)
        return by_tensor(evaluator, evaluator.evaluate(w, None))


def outside(model: nn.Module) -> Tensor:
    data = X.clone().requires_grad_(), Y  # a hook of all modules warns where a module's inputs have no gradient
    return torch.autograd.grad(per_example(model, data).mean(), [model[0].weight])[0]


def scaled(module: nn.Module, inputs: Any, outputs: Any = None) -> Any:
    """A hook of a module on the gradients of its inputs, or of its outputs."""
    return tuple(None if g is None else 0.1 * g for g in inputs)


HOOKS: dict[str, Callable[[nn.Sequential], Any]] = {
    "of a weight": lambda m: m[0].weight.register_hook(lambda g: g.clamp(-1e-3, 1e-3)),
    "of a module": lambda m: m[1].register_full_backward_hook(scaled),
    "of a module, before": lambda m: m[1].register_full_backward_pre_hook(scaled),
    "of a module, the old kind": lambda m: m[1].register_backward_hook(scaled),
    "of all modules": lambda m: register_module_full_backward_hook(scaled),
    "of all modules, before": lambda m: register_module_full_backward_pre_hook(scaled),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_on_gradients_do_not_change_them_and_stay_on(kind: str, method: Callable[[Problem], Evaluator]):
    model = mlp(4, 5, 3)
    plain = gradients(model, method)
    handle = HOOKS[kind](model)
    try:
        found = gradients(model, method)
        own = outside(model)
    finally:
        handle.remove()
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    assert not torch.allclose(own, outside(model)), "the hook must be on again outside, and its handle take it off"


def test_an_optimizer_in_the_backward_pass_of_a_loss_takes_no_step():
    model = mlp(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    steps = []

    def step(p: Tensor) -> None:
        steps.append(p)
        optimizer.step()

    model[0].weight.register_post_accumulate_grad_hook(step)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        per_example(model, batch).sum().backward()
        return per_example(model, batch)

    Problem(model, (X, Y), loss)
    assert not steps
    loss(model, (X, Y))
    assert len(steps) == 1


def test_gradients_of_embeddings_are_not_scaled_by_how_often_a_row_is_looked_up():
    data = integers(5, 20, 2, seed=3), Y

    def build(scaled: bool) -> nn.Module:
        return seeded(
            lambda: nn.Sequential(nn.Embedding(5, 3, scale_grad_by_freq=scaled), nn.Flatten(), nn.Linear(6, 3))
        )

    scaled = build(True)
    for a, b in zip(gradients(scaled, InPlace, data), gradients(build(False), InPlace, data), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=0)
    assert scaled[0].scale_grad_by_freq, "it scales again outside"


class Looked(nn.Module):
    """Looks rows up by layers, or by the function, with sparse gradients."""

    def __init__(self, kind: str, sparse: bool) -> None:
        super().__init__()
        self.kind, self.sparse = kind, sparse
        self.table = nn.EmbeddingBag(5, 3, sparse=sparse, mode="sum") if kind == "bag" else nn.Embedding(5, 3)
        if kind == "layer":
            self.table.sparse = sparse

    def forward(self, ids: Tensor) -> Tensor:
        if self.kind == "function":
            return nn.functional.embedding(ids, self.table.weight, sparse=self.sparse).sum(1)
        return self.table(ids) if self.kind == "bag" else self.table(ids).sum(1)


@pytest.mark.parametrize("kind", ["layer", "bag", "function"])
def test_sparse_embeddings_have_the_gradients_of_dense_ones(kind: str):
    data = integers(5, 20, 2, seed=3), Y
    sparse, dense = (seeded(lambda s=s: Looked(kind, s)) for s in (True, False))
    for a, b in zip(gradients(sparse, InPlace, data), gradients(dense, InPlace, data), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=0)
    if kind == "layer":
        assert explain(sparse, data, "mse").rank == explain(dense, data, "mse").rank
        assert sparse.table.sparse, "it is sparse again outside"
