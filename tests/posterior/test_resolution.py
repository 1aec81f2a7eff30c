"""Settings that rounding could not follow are refused at once; neighbours that it can are not."""

import pytest
import torch
from torch import nn

from slt.errors import SettingsError
from slt.posterior import LocalPosterior
from tests.models import drawn

X, Y = drawn(50, 3, seed=1).float(), drawn(50, 1, seed=2).float()


def build(dtype: torch.dtype = torch.float32, **settings: float) -> LocalPosterior:
    torch.manual_seed(0)
    return LocalPosterior(nn.Linear(3, 1).to(dtype), (X.to(dtype), Y.to(dtype)), "mse", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nbeta": 1e30}, "nbeta must be small enough for torch.float32"),
        ({"nbeta": 1e12}, "Use a smaller nbeta"),
        ({"localization": 1e30}, "less than torch.float32 resolves"),
    ],
)
def test_what_rounding_cannot_follow_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(**settings)


@pytest.mark.parametrize("settings", [{"nbeta": 1e6}, {"localization": 1e10}, {"nbeta": 1e12, "dtype": torch.float64}])
def test_what_it_can_follow_is_accepted(settings: dict[str, float]) -> None:
    assert build(**settings).dimension == 4


def test_a_loss_of_zero_and_weights_of_zero_are_not_rounded() -> None:
    model = nn.Linear(3, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    LocalPosterior(model, (X, torch.zeros(50, 1)), "mse", nbeta=1e15, localization=1e20)
