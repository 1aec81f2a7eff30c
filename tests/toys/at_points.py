"""A toy's loss away from w*."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, hessian

from slt import toys
from tests.toys.test_all_toys import Wrapper


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


def curvatures(toy: toys.Toy) -> Tensor:
    """The eigenvalues of the Hessian of K at w*, ascending; the toy must have been made in float64."""
    value, center = flattened(toy)
    assert center.dtype == torch.float64
    return torch.linalg.eigvalsh(hessian(value)(center))


def hessian_rank(toy: toys.Toy, rtol: float = 1e-8) -> int:
    """The number of positive curvatures, of more than rtol times the largest."""
    found = curvatures(toy)
    return int((found > rtol * found[-1].clamp(min=1e-3)).sum())
