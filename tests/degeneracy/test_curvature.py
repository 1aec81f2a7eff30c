"""Products with H and G against dense matrices; spectra against exact ones; what a curve may not claim."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import slt
from slt.degeneracy.flatness import dense_flatness, probed_flatness
from slt.degeneracy.function import exact
from slt.degeneracy.hessian import Curvature
from slt.degeneracy.spectrum import eigenvalues, lanczos, largest_eigenvalue, spectral_curve
from slt.errors import SettingsError
from slt.problem import Problem
from tests.degeneracy.cases import mlp, normal
from tests.degeneracy.transformers_small import Config, generic, sequences


def problem(widths=(3, 5, 4), n=30, loss="cross_entropy", act=nn.Tanh, **other):
    model = mlp(*widths, act=act, scale=0.7)
    x = normal(n, widths[0])
    y = torch.randint(widths[-1], (n,), generator=torch.Generator().manual_seed(0))
    return Problem(model, (x, y if loss == "cross_entropy" else normal(n, widths[-1])), loss, **other)


def plain_matrices(p):
    """H and G the slow and obvious way."""
    names = [name for name, _ in p.model.named_parameters()]
    shapes = [q.shape for q in p.model.parameters()]
    w = torch.nn.utils.parameters_to_vector(p.model.parameters()).detach()
    x, y = p.batch(torch.arange(p.n))

    def outputs(w):
        pieces = w.split([s.numel() for s in shapes])
        weights = {name: piece.reshape(s) for name, piece, s in zip(names, pieces, shapes, strict=True)}
        return torch.func.functional_call(p.model, weights, (x,))

    def loss(z):
        each = nn.functional.cross_entropy(z, y) if not y.is_floating_point() else (z - y).square().sum(1).mean()
        return each

    hessian = torch.autograd.functional.hessian(lambda w: loss(outputs(w)), w)
    jacobian = torch.autograd.functional.jacobian(outputs, w).reshape(-1, len(w))
    size = jacobian.shape[0]
    bend = torch.autograd.functional.hessian(loss, outputs(w)).reshape(size, size)
    return hessian, jacobian.T @ bend @ jacobian


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_products_are_those_of_the_dense_matrices_with_right_weights(loss, batch_size):
    # 30 rows in chunks of 7: the last chunk of 2 must count for 2
    p = problem(loss=loss, batch_size=batch_size)
    hessian, ggn = plain_matrices(p)
    with exact(p.model):
        curvature = Curvature(p)
        assert curvature.splits
        v = normal(curvature.dimension, seed=5)
        assert torch.allclose(curvature.hessian_product(v), hessian @ v, atol=1e-12)
        assert torch.allclose(curvature.ggn_product(v), ggn @ v, atol=1e-12)
        assert torch.allclose(curvature.dense_hessian(), hessian, atol=1e-12)


def test_attention_can_be_differentiated_twice():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).double()
    p = Problem(model, (normal(6, 4, 8), normal(6, 4, 8)), "mse")
    with exact(model):
        curvature = Curvature(p)
        v = normal(curvature.dimension)
        v /= v.norm()
        step = 1e-5
        slope = curvature.gradient(curvature.network.center + step * v)
        slope -= curvature.gradient(curvature.network.center - step * v)
        assert torch.allclose(curvature.hessian_product(v), slope / (2 * step), atol=1e-6)


def test_a_loss_without_one_call_of_the_model_has_no_gauss_newton_part():
    toy = slt.toys.deep_linear((2, 2, 2))
    p = Problem(toy.model, toy.data, toy.loss)
    with exact(toy.model):
        assert not Curvature(p).splits


@pytest.mark.smoke
def test_curvlinops_agrees():
    import curvlinops  # `make` installs it for this alone

    p = problem()
    x, y = p.batch(torch.arange(p.n))
    given = (p.model, nn.CrossEntropyLoss(), list(p.model.parameters()), [(x, y)])
    operator = curvlinops.HessianLinearOperator(*given, progressbar=False)
    with exact(p.model):
        curvature = Curvature(p)
        v = normal(curvature.dimension)
        assert torch.allclose(curvature.hessian_product(v), operator @ v, atol=1e-10)
        gauss_newton = curvlinops.GGNLinearOperator(*given, progressbar=False)
        assert torch.allclose(curvature.ggn_product(v), gauss_newton @ v, atol=1e-10)


# --- spectra ---


def known(values):
    turn = torch.linalg.qr(normal(len(values), len(values))).Q
    return turn * torch.as_tensor(values, dtype=torch.float64) @ turn.T


def test_lanczos_finds_the_edges():
    values = np.concatenate([np.linspace(0, 1, 180), [3.0, 5.0], [-2.0]])
    matrix = known(values)
    ritz, _, _ = lanczos(lambda v: matrix @ v, normal(183), 60, vectors=2)
    assert ritz.values[-1] == pytest.approx(5, abs=1e-9)
    assert ritz.values[-2] == pytest.approx(3, abs=1e-9)
    assert ritz.values[0] == pytest.approx(-2, abs=1e-9)
    assert ritz.weights.sum() == pytest.approx(1)
    image = matrix @ ritz.vectors
    assert torch.allclose(image, ritz.vectors * torch.tensor([3.0, 5.0], dtype=torch.float64), atol=1e-7)
    assert largest_eigenvalue(lambda v: matrix @ v, 183)[0] == pytest.approx(5)


def test_residuals_are_distances_to_eigenvalues():
    values = np.linspace(0, 1, 120) ** 3
    matrix = known(values)
    ritz, _, _ = lanczos(lambda v: matrix @ v, normal(120), 25)
    nearest = np.abs(ritz.values[:, None] - values).min(1)
    assert np.all(nearest <= ritz.residuals + 1e-12)
    assert ritz.residuals.max() > 1e-4


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), zeros=st.integers(0, 80))
def test_the_curve_is_right_above_its_floor(seed, zeros):
    values = np.concatenate([np.zeros(zeros), np.logspace(-9, 1, 200 - zeros)])
    matrix = known(values)
    curve = spectral_curve(lambda v: matrix @ v, 200, steps=25, probes=12, seed=seed)
    for t in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        found = curve.below(t)
        if found is not None:
            count, error = found
            # sign vectors of 12 probes; 5 standard errors, with 2 for an error estimated at almost none
            assert abs(count - (values < t).sum()) < 5 * error + 2, t
    assert curve.floor > 1e-9
    assert curve.below(curve.floor / 2) is None


@pytest.fixture(scope="module")
def trap():
    """Two Llama-style layers of width 6 at a minimum: exact nulls below a spectrum without a gap."""
    config = Config(layers=2, d_head=3, vocab=11)
    model = generic(config)
    ids = sequences(config, sum(p.numel() for p in model.parameters()))
    target = model(ids).softmax(-1).detach()

    def loss(model, batch):
        x, t = batch
        return -(t * model(x).log_softmax(-1)).sum(-1).mean(-1)

    p = Problem(model, (ids, target), loss)
    nulls = slt.functional_dimension(model, ids, function="log_probs")
    with exact(model):
        matrix = Curvature(p).dense_hessian()
    return matrix, nulls, eigenvalues(matrix)


def test_the_resolution_trap(trap):
    matrix, nulls, values = trap
    size = len(matrix)
    assert 500 < size < 700
    assert nulls.clear
    assert (values < 1e-10 * values[-1]).sum() == nulls.nullity > 80
    for steps in (40, 75, 150):
        curve = spectral_curve(lambda v: matrix @ v, size, steps=steps, probes=6)
        claimed = [t for t in 10.0 ** np.arange(-14, 2) if curve.below(t) is not None]
        assert all(abs(curve.below(t)[0] - (values < t).sum()) < 5 * curve.below(t)[1] + 2 for t in claimed)
        assert min(claimed) >= curve.floor
        assert f"below {curve.floor:.2g} nothing is resolved" in str(curve)
    # the trap itself: the bare quadrature, read below its floor, counts hardly a zero
    curve = spectral_curve(lambda v: matrix @ v, size, steps=75, probes=6)
    at = int(np.searchsorted(curve.thresholds, 1e-10 * values[-1]))
    assert curve.counts[at] < nulls.nullity / 4
    assert curve.below(1e-10 * values[-1]) is None


def test_a_curve_of_all_steps_counts_the_zeros(trap):
    matrix, nulls, _ = trap
    curve = spectral_curve(lambda v: matrix @ v, len(matrix), steps=len(matrix) // 2, probes=12)
    count, error = curve.below(1e-7)
    assert abs(count - nulls.nullity) < 4 * error + 4
    assert curve.floor < 1e-7


def test_bad_settings_are_refused():
    with pytest.raises(SettingsError, match="at least 2 steps and 2 probes"):
        spectral_curve(lambda v: v, 3, steps=1)


# --- flatness ---


def scaled_relu(c: float) -> nn.Module:
    model = mlp(3, 5, 2, act=nn.ReLU)
    with torch.no_grad():
        model[0].weight *= c
        model[0].bias *= c
        model[2].weight /= c
    return model


def test_the_classical_counterexample():
    # one function, as sharp as one likes; what is invariant does not move
    x = normal(60, 3)
    found = []
    for c in (1.0, 100.0):
        model = scaled_relu(c)
        p = Problem(model, (x, model(x).detach() + normal(60, 2, seed=9)), "mse")
        with exact(model):
            curvature = Curvature(p)
            found.append(dense_flatness(curvature.dense_hessian(), curvature.network.center))
    plain, sharp = found
    assert sharp.top > 100 * plain.top
    assert sharp.trace > 100 * plain.trace
    assert sharp.invariant_trace == pytest.approx(plain.invariant_trace, rel=1e-9)
    assert sharp.invariant_top == pytest.approx(plain.invariant_top, rel=1e-9)


def test_flatness_from_products_agrees_with_the_dense_one():
    p = problem(loss="mse")
    with exact(p.model):
        curvature = Curvature(p)
        whole = dense_flatness(curvature.dense_hessian(), curvature.network.center)
        probed = probed_flatness(curvature, probes=64, steps=40)
        curve = spectral_curve(curvature.hessian_product, curvature.dimension, steps=20, probes=64, seed=1)
        given = probed_flatness(curvature, probes=8, steps=40, curve=curve)
    assert abs(probed.trace - whole.trace) < 4 * probed.error
    assert abs(given.trace - whole.trace) < 4 * given.error < 0.8 * whole.trace
    assert given.top == pytest.approx(whole.top, rel=1e-6)
    assert abs(probed.invariant_trace - whole.invariant_trace) < 4 * probed.invariant_error
    assert probed.error < 0.2 * whole.trace
    assert probed.top == pytest.approx(whole.top, rel=1e-6)
    assert probed.invariant_top == pytest.approx(whole.invariant_top, rel=1e-6)
