"""What a forward pass did: which layer's units feed which layer, and through which function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from slt.problem.data import Batch, tensors_of

_ACTIVATIONS = {
    *("relu", "leaky_relu", "tanh", "sigmoid", "logsigmoid", "gelu", "silu", "softplus", "elu", "selu", "celu", "mish"),
    *(
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "relu6",
        "softsign",
        "tanhshrink",
        "exp",
        "square",
        "pow",
        "relu_",
        "abs",
    ),
}
_CARRIERS = {"dropout", "feature_dropout", "dropout2d", "contiguous", "identity"}
_POOLS = {
    "max_pool2d",
    "_max_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "flatten",
    "reshape",
    "view",
    "_unsafe_view",
}
_PRODUCTS = {"mul", "__mul__", "__rmul__", "multiply"}
KINKED = {"relu", "relu_", "leaky_relu", "relu6", "hardtanh", "abs", "clamp", "hardswish", "hardsigmoid", "prelu"}

_FIRST = "its input is the model's"

Layer = nn.Linear | nn.Conv2d


@dataclass(eq=False)
class Node:
    """One call of the forward pass."""

    name: str
    inputs: list["Node"]
    value: Tensor
    replay: Callable[[Tensor], Tensor] | None = None
    layer: str | None = None
    readers: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class UnitLayer:
    """A hidden layer: the units between the layers that write them and the one that reads them.

    Attributes:
        writers: Names of the layers that write the units: one, or gate and up of a gated unit, in this order.
        reader: Name of the layer that reads them.
        branches: For each writer what happens to its output before the product, if there is one.
        after: What happens between the activation (or product) and the reader: pooling, flattening.
        written: The writers' outputs on the data.
        read: The reader's input on the data.
        linear: Whether nothing at all lies between.
        pools_maximum: Whether a maximum is pooled on the way, which no negative factor passes.
        channels: Whether the units are channels of a convolution.
    """

    writers: tuple[str, ...]
    reader: str
    branches: tuple[tuple[Node, ...], ...]
    after: tuple[Node, ...]
    written: tuple[Tensor, ...]
    read: Tensor
    linear: bool
    pools_maximum: bool
    channels: bool

    def activation(self, branch: int, z: Tensor) -> Tensor:
        """Apply one branch's activation to numbers."""
        for node in self.branches[branch]:
            assert node.replay is not None, "only functions of one tensor are on a branch"
            z = node.replay(z)
        return z

    def acts(self) -> Tensor:
        """The units' activations on the data, (units, everything else)."""
        values = [self.activation(i, z) for i, z in enumerate(self.written)]
        product = values[0] if len(values) == 1 else values[0] * values[1]
        return product.transpose(0, self.axis).flatten(1)

    @property
    def axis(self) -> int:
        """Where the units stand in the writers' outputs."""
        return 1 if self.channels else self.written[0].ndim - 1


class Tracer(TorchFunctionMode):
    """Records every call that makes a tensor."""

    def __init__(self, model: nn.Module) -> None:
        """Learn which parameter belongs to which layer."""
        super().__init__()
        self.nodes: dict[int, Node] = {}
        self.calls: dict[str, list[Node]] = {}
        self.kinks: list[tuple[str, float]] = []
        counts: dict[int, int] = {}
        for p in (p for m in model.modules() for p in m.parameters(recurse=False)):
            counts[id(p)] = counts.get(id(p), 0) + 1
        self._owners = {
            id(weight): name
            for name, m in model.named_modules()
            if isinstance(m, (nn.Linear, nn.Conv2d, nn.Embedding))
            if (weight := m._parameters.get("weight")) is not None and counts[id(weight)] == 1
        }
        self._kept: list[Any] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make the call and note it."""
        named = dict(kwargs or {})
        given = [t for t in (*tensors_of(list(args)), *tensors_of(named))]
        sources = [self.nodes[id(t)] for t in given if id(t) in self.nodes]
        name = getattr(func, "__name__", "")
        if name in KINKED and given and given[0].numel():
            self.kinks.append((name, _nearness(name, given[0])))
        result = func(*args, **named)
        if isinstance(result, Tensor) and sources:
            self._note(name, func, args, named, sources, result)
        elif sources and isinstance(result, (tuple, list)):
            for t in tensors_of(list(result)):
                self._note(name, func, args, named, sources, t, many=True)
        return result

    def start(self, batch: Batch) -> None:
        """Let the inputs be the first nodes."""
        for t in tensors_of(batch):
            self.nodes[id(t)] = Node("input", [], t)
            self._kept.append(t)

    def _note(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        sources: list[Node],
        result: Tensor,
        *,
        many: bool = False,
    ) -> None:
        layer = None
        if func in (functional.linear, torch.conv2d, functional.conv2d, functional.embedding) and len(args) > 1:
            layer = self._owners.get(id(args[1]))
        single = len(sources) == 1 and bool(args) and isinstance(args[0], Tensor) and not many
        # a call in place leaves the value before it overwritten; nothing may read the recorded one
        node = Node(name, sources, result, _again(func, args[1:], kwargs) if single else None, layer)
        for source in sources:
            source.readers.append(node)
        self.nodes[id(result)] = node
        self._kept.append(result)
        if layer is not None:
            self.calls.setdefault(layer, []).append(node)


def _again(func: Callable[..., Any], others: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    # a copy: functions in place must not write into what was recorded
    return lambda z: func(z.clone(), *others, **kwargs)


def _nearness(name: str, z: Tensor) -> float:
    """Distance of the nearest entry to the kink at zero, over the typical size of the entries."""
    if not z.is_floating_point() or name in ("clamp", "hardtanh", "hardswish", "hardsigmoid"):
        return float("inf")
    size = float(z.abs().mean())
    return float(z.abs().min()) / size if size > 0 else 0.0


def trace(model: nn.Module, function: Callable[[nn.Module, Batch], Any], batch: Batch) -> Tracer:
    """Run a model once on a batch and record what it did; use it inside `slt.degeneracy.function.exact`."""
    tracer = Tracer(model)
    tracer.start(batch)
    with torch.no_grad(), tracer:
        output = function(model, batch)
    for t in tensors_of(output if isinstance(output, (Tensor, tuple, list, dict)) else []):
        if id(t) in tracer.nodes:
            tracer.nodes[id(t)].readers.append(Node("output", [], t))
    return tracer


def unit_layers(model: nn.Module, tracer: Tracer) -> tuple[list[UnitLayer], dict[str, str]]:
    """Find the hidden layers of a traced model whose units nothing else reads.

    Returns:
        The layers, and for each linear layer or convolution that is not a reader of one the reason.
    """
    modules = dict(model.named_modules())
    found: list[UnitLayer] = []
    skipped: dict[str, str] = {}
    for name, module in modules.items():
        if not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        calls = tracer.calls.get(name, [])
        if len(calls) != 1:
            skipped[name] = _without_one_call(module, len(calls))
            continue
        chosen = _walk(modules, tracer, calls[0])
        if isinstance(chosen, UnitLayer):
            found.append(chosen)
        elif chosen != _FIRST:
            skipped[name] = chosen
    return found, skipped


def _without_one_call(module: nn.Module, calls: int) -> str:
    if calls:
        return f"it is called {calls} times"
    return "its weight is shared" if "weight" in module._parameters else "its weight is computed from other parameters"


def _walk(modules: dict[str, nn.Module], tracer: Tracer, reader: Node) -> UnitLayer | str:
    """Go back from a reader's input to the layers that write it."""
    node, after = reader.inputs[0], []
    while node.layer is None and node.name in (_POOLS | _CARRIERS) and len(node.readers) == 1 and len(node.inputs) == 1:
        after.append(node)
        node = node.inputs[0]
    read = reader.inputs[0].value
    starts = node.inputs if node.name in _PRODUCTS and len(node.inputs) == 2 and len(node.readers) == 1 else [node]
    branches, writers, written = [], [], []
    for start in starts:
        path: list[Node] = []
        while start.layer is None and start.name in (_ACTIVATIONS | _CARRIERS) and len(start.inputs) == 1:
            if len(start.readers) != 1:
                return "its input is read elsewhere too"
            path.append(start)
            start = start.inputs[0]
        if start.layer is None or not isinstance(modules[start.layer], (nn.Linear, nn.Conv2d)):
            return _FIRST if start.name == "input" else f"its input comes from {start.name or 'no layer'}"
        if len(start.readers) != 1 or len(tracer.calls[start.layer]) != 1:
            return "its input is read elsewhere too"
        branches.append(tuple(reversed(path)))
        writers.append(start.layer)
        written.append(start.value)
    if len(branches) == 2 and not branches[0] and branches[1]:
        branches, writers, written = branches[::-1], writers[::-1], written[::-1]
    first = cast("Layer", modules[writers[0]])
    channels = isinstance(first, nn.Conv2d)
    target = cast("Layer", modules[str(reader.layer)])
    if any(getattr(modules[w], "groups", 1) != 1 for w in (*writers, str(reader.layer))):
        return "grouped convolutions are not looked at"
    if not channels and after and any(n.name in _POOLS for n in after):
        return "its input is reshaped"
    if any(node.name in ("relu_",) for path in branches for node in path):
        return "an activation in place overwrites its input"
    inputs = target.in_features if isinstance(target, nn.Linear) else target.in_channels
    units = first.out_channels if isinstance(first, nn.Conv2d) else first.out_features
    if inputs % units:
        return "its inputs are no multiple of the units"
    return UnitLayer(
        writers=tuple(writers),
        reader=str(reader.layer),
        branches=tuple(branches),
        after=tuple(reversed(after)),
        written=tuple(written),
        read=read,
        linear=len(branches) == 1 and not [n for n in branches[0] if n.name in _ACTIVATIONS] and not after,
        pools_maximum=any("max_pool" in n.name for n in after),
        channels=channels,
    )
