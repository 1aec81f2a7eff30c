"""Ranks against closed forms, exactly; what is the function's and what the data's; float64 to the last step."""

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import slt
from slt.degeneracy import linalg
from slt.degeneracy.linalg import Rows, kernel
from slt.degeneracy.precision import KeepDouble
from slt.errors import DataError, LossError, SettingsError
from tests.degeneracy.cases import CASES, ORACLES, Gated, HeadsOnly, drawn, linear, mlp, normal
from tests.degeneracy.transformers_small import Config, generic, sequences

SEEDS = st.integers(0, 10_000)


def nullity(model: nn.Module, inputs: Any, **other: Any) -> int:
    return slt.functional_dimension(model, inputs, **other).nullity


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_every_oracle_exactly(name):
    case = CASES[name]()
    assert case.dimension == ORACLES[name]["P"]
    found = slt.functional_dimension(case.model, case.inputs, function=case.function)
    assert found.nullity == ORACLES[name]["nullity"]
    assert found.clear
    assert found.scope == "function"


def test_every_oracle_has_a_case():
    assert set(CASES) == set(ORACLES)
    assert len(ORACLES) == 42


# Others of the same kinds, from their formulas.
@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        (mlp(4, 6, 3, act=nn.ReLU, seed=3), normal(200, 4, scale=2), 6),
        (mlp(3, 4, 2, act=nn.LeakyReLU, seed=3), normal(200, 3, scale=2), 4),
        (mlp(3, 3, 3, act=nn.Tanh, seed=3, scale=0.8), normal(200, 3), 0),
        (linear(6, 3, 5), normal(100, 6), 9),  # h^2
        (linear(3, 6, 4), normal(100, 3), 6 * 7 - 12),  # h (d + o) - d o
        (linear(5, 4, 4, 5), normal(200, 5), 32),  # two hidden layers, h^2 each
        (drawn(Gated(5, 4, 3, nn.SiLU())), normal(300, 5), 4),  # up against down
        (drawn(HeadsOnly(7, 3, 2, False), scale=0.7), normal(30, 6, 7), 24),  # 2 H d_h^2
        (drawn(HeadsOnly(7, 2, 2, True), scale=0.7), normal(30, 6, 7), 24),  # and H d_h twice
        (drawn(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 5))), normal(100, 4), 5 + 8),
        (drawn(nn.LSTM(2, 3, batch_first=True), scale=0.6), normal(60, 5, 2), 12),  # 4 h: two biases add
    ],
    ids=[
        "relu",
        "leaky",
        "tanh",
        "linear",
        "wide linear",
        "deep linear",
        "swiglu",
        "heads",
        "heads, bias",
        "ln",
        "lstm",
    ],
)
def test_closed_forms(model, inputs, expected):
    function = (lambda m, x: m(x)[0]) if isinstance(model, nn.LSTM) else "logits"
    assert nullity(model, inputs, function=function) == expected


def test_the_basis_is_the_null_space():
    case = CASES["mha_bias"]()
    found = slt.functional_dimension(case.model, case.inputs)
    basis = found.basis
    assert torch.allclose(basis.T @ basis, torch.eye(24, dtype=torch.float64), atol=1e-12)
    w = torch.nn.utils.parameters_to_vector(case.model.parameters()).detach()
    with torch.no_grad():
        before = case.model(case.inputs)
        norms = []
        for step in (1e-3, 1e-4):
            torch.nn.utils.vector_to_parameters(w + step * basis @ normal(24), case.model.parameters())
            norms.append(float((case.model(case.inputs) - before).norm()))
    assert norms[1] < norms[0] / 50  # second order, where a direction of range J is first


def test_too_few_inputs_are_named():
    model = mlp(3, 4, 2, scale=0.8)
    few = slt.functional_dimension(model, normal(5, 3))
    assert (few.rank, few.scope) == (10, "these data")
    assert few.fresh_rank == 20
    assert "on these data: 20 with as many fresh inputs" in str(few)
    enough = slt.functional_dimension(model, normal(100, 3))
    assert (enough.nullity, enough.scope) == (0, "function")


def test_a_model_in_float32_is_measured_in_float64():
    case = CASES["tf_llama_L1_mha_untied"]()
    assert nullity(copy.deepcopy(case.model).float(), case.inputs) == 79


class CastingNorm(nn.Module):
    """The norm of a library that computes in float32."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(gain.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        given_type = x.dtype
        x = x.to(torch.float32)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True, dtype=torch.float32))
        return self.gain * x.to(given_type)


def test_casts_inside_a_library_are_undone(monkeypatch):
    config = Config(layers=1)
    model = generic(config)
    ids = sequences(config, 432)
    for block in model.blocks:
        block.norm1, block.norm2 = CastingNorm(block.norm1.gain), CastingNorm(block.norm2.gain)
    model.norm = CastingNorm(model.norm.gain)
    assert nullity(model, ids) == 79
    # the mutant, without the function mode: a rank made of rounding errors of float32
    monkeypatch.setattr("slt.degeneracy.precision.KeepDouble", nullcontext)
    assert nullity(model, ids) != 79


def test_what_escapes_float64_is_refused(monkeypatch):
    def lower(model: Any, x: Tensor) -> Tensor:
        return model(x).float()

    model, inputs = mlp(2, 3, 1), normal(60, 2)
    assert nullity(model, inputs, function=lower) == 0  # undone
    with pytest.raises(SettingsError, match=r"float64 throughout, but .* gave torch\.float32"):
        KeepDouble().__torch_function__(_escaping, ())
    monkeypatch.setattr("slt.degeneracy.precision.KeepDouble", nullcontext)
    with pytest.raises(SettingsError, match=r"float64 throughout, but the function returned torch\.float32"):
        slt.functional_dimension(model, inputs, function=lower)


def _escaping() -> Tensor:
    return torch.ones(1, dtype=torch.float32, requires_grad=True)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_rank_is_invariant_under_permutation_rescaling_and_turned_inputs(seed):
    model, inputs = mlp(3, 4, 2, act=nn.ReLU, seed=seed), normal(120, 3, seed=seed + 1, scale=2)
    rank = slt.functional_dimension(model, inputs).rank
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    scale = torch.exp(normal(4, seed=seed))
    turn = torch.linalg.qr(normal(3, 3, seed=seed)).Q
    with torch.no_grad():
        model[0].weight.copy_((scale[:, None] * model[0].weight @ turn.T)[order])
        model[0].bias.copy_((scale * model[0].bias)[order])
        model[2].weight.copy_((model[2].weight / scale)[:, order])
    assert slt.functional_dimension(model, inputs @ turn.T).rank == rank


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, unused=st.integers(1, 7))
def test_unused_parameters_add_exactly_their_number(seed, unused):
    model, inputs = mlp(2, 3, 2, act=nn.ReLU, seed=seed), normal(60, 2, seed=seed + 1, scale=2)
    before = nullity(model, inputs)
    model.register_parameter("unused", nn.Parameter(torch.ones(unused, dtype=torch.float64)))
    assert nullity(model, inputs) == before + unused


def test_parameters_choose_the_columns():
    case = CASES["lin_5_2_4"]()
    assert slt.functional_dimension(case.model, case.inputs, parameters="0.weight").nullity == 0
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, :3] = True
    some = slt.functional_dimension(case.model, case.inputs, parameters={"0.weight": mask})
    assert (some.dimension, some.rank) == (3, 3)


def test_the_model_is_untouched():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    model(torch.randn(20, 3))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    slt.functional_dimension(model, torch.randn(30, 3, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
    assert model.training
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())


def test_bad_input_is_refused():
    model = mlp(2, 3, 1)
    with pytest.raises(SettingsError, match="function must be"):
        slt.functional_dimension(model, normal(5, 2), function="probs")
    with pytest.raises(SettingsError, match=r"model must be a torch\.nn\.Module, got str"):
        slt.functional_dimension("model", normal(5, 2))
    with pytest.raises(DataError, match="inputs must hold tensors"):
        slt.functional_dimension(model, "inputs")
    with pytest.raises(DataError, match="must be finite"):
        slt.functional_dimension(model, normal(5, 2) / 0)
    with pytest.raises(LossError, match="swapped weights do not reach it"):
        slt.functional_dimension(model, normal(5, 2), function=lambda m, x: x)


def test_too_little_memory_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr("slt.degeneracy.precision.free_memory", lambda: 1000.0)
    with pytest.raises(SettingsError, match=r"the exact rank of 13 entries needs about .* is free"):
        slt.functional_dimension(mlp(2, 3, 1), normal(50, 2))


def test_meminfo_is_read():
    from slt.degeneracy.precision import free_memory

    assert 2**20 < free_memory() < 2**50
    assert Path("/proc/meminfo").exists() or free_memory() > 0


# --- the linear algebra ---


def low_rank(rows: int, columns: int, rank: int, seed: int = 0) -> Tensor:
    values = torch.logspace(0, -6, rank, dtype=torch.float64)
    left = torch.linalg.qr(normal(rows, rank, seed=seed)).Q
    return left * values @ torch.linalg.qr(normal(columns, rank, seed=seed + 1)).Q.T


def test_a_few_long_rows_take_no_inverse_iteration(monkeypatch):
    matrix = low_rank(30, 200, 20)
    whole = kernel(matrix)
    monkeypatch.setattr(linalg, "_WHOLE", 50)
    monkeypatch.delattr(linalg, "_large_kernel")
    quick = kernel(matrix)
    assert (quick.rank, quick.kept) == (whole.rank, whole.kept) == (20, pytest.approx(1e-6))
    assert torch.allclose(quick.basis @ quick.basis.T, whole.basis @ whole.basis.T, atol=1e-10)


@pytest.mark.parametrize(
    ("rows", "columns", "rank"), [(300, 200, 150), (100, 200, 100), (100, 200, 40), (300, 200, 200)]
)
def test_inverse_iteration_finds_what_the_decomposition_finds(monkeypatch, rows, columns, rank):
    matrix = low_rank(rows, columns, rank)
    whole = kernel(matrix)
    monkeypatch.setattr(linalg, "_WHOLE", 10)
    quick = kernel(matrix)
    assert quick.rank == whole.rank == rank
    assert quick.basis.shape == whole.basis.shape
    if rank < columns:
        assert float((matrix @ quick.basis).abs().max()) < 1e-12
        assert torch.allclose(quick.basis @ quick.basis.T, whole.basis @ whole.basis.T, atol=1e-8)
    assert quick.kept == pytest.approx(whole.kept, rel=1e-3)  # the ridge of 1e-13 adds in quadrature
    assert quick.largest == pytest.approx(whole.largest, rel=1e-6)


def test_rows_in_pieces_have_the_gram_matrix_of_all():
    matrix = normal(3000, 40)
    rows = Rows(40)
    for piece in matrix.split(37):
        rows.add(piece)
    factor = rows.factor()
    assert factor.shape == (40, 40)
    assert torch.allclose(factor.T @ factor, matrix.T @ matrix)


def test_rows_beyond_the_first_narrow_the_null_space():
    # the first examples of a long data set say nothing of entry 2; one late example does
    inputs = torch.cat([normal(4000, 2), torch.zeros(4000, 1, dtype=torch.float64)], 1)
    inputs[2001, 2] = 1.0
    model = drawn(nn.Linear(3, 1))
    found = slt.functional_dimension(model, inputs)
    assert (found.rank, found.nullity) == (4, 0)
    inputs[2001, 2] = 0.0
    found = slt.functional_dimension(model, inputs)
    assert (found.rank, found.nullity) == (3, 1)
    assert torch.allclose(found.basis.abs().squeeze(), torch.tensor([0, 0, 1.0, 0], dtype=torch.float64))
