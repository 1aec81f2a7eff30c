"""Units that a network does not need: dead, constant, duplicate, opposite, cancelling; and the network without them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from slt.degeneracy.function import (
    Function,
    FunctionName,
    Inputs,
    as_inputs,
    copied_in_double,
    doubled,
    exact,
    resolve_function,
)
from slt.degeneracy.graph import trace, unit_layers
from slt.degeneracy.units import Finding, Units, find, merge
from slt.errors import LossError

_FRESH_SEED = 40_123
_LOSSLESS = 1e-10  # of the largest output: what a lossless compression may differ by
_ROUNDS = 8


@dataclass(eq=False, repr=False)
class Reducibility:
    """What a network could do without.

    Attributes:
        findings: Each with its layer, its units, a kind, and whether it holds for the function or on these data.
        compressed: The network in float64 without the units that the function does not need (and with
            ``on_data=True`` without those that it does not need on these data).
        widths: Units of each hidden layer, before and after, by the name of the layer that writes them.
        error: Largest difference of outputs on the data, over the largest output.
        fresh_error: The same on as many fresh inputs; not expected to be small with ``on_data=True``.
        skipped: Layers whose inputs are not the units of another layer alone, with the reason.
    """

    findings: list[Finding]
    compressed: nn.Module
    widths: dict[str, tuple[int, int]]
    error: float
    fresh_error: float
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def lossless(self) -> bool:
        """Whether the outputs on the data agree to 1e-10 of the largest."""
        return self.error <= _LOSSLESS

    def __repr__(self) -> str:
        """One line a finding, then the widths and the comparison of outputs."""
        lines = [str(finding) for finding in self.findings] or ["no reducible unit was found"]
        widths = ", ".join(f"{name} {a} -> {b}" for name, (a, b) in self.widths.items())
        lines.append(f"widths: {widths or 'no hidden layer was looked at'}")
        lines.append(
            f"outputs differ by {self.error:.2g} of the largest on the data, {self.fresh_error:.2g} on fresh ones"
        )
        return "\n".join(lines)


def reducible(
    model: nn.Module, inputs: Any, *, function: FunctionName | Function = "logits", on_data: bool = False
) -> Reducibility:
    """Find reducible units and build the network without them.

    The lossless compression of Farrugia-Roberts (2023), for MLPs, convolutions, gated units and products of linear
    layers: constant units go into the next bias; units with equal or opposite incoming weights (or proportional ones,
    where the activation is homogeneous) become one; units that nothing reads go. Two weights are equal if they differ
    by less than 1e-10 of their size. Heads of `torch.nn.MultiheadAttention` are looked at and left in place.

    Args:
        model: The model, evaluated in eval mode and bit-identical afterwards; the compressed one is a copy.
        inputs: See `slt.functional_dimension`.
        function: What must stay the same.
        on_data: Whether to remove also what these data alone do not need.

    Returns:
        Findings, the compressed network, and the comparison of outputs that proves it.

    Raises:
        LossError: If the outputs on the data should not change but do.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    >>> with torch.no_grad():
    ...     net[0].weight[1], net[0].bias[1] = net[0].weight[0], net[0].bias[0]
    >>> result = reducible(net, torch.randn(50, 2))
    >>> [finding.kind for finding in result.findings], result.compressed[0].out_features, result.lossless
    (['duplicate'], 2, True)
    """
    chosen, _ = resolve_function(function)
    read = as_inputs(inputs)
    with exact(model):
        small = copied_in_double(model)
        before = chosen(small, doubled(read.batch)).detach()
        fresh = read.fresh(_FRESH_SEED)
        fresh_before = chosen(small, doubled(fresh.batch)).detach()
        findings, skipped = look(small, chosen, read)
        widths = _widths(small, chosen, read)
        _compress(small, chosen, read, on_data=on_data)
        after = _widths(small, chosen, read)
        error = _difference(chosen(small, doubled(read.batch)), before)
        fresh_error = _difference(chosen(small, doubled(fresh.batch)), fresh_before)
    if error > _LOSSLESS:
        raise LossError(
            f"the compressed network should compute the same outputs, but they differ by {error:.2g} of the largest: "
            "does the model use a layer's weights outside the layer?"
        )
    small.train(model.training)
    joined = {name: (n, after.get(name, n)) for name, n in widths.items()}
    return Reducibility(findings, small, joined, error, fresh_error, skipped)


def look(model: nn.Module, function: Function, inputs: Inputs) -> tuple[list[Finding], dict[str, str]]:
    """Name the reducible units of a float64 model, inside `exact`."""
    layers, skipped = unit_layers(model, trace(model, function, doubled(inputs.batch)))
    findings = [finding for layer in layers for finding in find(Units(model, layer))]
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            findings += _heads(name, module)
    return findings, skipped


def _widths(model: nn.Module, function: Function, inputs: Inputs) -> dict[str, int]:
    layers, _ = unit_layers(model, trace(model, function, doubled(inputs.take(0, 2))))
    return {layer.writers[0]: Units(model, layer).count for layer in layers}


def _compress(model: nn.Module, function: Function, inputs: Inputs, *, on_data: bool) -> None:
    """Reduce one layer after the other until nothing changes."""
    for _ in range(_ROUNDS):
        if not any(_pass(model, function, inputs, on_data=on_data)):
            return


def _pass(model: nn.Module, function: Function, inputs: Inputs, *, on_data: bool) -> list[bool]:
    changed, count = [], 1
    while len(changed) < count:
        # every reduction changes what later layers see: trace anew
        layers, _ = unit_layers(model, trace(model, function, doubled(inputs.batch)))
        count = len(layers)
        if not layers:
            break
        changed.append(merge(Units(model, layers[len(changed)]), on_data=on_data))
    return changed


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b).abs().max()) / max(float(b.abs().max()), 1e-300)


def _heads(name: str, module: nn.MultiheadAttention) -> list[Finding]:
    """Heads whose value-output product is zero, or whose products have a lower rank than the head is wide."""
    if module.in_proj_weight is None:
        return []
    width, heads = module.embed_dim, module.num_heads
    d = width // heads
    q, k, v = (t.reshape(heads, d, width) for t in module.in_proj_weight.detach().chunk(3))
    out = module.out_proj.weight.detach().reshape(width, heads, d).transpose(0, 1)
    found = []
    for h in range(heads):
        mixed, asked = _rank(out[h] @ v[h]), _rank(q[h].T @ k[h])
        if mixed == 0:
            found.append(Finding(name, (h,), "dead head", "function", "its value-output product is zero"))
        elif mixed < d:
            found.append(Finding(name, (h,), "low-rank value-output", "function", f"rank {mixed} of {d}"))
        if mixed and asked < d:
            found.append(Finding(name, (h,), "low-rank query-key", "function", f"rank {asked} of {d}"))
    return found


def _rank(matrix: Tensor) -> int:
    values = torch.linalg.svdvals(matrix)
    return int((values > 1e-10 * values[0]).sum()) if float(values[0]) > 0 else 0
