"""How many units would nearly do: a greedy bound on the proximate rank."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slt.degeneracy.function import (
    Function,
    FunctionName,
    as_inputs,
    copied_in_double,
    doubled,
    exact,
    resolve_function,
)
from slt.degeneracy.graph import UnitLayer, trace, unit_layers
from slt.degeneracy.reducible import reducible
from slt.degeneracy.units import Units
from slt.errors import SettingsError
from slt.problem.data import Batch


@dataclass(frozen=True, eq=False, repr=False)
class ProximateRank:
    """A smaller network that computes nearly the same on the data.

    Attributes:
        widths: Units of each hidden layer, before and after; the sum after is an upper bound on the number needed.
        tolerance: What an output may change by.
        error: The largest change of an output on the data.
        compressed: The smaller network, float64.
    """

    widths: dict[str, tuple[int, int]]
    tolerance: float
    error: float
    compressed: nn.Module

    def __repr__(self) -> str:
        """State the bound with its tolerance."""
        widths = ", ".join(f"{name} {a} -> {b}" for name, (a, b) in self.widths.items())
        return (
            f"at most {sum(b for _, b in self.widths.values())} of {sum(a for a, _ in self.widths.values())} units are "
            f"needed for outputs within {self.tolerance:g} on these data ({widths}; largest change {self.error:.2g})"
        )


def proximate_rank(
    model: nn.Module, inputs: Any, tolerance: float, *, function: FunctionName | Function = "logits"
) -> ProximateRank:
    """Bound from above how many units suffice for nearly the same outputs.

    After the lossless compression the unit that the others replace best, by least squares on the data, goes, as long as
    no output changes by more than the tolerance. Greedy, hence a bound and not the minimum, which is hard to find
    (Farrugia-Roberts, 2023, whose proximity is one of parameters; this one is of outputs).

    Args:
        model: See `slt.degeneracy.reducible`.
        inputs: Likewise.
        tolerance: Largest change of an output, in its own units.
        function: Whose outputs.

    Returns:
        Widths, the largest change, and the smaller network.

    Raises:
        SettingsError: If the tolerance is not positive.
    """
    if not tolerance > 0:
        raise SettingsError(f"tolerance must be positive, got {tolerance}.")
    chosen, _ = resolve_function(function)
    read = as_inputs(inputs)
    small = reducible(model, read.batch, function=function, on_data=True)
    before = {name: a for name, (a, _) in small.widths.items()}
    with exact(model):
        network = small.compressed.eval()
        batch = doubled(read.batch)
        target = chosen(copied_in_double(model), batch).detach()
        for writer in list(before):
            network = _shrink(network, chosen, batch, target, writer, tolerance)
        error = float((chosen(network, batch).detach() - target).abs().max())
        layers, _ = unit_layers(network, trace(network, chosen, batch))
        after = {layer.writers[0]: Units(network, layer).count for layer in layers}
    widths = {name: (n, after.get(name, n)) for name, n in before.items()}
    return ProximateRank(widths, tolerance, error, network.train(model.training))


def _shrink(
    network: nn.Module, function: Function, batch: Batch, target: Tensor, writer: str, tolerance: float
) -> nn.Module:
    """Remove units of one layer while the outputs allow it."""
    while True:
        candidate = copy.deepcopy(network)
        layer = _layer(candidate, function, batch, writer)
        units = None if layer is None or layer.pools_maximum else Units(candidate, layer)
        if units is None or units.count < 2 or not units.folds:
            return network
        _replace_one(units)
        if float((function(candidate, batch).detach() - target).abs().max()) > tolerance:
            return network
        network = candidate


def _layer(network: nn.Module, function: Function, batch: Batch, writer: str) -> UnitLayer | None:
    layers, _ = unit_layers(network, trace(network, function, batch))
    return next((layer for layer in layers if layer.writers[0] == writer), None)


def _replace_one(units: Units) -> None:
    """Let the others, and a constant, stand for the unit that they replace at the least cost."""
    acts = units.acts.T
    known = torch.cat([acts, torch.ones_like(acts[:, :1])], 1)
    weight = units.outgoing.flatten(1).norm(dim=1)
    costs, fits = [], []
    for i in range(units.count):
        others = [j for j in range(units.count + 1) if j != i]
        fit = torch.linalg.lstsq(known[:, others], acts[:, i : i + 1], driver="gelsd").solution[:, 0]
        costs.append(float((known[:, others] @ fit - acts[:, i]).norm() * weight[i]))
        fits.append(fit)
    gone = min(range(units.count), key=lambda i: costs[i])
    fit, others = fits[gone], [j for j in range(units.count) if j != gone]
    units.add_bias(float(fit[-1]) * units.outgoing[gone].sum(-1))
    units.outgoing[others] += fit[:-1, None, None] * units.outgoing[gone]
    units.keep(others)
