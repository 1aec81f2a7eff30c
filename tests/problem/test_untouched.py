"""A model, and the process around it, are bit-identical afterwards: after success, an exception, and Ctrl-C."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slt.errors import Interrupted
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.running import sample
from slt.samplers import HMC, SGLD, Sampler
from tests.models import drawn, mean_only, mlp, per_example, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


class Mishap(Exception):
    """Raised by a loss."""


def awkward_model() -> nn.Module:
    """BatchNorm in training mode beside a part in eval mode, a frozen part, gradients, hooks, NaN in a buffer."""
    model = seeded(
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3), nn.Tanh())
    )
    model.train()
    model[4].eval()
    per_example(model[3:], (drawn(5, 6), drawn(5, 3))).sum().backward()
    model[0].weight.requires_grad_(False)
    model[0].weight.grad = torch.full_like(model[0].weight, 0.25)
    model[1].register_buffer("unknown", torch.tensor([torch.nan, 1.0]))
    model[1].register_buffer("absent", None)
    model[0].register_forward_hook(lambda module, inputs, output: None)
    model[3].register_full_backward_hook(lambda module, inputs, outputs: None)
    return model


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass
class Snapshot:
    """Everything that is promised to stay."""

    state: dict[str, Any]
    process: dict[str, Any]

    @classmethod
    def of(cls, model: nn.Module) -> "Snapshot":
        state: dict[str, Any] = {}
        for name, module in model.named_modules():
            state[f"{name}: mode"] = module.training
            state[f"{name}: hooks"] = [len(getattr(module, kind)) for kind in HOOKS]
            state[f"{name}: names"] = (list(module._parameters), list(module._buffers), list(module._modules))
            for key, buffer in module._buffers.items():
                state[f"{name}.{key}: buffer"] = None if buffer is None else bits(buffer)
        for name, p in model.named_parameters():
            state[f"{name}: parameter"] = (bits(p), p.requires_grad, p.is_leaf, id(p), p.stride())
            state[f"{name}: gradient"] = None if p.grad is None else (id(p.grad), bits(p.grad))
        numbers = np.random.get_state()  # noqa: NPY002
        process = {
            "torch": torch.get_rng_state().tolist(),
            "numpy": (numbers[0], numbers[1].tolist(), *numbers[2:]),
            "python": random.getstate(),
            "threads": torch.get_num_threads(),
            "gradients": torch.is_grad_enabled(),
            "attention": (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()),
        }
        return cls(state, process)


def bits(tensor: Tensor) -> tuple[int, bytes]:
    return tensor.data_ptr(), tensor.detach().numpy().tobytes()


class Meddling:
    """A loss that leaves traces in everything around it, and fails at a chosen call."""

    def __init__(self, base: Callable[..., Tensor], error: BaseException | None = None, at: int = 0) -> None:
        self.base, self.error, self.at, self.calls = base, error, at, 0

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        self.calls += 1
        np.random.rand(3)  # noqa: NPY002
        random.random()
        torch.manual_seed(self.calls)
        if self.error is not None and self.calls == self.at:
            torch.set_num_threads(2)
            raise self.error
        model[1].num_batches_tracked += 1
        model[1].absent = torch.zeros(2)
        model[1].register_buffer("new", torch.ones(1))
        return self.base(model, batch)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SAMPLERS: dict[str, Sampler] = {"SGLD": SGLD(step_size=1e-5), "HMC": HMC(step_size=0.01, leapfrogs=2)}
LOSSES = {"per example": per_example, "mean": mean_only}


def draw(model: nn.Module, loss: Any, sampler: str, method: Any, **other: Any) -> Any:
    posterior = LocalPosterior(model, (X, Y), loss, nbeta=5.0, batch_size=8)
    return sample(
        posterior,
        SAMPLERS[sampler],
        **{"chains": 2, "draws": 5, "warmup": 5, "chain_method": method, "progress": False} | other,
    )


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_a_run_leaves_no_trace(method: str, sampler: str, kind: str):
    model, loss = awkward_model(), Meddling(LOSSES[kind])
    before = Snapshot.of(model)
    trace = draw(model, loss, sampler, method)
    assert Snapshot.of(model) == before
    assert trace.settings["chain_method"] == method
    assert float(abs(trace.get("posterior", "excess")).max()) > 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_auto_leaves_no_trace(sampler: str):
    model = awkward_model()
    before = Snapshot.of(model)
    draw(model, Meddling(per_example), sampler, "auto", warmup=20)
    assert Snapshot.of(model) == before


def calls_of_set_up(method: str) -> int:
    """Calls of the loss before the first step."""
    loss = Meddling(per_example)
    posterior = LocalPosterior(awkward_model(), (X, Y), loss, nbeta=5.0, batch_size=8)
    with untouched(posterior.problem.model):
        posterior.bind(method, 2)  # type: ignore[arg-type]
    return loss.calls


@pytest.mark.parametrize("error", [Mishap("mine"), RuntimeError("mine"), KeyboardInterrupt("mine")])
@pytest.mark.parametrize("later", [1, 9])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_an_error_in_the_loss_at_a_later_step_leaves_no_trace(
    method: str, sampler: str, later: int, error: BaseException
):
    model, loss = awkward_model(), Meddling(per_example, error, calls_of_set_up(method) + later)
    before = Snapshot.of(model)
    with pytest.raises(type(error)) as caught:
        draw(model, loss, sampler, method)
    assert loss.calls == loss.at, "nothing may run after the error"
    assert Snapshot.of(model) == before
    if isinstance(error, KeyboardInterrupt):
        assert isinstance(caught.value, Interrupted)
        assert caught.value.__cause__ is error
    else:
        assert caught.value is error


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("error", [Mishap("mine"), KeyboardInterrupt("mine")])
@pytest.mark.parametrize("method", ["auto", "vectorized", "in_place"])
def test_an_error_in_the_loss_during_set_up_leaves_no_trace(method: str, error: BaseException, at: int):
    model, loss = awkward_model(), Meddling(per_example, error, at)
    before = Snapshot.of(model)
    with pytest.raises(type(error), match=r"mine|interrupted"):
        draw(model, loss, "SGLD", method)
    assert loss.calls == at
    assert Snapshot.of(model) == before


def test_the_snapshot_sees_what_it_should():
    """The mutants of this file: each change by itself makes two snapshots differ."""

    def on(change: Callable[[nn.Module], Any]) -> Callable[[], Any]:
        def run() -> None:
            with torch.no_grad():
                change(model)

        return run

    changes: list[Callable[[], Any]] = [
        on(lambda m: m[0].weight.add_(1e-15)),
        on(lambda m: setattr(m[0].weight, "data", m[0].weight.data.clone())),
        on(lambda m: m[1].running_mean.add_(1)),
        on(lambda m: m.eval()),
        on(lambda m: m[4].train()),
        on(lambda m: m[0].weight.requires_grad_(True)),
        on(lambda m: setattr(m[0].weight, "grad", None)),
        on(lambda m: setattr(m[3].weight, "grad", m[3].weight.grad.clone())),
        on(lambda m: m[3].weight.grad.add_(1)),
        on(lambda m: m[0].register_forward_hook(print)),
        on(lambda m: setattr(m[1], "absent", torch.zeros(1))),
        on(lambda m: m.register_buffer("new", torch.zeros(1))),
        lambda: torch.rand(1),
        lambda: np.random.rand(1),  # noqa: NPY002
        random.random,
        lambda: torch.set_num_threads(2),
    ]
    for change in changes:
        model = awkward_model()
        before = Snapshot.of(model)
        assert Snapshot.of(model) == before
        change()
        assert Snapshot.of(model) != before
        torch.set_num_threads(1)


def test_inside_the_model_is_in_eval_mode_with_gradients_on():
    model = awkward_model()
    with torch.no_grad(), untouched(model):
        assert torch.is_grad_enabled()
        assert not any(module.training for module in model.modules())
    assert Counter(module.training for module in model.modules()) == {True: 5, False: 1}


def test_a_loss_that_calls_backward_does_not_add_to_the_user_s_gradients():
    model = awkward_model()
    before = Snapshot.of(model)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        per_example(model, batch).sum().backward()
        return per_example(model, batch)

    draw(model, loss, "SGLD", "in_place")
    assert Snapshot.of(model) == before


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_the_number_of_threads_is_put_back(method: str):
    def loss(model: nn.Module, batch: Any) -> Tensor:
        torch.set_num_threads(2)
        return per_example(model, batch)

    draw(mlp(4, 3), loss, "SGLD", method, draws=1, warmup=0)
    assert torch.get_num_threads() == 1


def test_tied_weights_stay_tied():
    model = mlp(4, 4, 4)
    model[2].weight = model[0].weight
    for method in ("vectorized", "in_place"):
        draw(model, lambda m, b: m(b[0]).square().sum(1), "SGLD", method)
        assert model[2].weight is model[0].weight


def test_nested_and_repeated_use_restore_as_well():
    model = awkward_model()
    before = Snapshot.of(model)
    with suppress(Mishap), untouched(model), untouched(model):
        torch.rand(1)
        raise Mishap
    assert Snapshot.of(model) == before
