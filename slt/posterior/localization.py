"""The localizer: how strongly each parameter tensor is held near w*."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from slt.errors import ParametersError, SettingsError
from slt.problem.parameters import Segment

Localization = float | Literal["auto"] | Mapping[str, float | Tensor]


def is_number(value: Any) -> bool:
    """Whether a value is a real number, which a Boolean is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def precisions(localization: Any, segments: Sequence[Segment]) -> tuple[list[Tensor], list[str]]:
    """Return the precision gamma of every moving tensor, and notes for the reader.

    A precision is a 0-dim tensor, or one number for each moving entry. Its unit is 1 / (parameter unit)^2.

    Args:
        localization: A number gamma >= 0 (the isotropic localizer of the literature), a mapping from parameter
            names to numbers or tensors of the parameter's shape, or "auto": 1 / rms(w*)^2 of each tensor.
        segments: The moving tensors.

    Returns:
        One precision tensor for each segment, and the notes.

    Raises:
        SettingsError: If a precision is negative or not finite, or the shape is wrong.
        ParametersError: If the mapping does not name exactly the moving parameters.
    """
    if isinstance(localization, str):
        if localization != "auto":
            raise SettingsError(f'localization must be a number, a mapping or "auto", got {localization!r}.')
        return _automatic(segments)
    if not is_number(localization) and not isinstance(localization, Mapping):
        raise SettingsError(f'localization must be a number, a mapping or "auto", got {localization!r}.')
    if isinstance(localization, Mapping):
        return each(localization, segments, "localization"), []
    return [_one(localization, segment, "localization") for segment in segments], []


def each(values: Mapping[str, Any], segments: Sequence[Segment], what: str) -> list[Tensor]:
    """Return what a mapping gives each moving tensor: a 0-dim tensor, or one number for each moving entry.

    Args:
        values: Numbers >= 0, or tensors of the parameter's shape, by parameter name.
        segments: The moving tensors.
        what: Name of the setting, for the errors.

    Returns:
        One tensor for each segment.

    Raises:
        SettingsError: If a number is negative or not finite, or a shape is wrong.
        ParametersError: If the mapping does not name exactly the moving parameters.
    """
    names = {segment.name for segment in segments}
    if names != set(values):
        missing, extra = sorted(names - set(values)), sorted(set(values) - names)
        raise ParametersError(
            f"{what} as a mapping must name exactly the moving parameters; missing {missing}, unknown or still {extra}."
        )
    return [_one(values[segment.name], segment, what) for segment in segments]


def _one(value: Any, segment: Segment, what: str) -> Tensor:
    p = segment.parameter
    dtype = torch.promote_types(p.dtype, torch.float32)
    if isinstance(value, bool) or not isinstance(value, (Real, np.ndarray, Tensor)):
        raise SettingsError(f"the {what} of {segment.name!r} must be a number or a tensor, got {value!r}.")
    numbers = torch.as_tensor(value, dtype=dtype, device=p.device).detach()
    if numbers.ndim:
        if numbers.shape != p.shape:
            raise SettingsError(
                f"the {what} of {segment.name!r} must be a number or a tensor of shape {tuple(p.shape)}, "
                f"got shape {tuple(numbers.shape)}."
            )
        numbers = segment.entries(numbers)
    if not bool(((numbers >= 0) & torch.isfinite(numbers)).all()):
        raise SettingsError(f"{what} must be >= 0 and finite, got {value} for {segment.name!r}.")
    return numbers


def _automatic(segments: Sequence[Segment]) -> tuple[list[Tensor], list[str]]:
    """Let each weight move by the root mean square of its tensor: gamma = 1 / rms(w*)^2.

    Rescaling a layer rescales its unit with it, so the LLC of a rescaled network does not change. A tensor that
    is wholly zero has no scale of its own: it takes its layer's, and a layer wholly zero takes 1.

    Returns:
        One precision for each segment, and the notes.
    """
    sizes = [float(s.parameter.detach().double().square().mean().sqrt()) for s in segments]
    layers: dict[str, list[int]] = {}
    for i, segment in enumerate(segments):
        layers.setdefault(segment.name.rpartition(".")[0], []).append(i)
    found, notes = [], []
    for i, segment in enumerate(segments):
        unit = sizes[i]
        if unit == 0:
            layer = segment.name.rpartition(".")[0]
            mates = layers[layer]
            count = sum(segments[j].parameter.numel() for j in mates if sizes[j] > 0)
            square = sum(segments[j].parameter.numel() * sizes[j] ** 2 for j in mates)
            unit = math.sqrt(square / count) if count else 1.0
            taken = "its layer's unit" if count else "the unit 1"
            notes.append(f"{segment.name} is zero at w*: its automatic localizer takes {taken}, {unit:.3g}")
        found.append(_one(1 / unit**2, segment, "localization"))
    return found, notes
