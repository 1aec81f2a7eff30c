"""Models whose parameters multiply into one tensor, and how far that is from the true one."""

from typing import Protocol

import torch
from torch import Tensor


class Product(Protocol):
    """What a model of a factorization has."""

    truth: Tensor

    def product(self) -> Tensor:
        """What the factors make, in the shape of `truth`."""
        ...


def squared_distance(model: Product, batch: tuple[Tensor, ...]) -> Tensor:
    """K = ||product - truth||^2, the sum of squares of all entries, in nats, a scalar, whatever the batch."""
    return (model.product() - model.truth).square().sum()


def as_default(tensor: Tensor) -> Tensor:
    """The tensor in the dtype and on the device that torch gives new tensors."""
    return tensor.to(device=torch.get_default_device(), dtype=torch.get_default_dtype())
