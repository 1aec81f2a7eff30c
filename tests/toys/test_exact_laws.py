"""Toys whose answer holds at finite n: the mean loss of random points around w* against it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from slt import toys
from tests.toys.at_points import Wrapper
from tests.toys.networks import MAKERS

NBETA = 1.0
POINTS = 100_000

WITH_LAW = {name: make for name, make in MAKERS.items() if (exact := make().exact) is not None and exact.law}


def losses(toy: toys.Toy, precisions: np.ndarray) -> np.ndarray:
    """K at random points N(w*, 1 / precision), float64."""
    wrapper = Wrapper(toy).double()
    tensors = dict(wrapper.named_parameters())
    noise = np.random.default_rng(0).standard_normal((POINTS, len(precisions))) / np.sqrt(precisions)
    pieces = torch.from_numpy(noise).split([tensor.numel() for tensor in tensors.values()], 1)
    points = {
        name: tensor.detach() + piece.view(POINTS, *tensor.shape)
        for (name, tensor), piece in zip(tensors.items(), pieces, strict=True)
    }

    def value(w: dict[str, Tensor]) -> Tensor:
        return functional_call(wrapper, w, (toy.data,))

    with torch.no_grad():
        return vmap(value)(points).numpy()


def z_score(K: np.ndarray, energy: float) -> float:
    """Of nbeta E[K] under weights exp(-nbeta K), a ratio of two means."""
    weights = np.exp(-NBETA * K)
    off = weights * (NBETA * K - energy)
    return float(off.mean() / (off.std() / len(K) ** 0.5))


def energy_of(toy: toys.Toy, precisions: np.ndarray) -> float:
    assert toy.exact is not None
    energy = toy.exact.tempered(NBETA, localization=precisions.tolist()).energy
    assert energy.kind == "exact"
    assert energy.value is not None
    return energy.value


def by_tensor(toy: toys.Toy) -> np.ndarray:
    """Another precision for each tensor, so that their order counts."""
    sizes = [parameter.numel() for parameter in toy.model.parameters()]
    return np.repeat(1 + 0.5 * np.arange(len(sizes)), sizes)


def test_all_kinds_of_products_are_here():
    found = " ".join(WITH_LAW)
    assert all(kind in found for kind in ("deep linear", "adapter", "diagonal", "square", "tensor"))


@pytest.mark.parametrize("make", WITH_LAW.values(), ids=WITH_LAW.keys())
def test_mean_loss_is_the_exact_one(make: Callable[..., toys.Toy]):
    toy = make()
    precisions = by_tensor(toy)
    K, energy = losses(toy, precisions), energy_of(toy, precisions)
    assert abs(z_score(K, energy)) < 4
    assert abs(z_score(1.2 * K, energy)) > 4, "a loss that is a fifth off would not have been seen"
