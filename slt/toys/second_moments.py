"""Losses of linear networks on drawn rows, from the second moments of the rows alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slt.toys.products import Product, as_default

_AT_ONCE = 20_000


class SecondMomentLoss(nn.Module):
    """The quadratic form tr (W - W_0) S (W - W_0)^T in the product W of the layers, less its value at w*.

    With S = mean x x^T it is the mean of |(W - W_0) x|^2 over the rows x; and with W_0 the least-squares solution of
    y = W x, the mean of |y - W x|^2 but for a constant: the same number as from all rows, at a cost that does not grow
    with n.

    Attributes:
        second: S, shape (inputs, inputs).
        target: W_0, shape (outputs, inputs).
        floor: What is taken off.
    """

    second: Tensor
    target: Tensor
    floor: Tensor

    def __init__(self, second: Tensor, target: Tensor, start: Product | None = None) -> None:
        """Hold S and W_0 in the default dtype; take off the value at `start`, or nothing."""
        super().__init__()
        self.register_buffer("second", as_default(second), persistent=False)
        self.register_buffer("target", as_default(target), persistent=False)
        self.register_buffer("floor", self.second.new_zeros(()), persistent=False)
        if start is not None:
            self.floor = self(start, ()).detach()

    def forward(self, model: Product, batch: tuple[Tensor, ...]) -> Tensor:
        """The loss in nats, a scalar, whatever the batch."""
        del batch
        product = model.product()
        off = product - self.target.to(product)
        return ((off @ self.second.to(off)) * off).sum() - self.floor.to(off)


def second_moments(draw: Callable[[int], Tensor], n: int) -> Tensor:
    """The mean of z z^T over n rows z.

    Args:
        draw: Gives so many rows, shape (rows, d), float64.
        n: The number of rows, drawn at most 20,000 at a time.

    Returns:
        The moments in float64, shape (d, d).
    """
    total = torch.zeros((), dtype=torch.float64, device="cpu")
    for start in range(0, n, _AT_ONCE):
        z = draw(min(_AT_ONCE, n - start))
        total = total + z.T @ z
    return total / n


def least_squares(truth: Tensor, noise: float, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The second moments of n rows y = T x + noise e, with x and e standard normal, and what they make of T.

    Args:
        truth: T in float64, shape (outputs, inputs).
        noise: The standard deviation of each output.
        n: The number of rows, at least as many as the inputs.
        generator: Draws them.

    Returns:
        S = mean x x^T, and W_0 = (mean y x^T) S^-1, the least-squares solution.
    """
    outputs, inputs = truth.shape

    def draw(count: int) -> Tensor:
        return torch.randn(count, inputs + outputs, dtype=torch.float64, generator=generator, device="cpu")

    moments = second_moments(draw, n)
    second, errors = moments[:inputs, :inputs], moments[inputs:, :inputs]
    return second, truth + noise * torch.linalg.solve(second, errors, left=False)


def of_rank(target: Tensor, second: Tensor, rank: int) -> Tensor:
    """The matrix W of a rank at most this with the smallest tr (W - W_0) S (W - W_0)^T: reduced-rank regression.

    Args:
        target: W_0, shape (outputs, inputs).
        second: S = L L^T, of full rank. In W L the form is a plain sum of squares, smallest at the first singular
            directions of W_0 L (Eckart and Young).
        rank: The rank.

    Returns:
        W, shape (outputs, inputs).
    """
    lower = torch.linalg.cholesky(second)
    u, s, v = torch.linalg.svd(target @ lower, full_matrices=False)
    nearest = (u[:, :rank] * s[:rank]) @ v[:rank]
    return torch.linalg.solve_triangular(lower, nearest, upper=False, left=False)
