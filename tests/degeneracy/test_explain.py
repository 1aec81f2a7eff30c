"""Causes, bounds and the words around them, on models whose null space is known by its parts."""

import copy
import json
from fractions import Fraction

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import slt
from slt.degeneracy.bounds import precision_of
from slt.degeneracy.explain import explain_problem
from slt.degeneracy.symmetry import Generator
from slt.errors import SettingsError
from slt.problem import Problem
from tests.degeneracy.cases import CASES, ORACLES, box, changed, generic_relu, incoming, like, mlp, normal


def explained(name):
    case = CASES[name]()
    return slt.explain(case.model, (case.inputs, case.model(case.inputs).detach()), "mse")


def causes(found):
    return [(c.kind, c.dimension, c.quartic) for c in found.causes]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu1_nobias", [("symmetry", 4, 0)]),
        ("relu1_bias", [("symmetry", 4, 0)]),
        ("relu1_d1_nobias", [("symmetry", 5, 0), ("reducible", 2, 0), ("reducible", 1, 0)]),
        ("relu1_opposite_pair", [("symmetry", 3, 0), ("reducible", 1, 0)]),
        ("relu1_dead_on_data", [("symmetry", 4, 0), ("reducible", 3, 0)]),
        ("relu1_two_always_on", [("symmetry", 4, 0), ("reducible", 4, 0)]),
        ("act_leaky", [("symmetry", 3, 0)]),
        ("tanh_zero_out", [("reducible", 3, 0)]),
        ("tanh_zero_in", [("reducible", 2, 0)]),
        ("tanh_zero_in_out", [("reducible", 4, 3)]),
        ("tanh_dup_o1", [("reducible", 4, 3)]),
        ("tanh_dup_o2", [("reducible", 2, 0)]),
        ("lin_5_2_4", [("symmetry", 4, 0)]),
        ("lin_5_3_3_4", [("symmetry", 9, 0), ("symmetry", 9, 0)]),
        ("lin_5_3_4_rankdef", [("symmetry", 8, 0), ("reducible", 5, 5)]),
        ("swiglu", [("symmetry", 3, 0)]),
        ("relu_deep_4_5_4_2", [("symmetry", 5, 0), ("symmetry", 4, 0)]),
        ("mha_nobias", [("flat to fourth order", 16, 0)]),  # for the census to name
        ("act_tanh", []),
    ],
)
def test_causes_of_the_oracles(name, expected):
    found = explained(name)
    assert causes(found) == expected
    assert found.nullity == ORACLES[name]["nullity"]
    assert sum(sum(c.where.values()) for c in found.causes) == pytest.approx(found.nullity)


@pytest.mark.parametrize("name", sorted(name for name, entry in ORACLES.items() if "local_rlct" in entry))
def test_bounds_contain_the_derived_coefficients_of_the_oracles(name):
    bounds, value = explained(name).bounds, ORACLES[name]["local_rlct"]
    assert bounds.hold
    assert bounds.lower <= value <= bounds.upper
    # all but the two singular ones are met exactly
    assert bounds.meet == (name not in ("tanh_zero_in_out", "tanh_dup_o1", "lin_5_3_4_rankdef"))


TOYS = [
    slt.toys.quadratic(4),
    slt.toys.quadratic([4.0, 1.0, 0.0, 0.0]),
    slt.toys.normal_crossing((2, 2)),
    slt.toys.normal_crossing((2, 4)),
    slt.toys.normal_crossing((2, 0)),
    slt.toys.normal_crossing((4, 2, 0)),
    slt.toys.deep_linear((5, 5, 5), rank=2),
    slt.toys.deep_linear((5, 3, 4), rank=3),
    slt.toys.deep_linear((3, 3, 3, 3), rank=1),
    slt.toys.deep_linear((2, 2, 2), rank=0),
    slt.toys.deep_linear((4, 2, 2, 3), rank=2),
]


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_bounds_contain_the_exact_value_of_every_smooth_toy(toy):
    model = copy.deepcopy(toy.model).double()
    if isinstance(model, slt.toys.DeepLinear):  # float32 factors miss the truth by rounding
        model.truth = model.product().detach()
    found = slt.explain(model, toy.data, toy.loss)
    assert found.bounds.hold
    assert found.bounds.lower <= toy.exact.value <= found.bounds.upper
    # the zeros are a manifold: full-rank products, quadratics, and one variable
    manifold = toy.name.startswith("quadratic") or toy.name in (
        *("normal_crossing((2, 0))", "deep_linear((5, 3, 4), rank=3)", "deep_linear((4, 2, 2, 3), rank=2)"),
    )
    if manifold:
        assert found.bounds.meet
        assert Fraction(found.bounds.upper) == toy.exact.value
    assert found.function == "loss"


def test_a_kink_takes_the_bounds_away():
    # |x|: lambda = 1, above P/2 = 1/2
    toy = slt.toys.normal_crossing((1,))
    found = slt.explain(toy.model, toy.data, toy.loss)
    assert not found.bounds.hold
    assert found.bounds.upper == 0.5 < toy.exact.value
    assert "no bound on the learning coefficient: it takes" in str(found)
    assert "a loss that is smooth near it" in str(found.bounds)


@pytest.mark.parametrize("nearest", [1e-2, 1e-3])
def test_a_step_that_proves_a_constant_rank_stays_on_this_side_of_a_kink(nearest):
    # two units on for all the data share an affine map: null in 4 directions beside the three scales
    model = changed(
        mlp(2, 3, 1, act=nn.ReLU), *(incoming(i, w, b) for i, w, b in ((0, (1.0, 0.2), 2.5), (1, (0.1, 1.0), 2.5)))
    )
    x = box(80, 2)
    with torch.no_grad():
        z = torch.nn.functional.linear(x, model[0].weight, model[0].bias)[:, 0]
        model[0].bias[0] -= float(z.min()) - nearest
    found = slt.explain(model, (x, model(x).detach()), "mse")
    assert found.bounds.meet, found.bounds


def test_the_generic_symmetry_dimension_would_be_wrong_at_a_special_point():
    # a tied autoencoder with W = 0: O(3) does not move W, and lambda = 3/4
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3, 1, dtype=torch.float64))

        def forward(self, x):
            return x @ self.w.T @ self.w

    x = normal(30, 1)
    found = slt.explain(Tied(), (x, torch.zeros_like(x)), "mse")
    assert found.bounds.lower <= 0.75 <= found.bounds.upper
    assert found.bounds.zeros == 0
    assert (found.nullity, found.quartic) == (3, 3)


def test_not_a_minimum_is_said():
    model = mlp(3, 4, 2, act=nn.ReLU)
    found = slt.explain(model, (normal(80, 3), normal(80, 2, seed=9)), "mse")
    assert not found.bounds.hold
    assert "it takes a local minimum" in str(found)
    assert "read the Gauss-Newton part" in str(found)
    assert found.ggn_rank == found.rank == 22  # null on the symmetries, as the Hessian need not be
    assert found.hessian_rank > 22


def test_cross_entropy_is_a_loss_of_log_probs():
    model = mlp(3, 4, 3, act=nn.ReLU)
    y = torch.randint(3, (150,), generator=torch.Generator().manual_seed(0))
    found = slt.explain(model, (normal(150, 3, scale=2), y), "cross_entropy")
    assert found.function == "log_probs"
    assert found.ggn_rank == found.rank
    logits = slt.explain(model, (normal(150, 3, scale=2), y), "cross_entropy", function="logits")
    assert found.nullity - logits.nullity == 5  # the softmax head: d_in + 1


def test_null_on_these_data_alone():
    model = mlp(3, 4, 1, scale=0.8)
    x = normal(7, 3)
    found = slt.explain(model, (x, model(x).detach()), "mse")
    assert found.scope == "these data"
    assert causes(found)[0][:2] == ("these data", 7)  # 14 outputs with the fresh ones
    assert found.nullity == 14


def test_the_census_plugs_in():
    case = CASES["mha_nobias"]()
    null = slt.functional_dimension(case.model, case.inputs).basis
    outside = torch.linalg.svd(null, full_matrices=True)[0][:, 20:21]
    problem = Problem(case.model, (case.inputs, case.model(case.inputs).detach()), "mse")
    found = explain_problem(
        problem, generators=lambda network, inputs: [Generator("heads", torch.cat([null, outside], 1))]
    )
    # what is no null direction does not count, whoever claims it
    assert causes(found) == [("symmetry", 16, 0)]
    assert found.causes[0].name == "heads"


@pytest.mark.exact
def test_an_estimate_stands_beside_its_quadratic_value():
    toy = slt.toys.quadratic([1.0, 0.01, 0.001])
    found = {}
    for gamma in (1.0, 100.0):
        estimate = slt.estimate_llc(
            toy.model,
            toy.data,
            toy.loss,
            nbeta=1000.0,
            localization=gamma,
            progress=False,
            budget=slt.Gradients(20_000),
            target_relative_error=0.05,
        )
        found[gamma] = slt.explain(toy.model, toy.data, toy.loss, llc=estimate)
    # the measured trap: 1.20 and 0.50, where rank(H)/2 is 1.5
    assert found[1.0].localized.value == pytest.approx(1.204, abs=1e-3)
    assert found[100.0].localized.value == pytest.approx(0.505, abs=1e-2)
    for explanation in found.values():
        beside = explanation.localized
        assert abs(beside.llc - beside.value) < 5 * beside.mcse
        assert beside.llc < explanation.bounds.lower == 1.5
        assert "may approach from below the bound" in str(explanation)


def test_an_anisotropic_localizer_counts_in_its_own_units():
    model = mlp(2, 3, 1, scale=0.8)
    x = normal(60, 2)
    data = x, model(x).detach()
    estimate = slt.estimate_llc(model, data, "mse", progress=False, budget=slt.Gradients(2_000), chains=2)
    found = slt.explain(model, data, "mse", llc=estimate)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    gamma = precision_of(estimate, sizes)
    assert len(gamma.unique()) == 4
    hessian = torch.func.hessian(
        lambda w: (
            (
                torch.func.functional_call(
                    model,
                    {
                        n: t.reshape(p.shape)
                        for (n, p), t in zip(model.named_parameters(), w.split(list(sizes.values())), strict=True)
                    },
                    (x,),
                )
                - data[1]
            )
            .square()
            .sum(1)
            .mean()
        )
    )(torch.nn.utils.parameters_to_vector(model.parameters()).detach())
    nbeta = estimate.trace.nbeta
    plain = float((nbeta * hessian @ torch.linalg.inv(nbeta * hessian + torch.diag(gamma))).trace()) / 2
    assert found.localized.value == pytest.approx(plain, rel=1e-9)
    other = slt.explain(model, data, "mse", parameters="0", llc=estimate)
    assert other.localized is None
    assert any("other parameters" in note for note in other.notes)


def test_the_counterexample_of_sharpness():
    x = normal(80, 3, scale=2)
    found = []
    for c in (1.0, 100.0):
        model = changed(
            mlp(3, 4, 2, act=nn.ReLU),
            lambda m, c=c: [p.mul_(c) for p in m[0].parameters()],
            lambda m, c=c: m[2].weight.div_(c),
        )
        found.append(slt.explain(model, (x, model(x).detach()), "mse"))
    plain, scaled = found
    assert scaled.flatness.top > 100 * plain.flatness.top
    assert scaled.flatness.invariant_top == pytest.approx(plain.flatness.invariant_top, rel=1e-9)
    assert scaled.bounds.meet
    assert scaled.bounds.upper == plain.bounds.upper == 11


def test_it_prints_saves_and_draws(tmp_path):
    found = explained("relu1_dead_on_data")
    text = str(found)
    assert text.startswith("Of 17 weights 7 directions leave the outputs as they are: 4 are symmetries and 3 belong")
    assert "dead: 0[0]" in text
    assert "lambda = 5 (the bounds meet)" in text
    assert json.loads(json.dumps(found.to_dict()))["causes"][0]["kind"] == "symmetry"
    assert found.to_dict()["bounds"]["meet"] is True
    axes = found.plot(axes=Figure().subplots(1, 2))
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["symmetry: 4", "reducible: 3"]
    assert [t.get_text() for t in axes[1].get_yticklabels()] == ["0.weight", "0.bias", "2.weight"]
    widths = sum(patch.get_width() for patch in axes[1].patches)
    assert widths == pytest.approx(7)


def test_the_order_of_growth_is_not_taken_at_a_kink_and_says_so():
    model = changed(mlp(2, 4, 1, act=nn.ReLU), lambda m: m[0].bias.zero_())
    x = normal(60, 2)
    x[0] = 0
    found = slt.explain(model, (x, model(x).detach()), "mse")
    assert found.quartic is None
    assert any("not smooth at w*: an input of relu lies on its kink" in note for note in found.notes)
    assert not found.bounds.hold


def test_too_little_memory_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr("slt.degeneracy.precision.free_memory", lambda: 1000.0)
    model, x = mlp(2, 3, 1), normal(20, 2)
    with pytest.raises(SettingsError, match=r"an exact explanation of 13 entries needs about .* is free"):
        slt.explain(model, (x, model(x).detach()), "mse")


def test_the_model_is_untouched():
    model = generic_relu(3, 4, 2, draws=1).float().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    changed(model, like(1, 0))
    before = copy.deepcopy(model.state_dict())
    slt.explain(model, (normal(40, 3).float(), normal(40, 2).float()), "mse")
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())
