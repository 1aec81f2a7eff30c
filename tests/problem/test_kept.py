"""What a forward pass leaves on its model is gone after a run, and what it changed is as before."""

import copy
import io
import pickle
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slt.errors import SltError
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.running import sample
from slt.samplers import SGLD
from tests.models import CASES, Case, drawn, per_example, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


class Remembering(nn.Module):
    """Keeps its last probabilities, as models do whose attention is looked at later."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.last = nn.Linear(4, 3), None

    def forward(self, x: Tensor) -> Tensor:
        out = self.read(x)
        self.last = out.softmax(-1)
        return out


class Keeper(nn.Module):
    """Leaves something on itself at every forward pass."""

    def __init__(self, leave: Callable[["Keeper", Tensor], Any]) -> None:
        super().__init__()
        self.read = nn.Linear(4, 3)
        self.register_buffer("mean", torch.tensor([-0.0, torch.nan]))
        self.register_buffer("absent", None)
        self.offset, self.scale = torch.zeros(3), torch.ones(3, requires_grad=True)
        self.count, self.last, self.deep = 0, None, {"kept": [torch.zeros(1)], "pairs": ([], {})}
        self.list, self.dict, self.set, self.deque = [1], {"a": 1}, {1}, deque([1], maxlen=2)
        self.ordered, self.default, self.counter = OrderedDict(a=1), defaultdict(list), Counter("a")
        self.hidden = [nn.Linear(4, 3)]  # no submodule
        self.leave = leave

    def forward(self, x: Tensor) -> Tensor:
        out = self.read(x)
        self.leave(self, out)
        return out


def set_(name: str, value: Callable[[Tensor], Any]) -> Callable[[Keeper, Tensor], Any]:
    return lambda m, out: setattr(m, name, value(out))


LEFT: dict[str, Callable[[Keeper, Tensor], Any]] = {
    "a new attribute": set_("probabilities", lambda out: out.softmax(-1)),
    "a changed attribute": set_("last", lambda out: out),
    "a count": lambda m, out: setattr(m, "count", m.count + 1),
    "a deleted attribute": lambda m, out: vars(m).pop("last", None),
    "a list": lambda m, out: m.list.append(out),
    "a list's order": lambda m, out: m.list.insert(0, out),
    "a dict": lambda m, out: m.dict.update(a=out, b=out),
    "a set": lambda m, out: m.set.add(out),
    "a deque": lambda m, out: m.deque.append(out),
    "an ordered dict": lambda m, out: m.ordered.update(b=out),
    "a default dict": lambda m, out: m.default["a"].append(out),
    "a counter": lambda m, out: m.counter.update("b"),
    "a container in a container": lambda m, out: m.deep["kept"].append(out),
    "a container in a tuple": lambda m, out: m.deep["pairs"][0].append(out),
    "the content of a tensor": lambda m, out: m.offset.add_(1),
    "the content of a tensor in a container": lambda m, out: m.deep["kept"][0].add_(1),
    "the storage of a tensor": lambda m, out: setattr(m.offset, "data", torch.ones(3)),
    "the shape of a tensor": lambda m, out: m.offset.unsqueeze_(0),
    "the sign of a zero in a buffer": lambda m, out: m.mean[0].abs_(),
    "the storage of a buffer": lambda m, out: setattr(m.mean, "data", torch.ones(2)),
    "a gradient beside the parameters": lambda m, out: m.scale.sum().backward(),
    "a flag beside the parameters": lambda m, out: m.scale.requires_grad_(False),
    "a registered buffer": lambda m, out: m.register_buffer("more", torch.zeros(1)),
    "a buffer that was None": lambda m, out: setattr(m, "absent", torch.zeros(1)),
    "a registered parameter": lambda m, out: m.register_parameter("more", nn.Parameter(torch.zeros(1))),
    "a registered module": lambda m, out: m.add_module("more", nn.Linear(1, 1).eval()),
    "a replaced module": lambda m, out: setattr(m, "read", copy.copy(m.read)),
    "an attribute of a part": lambda m, out: setattr(m.read, "last", out),
    "an attribute of a parameter": lambda m, out: setattr(m.read._parameters["bias"], "seen", True),
    "an attribute of a module in a list": lambda m, out: setattr(m.hidden[0], "last", out),
    "a hook": lambda m, out: m.read.register_forward_hook(lambda *_: None),
    "a mode": lambda m, out: setattr(m.hidden[0], "training", False),
}


def told(value: Any, seen: dict[int, Any]) -> Any:
    """Everything a value holds, by identity and to the bit."""
    if id(value) in seen:
        return id(value)
    seen[id(value)] = value
    if isinstance(value, Tensor):
        grad = value.grad if value.is_leaf else None
        bits = value.detach().contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else float(value)
        return id(value), bits, value.data_ptr(), value.shape, value.requires_grad, id(grad), told(vars(value), seen)
    if isinstance(value, nn.Module):
        return id(value), told(vars(value), seen)
    if isinstance(value, dict):
        return id(value), [(key, told(each, seen)) for key, each in value.items()]
    if isinstance(value, (list, tuple, set, deque)):
        return id(value), [told(each, seen) for each in value]
    return id(value)


def run(model: nn.Module, method: Any, loss: Any = per_example, data: Any = (X, Y), **settings: Any) -> None:
    posterior = LocalPosterior(model, data, loss, nbeta=5.0, localization=1.0, batch_size=8, **settings)
    sample(posterior, SGLD(step_size=1e-5), chains=2, draws=2, warmup=0, chain_method=method, progress=False)


@pytest.mark.parametrize("method", ["auto", "in_place"])
@pytest.mark.parametrize("left", LEFT)
def test_nothing_stays_on_the_model(left: str, method: str) -> None:
    model = seeded(lambda: Keeper(LEFT[left]))
    seen: dict[int, Any] = {}  # keeps what it has met alive, so that an id means one thing
    before = told(model, seen)
    run(model, method)
    assert told(model, {}) == before


@pytest.mark.parametrize("left", LEFT)
def test_what_was_left_can_be_told(left: str) -> None:
    model = seeded(lambda: Keeper(LEFT[left]))
    seen: dict[int, Any] = {}
    before = told(model, seen)
    model(X)
    assert told(model, {}) != before


def test_nothing_is_put_back_where_nothing_changed() -> None:
    """Writing the same bits again would break a graph of the user's that holds the tensor."""
    model = seeded(lambda: Keeper(lambda m, out: None))
    versions = [t._version for t in (model.mean, model.offset, *model.parameters())]
    run(model, "in_place")
    assert [t._version for t in (model.mean, model.offset, *model.parameters())] == versions


def old_norm(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Norms of weights as torch had them before parametrizations: a hook computes an attribute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return seeded(lambda: nn.Sequential(norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3)))


MODELS: dict[str, Callable[[], Case | nn.Module]] = {
    **CASES,
    "last probabilities": lambda: seeded(Remembering),
    "old spectral norm": lambda: old_norm(nn.utils.spectral_norm),
    "spectral norm": lambda: old_norm(nn.utils.parametrizations.spectral_norm),
}


class Late(Exception):
    """Raised by a loss at the end of a run."""


class Failing:
    """A loss that fails at one of its calls."""

    def __init__(self, loss: Callable[[nn.Module, Any], Tensor], at: int = 0) -> None:
        self.loss, self.at, self.calls = loss, at, 0

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise Late
        return self.loss(model, batch)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_copied_and_saved_as_before(name: str, fails: bool) -> None:
    made = MODELS[name]()
    model, data, loss = (made.model, made.data, made.loss) if isinstance(made, Case) else (made, (X, Y), per_example)
    settings = {"parameters": made.parameters} if isinstance(made, Case) else {}
    before, state = pickled(model), {name: t.clone() for name, t in model.state_dict().items()}
    if fails and callable(loss):
        counting = Failing(loss)
        run(model, "auto", counting, data, **settings)
        with pytest.raises(Late):
            run(model, "auto", Failing(loss, at=counting.calls), data, **settings)
    else:
        run(model, "auto", loss, data, **settings)
    assert pickled(model) == before
    if before:
        torch.save(model, io.BytesIO())
        for now in (model.state_dict(), copy.deepcopy(model).state_dict()):
            assert list(now) == list(state)
            assert all(torch.equal(now[name], tensor) for name, tensor in state.items())


def pickled(model: nn.Module) -> bytes:
    """The model's bytes; none where torch refuses, as it does parametrizations."""
    try:
        return pickle.dumps(model)
    except RuntimeError as error:
        if "parametrized modules" not in str(error):
            raise
        return b""


def test_a_tensor_that_an_ended_vmap_left_is_no_hindrance() -> None:
    model = seeded(Remembering)
    torch.vmap(lambda shift: model(X + shift))(torch.zeros(2, 1, 1))
    left = model.last
    with untouched(model):
        model(X)
    assert model.last is left


def test_an_error_stays_the_caller_s() -> None:
    with pytest.raises(SltError, match="must be finite"):
        run(seeded(Remembering), "auto", data=(X * torch.nan, Y))
