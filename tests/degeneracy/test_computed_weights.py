"""Weights that a layer computes from other parameters: their nulls are counted like those of any model."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from slt.degeneracy import explain
from slt.posterior import LocalPosterior
from tests.models import drawn, per_example, seeded

X = drawn(60, 3, seed=1)


def old(norm: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def apply(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch advises against them, and users have them
            return norm(layer)

    return apply


NORMS: dict[str, tuple[Callable[[nn.Module], nn.Module], int]] = {
    "weight norm": (parametrizations.weight_norm, 4),  # the length of each of 4 rows
    "weight norm, old": (old(nn.utils.weight_norm), 4),
    "spectral norm": (parametrizations.spectral_norm, 1),  # the length of the matrix
    "spectral norm, old": (old(nn.utils.spectral_norm), 1),
    "orthogonal": (parametrizations.orthogonal, 6),  # 12 numbers for a matrix with 3 orthonormal columns of 4
}


def model(norm: Callable[[nn.Module], nn.Module], dtype: torch.dtype = torch.float64) -> nn.Module:
    return seeded(lambda: nn.Sequential(norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NORMS)
def test_the_nulls_of_a_computed_weight_are_those_of_its_formula(name: str, dtype: torch.dtype):
    norm, nulls = NORMS[name]
    network = model(norm, dtype)
    network(X.to(dtype))  # the older norms keep what they compute, with its graph
    found = explain(network, (X.to(dtype), drawn(60, 2, seed=2).to(dtype)), "mse")
    assert found.nullity == nulls


@pytest.mark.parametrize("name", NORMS)
def test_no_buffer_changes_in_training_mode(name: str):
    """Reading the weight of a spectral norm in training mode is a step of its power iteration."""
    network = model(NORMS[name][0]).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    loss: Callable[[nn.Module, Any], Tensor] = per_example
    posterior = LocalPosterior(network, (X, drawn(60, 2, seed=2)), loss)
    posterior.problem.require_center()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
