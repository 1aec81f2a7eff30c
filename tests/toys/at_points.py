"""A toy's loss away from w*."""

from collections.abc import Sequence

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


def hessian_rank(toy: toys.Toy, rtol: float = 1e-8) -> int:
    """The rank of the Hessian of K at w*, in float64: the toy must have been made in it."""
    wrapper = Wrapper(toy)
    tensors = dict(wrapper.named_parameters())
    flat = torch.nn.utils.parameters_to_vector(tensors.values()).detach()
    assert flat.dtype == torch.float64

    def value(w: Tensor) -> Tensor:
        pieces = w.split([tensor.numel() for tensor in tensors.values()])
        leaves = {name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)}
        return functional_call(wrapper, leaves, (toy.data,))

    curvatures = torch.linalg.eigvalsh(hessian(value)(flat))
    return int((curvatures > rtol * curvatures[-1].clamp(min=1e-3)).sum())
