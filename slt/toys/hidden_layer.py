"""Networks with one hidden layer, the inputs that their loss is a mean over, and points where they are the truth."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slt.errors import InputError
from slt.toys.products import as_default

_MOST_NODES = 20_000


class Inputs(NamedTuple):
    """A law of the inputs with finitely many values.

    Attributes:
        nodes: The values, shape (q, N), float64.
        weights: Their probabilities, shape (q,), float64.
    """

    nodes: Tensor
    weights: Tensor


class HiddenLayer(nn.Module):
    """The network f(x) = sum_h a_h sigma(b_h . x + c_h), and what it should be on its inputs.

    Attributes:
        a: Outer weights, shape (M, H).
        b: Inner weights, shape (H, N).
        c: Biases of the units, shape (H,), or None.
        inputs: The values of the inputs, shape (q, N).
        weights: Their probabilities, shape (q,).
        truth: The true outputs on them, shape (q, M): those of the network that it starts as.
    """

    inputs: Tensor
    weights: Tensor
    truth: Tensor
    c: nn.Parameter | None

    def __init__(
        self,
        activation: Callable[[Tensor], Tensor],
        start: tuple[Tensor, Tensor, Tensor | None],
        inputs: Tensor,
        weights: Tensor,
    ) -> None:
        """Start at (a, b, c), copied."""
        super().__init__()
        self.activation = activation
        a, b, c = start
        self.a, self.b = nn.Parameter(as_default(a).clone()), nn.Parameter(as_default(b).clone())
        self.c = None if c is None else nn.Parameter(as_default(c).clone())
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("inputs", as_default(inputs), persistent=False)
        self.register_buffer("weights", as_default(weights), persistent=False)
        self.register_buffer("truth", self(self.inputs).detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (..., M), for inputs of shape (..., N)."""
        inner = x @ self.b.mT
        if self.c is not None:
            inner = inner + self.c
        return self.activation(inner) @ self.a.mT


def mean_square(model: HiddenLayer, batch: tuple[Tensor, ...]) -> Tensor:
    """K = E |f(x) - truth(x)|^2 over the model's own inputs, in nats, a scalar, whatever the batch."""
    return model.weights @ (model(model.inputs) - model.truth).square().sum(-1)


def gauss(inputs: int, per_axis: int, half_width: float) -> Inputs:
    """The Gauss-Legendre rule on [-s, s]^N.

    Args:
        inputs: N.
        per_axis: The nodes along each input.
        half_width: s.

    Returns:
        A law with the means of the uniform one, for polynomials of degree < 2 per_axis in each input.

    Raises:
        InputError: If it has too many nodes.
    """
    if per_axis**inputs > _MOST_NODES:
        raise InputError(
            f"inputs must be fewer: the loss is a mean over {per_axis}^inputs nodes, at most {_MOST_NODES}, "
            f"got {inputs} inputs."
        )
    x, weights = np.polynomial.legendre.leggauss(per_axis)
    nodes = np.stack(np.meshgrid(*[x] * inputs, indexing="ij"), -1).reshape(-1, inputs)
    product = np.stack(np.meshgrid(*[weights / 2] * inputs, indexing="ij"), -1).reshape(-1, inputs).prod(1)
    return Inputs(torch.from_numpy(half_width * nodes), torch.from_numpy(product))


def uniform_on(nodes: Tensor) -> Inputs:
    """All rows of `nodes`, equally probable."""
    return Inputs(nodes, torch.full((len(nodes),), 1 / len(nodes), dtype=torch.float64, device="cpu"))


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Draws of N(0, 1) in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=generator, device="cpu")


def shared_out(drawn: tuple[Tensor, Tensor, Tensor | None], units: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same function with more units: the first true unit's outer weight is shared evenly with copies of it.

    Args:
        drawn: (a, b, c) of the true units, at least one.
        units: H, at least as many.

    Returns:
        (a, b, c) of H units.
    """
    a, b, c = drawn
    copies = units - len(b) + 1
    first = a[:, :1] / copies
    return (
        torch.cat([first.expand(-1, copies), a[:, 1:]], 1),
        torch.cat([b[:1].expand(copies, -1), b[1:]]),
        None if c is None else torch.cat([c[:1].expand(copies), c[1:]]),
    )
