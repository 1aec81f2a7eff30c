"""Quadratic toys: regular models, ill-conditioned ones, and ones with flat directions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import as_curvatures
from slt.toys.potentials import Potential
from slt.toys.toy import Toy, rows


class Quadratic(Potential):
    """A potential that carries its curvatures, so that they follow it to another device or dtype."""

    curvatures: Tensor

    def __init__(self, curvatures: Sequence[float]) -> None:
        """Start at w = 0, shape (d,)."""
        super().__init__(torch.zeros(len(curvatures)))
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("curvatures", torch.tensor(curvatures), persistent=False)


def half_square(model: Quadratic, batch: tuple[Tensor, ...]) -> Tensor:
    """K = 1/2 sum_i h_i w_i^2 in nats, a scalar, whatever the batch."""
    return (model.curvatures * model.w.square()).sum(-1) / 2


def quadratic(curvatures: int | Sequence[float], *, n: int = 1000) -> Toy:
    """The toy with K(w) = 1/2 sum_i h_i w_i^2 and w* = 0.

    Args:
        curvatures: h_i >= 0, shape (d,), in nats per squared parameter unit; an int d means d ones. Zero is a
            flat direction.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with the exact RLCT rank/2.

    Raises:
        InputError: If `curvatures` is neither an integer >= 1 nor a nonempty sequence of finite numbers >= 0.
        SettingsError: If n is not an integer >= 2.

    >>> quadratic([100.0, 1.0])
    Toy(quadratic([100.0, 1.0]); 2 parameters, n=1000, exact rlct 1, multiplicity 1)
    """
    h = as_curvatures(curvatures)
    shown = str(len(h)) if set(h) == {1.0} else str(list(h)) if len(h) <= 8 else f"{len(h)} curvatures"
    return Toy(Quadratic(h), rows(n), half_square, analytic.quadratic(h), f"quadratic({shown})")
