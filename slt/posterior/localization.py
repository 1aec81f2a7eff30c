"""The localizer: how strongly each parameter tensor is held near w*."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from slt.errors import ParametersError, SettingsError
from slt.posterior.sizes import Sizes
from slt.posterior.units import units
from slt.problem.parameters import Segment

Localization = float | Literal["auto"] | Mapping[str, float | Tensor]


def is_number(value: Any) -> bool:
    """Whether a value is a real number, which a Boolean is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def precisions(
    localization: Any, segments: Sequence[Segment], sizes: Sizes | None = None
) -> tuple[list[Tensor], list[str]]:
    """Return the precision gamma of every moving tensor, and notes for the reader.

    A precision is a 0-dim tensor, or one number for each moving entry. Its unit is 1 / (parameter unit)^2.

    Args:
        localization: A number gamma >= 0 (the isotropic localizer of the literature), a mapping from parameter
            names to numbers or tensors of the parameter's shape, or "auto": 1 / unit^2, see `units`.
        segments: The moving tensors.
        sizes: What modules put out on the data; None before any pass over them, where "auto" makes do with w*.

    Returns:
        One precision tensor for each segment, and the notes.

    Raises:
        SettingsError: If a precision is negative or not finite, or the shape is wrong.
        ParametersError: If the mapping does not name exactly the moving parameters.
    """
    if isinstance(localization, str):
        if localization != "auto":
            raise SettingsError(f'localization must be a number, a mapping or "auto", got {localization!r}.')
        found, notes = units(segments, sizes)
        return [_one(1 / unit**2, s, "localization") for unit, s in zip(found, segments, strict=True)], notes
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
