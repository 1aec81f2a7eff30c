"""A model or a loss that writes to the parameters is refused by name, and w* is as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import slt
from slt.degeneracy import explain
from slt.errors import DataError, LossError
from slt.problem import Problem, untouched
from slt.problem.evaluate import InPlace
from tests.models import called_each_time, drawn, integers, mlp, per_example, positions, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


def counted(p: nn.Parameter) -> None:
    with torch.no_grad():
        p.clamp_(-0.1, 0.1)


def uncounted(p: nn.Parameter) -> None:
    p.data.clamp_(-0.1, 0.1)


def rebound(p: nn.Parameter) -> None:
    p.data = p.data.clamp(-0.1, 0.1)


def without_effect(p: nn.Parameter) -> None:
    """As yet: chains may leave the box."""
    with torch.no_grad():
        p.clamp_(-1e3, 1e3)


def bits(model: nn.Module) -> list[Any]:
    return [(id(p), p.data_ptr(), p.detach().clone()) for p in model.parameters()]


def require_same(model: nn.Module, before: list[Any]) -> None:
    for (i, at, values), (j, there, others) in zip(before, bits(model), strict=True):
        assert (i, at) == (j, there)
        assert torch.equal(values, others)


@pytest.mark.parametrize("write", [counted, uncounted, rebound, without_effect])
@pytest.mark.parametrize("entry", [Problem, explain])
def test_a_loss_that_writes_to_a_weight_is_refused(entry: Callable[..., Any], write: Callable[[nn.Parameter], None]):
    model = mlp(4, 5, 3)
    before = bits(model)

    def loss(model: Any, batch: Any) -> Tensor:
        write(model[2].weight)
        return per_example(model, batch)

    with pytest.raises(LossError, match=r"must not write to the parameters, but a call of it changed '2\.weight'"):
        entry(model, (X, Y), loss)
    require_same(model, before)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
@pytest.mark.parametrize("most", [0.5, 100.0], ids=["rows are longer", "rows are shorter"])
def test_a_table_that_rescales_its_rows_is_named(kind: type[nn.Module], most: float):
    model = seeded(lambda: nn.Sequential(kind(5, 3, max_norm=most), nn.Flatten(), nn.LazyLinear(3)))
    ids = integers(5, 20, 2, seed=3)
    model(ids)
    before = bits(model)
    with pytest.raises(LossError, match=rf"'0\.weight': {kind.__name__}\(max_norm={most:g}\).*set max_norm=None"):
        Problem(model, (ids, Y), per_example)
    # torch itself has rescaled the rows in the call above
    require_same(model, before)


def test_a_write_that_comes_only_later_is_refused_and_does_not_reach_the_center():
    model = mlp(4, 3)
    later = False

    def loss(model: Any, batch: Any) -> Tensor:
        if later:
            counted(model[0].weight)
        return per_example(model, batch).mean()

    problem = Problem(model, (X, Y), loss)
    before, later = bits(model), True
    with untouched(model):
        evaluator = InPlace(problem)
        w, _ = positions(evaluator, problem.segments, 1)
        with pytest.raises(LossError, match=r"changed '0\.weight'"):
            evaluator.evaluate(w, torch.arange(4).reshape(1, 4))
    require_same(model, before)


def shifted(model: Any, batch: Any) -> Tensor:
    return per_example(model, (batch[0].sub_(0.5), batch[1]))


def shifted_targets(model: Any, batch: Any) -> Tensor:
    return per_example(model, (batch[0], batch[1].clamp_(-0.1, 0.1)))


def shifted_unseen(model: Any, batch: Any) -> Tensor:
    batch[0].data.mul_(0.5)  # torch does not count it
    return per_example(model, batch)


class Shifting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return self.inner(x)


@pytest.mark.parametrize(("loss", "tensor"), [(shifted, 0), (shifted_targets, 1), (shifted_unseen, 0)])
@pytest.mark.parametrize("entry", [Problem, explain])
def test_a_loss_that_writes_to_its_batch_is_refused(entry: Callable[..., Any], loss: Any, tensor: int):
    x, y = X.clone(), Y.clone()
    with pytest.raises(LossError, match=f"must not write to the data, but a call of them changed tensor {tensor} of"):
        entry(mlp(4, 3), (x, y), loss)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


@pytest.mark.parametrize("loss", ["mse", "gaussian:0.1"])
def test_a_model_that_writes_to_its_inputs_is_refused(loss: str):
    x = X.clone()
    with pytest.raises(LossError, match="must not write to the data"):
        slt.LocalPosterior(Shifting(), (x, Y), loss)
    assert torch.equal(x, X)


@pytest.mark.parametrize("chain_method", ["in_place", "vectorized"])
def test_a_write_to_the_data_that_comes_only_later_is_refused(chain_method: Any):
    later = False

    def loss(model: Any, batch: Any) -> Tensor:
        called_each_time()
        return shifted(model, batch) if later else per_example(model, batch)

    posterior = slt.LocalPosterior(mlp(4, 3), (X, Y), loss, localization=1.0)
    later = True
    with pytest.raises(LossError, match="must not write to the data"):
        slt.sample(posterior, slt.HMC(), chains=2, draws=5, warmup=5, chain_method=chain_method, progress=False)


def test_data_that_the_user_writes_to_are_named():
    x = X.clone()
    posterior = slt.LocalPosterior(mlp(4, 3), (x, Y), "mse")
    x.mul_(0.1)
    with pytest.raises(DataError, match="tensor 0 of 2 has been written to since the posterior was built"):
        slt.sample(posterior, slt.HMC(), chains=2, draws=5, warmup=5, progress=False)
