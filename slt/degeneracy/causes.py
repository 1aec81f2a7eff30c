"""The null space sorted by cause: symmetry, these data, named units, and what is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slt.degeneracy.function import Inputs, Network, doubled
from slt.degeneracy.graph import trace, unit_layers
from slt.degeneracy.higher_order import HigherOrder
from slt.degeneracy.linalg import beyond, extension, inside
from slt.degeneracy.reducible import look
from slt.degeneracy.symmetry import Generator
from slt.degeneracy.units import Finding
from slt.degeneracy.zeros import supported

SYMMETRY, DATA, REDUCIBLE, FLAT, QUARTIC, UNRESOLVED = (
    *("symmetry", "these data", "reducible"),
    *("flat to fourth order", "quartic", "unresolved"),
)
KINDS = (SYMMETRY, DATA, REDUCIBLE, FLAT, QUARTIC, UNRESOLVED)


@dataclass(frozen=True, eq=False)
class Cause:
    """A share of the null space and where it comes from.

    Attributes:
        kind: One of "symmetry", "these data", "reducible", "flat to fourth order", "quartic", "unresolved".
        name: What it is, in words.
        dimension: Null directions that no cause before it explains.
        quartic: How many of these the second fundamental form calls quartic; None where it was not taken.
        where: The share of each tensor, by name; they add up to `dimension`.
    """

    kind: str
    name: str
    dimension: int
    quartic: int | None
    where: dict[str, float]


class Sorter:
    """Takes subspaces of a null space one after the other; each gets what no earlier one took."""

    def __init__(self, network: Network, basis: Tensor, order: HigherOrder | None) -> None:
        """Start with nothing taken."""
        self._slices, self.basis, self._order = network.slices(), basis, order
        self.taken = basis[:, :0]
        self.causes: list[Cause] = []
        self._steep = None if order is None else beyond(basis, order.flat)

    @property
    def left(self) -> Tensor:
        """What is not explained yet, (P, k)."""
        return beyond(self.basis, self.taken)

    def take(self, kind: str, name: str, vectors: Tensor) -> None:
        """Give a cause the part of span(vectors) that lies in the null space and was not taken."""
        within = inside(self.basis, vectors) if vectors.shape[1] else vectors
        fresh = extension(self.taken, within)
        if not fresh.shape[1]:
            return
        joined = torch.cat([self.taken, fresh], 1)
        quartic = None
        if self._steep is not None:
            quartic = _rank(self._steep.T @ joined) - _rank(self._steep.T @ self.taken)
        share = fresh.square().sum(1)
        where = {name_: float(share[place].sum()) for name_, place in self._slices.items()}
        self.causes.append(Cause(kind, name, fresh.shape[1], quartic, {k: v for k, v in where.items() if v > 1e-9}))
        self.taken = joined

    def rest(self) -> None:
        """Name what is left by its order of growth."""
        left = self.left
        if not left.shape[1]:
            return
        if self._order is None:
            self.take(UNRESOLVED, "its order of growth was not taken", left)
            return
        self.take(FLAT, "by no name known here", self._order.flat)
        self.take(QUARTIC, "by no name known here", self.left)


def _rank(matrix: Tensor) -> int:
    if not matrix.numel():
        return 0
    return int((torch.linalg.svdvals(matrix) > 1e-6).sum())


def sort_null_space(
    network: Network,
    inputs: Inputs,
    basis: Tensor,
    function_null: Tensor,
    generators: Sequence[Generator],
    findings: Sequence[Finding],
    order: HigherOrder | None,
) -> list[Cause]:
    """Sort a null space in the order symmetry, these data, named units, order of growth.

    Args:
        network: The model with its function.
        inputs: The data.
        basis: Orthonormal basis of the null space on the data, (P, k).
        function_null: Basis of the part that is null on fresh inputs too.
        generators: Tangent vectors of known symmetries.
        findings: Reducible units.
        order: The null space by order of growth, or None.

    Returns:
        The causes; their dimensions add up to k.
    """
    sorter = Sorter(network, basis, order)
    for generator in generators:
        sorter.take(SYMMETRY, generator.name, generator.vectors)
    sorter.take(DATA, "not null on fresh inputs of the same range", beyond(sorter.basis, function_null))
    masks = finding_masks(network, inputs, findings)
    for finding, mask in zip(findings, masks, strict=True):
        sorter.take(REDUCIBLE, str(finding), supported(basis, mask))
    sorter.rest()
    return sorter.causes


def findings_of(network: Network, inputs: Inputs) -> list[Finding]:
    """Look for reducible units in a copy of the model."""
    return look(network.model_in_double(), _whole(network), inputs)[0]


def finding_masks(network: Network, inputs: Inputs, findings: Sequence[Finding]) -> list[Tensor]:
    """The entries around the units of each finding: incoming weights and bias, outgoing weights, the next bias."""
    if not findings:
        return []
    model = network.model_in_double()
    layers, _ = unit_layers(model, trace(model, _whole(network), inputs.take(0, 2)))
    readers = {layer.writers[0]: layer for layer in layers}
    slices = network.slices()
    masks = []
    for finding in findings:
        mask = torch.zeros(network.dimension, dtype=torch.bool, device=network.center.device)
        layer = readers.get(finding.layer)
        if layer is None:
            for name, place in slices.items():
                mask[place] = name.startswith(finding.layer + ".")
        else:
            count = layer.written[0].shape[layer.axis]
            for writer in layer.writers:
                _mark(mask, network, slices, writer, finding.units, count, incoming=True)
            _mark(mask, network, slices, layer.reader, finding.units, count, incoming=False)
        masks.append(mask)
    return masks


def _mark(
    mask: Tensor,
    network: Network,
    slices: dict[str, slice],
    layer: str,
    units: Sequence[int],
    count: int,
    *,
    incoming: bool,
) -> None:
    prefix = f"{layer}." if layer else ""
    for segment in network.segments:
        if segment.name not in (prefix + "weight", prefix + "bias"):
            continue
        shape = segment.parameter.shape
        chosen = torch.zeros(shape, dtype=torch.bool, device="cpu")
        if incoming:
            chosen[list(units)] = True
        elif segment.name.endswith("bias"):
            chosen[:] = True
        else:
            chosen.flatten(1).view(shape[0], count, -1)[:, list(units)] = True
        flat = chosen.reshape(-1)
        mask[slices[segment.name]] |= flat if segment.index is None else flat[segment.index]


def _whole(network: Network) -> Callable[[nn.Module, Any], Any]:
    return lambda model, batch: network.function(model, doubled(batch))
