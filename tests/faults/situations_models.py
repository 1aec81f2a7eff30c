"""Models: the same linear regression, written as users write theirs."""

import concurrent.futures
import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from tests.faults.situations_axes import (
    EITHER,
    OWN,
    REFUSED,
    RISE,
    SLOPES,
    Array,
    Model,
    UserError,
    affine,
    pair,
    squares,
)


def put(parameter: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(values.reshape(parameter.shape))


def linear(best: Tensor) -> nn.Linear:
    """The plain one: three slopes and a bias."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(3, 1)
    put(model.weight, best[:3])
    put(model.bias, best[3:])
    return model


def slopes_only(x: Array) -> Array:
    return x


def bias_only(x: Array) -> Array:
    return np.ones((len(x), 1))


def by_slopes(x: Array) -> Array:
    return x @ SLOPES[:, None]


def rise(x: Array) -> Array:
    return np.full((len(x), 1), RISE)


def with_slopes(best: Tensor) -> nn.Linear:
    """Slopes that stay where they are, and a bias that moves."""
    return linear(torch.cat([torch.from_numpy(SLOPES), best]))


def changed(change: Callable[[nn.Linear], Any]) -> Callable[[Tensor], nn.Module]:
    """Make the plain model, and do something to it; what that returns stands for the model, unless it is None."""

    def build(best: Tensor) -> nn.Module:
        model = linear(best)
        found = change(model)
        return found if isinstance(found, nn.Module) else model

    return build


class Around(nn.Module):
    """A module around the plain one, which the kinds below change in one point."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.inner = linear(best)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class KeepsLast(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.inner(x)
        return self.last


class Counts(Around):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class Appends(Around):
    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.seen: list[int] = []
        self.memo: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        self.memo["x"] = x
        return self.inner(x)


class CountsInBuffer(Around):
    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class NewBuffer(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("mean", x.detach().mean(0), persistent=False)
        return self.inner(x)


class WritesInput(Around):
    def forward(self, x: Tensor) -> Tensor:
        x += 1.0
        return self.inner(x)


class WritesAndRestoresInput(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.mul_(2).div_(2))


class WritesWeights(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner.weight.clamp_(-5, 5)
        return self.inner(x)


class ShiftsWeights(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner.weight.add_(1e-3)
        return self.inner(x)


class ReplacesWeights(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.inner.weight = nn.Parameter(self.inner.weight.detach().clone())
        return self.inner(x)


class Trains(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.inner.train()
        return self.inner(x)


class Freezes(Around):
    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        self.inner.bias.requires_grad_(False)
        return out


class SetsFlags(Around):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.set_num_threads(1)
        return self.inner(x)


class Restyles(Around):
    """Leaves torch's global switches otherwise than it found them."""

    def forward(self, x: Tensor) -> Tensor:
        torch.backends.mkldnn.set_flags(False)
        torch.use_deterministic_algorithms(True)
        warnings.simplefilter("ignore", BytesWarning)
        return self.inner(x)


class WithoutGradient(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.inner(x)


class DetachedSlopes(Around):
    """Half of it is hidden from differentiation."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.inner.weight.data, self.inner.bias)


class ByNumPy(Around):
    def forward(self, x: Tensor) -> Tensor:
        w = self.inner.weight.detach().cpu().numpy()
        return torch.from_numpy(x.detach().numpy() @ w.T) + self.inner.bias


class Branches(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if self.inner.bias.item() < 1e6 else x[:, :1]


class Differentiates(Around):
    """The inputs' gradient of half the square of its output would do as well: it is asked for, and left."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        out = self.inner(x)
        grad = torch.autograd.grad(out.sum(), x, create_graph=True)[0]
        return out + 0 * grad.sum(1, keepdim=True)


class CallsBackward(Around):
    def forward(self, x: Tensor) -> Tensor:
        self.inner(x).sum().backward()
        return self.inner(x)


class Checkpointed(Around):
    def forward(self, x: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=False)


class ReentrantCheckpoint(Around):
    def forward(self, x: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(self.inner, x.requires_grad_(), use_reentrant=True)


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


class OwnFunction(Around):
    def forward(self, x: Tensor) -> Tensor:
        return _Twice.apply(self.inner(x)) / 2


class SubModule(nn.Module):
    """Holds its numbers as it likes."""

    def __init__(self, **held: Any) -> None:
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)


class Listed(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.parts = nn.ParameterList([nn.Parameter(b.float()) for b in best])

    def forward(self, x: Tensor) -> Tensor:
        return (sum(p * x[:, k] for k, p in enumerate(list(self.parts)[:3])) + self.parts[3]).unsqueeze(1)


class InDict(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.parts = nn.ParameterDict(
            {"w": nn.Parameter(best[:3].float().unsqueeze(0)), "b": nn.Parameter(best[3:].float())}
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.parts["w"], self.parts["b"])


class OwnList(Around):
    """Keeps its weights in a list of its own beside the module."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.held = [self.inner.weight, self.inner.bias]

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, *self.held)


class ViewBuffer(Around):
    """A buffer that is a view of a parameter, and is what it computes with."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.register_buffer("view", self.inner.weight.detach().view(3))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.view).unsqueeze(1) + self.inner.bias


class UnusedViewBuffer(Around):
    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.register_buffer("view", self.inner.weight.detach()[0, :1])


class Flat(nn.Module):
    """One long parameter, of which views are taken."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.flat = nn.Parameter(best.float())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.flat[:3].view(1, 3), self.flat[3:])


class SharedStorage(nn.Module):
    """Two parameters that lie in one piece of memory, end to end."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        flat = best.float()
        self.w, self.b = nn.Parameter(flat[:3]), nn.Parameter(flat[3:])

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).unsqueeze(1) + self.b


class Overlapping(nn.Module):
    """Two parameters of one memory: what moves the one would move the other, if it were written to."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(best[:1].float())
        self.c = nn.Parameter(self.b.detach())
        self.register_buffer("w", torch.from_numpy(SLOPES).float())

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).unsqueeze(1) + self.b + self.c


class Expanded(nn.Module):
    """A parameter of three entries that are one number in memory."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(best[:1].float().expand(3))
        self.register_buffer("w", torch.from_numpy(SLOPES).float())

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).unsqueeze(1) + self.b.sum()


class Tied(nn.Module):
    """One weight under two names: half of each slope from the one, half from the other."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.a, self.b = linear(best), linear(best)
        self.b.weight, self.b.bias = self.a.weight, self.a.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class TiedByProperty(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.a = linear(best)

    @property
    def b(self) -> nn.Linear:
        return self.a

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class Bagged(nn.Module):
    """Levels for two classes of rows, by an embedding."""

    def __init__(self, best: Tensor, **settings: Any) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.level = nn.Embedding(2, 1, **settings)
        put(self.level.weight, best)
        self.register_buffer("slopes", torch.from_numpy(SLOPES).float())

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.slopes).unsqueeze(1) + self.level((x[:, 0] > 0).long())


def classes(x: Array) -> Array:
    return np.stack([x[:, 0] <= 0, x[:, 0] > 0], 1).astype(float)


class SpareInput(nn.Module):
    """An embedding of which no row is asked for in the data, and a bias."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.inner = linear(best)
        self.empty = nn.Parameter(torch.zeros(0, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.empty.sum()


class Complex(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.inner = linear(best)
        self.phase = nn.Parameter(torch.ones(1, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.phase.abs()


class OnlyComplex(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.level = nn.Parameter(best.to(torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.from_numpy(SLOPES).float()[:, None] + self.level.real


class Mine(Tensor):
    """A tensor with a name of its own."""


class _Counting(Tensor):
    """A tensor that has a say in what torch does to it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_function__(func, types, args, kwargs or {})


class Subclassed(nn.Module):
    def __init__(self, best: Tensor, kind: type[Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(best[:3].float().unsqueeze(0).as_subclass(kind))
        self.b = nn.Parameter(best[3:].float())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.w, self.b).as_subclass(Tensor)


class SubclassedParameter(nn.Parameter):
    """A parameter of a class of its own, as Hugging Face and bitsandbytes have some."""


def own_parameter(model: nn.Linear) -> None:
    model.weight = SubclassedParameter(model.weight.detach())
    model.weight.told = "something of my own"


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LazyLinear(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def initialized_lazy(best: Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        model = Lazy()
        model(torch.zeros(1, 3))
    put(model.inner.weight, best[:3])
    put(model.inner.bias, best[3:])
    return model


def inference_made(best: Tensor) -> nn.Module:
    with torch.inference_mode():
        return linear(best)


def on_meta(best: Tensor) -> nn.Module:
    return linear(best).to("meta")


class Doubled(nn.Module):
    """A parametrization: the weight is twice what is held."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def doubled(model: nn.Linear) -> None:
    parametrize.register_parametrization(model, "weight", Doubled(), unsafe=True)


def doubly(x: Array) -> Array:
    """What the entries are multiplied by where each counts twice."""
    return 2 * affine(x)


def twice(x: Array) -> Array:
    return np.hstack([2 * x, np.ones((len(x), 1))])


def with_norm(kind: str) -> Callable[[Tensor], nn.Module]:
    """A layer whose weight is normalized in some way and stays as it is; the bias moves."""

    def build(best: Tensor) -> nn.Module:
        model = with_slopes(best)
        unit = model.weight.detach() / model.weight.detach().norm()
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            if kind == "spectral, old":
                torch.nn.utils.spectral_norm(model)
                for _ in range(3):  # what its power iteration takes
                    model.train()(torch.zeros(1, 3))
            elif kind == "weight, old":
                torch.nn.utils.weight_norm(model)
            elif kind == "spectral":
                parametrizations.spectral_norm(model)
            elif kind == "weight":
                parametrizations.weight_norm(model)
            else:
                parametrizations.orthogonal(model)
                model.weight = unit
        return model.eval()

    return build


def normed_slopes(x: Array) -> Array:
    """What the normalized layers add: the slopes at length one."""
    return x @ (SLOPES / np.linalg.norm(SLOPES))[:, None]


def old_weight_norm(best: Tensor) -> nn.Module:
    """Length and bias move, the direction stays; a linear regression in these."""
    model = linear(torch.cat([torch.from_numpy(SLOPES / np.linalg.norm(SLOPES)) * best[0], best[1:]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.nn.utils.weight_norm(model)
    return model


def new_weight_norm(best: Tensor) -> nn.Module:
    model = linear(torch.cat([torch.from_numpy(SLOPES / np.linalg.norm(SLOPES)) * best[0], best[1:]]))
    parametrizations.weight_norm(model)
    return model


def length_and_one(x: Array) -> Array:
    return np.hstack([normed_slopes(x), np.ones((len(x), 1))])


def pruned(model: nn.Linear) -> None:
    prune.identity(model, "weight")


class Halves(nn.Module):
    """Half a model; a hook doubles what it puts out."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.inner = linear(best)
        self.inner.register_forward_hook(lambda module, args, output: 2 * output)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def pre_hooked(model: nn.Linear) -> None:
    model.register_forward_pre_hook(lambda module, args: (args[0] * 1.0,))


def storing_hook(model: nn.Linear) -> None:
    def store(module: Any, args: Any, output: Tensor) -> None:
        module.seen = output

    model.register_forward_hook(store)


def scaled_gradient(model: nn.Linear) -> None:
    model.weight.register_hook(lambda grad: 3 * grad)


def watched_gradient(model: nn.Linear) -> None:
    model.seen = []
    model.weight.register_hook(lambda grad: model.seen.append(float(grad.detach().sum())))


def accumulated_hook(model: nn.Linear) -> None:
    model.weight.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(3))


def module_backward_hook(model: nn.Linear) -> None:
    model.register_full_backward_hook(lambda module, given, out: tuple(None if g is None else 3 * g for g in given))


def module_backward_pre_hook(model: nn.Linear) -> None:
    model.register_full_backward_pre_hook(lambda module, out: tuple(3 * g for g in out))


def with_gradients(model: nn.Linear) -> None:
    for p in model.parameters():
        p.grad = torch.ones_like(p)


def dead_tensor(model: nn.Linear) -> None:
    """The last loss, as a training loop leaves it: a tensor of a graph that is gone."""
    model.last_loss = (model(torch.ones(2, 3)) ** 2).sum()
    torch.autograd.grad(model.last_loss, model.weight)


def lives_in_graph(model: nn.Linear) -> None:
    model.history = [(model.weight * 2).sum()]


def locked(model: nn.Linear) -> None:
    """What cannot be copied or pickled hangs on the model."""
    model.lock, model.made = threading.Lock(), (k for k in range(3))


def compiled(model: nn.Linear) -> nn.Module:
    return torch.compile(model, backend="eager")


def compiled_in_place(model: nn.Linear) -> None:
    model.compile(backend="eager")


def scripted(model: nn.Linear) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(model)


def traced(model: nn.Linear) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, torch.zeros(2, 3))


class InTrainingMode(nn.Module):
    """Dropout and normalization as after training, which slt evaluates as in use."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(3, affine=False)
        norm.running_var -= norm.eps  # so that in use it changes nothing
        self.body = nn.Sequential(norm, nn.Dropout(0.5), linear(best))
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Raises(Around):
    def forward(self, x: Tensor) -> Tensor:
        raise UserError("not today")


class RaisesLater(Around):
    """Fails after the set-up, in the middle of the chains, having changed itself."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.calls = [0]

    def forward(self, x: Tensor) -> Tensor:
        if torch.autograd.forward_ad._current_level < 0 and float(self.inner.bias.detach().mean()) > 1e9:
            return x
        self.calls[0] += 1
        if self.calls[0] > 60:
            raise UserError("not any more")
        return self.inner(x)


class InThread(Around):
    """Does its work in another thread."""

    def forward(self, x: Tensor) -> Tensor:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(self.inner, x).result()


class Recasting(Around):
    """Autocast inside, as in a model that was trained so; the last layer in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.autocast("cpu", enabled=False):
                return self.inner(x)


class Functional(Around):
    """Calls itself by torch.func inside."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.func.functional_call(self.inner, dict(self.inner.named_parameters()), (x,))


class PerExample(Around):
    def forward(self, x: Tensor) -> Tensor:
        return torch.func.vmap(self.inner)(x)


class Cached(Around):
    """Keeps the weight that it made of its parameters until told otherwise: never."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "_weight"):
            self._weight = 1 * self.inner.weight
        return functional.linear(x, self._weight, self.inner.bias)


class CachedByVersion(Around):
    """Keeps what it made as long as the weights' version counter stays: p.data = ... does not move it."""

    def forward(self, x: Tensor) -> Tensor:
        version = self.inner.weight._version
        if getattr(self, "_of", None) != version:
            self._of, self._weight = version, self.inner.weight.detach().clone()
        return functional.linear(x, self._weight, self.inner.bias)


class CachedByAddress(Around):
    """Keeps what it made for each place in memory where a weight was seen."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.held: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        weight = self.inner.weight
        return functional.linear(x, self.held.setdefault(id(weight), weight.detach().clone()), self.inner.bias)


class CountsInArray(Around):
    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.calls = np.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class Statistics:
    """What a user's logger keeps."""

    def __init__(self) -> None:
        self.calls = [0]


class CountsInObject(Around):
    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.statistics = Statistics()
        self.calls = self.statistics.calls  # so that it can be seen from outside

    def forward(self, x: Tensor) -> Tensor:
        self.statistics.calls[0] += 1
        return self.inner(x)


class DrawsByItsOwn(Around):
    """Draws from a generator of its own, for something that it does not use."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.generator = torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        torch.randn(1, generator=self.generator)
        return self.inner(x)


class BuildsHead(Around):
    """Makes a part of itself when it is called for the first time."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "head"):
            self.head = nn.Identity()
        return self.head(self.inner(x))


class CastsItself(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.to(torch.float64).to(torch.float32).inner(x)


class InEightBits(Around):
    """A still parameter of eight bits, beside those that move."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.scales = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn), requires_grad=False)


def writing_pre_hook(model: nn.Linear) -> None:
    def write(module: nn.Linear, args: Any) -> None:
        with torch.no_grad():
            module.weight.mul_(1.0)

    model.register_forward_pre_hook(write)


def exported(model: nn.Linear) -> nn.Module:
    rows = torch.export.Dim("rows")
    return torch.export.export(model, (torch.zeros(4, 3),), dynamic_shapes=({0: rows},)).module()


class DynamicAttribute(Around):
    def __getattr__(self, name: str) -> Any:
        if name == "anything":
            raise UserError("asked for anything")
        return super().__getattr__(name)


class Slotted(Around):
    """Has a property of the name of something that slt might set."""

    @property
    def training_(self) -> bool:
        return self.training

    def train(self, mode: bool = True) -> "Slotted":
        self.told = mode
        return super().train(mode)


class NoEval(Around):
    """A user's train() with another signature, and an eval() that returns nothing."""

    def eval(self) -> None:
        super().train(False)


class HasN(Around):
    """Parameters with names that others use."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.w = nn.Parameter(torch.zeros(1))
        self.model = nn.Identity()
        self.loss = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 0 * self.w


def with_idle(x: Array) -> Array:
    return np.hstack([affine(x), np.zeros((len(x), 1))])


def has_n(best: Tensor) -> nn.Module:
    return HasN(best[:4])


def half_frozen(model: nn.Linear) -> None:
    model.bias.requires_grad_(False)


def frozen(model: nn.Linear) -> None:
    model.requires_grad_(False)


def slopes_that_move(best: Tensor) -> nn.Module:
    model = linear(torch.cat([best, torch.tensor([RISE])]))
    model.bias.requires_grad_(False)
    return model


def as_dtype(dtype: torch.dtype) -> Callable[[Tensor], nn.Module]:
    def build(best: Tensor) -> nn.Module:
        model = linear(best).to(dtype)
        put(model.weight, best[:3].to(dtype))
        put(model.bias, best[3:].to(dtype))
        return model

    return build


class MixedTypes(nn.Module):
    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(best[:3].double()), nn.Parameter(best[3:].float())

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() @ self.w).float().unsqueeze(1) + self.b


class Transposed(nn.Module):
    """A weight that is laid out the other way round in memory."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        held = torch.zeros(3, 2)
        held[:, 0], held[:, 1] = best[:3], 0.0
        self.w, self.b = nn.Parameter(held.t()), nn.Parameter(best[3].float())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w.sum(0).unsqueeze(1) + self.b


def summed_slopes(x: Array) -> Array:
    return np.hstack([x, x, np.ones((len(x), 1))])


def transposed(best: Tensor) -> nn.Module:
    return Transposed(torch.cat([best[:3] + best[3:6], best[6:]]))


def mean_loss(model: Any, batch: Any) -> Tensor:
    return squares(model, batch).mean()


def summed_loss(model: Any, batch: Any) -> Tensor:
    return squares(model, batch).sum()


def summed_zero_loss(model: Any, batch: Any) -> Tensor:
    """A sum whose value at w* is zero, where a sum and a mean are the same."""
    x, _ = pair(batch)
    return ((model(x) - model.wanted(x)) ** 2).sum() / 2


class AtZero(Around):
    """Has the targets that it meets exactly, as a student of itself."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        self.teacher = copy.deepcopy(self.inner).requires_grad_(False)

    def wanted(self, x: Tensor) -> Tensor:
        return self.teacher(x)


def student_loss(model: Any, batch: Any) -> Tensor:
    x, _ = pair(batch)
    return ((model(x) - model.wanted(x)) ** 2).sum(1) / 2


def training_loss(model: Any, batch: Any) -> Tensor:
    """The loss of a training loop: it sets the mode, and clears the gradients."""
    model.train()
    model.zero_grad()
    return squares(model, batch)


def seeding_loss(model: Any, batch: Any) -> Tensor:
    torch.manual_seed(1)
    return squares(model, batch)


def writing_loss(model: Any, batch: Any) -> Tensor:
    x, y = pair(batch)
    y.add_(0.1)
    return squares(model, (x, y))


def double_loss(model: Any, batch: Any) -> Tensor:
    return squares(model, batch).double()


def failing_loss(model: Any, batch: Any) -> Tensor:
    raise UserError("no loss")


def restless_loss(model: Any, batch: Any) -> Tensor:
    return squares(model, batch) * (1 + 0.1 * torch.rand(()))


def half_detached_loss(model: Any, batch: Any) -> Tensor:
    """Has the gradient of another loss."""
    x, y = pair(batch)
    off = model(x) - y
    return (off.detach() * off).sum(1) / 2


def there_and_back_loss(model: Any, batch: Any) -> Tensor:
    """Moves the weights, and moves them back."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5)
        for p in model.parameters():
            p.sub_(0.5)
    return squares(model, batch)


def closing_over(best: Tensor) -> nn.Module:
    """A model that its loss knows otherwise than by its argument."""
    model = linear(best)
    CLOSED["model"] = model
    return model


CLOSED: dict[str, nn.Module] = {}


def closed_loss(model: Any, batch: Any) -> Tensor:
    return squares(CLOSED["model"], batch)


def stepping_loss(model: Any, batch: Any) -> Tensor:
    """A training step in place of a loss: it changes what it is a loss of."""
    loss = squares(model, batch)
    with torch.no_grad():
        for p in model.parameters():
            p.sub_(1e-4 * p)
    return loss


def training_observable() -> dict[str, Any]:
    def observe(model: nn.Module) -> Tensor:
        model.train()
        return next(model.parameters()).sum()

    return {"told": observe}


def writing_observable() -> dict[str, Any]:
    def observe(model: nn.Module) -> Tensor:
        with torch.no_grad():
            next(model.parameters()).add_(0.5)
        return next(model.parameters()).sum()

    return {"told": observe}


def storing_observable() -> dict[str, Any]:
    def observe(model: nn.Module) -> Tensor:
        model.last = next(model.parameters())
        return model.last.sum()

    return {"told": observe}


def empty_observable() -> dict[str, Any]:
    return {"told": lambda model: None}


def listed_observables() -> Any:
    return ["loss"]


def failing_observable() -> dict[str, Any]:
    def observe(model: nn.Module) -> Tensor:
        raise UserError("nothing to see")

    return {"told": observe}


class Recurrent(nn.Module):
    """An identity through a recurrent network that is not in use, whose weights are one flat piece."""

    def __init__(self, best: Tensor) -> None:
        super().__init__()
        self.inner = linear(best)
        self.lstm = nn.LSTM(3, 2, batch_first=True).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 0 * self.lstm(x.unsqueeze(1))[0].sum(2)


class Attends(Around):
    """Attention in the still part: its fast path is another for inference."""

    def __init__(self, best: Tensor) -> None:
        super().__init__(best)
        with torch.random.fork_rng(devices=[]):
            self.layer = nn.TransformerEncoderLayer(4, 1, 4, batch_first=True).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        wide = functional.pad(x, (0, 1)).unsqueeze(1)
        return self.inner(x) + 0 * self.layer(wide).sum((1, 2), keepdim=False).unsqueeze(1)


def lstm(best: Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return Recurrent(best)


def shared_module(best: Tensor) -> nn.Module:
    return nn.Sequential(linear(best), (twin := nn.Identity()), twin)


PLAIN = "linear"

MODELS: list[tuple[str, Model]] = [
    (PLAIN, Model(linear)),
    ("loss by name", Model(linear, loss="gaussian")),
    ("in a sequence", Model(lambda best: nn.Sequential(linear(best), nn.Identity()))),
    ("one module twice", Model(shared_module)),
    ("names that slt uses", Model(has_n, columns=with_idle)),
    # weights held otherwise
    ("ParameterList", Model(Listed)),
    ("ParameterDict", Model(InDict)),
    ("a list of its own", Model(OwnList, expected=EITHER, function=False)),
    ("one flat parameter", Model(Flat)),
    ("parameters in one storage", Model(SharedStorage)),
    ("two parameters of one memory", Model(Overlapping, lambda x: np.ones((len(x), 2)), by_slopes, EITHER)),
    ("an expanded parameter", Model(Expanded, lambda x: np.ones((len(x), 3)), by_slopes, EITHER)),
    ("a transposed weight", Model(transposed, columns=summed_slopes)),
    ("an empty parameter", Model(SpareInput)),
    ("tied weights", Model(Tied, columns=doubly)),
    ("tied by a property", Model(TiedByProperty, columns=doubly)),
    ("a view of a weight as buffer, used", Model(ViewBuffer, expected=EITHER, function=False)),
    ("a view of a weight as buffer, unused", Model(UnusedViewBuffer)),
    ("a subclassed tensor", Model(lambda best: Subclassed(best, Mine), expected=EITHER)),
    ("a subclassed tensor with a say", Model(lambda best: Subclassed(best, _Counting), expected=EITHER)),
    ("a subclassed parameter", Model(changed(own_parameter))),
    ("a lazy module, uninitialized", Model(lambda best: Lazy(), expected=REFUSED)),
    ("a lazy module, initialized", Model(initialized_lazy)),
    ("made in inference mode", Model(inference_made, expected=EITHER)),
    ("on meta", Model(on_meta, expected=REFUSED)),
    ("pruned", Model(changed(pruned))),
    ("frozen slopes", Model(slopes_that_move, slopes_only, rise)),
    ("frozen altogether", Model(changed(frozen), expected=REFUSED)),
    ("frozen, moved by name", Model(changed(frozen), parameters=["weight", "bias"])),
    ("a mask of entries", Model(with_slopes, bias_only, by_slopes, parameters={"bias": True})),
    # types
    ("float64", Model(as_dtype(torch.float64), dtype=torch.float64)),
    ("float16", Model(as_dtype(torch.float16), dtype=torch.float16, function=False)),
    ("bfloat16", Model(as_dtype(torch.bfloat16), dtype=torch.bfloat16, expected=EITHER, function=False)),
    ("mixed types", Model(MixedTypes)),
    ("a complex parameter among others", Model(Complex, expected=REFUSED)),
    ("a complex parameter alone", Model(OnlyComplex, bias_only, by_slopes, REFUSED)),
    # embeddings
    ("an embedding", Model(Bagged, classes, by_slopes)),
    ("a sparse embedding", Model(lambda best: Bagged(best, sparse=True), classes, by_slopes, EITHER)),
    ("an embedding with max_norm", Model(lambda best: Bagged(best, max_norm=9.0), classes, by_slopes, EITHER)),
    (
        "an embedding with max_norm in use",
        Model(lambda best: Bagged(best, max_norm=0.3), classes, by_slopes, REFUSED),
    ),
    (
        "an embedding scaled by frequency",
        Model(lambda best: Bagged(best, scale_grad_by_freq=True), classes, by_slopes, EITHER),
    ),
    # normalized and parametrized weights
    ("spectral_norm, old", Model(with_norm("spectral, old"), bias_only, normed_slopes, parameters="bias")),
    ("spectral_norm", Model(with_norm("spectral"), bias_only, normed_slopes, parameters="bias")),
    ("weight_norm, old", Model(with_norm("weight, old"), bias_only, by_slopes, parameters="bias")),
    ("weight_norm", Model(with_norm("weight"), bias_only, by_slopes, parameters="bias")),
    ("orthogonal", Model(with_norm("orthogonal"), bias_only, normed_slopes, parameters="bias")),
    (
        "weight_norm, old, its length",
        Model(old_weight_norm, length_and_one, parameters=["weight_g", "bias"]),
    ),
    (
        "weight_norm, its length",
        Model(new_weight_norm, length_and_one, parameters=["parametrizations.weight.original0", "bias"]),
    ),
    ("a parametrization of one's own", Model(changed(doubled), columns=twice, function=True)),
    # forwards that write
    ("writes to an attribute", Model(KeepsLast)),
    ("counts its calls", Model(Counts)),
    ("appends to its lists", Model(Appends)),
    ("counts in a buffer", Model(CountsInBuffer, expected=EITHER)),
    ("makes a buffer", Model(NewBuffer)),
    ("writes to its input", Model(WritesInput, expected=EITHER)),  # a rank is taken on copies in float64
    ("writes to its input and undoes it", Model(WritesAndRestoresInput, expected=EITHER)),
    ("writes to its weights", Model(WritesWeights, expected=EITHER)),
    ("shifts its weights", Model(ShiftsWeights, expected=REFUSED, function=False)),
    ("replaces its weights", Model(ReplacesWeights, expected=EITHER, function=False)),
    ("sets train mode in its forward", Model(Trains, expected=REFUSED, function=False)),
    ("freezes in its forward", Model(Freezes, expected=EITHER, function=False)),
    ("seeds in its forward", Model(SetsFlags)),
    ("switches torch's flags", Model(Restyles, expected=EITHER)),  # which change what later evaluations give
    ("calls backward inside", Model(CallsBackward, expected=EITHER)),
    ("keeps a weight it made", Model(Cached, expected=EITHER, function=False)),
    ("keeps a weight by its version", Model(CachedByVersion, expected=REFUSED, function=False)),
    ("keeps a weight by its address", Model(CachedByAddress, expected=EITHER, function=False)),
    ("counts in an array", Model(CountsInArray)),
    ("counts in an object", Model(CountsInObject)),
    ("draws from its own generator", Model(DrawsByItsOwn)),
    ("builds its head", Model(BuildsHead, expected=EITHER)),
    ("casts itself", Model(CastsItself, expected=EITHER, function=False)),
    ("a hook that writes to the weight", Model(changed(writing_pre_hook), expected=EITHER)),
    # forwards that hide
    ("without gradients", Model(WithoutGradient, expected=REFUSED, function=False)),
    ("slopes detached", Model(DetachedSlopes, expected=EITHER, function=False)),
    ("slopes by NumPy", Model(ByNumPy, expected=EITHER, function=False)),
    ("looks at a value", Model(Branches)),
    ("differentiates inside", Model(Differentiates, expected=EITHER)),  # not where gradients are off
    ("checkpointed", Model(Checkpointed, expected=EITHER)),  # which an explanation cannot wait for
    ("checkpointed, reentrant", Model(ReentrantCheckpoint, expected=EITHER, function=False)),
    ("an autograd.Function", Model(OwnFunction, expected=EITHER)),
    ("computes in a thread", Model(InThread, expected=EITHER, function=False)),
    ("autocast inside", Model(Recasting)),
    ("functional_call inside", Model(Functional)),
    ("vmap inside", Model(PerExample)),
    # hooks
    ("a forward hook that is half of it", Model(Halves, columns=doubly)),
    ("a forward pre-hook", Model(changed(pre_hooked))),
    ("a forward hook that stores", Model(changed(storing_hook))),
    ("a hook that scales the gradient", Model(changed(scaled_gradient), expected=EITHER)),
    ("a hook that watches the gradient", Model(changed(watched_gradient), expected=EITHER)),
    ("a hook after accumulation", Model(changed(accumulated_hook))),
    ("a module's backward hook", Model(changed(module_backward_hook), expected=EITHER)),
    ("a module's backward pre-hook", Model(changed(module_backward_pre_hook), expected=EITHER)),
    # what else it is
    ("a parameter of eight bits", Model(InEightBits, expected=EITHER, function=False)),
    ("exported", Model(changed(exported), expected=EITHER, function=False)),
    # what hangs on the model
    ("gradients", Model(changed(with_gradients))),
    ("a dead tensor", Model(changed(dead_tensor))),
    ("a living graph", Model(changed(lives_in_graph))),
    ("what cannot be copied", Model(changed(locked))),
    # wrapped
    ("compiled", Model(changed(compiled))),
    ("compiled in place", Model(changed(compiled_in_place))),
    ("scripted", Model(changed(scripted), function=False)),
    ("traced", Model(changed(traced), function=False)),
    ("DataParallel", Model(lambda best: nn.DataParallel(linear(best)))),
    # modes
    ("train mode", Model(changed(lambda model: model.train()))),
    ("eval mode", Model(changed(lambda model: model.eval()))),
    ("train mode with dropout and BatchNorm", Model(InTrainingMode)),
    ("an eval that returns nothing", Model(NoEval)),
    ("a train that writes", Model(Slotted)),
    ("an attribute that raises", Model(DynamicAttribute)),
    ("a recurrent part", Model(lstm, function=False)),
    ("attention in a still part", Model(Attends, function=False)),
    # the user's own exceptions
    ("raises", Model(Raises, expected=OWN)),
    ("raises later", Model(RaisesLater, expected=OWN, function=False)),
    # losses
    ("a mean loss", Model(linear, loss=mean_loss)),
    ("a summed loss", Model(linear, loss=summed_loss, expected=REFUSED, function=False)),
    ("at zero loss", Model(AtZero, loss=student_loss, function=False)),
    ("a summed loss at zero", Model(AtZero, loss=summed_zero_loss, expected=REFUSED, function=False)),
    ("a loss that trains", Model(linear, loss=training_loss, expected=REFUSED, function=False)),
    ("a loss that seeds", Model(linear, loss=seeding_loss, function=False)),
    ("a loss that writes to its data", Model(linear, loss=writing_loss, expected=REFUSED, function=False)),
    ("a loss in float64", Model(linear, loss=double_loss, function=False)),
    ("a loss that raises", Model(linear, loss=failing_loss, expected=OWN, function=False)),
    ("a random loss", Model(linear, loss=restless_loss, expected=REFUSED, function=False)),
    ("a loss that closes over the model", Model(closing_over, loss=closed_loss, function=False)),
    ("a loss that takes a step", Model(linear, loss=stepping_loss, expected=REFUSED, function=False)),
    ("a loss half detached", Model(linear, loss=half_detached_loss, expected=EITHER, function=False)),
    ("a loss that goes and comes back", Model(linear, loss=there_and_back_loss, expected=EITHER, function=False)),
    # observables
    ("an observable of nothing", Model(linear, observe=empty_observable, expected=REFUSED, function=False)),
    ("observables in a list", Model(linear, observe=listed_observables, expected=REFUSED, function=False)),
    ("an observable that trains", Model(InTrainingMode, observe=training_observable, expected=EITHER, function=False)),
    ("an observable that writes", Model(linear, observe=writing_observable, expected=EITHER, function=False)),
    ("an observable that stores", Model(linear, observe=storing_observable, function=False)),
    ("an observable that raises", Model(linear, observe=failing_observable, expected=OWN, function=False)),
]
