"""The order of growth along null directions, as whole subspaces."""

import pytest
import torch
from torch import Tensor, nn

import slt
from slt.degeneracy.higher_order import higher_order
from slt.errors import SettingsError
from tests.degeneracy.cases import CASES, changed, drawn, like, linear, mlp, normal


class Adapter(nn.Module):
    """A frozen matrix and a low-rank adapter at its start: the second factor is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 6), requires_grad=False)
        self.a, self.b = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.zeros(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.w + self.b @ self.a).T


def adapter() -> nn.Module:
    return changed(drawn(Adapter()), lambda m: m.b.zero_())


@pytest.mark.parametrize(
    ("name", "flat", "quartic"),
    [
        ("tanh_dup_o1", 1, 3),
        ("lin_5_3_4_rankdef", 8, 5),
        ("tanh_zero_in_out", 1, 3),
        ("tanh_zero_out", 3, 0),
        ("tanh_zero_in", 2, 0),
        ("tanh_dup_o2", 2, 0),
        ("relu1_bias", 4, 0),
        ("swiglu", 3, 0),
        ("mha_nobias", 16, 0),
    ],
)
def test_the_split_of_the_oracles(name, flat, quartic):
    case = CASES[name]()
    found = higher_order(case.model, case.inputs)
    assert (found.flat_dimension, found.quartic, found.sixth) == (flat, quartic, 0)
    assert found.valleys == flat
    assert found.followed is True
    last, first = found.gap
    assert last is None or last > 1e-2
    assert first is None or first < 1e-11


def test_a_low_rank_adapter_at_its_start():
    found = higher_order(adapter(), normal(60, 6))
    assert (found.flat_dimension, found.quartic, found.sixth) == (12, 0, 0)


def test_three_linear_layers_at_zero_grow_as_the_sixth_power():
    case = CASES["lin_3layer_zero"]()
    found = higher_order(case.model, case.inputs)
    assert (found.nullity, found.flat_dimension, found.quartic, found.sixth) == (12, 12, 0, 12)
    assert "12 of the flat ones grow as the sixth power" in str(found)


def test_two_linear_layers_at_zero_are_quartic():
    found = higher_order(changed(linear(3, 2, 2), lambda m: [p.zero_() for p in m.parameters()]), normal(40, 3))
    assert (found.flat_dimension, found.quartic) == (0, 10)


def test_the_loss_grows_as_said_inside_each_subspace():
    # f moved along a quartic direction changes in second order; re-minimised along a flat one it does not
    case = CASES["tanh_dup_o1"]()
    found = higher_order(case.model, case.inputs)
    null = slt.functional_dimension(case.model, case.inputs).basis
    quartic = null @ torch.linalg.svd(null.T @ found.flat, full_matrices=True)[0][:, 1:]
    w = torch.nn.utils.parameters_to_vector(case.model.parameters()).detach()
    with torch.no_grad():
        base = case.model(case.inputs)

        def change(v: Tensor, t: float) -> float:
            torch.nn.utils.vector_to_parameters(w + t * v, case.model.parameters())
            return float((case.model(case.inputs) - base).square().mean())

        for v in quartic.T:
            assert change(v, 0.008) / change(v, 0.004) == pytest.approx(16, rel=0.05)
        assert change(found.flat[:, 0], 0.1) < 1e-28  # outgoing weights against one another: exactly flat


class Cusp(nn.Module):
    """f = (x^2 - y^3, z): y is flat to fourth order, and grows as the sixth power while x stays."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.w
        return torch.stack([a**2 - b**3, c], -1) * torch.ones_like(x)


def test_a_cusp_has_one_direction_of_each_order():
    found = higher_order(Cusp().double(), torch.ones(5, 2, dtype=torch.float64))
    assert (found.nullity, found.flat_dimension, found.quartic, found.sixth) == (2, 1, 1, 1)


class Parabola(nn.Module):
    """f = (y - x^2): the zeros are a curve, and only steps that are minimised again stay on it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return (self.w[1] - self.w[0] ** 2) * torch.ones_like(x)


def test_a_curved_valley_is_followed():
    found = higher_order(Parabola().double(), torch.ones(5, 1, dtype=torch.float64))
    assert (found.nullity, found.flat_dimension, found.quartic, found.valleys) == (1, 1, 0, 1)
    assert found.followed is True


class Eighth(nn.Module):
    """f = x^4: flat to sixth order, and no valley."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.w[0] ** 4 * torch.ones_like(x)


def test_flat_to_sixth_order_is_not_called_a_valley():
    found = higher_order(Eighth().double(), torch.ones(3, 1, dtype=torch.float64))
    assert (found.flat_dimension, found.sixth, found.valleys, found.followed) == (1, 0, 1, False)


def test_an_example_that_alone_shows_a_weight_is_found_wherever_it_stands():
    model = changed(mlp(3, 4, 1, scale=0.8), like(1, 0))
    found = []
    for place in (0, 301):
        inputs = normal(600, 3)
        inputs[:, 2] = 0.0
        inputs[place, 2] = 1.0
        found.append(higher_order(model, inputs))
    # it sees one combination of the four weights that read the third input; the rest is the duplicate, 1 + 3
    assert [(f.nullity, f.flat_dimension, f.quartic) for f in found] == [(7, 4, 3)] * 2


def test_a_kink_on_a_datum_is_refused():
    model = changed(mlp(2, 4, 1, act=nn.ReLU), lambda m: m[0].bias.zero_())
    inputs = normal(40, 2)
    assert higher_order(model, inputs).nullity >= 4
    inputs[3] = 0.0
    with pytest.raises(SettingsError, match="smooth at w\\*, but an input of relu lies on its kink"):
        higher_order(model, inputs)


def test_smooth_activations_may_be_zero():
    model = changed(mlp(2, 4, 1), lambda m: m[0].bias.zero_(), like(1, 0))
    inputs = normal(40, 2)
    inputs[3] = 0.0
    assert higher_order(model, inputs).nullity > 0
