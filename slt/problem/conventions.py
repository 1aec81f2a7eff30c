"""What must hold of a loss that is evaluated again and again: its shape, and that it is a fixed mean."""

from collections.abc import Callable

import torch
from torch import Tensor

from slt.errors import LossError

_CUTS = (1 / 2, 1 / 4)  # where the rows are cut in two
_PART = (
    2e-3  # share by which a mean may differ from that of its parts: kernels take other paths for other numbers of rows
)
_COARSE = 8  # roundings of the weights by which it may too
_ABSOLUTE = 64  # roundings of 1 nat that a loss near zero may be off by


def require_shape(value: Tensor, rows: Tensor, *allowed: tuple[int, ...]) -> None:
    """Refuse a loss of any but the allowed shapes."""
    if tuple(value.shape) not in allowed:
        raise LossError(
            "the loss must return per-example values (batch,) or their mean (), always the same of the two, "
            f"got shape {tuple(value.shape)} for a batch of {len(rows)}."
        )


def require_same(again: Tensor, first: Tensor, tolerance: float, where: str = "at w*", near: float = 1.0) -> float:
    """Refuse two evaluations of the same examples that differ by more than the share `tolerance`.

    Args:
        again: Losses.
        first: The same, evaluated before.
        tolerance: Share that is granted.
        where: At which weights, for the message.
        near: What is added to the largest loss before the share is taken, nats.

    Returns:
        What they differ by.

    Raises:
        LossError: If that is too much.
    """
    off = float((again - first).abs().max())
    if not off <= tolerance * (near + float(first.abs().max())):
        raise LossError(
            f"the loss must be a fixed function of weights and example, but {where} a second evaluation differs "
            f"by {off:.3g}: look for dropout or BatchNorm in training mode, random augmentation, or a loss "
            "that mixes its examples or divides by something of its batch."
        )
    return off


def require_mean(loss: Callable[[Tensor], Tensor], rows: Tensor, weights: torch.dtype, noise: float = 0.0) -> float:
    """Refuse a scalar loss that is not the mean over its rows: it would change with the cut of the data into chunks.

    Args:
        loss: The loss on some rows.
        rows: Rows from all over the data: neighbours may be alike in what gives them another weight.
        weights: Type of the model's weights, whose rounding is granted.
        noise: What is granted besides, nats.

    Returns:
        The most by which the loss of the rows differs from the mean of its parts.

    Raises:
        LossError: If the loss of the rows is not the mean of what their parts give.
    """
    whole, most = float(loss(rows)), 0.0
    for cut in _CUTS:
        at = round(cut * len(rows))
        if at == 0:
            continue
        first, second = loss(rows[:at]), loss(rows[at:])
        parts = float(first), float(second)
        mean = (at * parts[0] + (len(rows) - at) * parts[1]) / len(rows)
        size = max(abs(whole), *map(abs, parts))
        granted = max(_PART, _COARSE * torch.finfo(weights).eps) * size + _ABSOLUTE * torch.finfo(first.dtype).eps
        most = max(most, abs(whole - mean))
        if not abs(whole - mean) > granted + noise:  # also where they are not finite, which is refused elsewhere
            continue
        said = (
            "the loss must be a mean over the rows of its batch, so that no cut of the data into batches changes it, "
            f"but it is {whole:.6g} on {len(rows)} rows, and {parts[0]:.6g} and {parts[1]:.6g} on the first {at} and "
            f"the other {len(rows) - at}"
        )
        if abs(whole - sum(parts)) <= 1e-3 * abs(whole):
            raise LossError(f"{said}, which add up: it looks like a sum. Return one value an example, (batch,).")
        raise LossError(
            f"{said}, whose mean is {mean:.6g}: it looks like a mean over tokens, or whatever rows hold in different "
            'numbers. Return one value an example, (batch,), such as the mean over its own tokens, as "causal_lm" does.'
        )
    return most
