"""User's code in the middle of work: what it changes is undone after each call, or refused before the first step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import slt
from slt.errors import DataError, LossError
from slt.problem import untouched
from slt.problem.guard import Guard
from slt.problem.switches import OF_PROCESS, OF_THREAD, THREADS, put_back, settings
from tests.models import drawn, mlp, per_example, seeded

X, Y = drawn(40, 4, seed=1), drawn(40, 3, seed=2)
SWITCHES = (THREADS, *OF_THREAD, *OF_PROCESS)


def normalised() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3)))


left_on: list[Any] = []  # an inference mode lasts as long as the object that entered it


def leave_inference_mode_on(model: nn.Module) -> None:
    left_on.append(torch.inference_mode())
    left_on[-1].__enter__()


def train_and_back(model: nn.Module) -> None:
    model.train()
    model(X + 5.0)
    model.eval()


DISTURBING: dict[str, Callable[[nn.Module], Any]] = {
    "train mode": lambda m: m.train(),
    "train mode of a part": lambda m: m[2].train(),
    "running statistics": train_and_back,
    "a kernel that writes": lambda m: nn.functional.batch_norm(
        m[0](X), m[1].running_mean, m[1].running_var, training=True
    ),
    "another buffer": lambda m: setattr(m[1], "running_mean", torch.full((5,), 3.0)),
    "requires_grad": lambda m: m.requires_grad_(False),
    "gradients": lambda m: m(X).sum().backward(),
    "a hook": lambda m: m[0].register_forward_hook(lambda module, inputs, output: 2 * output),
    "gradients off": lambda m: torch.set_grad_enabled(False),
    "inference mode": leave_inference_mode_on,
    "the default type": lambda m: torch.set_default_dtype(torch.float16),
    "autocast": lambda m: torch.set_autocast_enabled("cpu", True),
    "threads": lambda m: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic algorithms": lambda m: torch.use_deterministic_algorithms(True),
    "attention": lambda m: torch.backends.cuda.enable_math_sdp(False),
}


class Accuracy:
    """An ordinary function of the model that ends in something else."""

    def __init__(self, then: Callable[[nn.Module], Any] = lambda model: None) -> None:
        self.then = then

    def __call__(self, model: nn.Module) -> Tensor:
        with torch.no_grad():
            value = per_example(model, (X, Y)).mean()
        self.then(model)
        return value


def run(method: Any = "in_place", **settings: Any) -> slt.Trace:
    posterior = slt.LocalPosterior(normalised(), (X, Y), per_example, nbeta=5.0, localization=1.0, batch_size=8)
    given = {"chains": 2, "draws": 4, "warmup": 2, "progress": False, "chain_method": method} | settings
    return slt.sample(posterior, slt.SGLD(step_size=1e-4), **given)


@pytest.fixture(scope="module")
def plain() -> dict[str, slt.Trace]:
    return {method: run(method, observe={"it": Accuracy()}) for method in ("in_place", "vectorized")}


@pytest.mark.parametrize("method", ["in_place", "vectorized"])
@pytest.mark.parametrize("kind", DISTURBING)
def test_an_observable_changes_neither_the_draws_nor_what_it_records(
    kind: str, method: str, plain: dict[str, slt.Trace]
) -> None:
    trace = run(method, observe={"it": Accuracy(DISTURBING[kind])})
    assert (trace.get("posterior", "excess") == plain[method].get("posterior", "excess")).all()
    assert (trace.get("observables", "it") == plain[method].get("observables", "it")).all()
    left_on.clear()


class Custom:
    """An observable of the user's own class."""

    def __init__(self, function: Callable[[nn.Module], Any]) -> None:
        self.function = function

    def bind(self, posterior: slt.LocalPosterior, bound: Any) -> Any:
        def record(w: dict[str, Tensor]) -> Tensor:
            self.function(posterior.problem.model)
            return torch.zeros(len(next(iter(w.values()))))

        return record


@pytest.mark.parametrize("kind", ["train mode", "running statistics", "the default type"])
def test_an_observable_of_another_class_changes_no_draws(kind: str, plain: dict[str, slt.Trace]) -> None:
    trace = run(observe={"it": Custom(DISTURBING[kind])})
    assert (trace.get("posterior", "excess") == plain["in_place"].get("posterior", "excess")).all()


@pytest.mark.parametrize("kind", ["train mode", "gradients off", "the default type"])
def test_a_stopping_rule_changes_no_draws(kind: str) -> None:
    posterior = slt.LocalPosterior(normalised(), (X, Y), per_example, nbeta=5.0, localization=1.0, batch_size=8)

    def draws(then: Callable[[nn.Module], Any]) -> Any:
        def until(trace: slt.Trace) -> bool:
            then(posterior.problem.model)
            return False

        settings: Any = {"chains": 1, "draws": 24, "warmup": 2, "progress": False}
        return slt.sample(posterior, slt.SGLD(step_size=1e-4), until=until, **settings).get("posterior", "excess")

    assert (draws(DISTURBING[kind]) == draws(lambda model: None)).all()


@pytest.mark.parametrize("kind", DISTURBING)
def test_one_call_is_undone_also_where_it_raises(kind: str) -> None:
    class Mine(Exception):
        pass

    def raising(model: nn.Module) -> None:
        DISTURBING[kind](model)
        raise Mine

    model = normalised()
    with untouched(model):
        guard = Guard(model)
        before, weights = settings(SWITCHES), {name: t.clone() for name, t in model.state_dict().items()}
        with pytest.raises(Mine):
            guard.call(raising, model)
        assert settings(SWITCHES) == before
        assert not torch.is_inference_mode_enabled()
        assert not any(module.training for module in model.modules())
        assert not any(module._forward_hooks for module in model.modules())
        assert all(p.grad is None and p.requires_grad for p in model.parameters())
        assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())
    left_on.clear()


class Source(Dataset):
    """Rows whose reading changes something."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        self.act()
        return X[row], Y[row]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "gradients": (lambda: torch.set_grad_enabled(False), r"torch.set_grad_enabled \(True -> False\)"),
    "type": (lambda: torch.set_default_dtype(torch.float16), "torch.set_default_dtype"),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "torch.autocast on cpu"),
    "attention": (lambda: torch.backends.cuda.enable_math_sdp(False), "torch.backends.cuda.enable_math_sdp"),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), "torch.use_deterministic_algorithms"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_data_and_losses_that_switch_torch_are_refused_by_name(kind: str) -> None:
    act, message = REFUSED[kind]
    before = settings(SWITCHES)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        value = per_example(model, batch)
        act()
        return value

    with pytest.raises(LossError, match=f"the loss must leave .* changed {message}"):
        slt.LocalPosterior(mlp(4, 3), (X, Y), loss)
    with pytest.raises(DataError, match=f"the data must leave .* changed {message}"):
        slt.LocalPosterior(mlp(4, 3), Source(act), per_example)
    assert settings(SWITCHES) == before
    put_back(SWITCHES, before)


def test_data_that_change_the_mode_of_the_model_are_refused() -> None:
    model = mlp(4, 3)
    with pytest.raises(DataError, match=r"changed the mode of module '0'|changed the mode of module ''"):
        slt.LocalPosterior(model, Source(model.train), per_example)
