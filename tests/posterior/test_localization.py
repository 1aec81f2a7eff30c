"""The localizer: 1 / rms(w*)^2 of each tensor, and what follows from it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slt.errors import ParametersError, SettingsError
from slt.posterior import LocalPosterior
from slt.posterior.localization import precisions
from slt.problem import untouched
from slt.problem.parameters import select
from tests.models import drawn, mlp, per_example, positions, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


def found(model: nn.Module, localization: Any = "auto", parameters: Any = None) -> tuple[list[Tensor], list[str]]:
    return precisions(localization, select(model, parameters))


def zeroed(*names: str) -> nn.Module:
    model = mlp(4, 5, 3)
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).zero_()
    return model


# --- "auto" --------------------------------------------------------------------------------------------------


def test_auto_is_one_over_the_mean_square_of_each_tensor_where_the_data_are_not_known():
    model = mlp(4, 5, 3)
    gammas, notes = found(model)
    for gamma, p in zip(gammas, model.parameters(), strict=True):
        assert gamma.shape == ()
        assert float(gamma) == pytest.approx(1 / (p.detach() ** 2).mean().item(), rel=1e-12)
    assert notes == []


def test_auto_looks_at_the_whole_tensor_where_some_of_its_entries_move():
    model = mlp(4, 5, 3)
    mask = torch.zeros(5, 4, dtype=torch.bool)
    mask[0, 0] = True
    (gamma,), _ = found(model, parameters={"0.weight": mask})
    assert float(gamma) == pytest.approx(1 / (model[0].weight.detach() ** 2).mean().item(), rel=1e-12)


def test_a_zero_tensor_takes_the_unit_of_its_layer_with_a_note():
    model = zeroed("0.bias")
    gammas, notes = found(model)
    assert float(gammas[1]) == pytest.approx(float(gammas[0]), rel=1e-12)
    assert len(notes) == 1
    assert notes[0].startswith("0.bias is zero at w*: its automatic localizer takes its layer's unit, ")


def test_the_unit_of_a_layer_is_the_root_mean_square_over_its_other_entries():
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ParameterDict({"a": torch.full((6,), 2.0), "b": torch.full((2,), 4.0), "c": torch.zeros(3)})

    gammas, _ = found(Layer().double())
    assert float(gammas[2]) == pytest.approx(1 / ((6 * 4 + 2 * 16) / 8), rel=1e-12)


def test_a_layer_wholly_zero_takes_the_unit_1_with_a_note():
    gammas, notes = found(zeroed("0.weight", "0.bias"))
    assert [float(g) for g in gammas[:2]] == [1.0, 1.0]
    assert [note.partition(" is zero")[0] for note in notes] == ["0.weight", "0.bias"]
    assert all("takes the unit 1, a guess" in note for note in notes)


def test_a_tensor_too_small_for_a_precision_counts_as_zero():
    model = mlp(4, 5, 3)
    with torch.no_grad():
        model[0].bias.fill_(1e-20)
    gammas, notes = found(model)
    assert float(gammas[1]) == pytest.approx(float(gammas[0]), rel=1e-12)
    assert notes[0].startswith("0.bias has size 1e-20 at w*: its automatic localizer takes its layer's unit, ")


# --- invariance ----------------------------------------------------------------------------------------------


def rescaled(factor: float) -> nn.Sequential:
    """A ReLU network whose first layer is multiplied and whose second is divided."""
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    with torch.no_grad():
        model[0].weight.mul_(factor)
        model[0].bias.mul_(factor)
        model[2].weight.div_(factor)
    return model


@pytest.mark.parametrize(("localization", "holds"), [("auto", True), (1.0, False)])
@pytest.mark.parametrize("factor", [0.01, 7.0, 1000.0])
@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_rescaling_a_layer_leaves_the_energy_at_corresponding_points(
    method: Any, factor: float, localization: Any, holds: bool
):
    """The isotropic localizer is the mutant: its energy differs."""
    energies = []
    for scale in (1.0, factor):
        model = rescaled(scale)
        posterior = LocalPosterior(model, (X, Y), per_example, localization=localization)
        with untouched(model):
            bound = posterior.bind(method, 3)
            _, each = positions(bound.evaluator, posterior.problem.segments, 3, spread=0.0)
            units = [scale, scale, 1 / scale, 1.0]
            away = [[0.1 * drawn(len(t), seed=10 * k + i) for i, t in enumerate(each[k])] for k in range(3)]
            packed = [
                bound.evaluator.pack([c + u * a for c, u, a in zip(each[k], units, away[k], strict=True)])
                for k in range(3)
            ]
            w = {name: torch.cat([p[name] for p in packed]) for name in packed[0]}
            excess = bound.evaluate(w).excess
            energies.append(bound.energy(w, excess, torch.full((3,), posterior.nbeta, dtype=torch.float64)))
    close = torch.allclose(energies[0], energies[1], rtol=1e-9, atol=0)
    assert close is holds


# --- numbers and mappings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0, 0.0, 2.5, np.float32(2.5), np.float64(1e6), np.int64(3)])
def test_a_number_holds_for_every_tensor(gamma: Any):
    gammas, notes = found(mlp(4, 5, 3), gamma)
    assert [float(g) for g in gammas] == [float(gamma)] * 4
    assert notes == []


def test_a_mapping_gives_numbers_or_one_number_an_entry():
    model = mlp(4, 5, 3)
    each = drawn(5, 4, seed=3).abs()
    given = {"0.weight": each, "0.bias": 2, "2.weight": torch.tensor(3.0), "2.bias": [0.5, 0.25, 0.0]}
    given["2.bias"] = np.array(given["2.bias"])
    gammas, _ = found(model, given)
    assert torch.equal(gammas[0], each.flatten())
    assert (float(gammas[1]), float(gammas[2])) == (2.0, 3.0)
    assert gammas[3].tolist() == [0.5, 0.25, 0.0]


def test_a_mapping_gives_the_moving_entries_their_own_numbers():
    mask = torch.tensor([True, False, True])
    (gamma,), _ = found(mlp(4, 5, 3), {"2.bias": torch.tensor([1.0, 2.0, 3.0])}, {"2.bias": mask})
    assert gamma.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("localization", "error", "message"),
    [
        (-1.0, SettingsError, "must be >= 0 and finite, got -1.0"),
        (math.nan, SettingsError, "got nan"),
        (math.inf, SettingsError, "got inf"),
        (True, SettingsError, 'must be a number, a mapping or "auto", got True'),
        ("automatic", SettingsError, "got 'automatic'"),
        (None, SettingsError, "got None"),
        ([1.0], SettingsError, r"got \[1.0\]"),
        ({}, ParametersError, r"missing \['0.bias', '0.weight'\], unknown or still \[\]"),
        ({"0.weight": 1.0}, ParametersError, r"missing \['0.bias'\]"),
        ({"0.weight": 1.0, "0.bias": 1.0, "oops": 1.0}, ParametersError, r"missing \[\], .* still \['oops'\]"),
        ({"0.weight": 1.0, "0.bias": -2.0}, SettingsError, "got -2.0 for '0.bias'"),
        ({"0.weight": 1.0, "0.bias": math.nan}, SettingsError, "got nan for '0.bias'"),
        ({"0.weight": 1.0, "0.bias": None}, SettingsError, "the localization of '0.bias' must be a number"),
        ({"0.weight": 1.0, "0.bias": True}, SettingsError, "got True"),
        ({"0.weight": torch.ones(4, 5), "0.bias": 1.0}, SettingsError, r"shape \(5, 4\), got shape \(4, 5\)"),
        ({"0.weight": torch.full((5, 4), -1.0), "0.bias": 1.0}, SettingsError, "must be >= 0 and finite"),
    ],
)
def test_a_localization_that_cannot_be_is_refused_before_the_loss_is_called(
    localization: Any, error: type[Exception], message: str
):
    def loss(model: nn.Module, batch: Any) -> Tensor:
        raise AssertionError("the loss was called")

    with pytest.raises(error, match=message):
        LocalPosterior(mlp(4, 5), (X, drawn(20, 5)), loss, localization=localization)


def test_a_still_parameter_has_no_place_in_a_mapping():
    with pytest.raises(ParametersError, match=r"unknown or still \['0.bias'\]"):
        found(mlp(4, 5), {"0.weight": 1.0, "0.bias": 1.0}, "0.weight")
