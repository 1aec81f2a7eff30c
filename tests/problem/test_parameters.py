"""Which parameters move: names, globs, modules and masks, and refusals."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from slt.errors import DataError, ParametersError
from slt.problem.parameters import select
from tests.models import CausalLM, Tied, mlp, seeded

NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]
SOME = torch.tensor([True, False, True])
NOTHING, EVERYTHING = torch.zeros(3, 5, dtype=torch.bool), torch.ones(3, 5, dtype=torch.bool)


def names(model: nn.Module, parameters: Any) -> list[str]:
    return [segment.name for segment in select(model, parameters)]


def test_all_that_require_a_gradient_move_by_default_in_the_model_s_order():
    model = mlp(4, 5, 3)
    assert names(model, None) == NAMES
    model[0].requires_grad_(False)
    assert names(model, None) == NAMES[2:]


MODEL = mlp(4, 5, 3)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("0.weight", ["0.weight"]),
        ("2", ["2.weight", "2.bias"]),
        ("*.bias", ["0.bias", "2.bias"]),
        ("*", NAMES),
        ("[!0]*", ["2.weight", "2.bias"]),
        (["2.bias", "0.weight"], ["0.weight", "2.bias"]),
        (("0", "0.bias"), ["0.weight", "0.bias"]),
        ({"0.bias", "2.bias"}, ["0.bias", "2.bias"]),
        (iter(["0.bias"]), ["0.bias"]),
        (MODEL[2], ["2.weight", "2.bias"]),
        ([MODEL[0], "2.bias"], ["0.weight", "0.bias", "2.bias"]),
        (MODEL, NAMES),
        ({"*": True, "0": False}, ["2.weight", "2.bias"]),
        ({"*": True, "2.weight": NOTHING}, ["0.weight", "0.bias", "2.bias"]),
        ({"0.bias": False, "*.bias": True}, ["0.bias", "2.bias"]),
    ],
)
def test_a_selection_moves_what_it_names(parameters: Any, expected: list[str]):
    assert names(MODEL, parameters) == expected


def test_a_frozen_parameter_moves_if_it_is_named():
    model = mlp(4, 5, 3)
    model.requires_grad_(False)
    assert names(model, "0.bias") == ["0.bias"]
    assert not model[0].bias.requires_grad


def test_a_mask_moves_the_entries_it_marks():
    (segment,) = select(MODEL, {"2.bias": SOME})
    assert segment.size == 2
    assert torch.equal(segment.entries(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([1.0, 3.0]))


def test_a_mask_of_everything_moves_the_whole_tensor():
    (segment,) = select(MODEL, {"2.weight": EVERYTHING})
    assert segment.index is None
    assert segment.size == 15


def test_the_later_of_two_entries_for_one_parameter_counts():
    first, second = select(MODEL, {"*.bias": True, "2.bias": SOME})
    assert (first.size, second.size) == (5, 2)
    assert select(MODEL, {"2.bias": SOME, "2": True})[1].index is None


def test_tied_weights_move_once_under_any_of_their_names():
    model = seeded(Tied)
    assert names(model, None) == ["encode.weight", "encode.bias"]
    assert names(model, "decode.weight") == ["encode.weight"]
    assert names(model, model.decode) == ["encode.weight", "encode.bias"]
    assert names(seeded(CausalLM), ["head"]) == ["tokens.weight"]
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    assert select(model, {"decode.weight": mask})[0].size == 1


def test_parameters_without_entries_are_passed_over():
    model = mlp(4, 3)
    model.extra = nn.Parameter(torch.zeros(0, 3, dtype=torch.float64))
    assert names(model, None) == ["0.weight", "0.bias"]


class Whole(nn.Module):
    """A parameter that is not floating."""

    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (nn.Flatten(), None, "at least one floating parameter with requires_grad=True, got none of 0"),
        (mlp(4, 5, 3).requires_grad_(False), None, "got none of 4"),
        (Whole(), None, "got none of 1"),
        (Whole(), "count", "'count' must be real and floating to move, got torch.int64"),
        (MODEL, "1.weight", "names '1.weight', which the model does not have. It has: 0.weight, 0.bias"),
        (MODEL, "*.gain", "names '*.gain', which the model does not have".replace("*", r"\*")),
        (MODEL, ["0", "oops"], "'oops'"),
        (MODEL, "", "names ''"),
        (MODEL, [], "at least one parameter, got an empty selection"),
        (MODEL, {}, "at least one entry, got none"),
        (MODEL, nn.Linear(4, 5), "Linear given in parameters= is not a part of the model"),
        (MODEL, MODEL[1], "names module Tanh, which the model does not have"),
        (MODEL, 5, "takes names, globs, modules or a mapping to masks, got int"),
        (MODEL, [5], "got int"),
        (MODEL, MODEL[0].weight, "got Parameter"),
        (MODEL, {"oops": True}, "'oops'"),
        (MODEL, {"0.weight": False}, "at least one entry, got none"),
        (MODEL, {"2.weight": NOTHING}, "at least one entry, got none"),
        (MODEL, {"*": True, "0": False, "2": False}, "at least one entry, got none"),
        (MODEL, {"2.weight": SOME}, r"Boolean tensor of shape \(3, 5\), got torch.bool of shape \(3,\)"),
        (MODEL, {"*.bias": SOME}, r"the mask of '0.bias' must be a Boolean tensor of shape \(5,\)"),
        (MODEL, {"2.bias": SOME.long()}, "got torch.int64 of shape"),
        (MODEL, {"2.bias": 1}, "must be True, False or a Boolean tensor, got 1"),
        (MODEL, {"2.bias": None}, "got None"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(model: nn.Module, parameters: Any, message: str):
    with pytest.raises(ParametersError, match=message):
        select(model, parameters)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_is_not_finite_is_refused(value: float):
    model = mlp(4, 5, 3)
    with torch.no_grad():
        model[2].bias[1] = value
    with pytest.raises(DataError, match=r"finite at w\*, but parameter '2.bias' holds NaN or infinity"):
        select(model, "0.weight")
