"""Directions in which a known group moves the weights and leaves the function: the generators at w*."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from slt.degeneracy.function import Inputs, Network, doubled
from slt.degeneracy.graph import Layer, UnitLayer, trace, unit_layers

_PAIRS = 200  # pairs of matrices tried for a product of linear maps
_INVARIANT = 1e-9  # of the largest output: what a finite transformation may change


@dataclass(frozen=True, eq=False)
class Generator:
    """A family of tangent vectors to a group orbit.

    Attributes:
        name: What is moved, in words.
        vectors: The tangent vectors at w*, (P, g); they need not be independent.
    """

    name: str
    vectors: Tensor


Generators = Callable[[Network, Inputs], list[Generator]]
"""Whoever knows symmetries supplies one of these; what it returns is checked against the Jacobian."""


def known_generators(network: Network, inputs: Inputs) -> list[Generator]:
    """Positive rescaling of homogeneous units, and products of linear layers.

    Args:
        network: The model with its function.
        inputs: The data.

    Returns:
        The generators.
    """
    model = network.model_in_double()

    def function(module: nn.Module, batch: Any) -> Any:
        return network.function(module, doubled(batch))

    layers, _ = unit_layers(model, trace(model, function, inputs.take(0, 4)))
    found = []
    for layer in layers:
        found += _products(network, model, layer) if layer.linear else _rescalings(network, model, layer)
    return [*found, *_matrix_products(network, inputs)]


class _Vector:
    """A tangent vector, written tensor by tensor; what does not move is dropped."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.tensors = {
            s.name: torch.zeros(s.parameter.shape, dtype=torch.float64, device="cpu") for s in network.segments
        }
        self.whole = True

    def add(self, name: str, change: Tensor) -> None:
        if name in self.tensors:
            self.tensors[name] = self.tensors[name] + change.reshape(self.tensors[name].shape)
        elif bool(change.any()):
            self.whole = False  # a tensor that stays would have to move

    def flat(self) -> Tensor:
        return torch.cat([s.entries(self.tensors[s.name]) for s in self._network.segments])


def _names(network: Network, model: nn.Module, layer: str) -> tuple[str, str]:
    """Names of weight and bias of a layer, as the moving tensors are called."""
    return (f"{layer}.weight", f"{layer}.bias") if layer else ("weight", "bias")


def _rescalings(network: Network, model: nn.Module, layer: UnitLayer) -> list[Generator]:
    """One vector a unit and homogeneous branch: incoming weights up, outgoing ones down."""
    modules = dict(model.named_modules())
    reader = cast("Layer", modules[layer.reader])
    vectors = []
    units = len(cast("Layer", modules[layer.writers[0]]).weight)
    outgoing = reader.weight.detach().flatten(1).reshape(len(reader.weight), units, -1)
    for branch, name in enumerate(layer.writers):
        if not _homogeneous(layer, branch):
            continue
        writer = cast("Layer", modules[name])
        for unit in range(units):
            vector = _Vector(network)
            for moved, tensor in zip(_names(network, model, name), (writer.weight, writer.bias), strict=True):
                if tensor is not None:
                    mask = torch.zeros(len(tensor), dtype=torch.float64, device="cpu")
                    mask[unit] = 1
                    vector.add(moved, tensor.detach() * mask.reshape(-1, *[1] * (tensor.ndim - 1)))
            down = torch.zeros_like(outgoing)
            down[:, unit] = -outgoing[:, unit]
            vector.add(_names(network, model, layer.reader)[0], down)
            if vector.whole:
                vectors.append(vector.flat())
    if not vectors:
        return []
    kind = "scale of units" if len(layer.writers) == 1 else "scale of gated units"
    return [Generator(f"{kind}: {' and '.join(layer.writers)} against {layer.reader}", torch.stack(vectors, 1))]


def _homogeneous(layer: UnitLayer, branch: int) -> bool:
    z = torch.linspace(-3, 3, 61, dtype=torch.float64, device="cpu")
    scaled = layer.activation(branch, 1.7 * z)
    return bool(torch.allclose(scaled, 1.7 * layer.activation(branch, z), atol=1e-12))


def _products(network: Network, model: nn.Module, layer: UnitLayer) -> list[Generator]:
    """W_1 -> M W_1, b_1 -> M b_1, W_2 -> -W_2 M for every matrix unit M."""
    modules = dict(model.named_modules())
    writer, reader = cast("Layer", modules[layer.writers[0]]), cast("Layer", modules[layer.reader])
    if isinstance(writer, nn.Conv2d) or isinstance(reader, nn.Conv2d):
        return []
    weight, bias = _names(network, model, layer.writers[0])
    size, vectors = writer.out_features, []
    for i in range(size):
        for j in range(size):
            vector = _Vector(network)
            up, down = torch.zeros_like(writer.weight.detach()), torch.zeros_like(reader.weight.detach())
            up[i] = writer.weight.detach()[j]
            down[:, j] = -reader.weight.detach()[:, i]
            vector.add(weight, up)
            vector.add(_names(network, model, layer.reader)[0], down)
            if writer.bias is not None:
                shifted = torch.zeros_like(writer.bias.detach())
                shifted[i] = writer.bias.detach()[j]
                vector.add(bias, shifted)
            if vector.whole:
                vectors.append(vector.flat())
    if not vectors:
        return []
    return [Generator(f"product of linear layers: {layer.writers[0]} and {layer.reader}", torch.stack(vectors, 1))]


def _matrix_products(network: Network, inputs: Inputs) -> list[Generator]:
    """The same for bare matrices A (h, d) and B (o, h), kept if a finite change of A and B leaves the function.

    The finite change is tried at w* and at weights nearby, so that no accident of w* passes for a symmetry.

    Returns:
        The generators.
    """
    whole = [s for s in network.segments if s.parameter.ndim == 2 and s.index is None]
    linear = {
        id(m._parameters.get("weight")) for m in network.model.modules() if isinstance(m, (nn.Linear, nn.Embedding))
    }
    bare = [s for s in whole if id(s.parameter) not in linear]
    pairs = [(a, b) for a in bare for b in bare if a is not b and a.parameter.shape[0] == b.parameter.shape[1]]
    batch = inputs.take(0, 64)
    found = []
    for a, b in pairs[:_PAIRS]:
        if not _invariant(network, batch, a.name, b.name):
            continue
        first, second = a.parameter.detach().double(), b.parameter.detach().double()
        vectors = []
        for i in range(first.shape[0]):
            for j in range(first.shape[0]):
                vector = _Vector(network)
                up, down = torch.zeros_like(first), torch.zeros_like(second)
                up[i], down[:, j] = first[j], -second[:, i]
                vector.add(a.name, up)
                vector.add(b.name, down)
                vectors.append(vector.flat())
        found.append(Generator(f"product of linear maps: {a.name} and {b.name}", torch.stack(vectors, 1)))
    return found


def _invariant(network: Network, batch: Any, first: str, second: str) -> bool:
    generator = torch.Generator("cpu").manual_seed(11)
    where = network.slices()
    for spread in (0.0, 0.3, 0.3):
        noise = torch.randn(network.dimension, generator=generator, dtype=torch.float64, device="cpu")
        w = network.center + spread * noise.to(network.center.device)
        tensors = network.weights(w)
        a, b = tensors[first], tensors[second]
        turn = torch.linalg.matrix_exp(
            0.5 * torch.randn(len(a), len(a), generator=generator, dtype=torch.float64, device="cpu")
        ).to(a.device)
        moved = w.clone()
        moved[where[first]] = (turn @ a).reshape(-1)
        moved[where[second]] = torch.linalg.solve(turn, b, left=False).reshape(-1)
        with torch.no_grad():
            before, after = network(w, batch), network(moved, batch)
        if float((after - before).abs().max()) > _INVARIANT * max(float(before.abs().max()), 1e-12):
            return False
    return True
