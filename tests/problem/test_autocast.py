"""Inside torch.autocast losses and gradients are those of the weights that chains hold, not of what it has kept."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slt.errors import InputError
from slt.problem import Problem, untouched
from slt.problem.evaluate import InPlace, choose_evaluator
from tests.models import by_tensor, drawn, mlp, per_example, positions

X, Y = drawn(20, 4, seed=1).float(), drawn(20, 3, seed=2).float()


def lower(**other: Any) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, **other)


class Inside(nn.Module):
    """Enters autocast in its own forward pass, and keeps what it casts."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.cast = mlp(4, 5, 3).float(), lower(cache_enabled=True)

    def forward(self, x: Tensor) -> Tensor:
        with self.cast:
            return self.layers(x).float()


def evaluated(model: nn.Module) -> list[Tensor]:
    problem = Problem(model, (X, Y), per_example)
    with untouched(model):
        evaluator = InPlace(problem)
        w, _ = positions(evaluator, problem.segments, 2)
        found = evaluator.evaluate({name: leaf.float() for name, leaf in w.items()}, None)
    return [found.excess, *by_tensor(evaluator, found)]


@pytest.mark.parametrize("build", [lambda: mlp(4, 5, 3).float(), Inside], ids=["around", "around and inside"])
def test_inside_autocast_the_loss_follows_the_weights(build: Any):
    plain = evaluated(build())
    with lower():
        found = evaluated(build())
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05 * float(b.abs().max()))


def test_the_note_tells_of_it_and_the_user_s_cache_is_on_afterwards():
    model = mlp(4, 5, 3).float()
    with lower():
        problem = Problem(model, (X, Y), per_example)
        with untouched(model):
            choose_evaluator(problem, "auto", 2)
        assert torch.is_autocast_cache_enabled()
    assert "torch.autocast, in torch.bfloat16" in problem.notes[0]
    assert not Problem(model, (X, Y), per_example).notes


def test_a_posterior_serves_under_the_autocast_that_it_was_built_under():
    model = mlp(4, 3).float()
    with lower():
        inside = Problem(model, (X, Y), per_example)
        inside.require_center()
    with pytest.raises(InputError, match=r"as when the posterior was built, torch\.bfloat16, got off; build another"):
        inside.require_center()
    outside = Problem(model, (X, Y), per_example)
    with lower(), pytest.raises(InputError, match=r"built, off, got torch\.bfloat16"):
        outside.require_center()
