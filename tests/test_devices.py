"""What slt makes itself lies where it says, whatever device or type is the default of the program around it."""

import ast
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import slt
from tests.models import mlp

ROOT = Path(__file__).parents[1] / "slt"
# What these make is the user's: a toy lies on the default device like any other model.
OF_THE_USER = {"toys", "testing", "cli", "diagnostics"}
FACTORIES = set(
    "arange as_tensor empty eye full linspace logspace ones rand randint randn randperm tensor zeros".split()
)


def made_without_a_device(source: str) -> list[int]:
    """Lines of calls of torch's factories that leave the device to the default."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in FACTORIES
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "torch"
        and not any(keyword.arg in ("device", None) for keyword in call.keywords)
    ]


def test_every_tensor_is_made_on_a_device_that_is_named() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in OF_THE_USER]
    found = {str(path): lines for path in files if (lines := made_without_a_device(path.read_text()))}
    assert len(files) > 100
    assert found == {}


def test_a_call_that_names_no_device_is_found() -> None:
    assert made_without_a_device("x = torch.zeros(3)\ny = torch.ones(2, device='cpu')\nz = torch.arange(4)") == [1, 3]


@contextmanager
def default(set_default: object, value: object, back: object) -> Iterator[None]:
    set_default(value)
    try:
        yield
    finally:
        set_default(back)


CONTEXTS = {
    "torch.device('meta')": lambda: torch.device("meta"),
    "default device meta": lambda: default(torch.set_default_device, "meta", None),
    "default type float64": lambda: default(torch.set_default_dtype, torch.float64, torch.float32),
    "default type bfloat16": lambda: default(torch.set_default_dtype, torch.bfloat16, torch.float32),
}


def numbers(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> list[np.ndarray]:
    posterior = slt.LocalPosterior(model, data, "mse", batch_size=8)
    settings = {
        "chains": 2,
        "draws": 10,
        "warmup": 10,
        "progress": False,
        "observe": {"away": slt.observables.distance()},
    }
    traces = [slt.sample(posterior, sampler, **settings) for sampler in (slt.HMC(), slt.SGLD())]
    return [trace.get("posterior", "excess") for trace in traces]


@pytest.mark.parametrize("context", CONTEXTS)
def test_runs_are_the_same_under_other_defaults(context: str) -> None:
    model = mlp(3, 4, 2)
    rng = np.random.default_rng(0)
    data = tuple(torch.from_numpy(rng.normal(size=(40, k))) for k in (3, 2))
    expected = numbers(model, data)
    surroundings: AbstractContextManager[object] = CONTEXTS[context]()
    with surroundings:
        found = numbers(model, data)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
