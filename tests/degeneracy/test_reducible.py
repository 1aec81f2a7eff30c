"""Reducible units found by name, and networks without them that compute the same function."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slt.degeneracy.proximate import proximate_rank
from slt.degeneracy.reducible import reducible
from slt.degeneracy.units import affine_reflection
from slt.errors import SettingsError
from tests.degeneracy.cases import (
    SMALL,
    Gated,
    box,
    changed,
    drawn,
    incoming,
    like,
    linear,
    mlp,
    normal,
    outgoing,
)


def kinds(result):
    return sorted((f.kind, f.units, f.scope) for f in result.findings)


def same(result, model, inputs):
    with torch.no_grad():
        return float((result.compressed(inputs) - model(inputs)).abs().max()) < 1e-10 * float(model(inputs).abs().max())


@pytest.mark.parametrize(
    ("name", "found", "width"),
    [
        ("tanh_zero_out", [("unread", (0,), "function")], 2),
        ("tanh_zero_in", [("constant", (0,), "function")], 2),
        ("tanh_zero_in_out", [("unread", (0,), "function")], 2),
        ("tanh_dup_o1", [("duplicate", (0, 1), "function")], 2),
        ("tanh_dup_o2", [("duplicate", (0, 1), "function")], 2),
        ("relu1_dead_on_data", [("dead", (0,), "these data")], 4),
        ("relu1_two_always_on", [("always on", (0, 1), "these data")], 4),
        ("relu1_opposite_pair", [("opposite", (0, 1), "function")], 3),
        ("lin_5_3_4_rankdef", [("rank-deficient product", (0, 1, 2), "function")], 2),
        ("relu1_bias", [], 4),
        ("act_tanh", [], 3),
        ("swiglu", [], 3),
    ],
)
def test_named_as_the_oracles_name_them(name, found, width):
    case = SMALL[name]()
    result = reducible(case.model, case.inputs)
    assert kinds(result) == found
    assert [after for _, after in result.widths.values()] == [width]
    assert same(result, case.model, normal(200, case.inputs.shape[1], seed=77, scale=5))


def test_what_only_the_data_do_not_need_stays_unless_asked_for():
    for name, width in (("relu1_dead_on_data", 3), ("relu1_two_always_on", 3)):
        case = SMALL[name]()
        result = reducible(case.model, case.inputs, on_data=True)
        assert result.compressed[0].out_features == width
        assert result.lossless
        far = normal(200, 2, scale=50)
        assert not same(result, case.model, far)


def cancelling_pair():
    return changed(mlp(2, 4, 2, scale=0.8), like(1, 0), outgoing(0, [1.0, -2.0]), outgoing(1, [-1.0, 2.0]))


@pytest.mark.parametrize(
    ("model", "found", "width"),
    [
        (cancelling_pair(), ["cancelling"], 2),
        (changed(mlp(2, 4, 1), like(1, 0, -1.0)), ["opposite"], 3),  # odd: one with the other's sign
        (changed(mlp(2, 4, 1, act=nn.Sigmoid), like(1, 0, -1.0)), ["opposite"], 3),  # odd up to a constant
        (changed(mlp(2, 4, 1, act=nn.GELU), like(1, 0, -1.0)), ["opposite"], 4),  # up to a linear function
        (changed(mlp(2, 4, 1, act=nn.ReLU), like(1, 0, 3.0)), ["duplicate"], 3),  # a multiple
        (changed(mlp(2, 4, 1), like(1, 0, 3.0)), [], 4),  # no multiple for tanh
        (changed(mlp(2, 4, 1, act=nn.ReLU), incoming(2, [0.0, 0.0], -1.0)), ["dead"], 3),
        (changed(mlp(2, 4, 1, act=nn.ReLU), incoming(2, [0.0, 0.0], 1.5)), ["constant"], 3),
        (changed(mlp(2, 4, 1), like(1, 0), like(2, 0), like(3, 0)), ["duplicate"], 1),
    ],
)
def test_kinds(model, found, width):
    result = reducible(model, normal(100, 2))
    assert [f.kind for f in result.findings] == found
    assert result.compressed[0].out_features == width
    assert same(result, model, normal(100, 2, seed=5, scale=4))


def test_a_unit_a_little_off_is_no_duplicate():
    model = changed(mlp(2, 4, 1), like(1, 0), lambda m: m[0].weight[1].mul_(1 + 1e-6))
    assert reducible(model, normal(50, 2)).findings == []


def test_all_units_unread_leave_one():
    model = changed(mlp(2, 4, 1), lambda m: m[2].weight.zero_())
    result = reducible(model, normal(50, 2))
    assert result.compressed[0].out_features == 1
    assert same(result, model, normal(50, 2, seed=3))


def test_gated_units():
    model = changed(
        drawn(Gated(4, 5, 2, nn.SiLU())),
        lambda m: m.gate.weight[1].copy_(m.gate.weight[0]),
        lambda m: m.up.weight[1].copy_(-2 * m.up.weight[0]),
        lambda m: m.up.weight[3].zero_(),
    )
    result = reducible(model, normal(80, 4))
    assert [(f.kind, f.units) for f in result.findings] == [("dead", (3,)), ("duplicate", (0, 1))]
    assert result.compressed.gate.out_features == result.compressed.down.in_features == 3
    assert same(result, model, normal(80, 4, seed=3))


def cnn():
    model = drawn(
        nn.Sequential(
            nn.Conv2d(1, 5, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(5, 4, 3),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16, 3),
        ),
        scale=0.5,
    )

    def edit(m):
        m[0].weight[1] = 2 * m[0].weight[0]
        m[0].bias[1] = 2 * m[0].bias[0]
        m[3].weight[2] = -m[3].weight[0]
        m[3].bias[2] = -m[3].bias[0]
        m[3].weight[3] = 0

    return changed(model, edit)


def test_convolutions_through_pooling_and_flattening():
    model = cnn()
    result = reducible(model, normal(30, 1, 8, 8))
    assert [(f.layer, f.kind, f.units) for f in result.findings] == [
        ("0", "duplicate", (0, 1)),
        ("3", "constant", (3,)),
        ("3", "opposite", (0, 2)),
    ]
    assert result.widths == {"0": (5, 4), "3": (4, 2)}
    assert result.compressed[6].in_features == 8
    assert same(result, model, normal(30, 1, 8, 8, seed=9))


def test_a_constant_channel_does_not_go_into_a_bias_over_zero_padding():
    model = drawn(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 3, padding=1)))
    changed(model, lambda m: m[0].weight[1].zero_())
    result = reducible(model, normal(10, 1, 7, 7))
    assert result.compressed[0].out_channels == 3
    assert same(result, model, normal(10, 1, 7, 7, seed=2))


def test_attention_heads():
    model = nn.MultiheadAttention(6, 3, batch_first=True).double()
    with torch.no_grad():
        model.out_proj.weight[:, 2:4] = 0
        model.in_proj_weight[0] = model.in_proj_weight[1]  # two query rows of head 0
    found = reducible(model, normal(20, 4, 6), function=lambda m, x: m(x, x, x)[0]).findings
    assert [(f.kind, f.units) for f in found] == [("low-rank query-key", (0,)), ("dead head", (1,))]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    act=st.sampled_from([nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU]),
    edits=st.lists(st.sampled_from(["duplicate", "opposite", "constant", "unread"]), max_size=4),
)
def test_compressed_networks_compute_the_same_function(seed, act, edits):
    model = mlp(3, 6, 5, 2, act=act, seed=seed)
    odd = act in (nn.Tanh, nn.Sigmoid)
    fewer = 0
    for i, edit in enumerate(edits):  # unit i + 2 is spoilt; units 0 and 1 stay
        if edit in ("duplicate", "opposite"):
            # of unit 0 both copy and mirror image may be there: each is one unit too many
            changed(model, like(i + 2, 0, 1.0 if edit == "duplicate" else -1.0))
            fewer += edit == "duplicate" or odd
        elif edit == "constant":
            changed(model, lambda m, i=i: m[0].weight[i + 2].zero_())
            fewer += 1
        else:
            changed(model, lambda m, i=i: m[2].weight[:, i + 2].zero_())
            fewer += 1
    mirrored = edits.count("opposite")
    if not odd and mirrored > 1:
        fewer += mirrored - 1  # mirror images are copies of one another
    inputs = normal(60, 3, seed=seed + 1)
    result = reducible(model, inputs)
    assert result.compressed[0].out_features == 6 - fewer
    assert same(result, model, inputs)
    assert result.fresh_error < 1e-10


def test_reflections():
    assert affine_reflection(torch.tanh) == pytest.approx((-1, 0, 0))
    assert affine_reflection(torch.sigmoid) == pytest.approx((-1, 1, 0))
    assert affine_reflection(torch.relu) == pytest.approx((1, 0, -1))
    assert affine_reflection(nn.functional.softplus) == pytest.approx((1, 0, -1))
    assert affine_reflection(torch.exp) is None
    assert affine_reflection(lambda z: z) is None


def test_the_model_is_untouched_and_deep_products_shrink():
    model = linear(5, 4, 4, 3)
    before = copy.deepcopy(model.state_dict())
    result = reducible(model, normal(40, 5))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert result.widths == {"0": (4, 3), "1": (4, 3)}
    assert "widths: 0 4 -> 3, 1 4 -> 3" in str(result)


def test_a_layer_read_elsewhere_is_left_alone():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            hidden = torch.tanh(self.a(x))
            return self.b(hidden) + hidden

    model = changed(drawn(Skip()), lambda m: m.b.weight[:, 0].zero_())
    result = reducible(model, normal(20, 3))
    assert result.findings == []
    assert result.skipped["b"] == "its input is read elsewhere too"


# --- the proximate rank ---


def nearly_equal(e):
    model = mlp(1, 3, 1)
    return changed(
        model,
        lambda m: m[0].weight.copy_(torch.tensor([[1.0], [1 + 1.5 * e], [1 + 3 * e]])),
        lambda m: m[0].bias.zero_(),
        lambda m: m[2].weight.fill_(1.0),
    )


def test_three_nearly_equal_tanh_units_are_nearly_two():
    model, inputs = nearly_equal(0.05), box(200, 1)
    assert reducible(model, inputs).widths == {"0": (3, 3)}  # of rank 3
    loose = proximate_rank(model, inputs, 1e-3)
    assert loose.widths["0"][1] <= 2
    assert loose.error <= 1e-3
    tight = proximate_rank(model, inputs, 1e-9)
    assert tight.widths == {"0": (3, 3)}
    assert "at most 3 of 3 units" in str(tight)


def test_the_bound_is_the_rank_where_units_are_equal():
    case = SMALL["tanh_dup_o1"]()
    assert proximate_rank(case.model, case.inputs, 1e-9).widths == {"0": (3, 2)}


def test_the_tolerance_must_be_positive():
    with pytest.raises(SettingsError, match="tolerance must be positive"):
        proximate_rank(mlp(2, 3, 1), normal(9, 2), 0.0)
