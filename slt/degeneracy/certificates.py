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
_SAME = 1e-9  # of a gradient's largest entry: what two ways to compute it may differ by
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
        self.alone = True
        self.held: list[Tensor] = []
        self.seen: list[Tensor] = []


def certify(network: Network, inputs: Inputs, *, batch: int | None = None, seed: int = 0) -> list[Certificate]:
    r"""Certify null directions of every linear layer, convolution and embedding whose weight is used by it alone.

    The Jacobian of all outputs with respect to a layer's weight W has rows sum_t g_t x_t^T, with x_t the layer's inputs
    and g_t the derivatives of an output with respect to the layer's output at each position t. They lie in a product of
    spans, so

    .. math:: \text{nullity} \ge d_{in} d_{out} - \operatorname{rank}(x_t)\, \operatorname{rank}(g_t)

    The span of all g_t is found by backward passes from random combinations of all outputs: it has been found, with
    probability one, when a further combination adds nothing over all the data. Gradients of the loss would not do: they
    vanish where the loss does. Null directions of different layers are independent, so their numbers add up. A layer
    whose weight is read outside it too has a gradient that is not the sum over g_t x_t^T, and is left out.

    Use it inside `slt.degeneracy.function.exact`.

    Args:
        network: The model with its function.
        inputs: The data.
        batch: Examples of a pass; None lets the layers' widths decide.
        seed: Seed of the combinations.

    Returns:
        A certificate for each layer, those without null directions too.
    """
    taps = _taps(network)
    require_memory(certificate_bytes(network), "certifying null directions", "choose fewer layers with parameters=")
    generator = torch.Generator("cpu").manual_seed(seed)
    size = batch or max(1, min(64, _ACTIVATIONS // max(1, max((sum(_sizes(t.module)) for t in taps), default=1) * 64)))
    first = True
    for _ in range(_MOST_DRAWS):
        before = [tap.rank for tap in taps]
        for piece in inputs.chunks(size):
            _pass(network, taps, piece, generator, read=first)
        for tap, old in zip(taps, before, strict=True):
            if tap.settled:
                continue
            tap.rank = _rank(tap.gradients)
            tap.settled = (tap.rank == old and not first) or tap.rank == tap.gradients.columns
        if all(tap.settled for tap in taps):
            break
        first = False
    return [_certificate(network, tap) for tap in taps if tap.alone]


def left_out(network: Network, certificates: list[Certificate]) -> list[str]:
    """Name the layers with a matrix that moves, of which no certificate speaks."""
    spoken, moving = {c.layer for c in certificates}, {id(s.parameter) for s in network.segments}
    return [
        name
        for name, module in network.model.named_modules()
        if isinstance(module, _KINDS) and id(module._parameters.get("weight")) in moving and name not in spoken
    ]


def _taps(network: Network) -> list[_Tap]:
    """The layers whose weight moves whole, is the weight of no other layer, and is used by calling the layer."""
    moving = {id(s.parameter): s for s in network.segments}
    counts: dict[int, int] = {}
    for module in network.model.modules():
        for p in module.parameters(recurse=False):
            counts[id(p)] = counts.get(id(p), 0) + 1
    found = []
    for name, module in network.model.named_modules():
        if not isinstance(module, _KINDS) or getattr(module, "groups", 1) != 1:
            continue
        if "weight" not in module._parameters:
            continue  # it is computed from other parameters
        held = [p for p in (module.weight, getattr(module, "bias", None)) if p is not None]
        whole = all(id(p) in moving and moving[id(p)].index is None and counts[id(p)] == 1 for p in held)
        if whole and not isinstance(module, _ATTENTION_PARTS):
            found.append(_Tap(name, module))
    return found


_KINDS = (nn.Linear, nn.Conv2d, nn.Embedding)
_ATTENTION_PARTS = (nn.modules.linear.NonDynamicallyQuantizableLinear,)  # read by attention without being called


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Inputs, with one for a bias, and outputs of a layer."""
    if isinstance(module, nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    weight = cast("Tensor", module.weight)
    return weight.shape[1:].numel() + (module.bias is not None), weight.shape[0]


def certificate_bytes(network: Network) -> float:
    """Return the memory that certificates take: factors of every layer, and one batch's inputs and gradients."""
    factors = sum(
        2 * out**2 + (0 if tap.embedding else 2 * width**2)
        for tap in _taps(network)
        for width, out in [_sizes(tap.module)]
    )
    return 8.0 * (4 * network.dimension + factors + 8 * _ACTIVATIONS)


def _pass(network: Network, taps: list[_Tap], batch: Any, generator: torch.Generator, *, read: bool) -> None:
    """One forward pass with taps on, and backward passes from random combinations of its outputs."""
    for tap in taps:
        tap.held = []
    leaf = network.center.clone().requires_grad_(read)
    with _tapped(taps):
        value = network(leaf, batch).reshape(len(tensors_of(batch)[0]), -1)
    held = [t for tap in taps for t in tap.held]
    for k in range(_DRAWS):
        weights = torch.randn(value.shape, generator=generator, dtype=torch.float64, device="cpu").to(value.device)
        checked = read and k == 0
        wanted = [*held, leaf] if checked else held
        found = torch.autograd.grad(value, wanted, weights, retain_graph=k + 1 < _DRAWS, materialize_grads=True)
        pieces = iter(found)
        for tap in taps:
            rows = [_rows(tap, next(pieces)) for _ in tap.held]
            if not tap.settled:
                for piece in rows:
                    tap.gradients.add(piece)
            if checked:
                tap.alone &= _adds_up(network, tap, rows, found[-1])
    for tap in taps:
        if read:
            _read(tap)
        tap.held, tap.seen = [], []


@contextlib.contextmanager
def _tapped(taps: list[_Tap]) -> Iterator[None]:
    """Let every layer's output pass through a leaf, so that gradients are those at the output alone."""

    def hook(tap: _Tap) -> Any:
        def seen(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            tap.seen.append(args[0].detach())
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


def _read(tap: _Tap) -> None:
    """Take in a layer's inputs."""
    for x in tap.seen:
        if tap.embedding:
            tap.used.update(x.unique().tolist())
        else:
            tap.inputs.add(_columns(tap, x))


def _columns(tap: _Tap, x: Tensor) -> Tensor:
    """A layer's inputs, a row for each position, with a one for the bias."""
    if isinstance(tap.module, nn.Conv2d):
        module = tap.module
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        x = nn.functional.pad(x, module._reversed_padding_repeated_twice, mode=mode)
        columns = nn.functional.unfold(
            x, cast("Any", module.kernel_size), cast("Any", module.dilation), 0, cast("Any", module.stride)
        )
        rows = columns.transpose(1, 2).reshape(-1, columns.shape[1])
    else:
        rows = x.reshape(-1, x.shape[-1])
    if getattr(tap.module, "bias", None) is not None:
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
    return rows


def _rows(tap: _Tap, gradient: Tensor) -> Tensor:
    """Gradients at a layer's output, a row for each position."""
    if isinstance(tap.module, nn.Conv2d):
        return gradient.transpose(0, 1).flatten(1).T
    return gradient.reshape(-1, gradient.shape[-1])


def _adds_up(network: Network, tap: _Tap, rows: list[Tensor], gradient: Tensor) -> bool:
    """Whether a layer's whole gradient is the sum over positions of g x^T: nothing else reads its weight."""
    where = network.slices()
    names = {id(s.parameter): s.name for s in network.segments}
    held = [p for p in (tap.module.weight, getattr(tap.module, "bias", None)) if p is not None]
    width, out = _sizes(tap.module)
    parts = [gradient[where[names[id(p)]]] for p in held]
    if isinstance(tap.module, nn.Embedding):
        real, summed = parts[0].reshape(width, out), gradient.new_zeros(width, out)
        for x, g in zip(tap.seen, rows, strict=True):
            summed.index_add_(0, x.reshape(-1), g)
        if tap.module.padding_idx is not None:
            summed[tap.module.padding_idx] = 0  # held still by torch
    else:
        real = torch.cat([part.reshape(out, -1) for part in parts], 1)
        summed = sum((g.T @ _columns(tap, x) for x, g in zip(tap.seen, rows, strict=True)), torch.zeros_like(real))
    return bool((real - summed).abs().max() <= _SAME * max(float(real.abs().max()), float(summed.abs().max())))


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
