"""Every instance of the catalogue that a network realizes: its toy is a minimum, with the catalogue's answer."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from slt import analytic, toys
from slt.analytic.families import GROUPS
from slt.analytic.table import Row
from tests.toys.at_points import curvatures, flattened

NETWORKS = [
    family.__name__ for group in ("Linear networks", "Networks with one hidden layer") for family in GROUPS[group]
]
WITHOUT_TOY = {"biases", "softmax", "input_rank"}
"""Options of `deep_linear` that no toy has."""


def largest(parameters: Mapping[str, Any]) -> int:
    numbers = [x if isinstance(x, tuple) else (x,) for x in parameters.values() if not isinstance(x, str)]
    return max(max(x, default=0) for x in numbers)


ROWS = [
    row
    for row in analytic.catalogue()
    if row.function in NETWORKS and largest(row.entry.parameters) <= 10 and not WITHOUT_TOY & set(row.entry.parameters)
]


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("function", NETWORKS)
def test_every_family_of_networks_has_a_toy(function: str):
    assert function in toys.__all__
    assert function == "lora" or any(row.function == function for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row.call for row in ROWS])
def test_toy_is_a_minimum_with_the_answer_of_the_catalogue(row: Row):
    toy = getattr(toys, row.function)(**row.entry.parameters)
    assert toy.exact is not None
    assert toy.exact.rlct == row.entry.rlct
    value, center = flattened(toy)
    assert toy.exact.value <= len(center) / 2
    assert abs(value(center).item()) < 1e-14
    assert torch.func.grad(value)(center).abs().max() < 1e-12
    if len(center) <= 200:
        found = curvatures(toy)
        assert found[0] > -1e-10
        assert int((found > 1e-8 * found[-1].clamp(min=1e-3)).sum()) <= 2 * toy.exact.value
