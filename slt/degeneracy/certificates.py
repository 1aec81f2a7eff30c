"""Null directions certified layer by layer, in one pass over the data: for networks too large for a dense Jacobian."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from slt.degeneracy.function import Inputs, Network
from slt.degeneracy.linalg import TOLERANCE, Rows
from slt.degeneracy.precision import require_memory
from slt.problem.data import tensors_of

_DRAWS = 2  # random combinations of the outputs a batch, at least
_MOST_DRAWS = 64  # and at most; where they do not suffice the rank is taken as full
_ACTIVATIONS = 2**22  # numbers of one batch's inputs and gradients of one layer that are held at a time


@dataclass(frozen=True)
class Certificate:
    """At least so many null directions among the weights of one layer.

    Attributes:
        layer: Its name.
        kind: "linear", "convolution" or "embedding".
        entries: Its moving entries.
        nullity: Certified null directions.
        inputs: Rank of the layer's inputs over all data and positions, out of `input_size`.
        input_size: Inputs, one more where there is a bias.
        outputs: Rank of the Jacobians of all outputs with respect to the layer's output, out of `output_size`.
        output_size: Outputs of the layer.
    """

    layer: str
    kind: str
    entries: int
    nullity: int
    inputs: int
    input_size: int
    outputs: int
    output_size: int

    def __str__(self) -> str:
        """One line."""
        if self.kind == "embedding":
            why = f"{self.input_size - self.inputs} of {self.input_size} rows are not used"
        else:
            why = f"inputs of rank {self.inputs} of {self.input_size}"
        return (
            f"{self.layer}: {self.nullity:,} of {self.entries:,} ({why}, outputs' Jacobians of rank {self.outputs} of "
            f"{self.output_size})"
        )


class _Tap:
    """What passes through one layer: its inputs, and the gradients at its output."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module
        self.embedding = isinstance(module, nn.Embedding)
        width, out = _sizes(module)
        self.input_size = width
        self.inputs = Rows(0 if self.embedding else width)
        self.used: set[int] = set()
        self.gradients = Rows(out)
        self.rank = 0
        self.settled = False
        self.held: list[Tensor] = []


def certify(network: Network, inputs: Inputs, *, batch: int | None = None, seed: int = 0) -> list[Certificate]:
    r"""Certify null directions of every linear layer, convolution and embedding whose weight is used by it alone.

    The Jacobian of all outputs with respect to a layer's weight W has rows sum_t g_t x_t^T, with x_t the layer's inputs
    and g_t the derivatives of an output with respect to the layer's output at each position t. They lie in a product of
    spans, so

    .. math:: \text{nullity} \ge d_{in} d_{out} - \operatorname{rank}(x_t)\, \operatorname{rank}(g_t)

    The span of all g_t is found by backward passes from random combinations of all outputs: it has been found, with
    probability one, when a further combination adds nothing over all the data. Gradients of the loss would not do: they
    vanish where the loss does. Null directions of different layers are independent, so their numbers add up. Use it
    inside `slt.degeneracy.function.exact`.

    Args:
        network: The model with its function.
        inputs: The data.
        batch: Examples of a pass; None lets the layers' widths decide.
        seed: Seed of the combinations.

    Returns:
        A certificate for each layer, those without null directions too.
    """
    taps = _taps(network)
    require_memory(_bytes(network, taps), "certifying null directions", "choose fewer layers with parameters=")
    generator = torch.Generator("cpu").manual_seed(seed)
    size = batch or max(1, min(64, _ACTIVATIONS // max(1, max((sum(_sizes(t.module)) for t in taps), default=1) * 64)))
    first = True
    for _ in range(_MOST_DRAWS):
        before = [tap.rank for tap in taps]
        for piece in inputs.chunks(size):
            _pass(network, taps, piece, generator, read=first)
        for tap, old in zip(taps, before, strict=True):
            tap.rank = _rank(tap.gradients)
            tap.settled = (tap.rank == old and not first) or tap.rank == tap.gradients.columns
        if all(tap.settled for tap in taps):
            break
        first = False
    return [_certificate(network, tap) for tap in taps]


def _taps(network: Network) -> list[_Tap]:
    """The layers whose weight moves whole, and is the weight of no other layer."""
    moving = {id(s.parameter): s for s in network.segments}
    counts: dict[int, int] = {}
    for module in network.model.modules():
        for p in module.parameters(recurse=False):
            counts[id(p)] = counts.get(id(p), 0) + 1
    found = []
    for name, module in network.model.named_modules():
        if not isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)) or getattr(module, "groups", 1) != 1:
            continue
        held = [p for p in (module.weight, getattr(module, "bias", None)) if p is not None]
        whole = all(id(p) in moving and moving[id(p)].index is None and counts[id(p)] == 1 for p in held)
        if whole and not isinstance(module, _ATTENTION_PARTS):
            found.append(_Tap(name, module))
    return found


_ATTENTION_PARTS = (nn.modules.linear.NonDynamicallyQuantizableLinear,)  # read by attention without being called


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Inputs, with one for a bias, and outputs of a layer."""
    if isinstance(module, nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    weight = cast("Tensor", module.weight)
    return weight[0].numel() + (module.bias is not None), weight.shape[0]


def _bytes(network: Network, taps: list[_Tap]) -> float:
    factors = sum(
        2 * out**2 + (0 if tap.embedding else 2 * width**2) for tap in taps for width, out in [_sizes(tap.module)]
    )
    return 8.0 * (4 * network.dimension + factors + 8 * _ACTIVATIONS)


def _pass(network: Network, taps: list[_Tap], batch: Any, generator: torch.Generator, *, read: bool) -> None:
    """One forward pass with taps on, and backward passes from random combinations of its outputs."""
    for tap in taps:
        tap.held = []
    with _tapped(taps, read=read):
        value = network(network.center, batch).reshape(len(tensors_of(batch)[0]), -1)
    held = [t for tap in taps for t in tap.held]
    for k in range(_DRAWS):
        weights = torch.randn(value.shape, generator=generator, dtype=torch.float64, device="cpu").to(value.device)
        found = torch.autograd.grad(value, held, weights, retain_graph=k + 1 < _DRAWS, materialize_grads=True)
        pieces = iter(found)
        for tap in taps:
            for _ in tap.held:
                _add(tap, next(pieces))
    for tap in taps:
        tap.held = []


@contextlib.contextmanager
def _tapped(taps: list[_Tap], *, read: bool) -> Iterator[None]:
    """Let every layer's output pass through a leaf, so that gradients are those at the output alone."""

    def hook(tap: _Tap) -> Any:
        def seen(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            if read:
                _read(tap, args[0].detach())
            # a zero added: its gradient is that at the output, whatever the layer's weights are
            added = torch.zeros_like(output, requires_grad=True)
            tap.held.append(added)
            return output + added

        return seen

    handles = [tap.module.register_forward_hook(hook(tap)) for tap in taps]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read(tap: _Tap, x: Tensor) -> None:
    """Take in a layer's inputs."""
    if tap.embedding:
        tap.used.update(x.unique().tolist())
        return
    if isinstance(tap.module, nn.Conv2d):
        module = tap.module
        padding = module.padding if isinstance(module.padding, tuple) else (0, 0)
        columns = nn.functional.unfold(
            x, cast("Any", module.kernel_size), cast("Any", module.dilation), padding, cast("Any", module.stride)
        )
        rows = columns.transpose(1, 2).reshape(-1, columns.shape[1])
    else:
        rows = x.reshape(-1, x.shape[-1])
    if getattr(tap.module, "bias", None) is not None:
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    tap.inputs.add(rows)


def _add(tap: _Tap, gradient: Tensor) -> None:
    axis = 1 if isinstance(tap.module, nn.Conv2d) else gradient.ndim - 1
    if not tap.settled:
        tap.gradients.add(
            gradient.transpose(0, axis).flatten(1).T if axis == 1 else gradient.reshape(-1, gradient.shape[-1])
        )


def _rank(rows: Rows) -> int:
    factor = rows.factor()
    if not factor.numel() or not bool(factor.any()):
        return 0
    values = torch.linalg.svdvals(factor)
    return int((values > TOLERANCE * values[0]).sum())


def _certificate(network: Network, tap: _Tap) -> Certificate:
    width, out = _sizes(tap.module)
    inputs = len(tap.used) if tap.embedding else _rank(tap.inputs)
    outputs = tap.rank if tap.settled else out
    kind = "embedding" if tap.embedding else "convolution" if isinstance(tap.module, nn.Conv2d) else "linear"
    return Certificate(
        layer=tap.name,
        kind=kind,
        entries=width * out,
        nullity=width * out - inputs * outputs,
        inputs=inputs,
        input_size=width,
        outputs=outputs,
        output_size=out,
    )
