"""The automatic localizer's units, and that no rewriting of the same function changes the posterior."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from slt.errors import LossError
from slt.estimators import llc
from slt.posterior import LocalPosterior
from slt.posterior.localization import precisions
from slt.problem import untouched
from slt.problem.parameters import select
from slt.running import sample
from slt.samplers import HMC
from tests.models import drawn, integers, per_example, seeded

N = 24
X = drawn(N, 4, seed=1)
Factors = Mapping[str, float]


def rms(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())


def target(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    return inputs, drawn(*model.eval()(inputs).shape, seed=9)


def posterior_of(model: nn.Module, inputs: Tensor = X, **settings: Any) -> LocalPosterior:
    return LocalPosterior(model, target(model, inputs), per_example, **{"nbeta": 7.0} | settings)


def unit_of(posterior: LocalPosterior, name: str) -> float:
    return posterior.mean_precisions[name] ** -0.5


def put(model: nn.Module, values: Mapping[str, Tensor | float]) -> nn.Module:
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(torch.as_tensor(value))
    return model


# --- biases --------------------------------------------------------------------------------------------------


def relu_mlp(bias: float = 0.1, seed: int = 0) -> nn.Sequential:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), seed)
    return put(model, {"0.bias": bias * drawn(6, seed=seed + 1), "2.bias": bias * drawn(3, seed=seed + 2)})


def convolutions() -> nn.Sequential:
    return seeded(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)))


@pytest.mark.parametrize("bias", [0.0, 1e-20, 1e-2, 0.1])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_bias_may_move_its_modules_output_as_far_as_a_weight_does(bias: float, batch_size: int | None):
    model = relu_mlp(bias)
    posterior = posterior_of(model, batch_size=batch_size)
    assert unit_of(posterior, "0.bias") == pytest.approx(rms(model[0](X)) / 2, rel=1e-12)
    assert unit_of(posterior, "2.bias") == pytest.approx(rms(model(X)) / math.sqrt(6), rel=1e-12)
    assert unit_of(posterior, "0.weight") == pytest.approx(rms(model[0].weight), rel=1e-12)
    assert unit_of(posterior, "2.weight") == pytest.approx(rms(model[2].weight), rel=1e-12)


def test_what_biases_may_move_by_is_told_in_one_note():
    model = relu_mlp(1e-2)
    (note,) = posterior_of(model).notes
    for name, layer, output in (("0.bias", model[0], model[0](X)), ("2.bias", model[2], model(X))):
        unit = rms(output) / math.sqrt(layer.in_features)
        assert f"{name} by {unit:.3g} (its own size is {rms(layer.bias):.3g})" in note


def test_a_bias_larger_than_what_its_module_puts_out_keeps_its_own_size():
    weight = torch.tensor([[-2.0, 0.1, 0.0, 0.0], [1.5, 0.0, 0.1, 0.0]])
    model = put(seeded(lambda: nn.Linear(4, 2)), {"weight": weight, "bias": torch.tensor([3.0, -2.0])})
    inputs = torch.cat([torch.full((N, 1), 1.5, dtype=torch.float64), X[:, 1:]], 1)
    posterior = posterior_of(model, inputs)
    assert rms(model(inputs)) < rms(model.bias)
    assert unit_of(posterior, "bias") == pytest.approx(rms(model.bias), rel=1e-12)
    assert posterior.notes == []


def test_a_convolution_averages_over_places():
    model, x = put(convolutions(), {"0.bias": 0.0}), drawn(N, 1, 6, 6, seed=4)
    assert unit_of(posterior_of(model, x), "0.bias") == pytest.approx(rms(model[0](x)) / 3, rel=1e-12)


def test_a_module_that_the_loss_calls_by_itself_counts():
    model = relu_mlp(0.0)

    def loss(model: nn.Sequential, batch: Any) -> Tensor:
        hidden = model[0](batch[0]).relu()
        return (model[2](hidden) - batch[1]).square().sum(1)

    posterior = LocalPosterior(model, target(model, X), loss)
    assert unit_of(posterior, "2.bias") == pytest.approx(rms(model(X)) / math.sqrt(6), rel=1e-12)


def test_a_module_that_is_never_called_leaves_the_guess_with_a_note():
    model = relu_mlp(0.0)

    def loss(model: nn.Sequential, batch: Any) -> Tensor:
        hidden = functional.linear(batch[0], model[0].weight, model[0].bias).relu()
        return (functional.linear(hidden, model[2].weight, model[2].bias) - batch[1]).square().sum(1)

    posterior = LocalPosterior(model, target(model, X), loss)
    assert unit_of(posterior, "2.bias") == pytest.approx(rms(model[2].weight), rel=1e-12)
    assert [note.split(" takes ")[1] for note in posterior.notes] == [
        f"its layer's unit, {rms(layer.weight):.3g}, a guess that does not follow a rescaling of layers"
        for layer in (model[0], model[2])
    ]


def test_attention_tells_the_sizes_of_both_of_its_projections():
    model = seeded(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)).eval()
    x = drawn(N, 5, 8, seed=6)
    posterior, attention = posterior_of(model, x), model.self_attn
    assert unit_of(posterior, "self_attn.out_proj.bias") == pytest.approx(
        rms(attention(x, x, x)[0]) / math.sqrt(8), rel=1e-9
    )
    inner = unit_of(posterior, "self_attn.in_proj_bias")
    assert inner == pytest.approx(rms(x) * rms(attention.in_proj_weight), rel=1e-9)
    assert inner == pytest.approx(rms(functional.linear(x, attention.in_proj_weight)) / math.sqrt(8), rel=0.2)
    assert not any("guess" in note for note in posterior.notes)


# --- weights that are zero -----------------------------------------------------------------------------------


def test_a_zero_weight_may_move_its_output_by_the_size_of_what_the_module_around_puts_out():
    model = LowRank()
    inner = model.mix(X).tanh()
    posterior = posterior_of(model)
    unit = rms(model.read(inner)) / (math.sqrt(2) * rms(model.adapter.a(inner)))
    assert unit_of(posterior, "adapter.b.weight") == pytest.approx(unit, rel=1e-12)
    assert any(note.startswith("adapter.b.weight is zero") and "output of adapter" in note for note in posterior.notes)


def test_where_all_is_zero_a_weight_may_move_the_models_output_by_1():
    model = put(relu_mlp(), {"2.weight": 0.0, "2.bias": 0.0})
    posterior = posterior_of(model)
    hidden = rms(model[0](X).relu())
    assert unit_of(posterior, "2.weight") == pytest.approx(1 / (math.sqrt(6) * hidden), rel=1e-12)
    assert unit_of(posterior, "2.bias") == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    assert [note for note in posterior.notes if note.startswith("2.")] == [
        f"2.weight is zero at w*: its automatic localizer takes {1 / (math.sqrt(6) * hidden):.3g}, which moves what it "
        "puts out by 1, as the model's output is zero",
        f"2.bias is zero at w*: its automatic localizer takes {1 / math.sqrt(6):.3g}, what one of 6 weights moves "
        "by 1, as the model's output is zero",
    ]


def test_a_norm_that_is_switched_off_may_move_by_what_the_block_puts_out():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.norm(self.inner(x))

    model = put(seeded(Block), {"norm.weight": 0.0})
    posterior = posterior_of(model, 5 * X)
    assert unit_of(posterior, "norm.weight") == pytest.approx(5 * rms(X), rel=1e-12)
    assert unit_of(posterior, "norm.bias") == pytest.approx(5 * rms(X), rel=1e-12)


# --- invariance ----------------------------------------------------------------------------------------------


class LowRank(nn.Module):
    """A layer with an adapter whose last factor is still zero."""

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 2, bias=False), nn.Linear(2, 5, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.b(self.a(x))

    def __init__(self) -> None:
        super().__init__()
        made = seeded(lambda: nn.ModuleList([nn.Linear(4, 6), self.Adapted(), nn.Linear(5, 3)]))
        self.mix, self.adapter, self.out = made
        put(self, {"adapter.b.weight": 0.0})

    def read(self, hidden: Tensor) -> Tensor:
        return self.adapter(hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.read(self.mix(x).tanh()).relu())


class Words(nn.Module):
    """An embedding that is read by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.read, self.out = nn.Embedding(11, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.read(self.words(ids).mean(1)).relu())


def batch_normed() -> nn.Module:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)))
    model(X + 0.5)
    return put(model.eval(), {"0.bias": 0.0, "1.bias": 1e-3 * drawn(6, seed=3), "3.bias": 0.0})


def layer_normed() -> nn.Module:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)))
    return put(model, {"3.bias": 0.0})  # the norm's bias is zero too


def ids() -> Tensor:
    return integers(11, N, 3, seed=7)


# Each: a model, its inputs, and the powers of a by which each tensor is multiplied while the function stays.
REWRITTEN: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], dict[str, int]]] = {
    "zero biases": (lambda: relu_mlp(0.0), lambda: X, {"0.weight": 1, "0.bias": 1, "2.weight": -1}),
    "tiny biases": (lambda: relu_mlp(1e-20), lambda: X, {"0.weight": 1, "0.bias": 1, "2.weight": -1}),
    "small biases": (lambda: relu_mlp(1e-2), lambda: X, {"0.weight": 1, "0.bias": 1, "2.weight": -1}),
    "convolutions": (convolutions, lambda: drawn(N, 1, 6, 6, seed=4), {"0.weight": 1, "0.bias": 1, "3.weight": -1}),
    "batch norm": (batch_normed, lambda: X, {"1.weight": 1, "1.bias": 1, "3.weight": -1}),
    "layer norm": (layer_normed, lambda: X, {"1.weight": 1, "1.bias": 1, "3.weight": -1}),
    "embedding": (lambda: seeded(Words), ids, {"words.weight": 1, "read.weight": -1}),
    "after an embedding": (lambda: seeded(Words), ids, {"read.weight": 1, "read.bias": 1, "out.weight": -1}),
    "adapter": (LowRank, lambda: X, {"adapter.a.weight": 1, "adapter.b.weight": -1}),
    "adapted layer": (
        LowRank,
        lambda: X,
        {"adapter.base.weight": 1, "adapter.base.bias": 1, "adapter.b.weight": 1, "out.weight": -1},
    ),
    "zero last layer": (
        lambda: put(relu_mlp(), {"2.weight": 0.0, "2.bias": 0.0}),
        lambda: X,
        {"0.weight": 1, "0.bias": 1, "2.weight": -1},
    ),
}


def potential(posterior: LocalPosterior, steps: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """U at w* plus the steps, and the metric of each tensor over its first tensor's."""
    problem = posterior.problem
    with untouched(problem.model):
        bound = posterior.bind("in_place", 1)
        moved = [s.entries(s.parameter) + steps[s.name].flatten() for s in problem.segments]
        w = bound.evaluator.pack(moved)
        energy = bound.energy(w, bound.evaluate(w).excess, torch.tensor([posterior.nbeta], dtype=torch.float64))
        return energy, [leaf.expand(1, s.size) for leaf, s in zip(bound.metric.values(), problem.segments, strict=True)]


def steps_of(posterior: LocalPosterior, factors: Factors) -> dict[str, Tensor]:
    """Steps that are the same in every parametrization: each tensor's times its factor."""
    found = {}
    for k, segment in enumerate(posterior.problem.segments):
        found[segment.name] = factors.get(segment.name, 1.0) * 0.3 * drawn(*segment.parameter.shape, seed=20 + k)
    return found


def require_same_posterior(plain: LocalPosterior, other: LocalPosterior, factors: Factors) -> None:
    """U is the same at corresponding points, and the metric corresponds up to its scale."""
    (energy, metric), (again, changed) = (potential(p, steps_of(plain, f)) for p, f in ((plain, {}), (other, factors)))
    torch.testing.assert_close(again, energy, rtol=1e-9, atol=0)
    names = [s.name for s in plain.problem.segments]
    ratios = [(b / a).mean() / factors.get(n, 1.0) ** 2 for n, a, b in zip(names, metric, changed, strict=True)]
    torch.testing.assert_close(torch.stack(ratios), ratios[0].expand(len(ratios)), rtol=1e-9, atol=0)


@pytest.mark.parametrize("case", REWRITTEN)
@settings(max_examples=5)
@given(log_scale=st.floats(-6, 6))
def test_rescaling_layers_changes_no_potential(case: str, log_scale: float):
    make, inputs, powers = REWRITTEN[case]
    factors = {name: math.exp(power * log_scale) for name, power in powers.items()}
    model = make().eval()
    other = copy.deepcopy(model)
    put(other, {name: factor * other.get_parameter(name) for name, factor in factors.items()})
    data = target(model, inputs())
    plain, rescaled = (LocalPosterior(m, data, per_example, nbeta=7.0) for m in (model, other))
    require_same_posterior(plain, rescaled, factors)


@pytest.mark.parametrize("case", ["zero biases", "layer norm", "adapter", "zero last layer"])
def test_units_that_do_not_ask_the_data_are_caught(case: str):
    """The mutant: what w* alone gives these tensors."""
    make, inputs, powers = REWRITTEN[case]
    factors = {name: 3.0**power for name, power in powers.items()}
    model = make().eval()
    other = put(copy.deepcopy(model), {n: f * model.get_parameter(n) for n, f in factors.items()})
    data = target(model, inputs())
    made = []
    for m in (model, other):
        segments = select(m, None)
        gammas = dict(zip([s.name for s in segments], precisions("auto", segments)[0], strict=True))
        made.append(LocalPosterior(m, data, per_example, nbeta=7.0, localization=gammas))
    with pytest.raises(AssertionError):
        require_same_posterior(*made, factors)


@settings(max_examples=10)
@given(order=st.permutations(range(6)), bias=st.sampled_from([0.0, 1e-20, 1e-2, 1.0]))
def test_permuting_units_changes_no_potential(order: list[int], bias: float):
    model = relu_mlp(bias)
    other = copy.deepcopy(model)
    put(
        other,
        {"0.weight": model[0].weight[order], "0.bias": model[0].bias[order], "2.weight": model[2].weight[:, order]},
    )
    data = target(model, X)
    plain, permuted = (LocalPosterior(m, data, per_example, nbeta=7.0) for m in (model, other))
    steps = steps_of(plain, {})
    moved = {
        "0.weight": steps["0.weight"][order],
        "0.bias": steps["0.bias"][order],
        "2.weight": steps["2.weight"][:, order],
        "2.bias": steps["2.bias"],
    }
    torch.testing.assert_close(potential(permuted, moved)[0], potential(plain, steps)[0], rtol=1e-9, atol=0)


@settings(max_examples=10)
@given(
    constant=st.floats(-100, 100), times=st.integers(2, 4), interleaved=st.booleans(), order=st.permutations(range(N))
)
def test_constants_in_the_loss_and_repeated_and_reordered_data_change_no_potential(
    constant: float, times: int, interleaved: bool, order: list[int]
):
    model = relu_mlp(0.0)
    x, y = target(model, X)
    whole = tuple(
        t.repeat_interleave(times, 0) if interleaved else torch.cat([t] * times) for t in (x[order], y[order])
    )

    def shifted(model: nn.Module, batch: Any) -> Tensor:
        return per_example(model, batch) + constant

    plain = LocalPosterior(model, (x, y), per_example, nbeta=7.0)
    other = LocalPosterior(model, whole, shifted, nbeta=7.0)
    require_same_posterior(plain, other, {})


# --- the promise ---------------------------------------------------------------------------------------------


def test_the_hooks_are_gone_and_the_model_is_as_before():
    model = LowRank().train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    posterior_of(model.train())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_hooks_are_gone_after_a_loss_that_fails_in_the_pass():
    model = relu_mlp()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return per_example(model, batch) / (batch[0][:, 0] != X[-1, 0])

    with pytest.raises(LossError, match="must be finite"):
        LocalPosterior(model, target(model, X), loss, batch_size=8)
    assert not any(module._forward_hooks for module in model.modules())


# --- what chains find ----------------------------------------------------------------------------------------


@pytest.mark.exact
def test_the_llc_of_a_rescaled_network_with_zero_biases_is_the_same():
    """The mutant, the units that w* alone gives, is told by the same runs; 4 errors are some 3 % of the value."""
    x = drawn(500, 4, seed=30)
    found = {}
    for scale in (1.0, 30.0):
        model = relu_mlp(0.0)
        put(model, {"0.weight": scale * model[0].weight, "2.weight": model[2].weight / scale})
        data = x, model(x).detach()
        segments = select(model, None)
        guessed = dict(zip([s.name for s in segments], precisions("auto", segments)[0], strict=True))
        for rule, localization in (("auto", "auto"), ("guessed", guessed)):
            posterior = LocalPosterior(model, data, "gaussian", localization=localization)
            trace = sample(posterior, HMC(), chains=32, draws=500, warmup=150, seed=int(scale), progress=False)
            found[rule, scale] = llc(trace)
    z = {
        rule: (found[rule, 30.0].value - found[rule, 1.0].value)
        / math.hypot(found[rule, 30.0].mcse, found[rule, 1.0].mcse)
        for rule in ("auto", "guessed")
    }
    assert all(estimate.mcse < 0.01 * estimate.value for estimate in found.values())
    assert abs(z["auto"]) < 4
    assert abs(z["guessed"]) > 6
