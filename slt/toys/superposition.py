"""The toy model of superposition at its polygons, with its population loss in closed form."""

import math
from functools import cache

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from slt import analytic
from slt.toys.products import as_default
from slt.toys.toy import Toy, rows

_FLAT = 1e-12
"""A slope below this moves no kink."""


class Superposition(nn.Module):
    """The network x -> relu(W^T W x + b) that should return x, fed one feature at a time.

    Attributes:
        W: The features' directions, shape (2, c).
        b: Biases, shape (c,).
        floor: L(w*), what the loss cannot go below nearby.
    """

    floor: Tensor

    def __init__(self, directions: Tensor, biases: Tensor) -> None:
        """Start at the given weights, copied."""
        super().__init__()
        self.W = nn.Parameter(directions.detach().clone())
        self.b = nn.Parameter(biases.detach().clone())
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("floor", population_loss(self.W, self.b).detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (..., c), for inputs of the same shape."""
        return torch.relu(x @ (self.W.mT @ self.W) + self.b)


def excess_loss(model: Superposition, batch: tuple[Tensor, ...]) -> Tensor:
    """K = L(W, b) - L(w*) in nats, a scalar, whatever the batch."""
    return population_loss(model.W, model.b) - model.floor


def population_loss(directions: Tensor, biases: Tensor) -> Tensor:
    """L = 1/c sum_i E |relu(W^T W u e_i + b) - u e_i|^2 with u uniform on [0, 1].

    Output j sees the line g u + b_j with g = w_j . w_i, which is positive on one interval of u: there the integrals
    of its square, and for j = i of its product with u, are polynomials of the ends.

    Args:
        directions: W, shape (2, c).
        biases: b, shape (c,).

    Returns:
        L, a scalar.
    """
    slopes = directions.mT @ directions
    offsets = biases[:, None].expand_as(slopes)
    low, high = _positive(slopes, offsets)
    cubes, squares = (high**3 - low**3) / 3, (high**2 - low**2) / 2
    reached = slopes**2 * cubes + 2 * slopes * offsets * squares + offsets**2 * (high - low)
    wanted = (slopes * cubes + offsets * squares).diagonal()
    return reached.sum() / len(biases) - 2 * wanted.mean() + 1 / 3


def _positive(slopes: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The interval of [0, 1] on which the line slope * u + offset is positive; for 0 u + 0 all of it."""
    flat = slopes.abs() < _FLAT
    # a division by 0 in the branch that is not taken would make the gradient nan
    root = (-offsets / torch.where(flat, 1.0, slopes)).clamp(0, 1)
    zero, one = torch.zeros_like(root), torch.ones_like(root)
    end = torch.where(offsets < 0, zero, one)
    return torch.where(~flat & (slopes > 0), root, zero), torch.where(flat, end, torch.where(slopes < 0, root, one))


def toy_superposition(features: int, polygon: int, plus: int = 0, *, n: int = 1000) -> Toy:
    r"""The toy model of superposition with two hidden units, at a regular polygon of k of its c features.

    .. math:: K(W, b) = \frac1c \sum_{i=1}^c \mathbb{E}_u\,
              \big|\mathrm{relu}(W^\top W u e_i + b) - u e_i\big|^2 - L(w^*), \qquad u \sim U[0, 1]

    in closed form. At w* the first k columns of W are the corners of a polygon, of radius and bias that minimise the
    loss (1 and 0 for k = 3 and 4). The others are 0; the biases of the first t are 1/(2c), which is best for
    them ("plus"), those of the rest -1 ("dead"). All such points have the same local value: rotations, and other
    biases < 0 of dead features, change nothing.

    Args:
        features: c >= 3.
        polygon: k, from 3 to c.
        plus: t, from 0 to c - k.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with the exact local RLCT of `slt.analytic.toy_superposition`.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If there is no minimum, or its value is not known.
        SettingsError: If n is not an integer >= 2.

    >>> toy_superposition(6, polygon=5)
    Toy(toy_superposition(6, polygon=5, plus=0); 18 parameters, n=1000, exact rlct 7, multiplicity 1)
    """
    exact = analytic.toy_superposition(features, polygon, plus)
    radius, bias = (1.0, 0.0) if polygon <= 4 else _best_polygon(polygon)
    rest = features - polygon
    directions = torch.cat([radius * _corners(polygon), torch.zeros(2, rest, dtype=torch.float64, device="cpu")], 1)
    biases = torch.tensor(
        [bias] * polygon + [1 / (2 * features)] * plus + [-1.0] * (rest - plus), dtype=torch.float64, device="cpu"
    )
    model = Superposition(as_default(directions), as_default(biases))
    name = f"toy_superposition({features}, polygon={polygon}, plus={plus})"
    return Toy(model, rows(n), excess_loss, exact, name)


def _corners(polygon: int) -> Tensor:
    """Points of the unit circle in float64, shape (2, k); what is 0 but for rounding is 0."""
    angles = torch.arange(polygon, dtype=torch.float64, device="cpu") * (2 * math.pi / polygon)
    points = torch.stack([angles.cos(), angles.sin()])
    return torch.where(points.abs() < _FLAT, 0.0, points)


@cache
def _best_polygon(polygon: int) -> tuple[float, float]:
    """The radius and the common bias of the best regular polygon, to rounding."""
    corners = _corners(polygon)

    def loss(point: Tensor) -> Tensor:
        return population_loss(point[0] * corners, point[1].expand(polygon))

    def at(point: np.ndarray) -> float:
        return loss(torch.from_numpy(point)).item()

    near = minimize(at, np.array([1.3, -0.6]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6})
    best = torch.from_numpy(near.x)
    for _ in range(5):  # Newton
        gradient = torch.func.grad(loss)(best)
        best = best - torch.linalg.solve(torch.func.hessian(loss)(best), gradient)
    return float(best[0]), float(best[1])
