"""The automatic localizer's unit of each tensor: by how much its entries may move."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from slt.posterior.sizes import Sizes, enclosing
from slt.problem.parameters import Segment

_LEAST = 1e-15  # a size below counts as zero: its precision would leave what float32 bears
_LISTED = 6  # biases that a note lists by name
_OF_OUTPUT = "what a weight of its layer does"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class _Unit(NamedTuple):
    """A unit, and how a note tells where it comes from; None for the tensor's own size."""

    size: float
    told: str | None = None


def units(segments: Sequence[Segment], sizes: Sizes | None) -> tuple[list[float], list[str]]:
    """Give every tensor the unit by which the automatic localizer lets it move.

    The unit is the root mean square of the tensor at w*. A tensor that is zero has none: its unit is what would move
    its module's output by the output's own size at random signs, output / (sqrt(k) input), where k is the number of
    inputs of a unit; 1 for a norm, whose input has size 1. A bias is a weight whose input is 1, and its own size says
    little of how far it may move: its unit is output / sqrt(k) wherever that is larger.
    Where the module puts out zeros too the output of the smallest module around it counts that does not, and 1 where
    all do. What the data do not tell takes the unit of its layer, or 1.

    Args:
        segments: The moving tensors.
        sizes: What modules take in and put out on the data; None if it is not known.

    Returns:
        One unit for each segment, in its parameter's own unit, and notes for the reader.
    """
    own = {s.name: _Unit(float(s.parameter.detach().double().square().mean().sqrt())) for s in segments}
    found, notes, biases = [], [], []
    for segment in segments:
        unit, size = own[segment.name], own[segment.name].size
        if _is_bias(segment) and (fair := _of_bias(segment, sizes)) is not None and fair.size > size:
            unit = fair
        elif size < _LEAST:
            unit = _of_weight(segment, sizes) or _of_layer(segment, segments, own)
        found.append(unit.size)
        if unit.told == _OF_OUTPUT:
            biases.append(f"{segment.name} by {unit.size:.3g} (its own size is {size:.3g})")
        elif unit.told:
            what = "is zero" if size == 0 else f"has size {size:.3g}"
            notes.append(f"{segment.name} {what} at w*: its automatic localizer takes {unit.told}")
    if biases:
        more = f" and {len(biases) - _LISTED} more" if len(biases) > _LISTED else ""
        listed = ", ".join(biases[:_LISTED])
        notes.append(f"the automatic localizer lets biases move by what a weight of their layer does: {listed}{more}")
    return found, notes


def _owner(segment: Segment) -> str:
    return segment.name.rpartition(".")[0]


def _is_bias(segment: Segment) -> bool:
    return segment.name.rpartition(".")[2] in ("bias", "in_proj_bias") and segment.parameter.ndim == 1


def _of_bias(segment: Segment, sizes: Sizes | None) -> _Unit | None:
    """What one weight of its layer moves the output by; None where that was not seen."""
    if sizes is None:
        return None
    owner = _owner(segment)
    weight, around = sizes.weight(owner), enclosing(owner)[1:]
    if isinstance(sizes.modules[owner], nn.MultiheadAttention):
        given = sizes.input(owner)  # the inner projection is no module: its size by random signs
        if given is None or weight is None:
            return None
        return _Unit(given * float(weight.double().square().mean()) ** 0.5, _OF_OUTPUT)
    inputs = 1.0 if weight is None else max(1.0, weight.numel() / segment.parameter.numel())
    if around and isinstance(sizes.modules[around[0]], nn.MultiheadAttention):  # which adds the outer bias by itself
        owner = around[0]
    size = sizes.output(owner)
    if size is None or size >= _LEAST:
        return None if size is None else _Unit(size / inputs**0.5, _OF_OUTPUT)
    size, where = _output_around(owner, sizes)
    unit = size / inputs**0.5
    return _Unit(unit, f"{unit:.3g}, what one of {inputs:g} weights moves by {size:.3g}, {where}")


def _output_around(owner: str, sizes: Sizes) -> tuple[float, str]:
    """Size of the output of the smallest module around that does not put out zeros, and its name in words."""
    for name in enclosing(owner):
        size = sizes.output(name)
        if size is not None and size >= _LEAST:
            said = "its module's output" if name == owner else f"the output of {name or 'the model'}"
            return size, f"the size of {said}"
    return 1.0, "as the model's output is zero"


def _of_weight(segment: Segment, sizes: Sizes | None) -> _Unit | None:
    """What moves the output of a layer by the output's own size; None if that is not known of the module."""
    owner, kind = _owner(segment), segment.name.rpartition(".")[2]
    if sizes is None or kind != "weight" or sizes.output(owner) is None:
        return None
    module, (output, where) = sizes.modules[owner], _output_around(owner, sizes)
    if isinstance(module, _NORMS):  # what they multiply has size 1
        return _Unit(output, f"{output:.3g}, {where}")
    given = sizes.input(owner)
    if not isinstance(module, (nn.Linear, *_CONVOLUTIONS)) or given is None or given < _LEAST:
        return None
    unit = output / (segment.parameter[0].numel() ** 0.5 * given)
    return _Unit(unit, f"{unit:.3g}, which moves what it puts out by {output:.3g}, {where}")


def _of_layer(segment: Segment, segments: Sequence[Segment], own: dict[str, _Unit]) -> _Unit:
    """Root mean square over the other tensors of a layer, or 1: a guess, which does not follow rescaled layers."""
    mates = [s for s in segments if _owner(s) == _owner(segment) and own[s.name].size >= _LEAST]
    count = sum(s.parameter.numel() for s in mates)
    if not count:
        return _Unit(1.0, "the unit 1, a guess that does not follow a rescaling of layers")
    unit = (sum(s.parameter.numel() * own[s.name].size ** 2 for s in mates) / count) ** 0.5
    return _Unit(unit, f"its layer's unit, {unit:.3g}, a guess that does not follow a rescaling of layers")
