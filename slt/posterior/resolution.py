"""Settings that rounding could not follow: refused before a run that would stand still, or wander in noise."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slt.errors import SettingsError
from slt.problem import Problem

_HOPELESS = 100.0  # nats of rounding in the energy of a draw: no chain follows a posterior through that


def require_resolution(problem: Problem, precisions: Sequence[Tensor], nbeta: float) -> None:
    """Refuse an nbeta or a localization beyond what the numbers of a run can resolve.

    Args:
        problem: The problem.
        precisions: The localizer's, one tensor for each moving one.
        nbeta: Inverse temperature times n.

    Raises:
        SettingsError: If nbeta turns the rounding of the mean loss into more than 100 nats, or a tensor's weights would
            move by less than half of their own rounding.
    """
    eps = torch.finfo(problem.dtype).eps
    noise = nbeta * eps * abs(problem.loss_center) / math.sqrt(problem.n)
    if noise > _HOPELESS:
        raise SettingsError(
            f"nbeta must be small enough for {problem.dtype}: a loss of {problem.loss_center:.3g} nats is rounded by "
            f"about {eps * abs(problem.loss_center):.1g}, and nbeta = {nbeta:.3g} turns that into {noise:.1g} nats in "
            "the mean over the examples. Use a smaller nbeta, or subtract a constant from the loss."
        )
    for segment, precision in zip(problem.segments, precisions, strict=True):
        entries = segment.entries(segment.parameter).double()
        size, most = float(entries.square().mean().sqrt()), float(precision.double().min())
        if most > 0 and 1 / math.sqrt(most) < eps * size / 2:
            raise SettingsError(
                f"localization must leave the weights room to move: with {most:.3g} those of {segment.name!r}, of size "
                f"{size:.2g}, would move by {1 / math.sqrt(most):.1g}, less than {problem.dtype} resolves. Use a "
                "weaker localization."
            )
