"""A toy's loss as a function of its parameters, and its curvature at w*."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian

from slt import toys


class Wrapper(nn.Module):
    """A module whose output is the toy's loss, for functional_call."""

    def __init__(self, toy: toys.Toy) -> None:
        super().__init__()
        self.model, self.loss = toy.model, toy.loss

    def forward(self, batch: tuple[Tensor, ...]) -> Tensor:
        return self.loss(self.model, batch)


def loss_at(toy: toys.Toy, *tensors: np.ndarray | Sequence[float]) -> float:
    """K at the given parameter tensors, in the model's order, float64."""
    wrapper = Wrapper(toy).double()
    names = [name for name, _ in wrapper.named_parameters()]
    values = [torch.as_tensor(np.asarray(tensor, dtype=np.float64)) for tensor in tensors]
    return functional_call(wrapper, dict(zip(names, values, strict=True)), (toy.data,)).item()


def random_parameters(toy: toys.Toy, seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    """Normal numbers in the shapes of the toy's parameters."""
    rng = np.random.default_rng(seed)
    return [scale * rng.standard_normal(tuple(parameter.shape)) for parameter in toy.model.parameters()]


def flattened(toy: toys.Toy) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """K as a function of all parameters in one vector, and the vector at w*."""
    wrapper = Wrapper(toy)
    tensors = dict(wrapper.named_parameters())

    def value(w: Tensor) -> Tensor:
        pieces = w.split([tensor.numel() for tensor in tensors.values()])
        leaves = {name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)}
        return functional_call(wrapper, leaves, (toy.data,))

    return value, torch.nn.utils.parameters_to_vector(tensors.values()).detach()


def hessian_at_center(toy: toys.Toy) -> Tensor:
    """The Hessian of K at w*; the toy must have been made in float64."""
    value, center = flattened(toy)
    assert center.dtype == torch.float64
    return hessian(value)(center)


def curvatures(toy: toys.Toy) -> Tensor:
    """The eigenvalues of the Hessian of K at w*, ascending."""
    return torch.linalg.eigvalsh(hessian_at_center(toy))


def hessian_rank(toy: toys.Toy, rtol: float = 1e-8) -> int:
    """The number of positive curvatures, of more than rtol times the largest."""
    found = curvatures(toy)
    return int((found > rtol * found[-1].clamp(min=1e-3)).sum())
