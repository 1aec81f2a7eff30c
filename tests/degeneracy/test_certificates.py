"""Nulls certified layer by layer: never more than there are, and all of them where the layers alone carry them."""

import importlib

import pytest
import torch
from torch import nn

import slt
from slt.degeneracy.certificates import certify, left_out
from slt.degeneracy.function import Inputs, Network, exact, logits
from slt.degeneracy.hessian import Curvature
from slt.degeneracy.memory import graph_bytes
from slt.errors import SettingsError
from slt.problem import Problem
from slt.problem.parameters import select
from tests.degeneracy.cases import changed, drawn, linear, mlp, normal
from tests.degeneracy.transformers_small import Config, generic


def certified(model, inputs):
    with exact(model):
        return {c.layer: c for c in certify(Network(model, select(model, None), logits), Inputs(inputs))}


def block_nullity(model, inputs, layer):
    """What the dense Jacobian of one layer's entries says."""
    return slt.functional_dimension(model, inputs, parameters=layer).nullity


def narrow_inputs():
    return normal(60, 2) @ normal(2, 6, seed=3)


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        (mlp(6, 5, 3), narrow_inputs(), {"0": 5 * 4, "2": 0}),  # inputs of rank 2, and the bias
        (linear(6, 5, 2), normal(60, 6), {"0": 6 * 3, "1": 0}),  # outputs of rank 2
        (linear(6, 2, 5), normal(60, 6), {"0": 0, "1": 0}),
        (changed(mlp(4, 5, 3, act=nn.ReLU), lambda m: m[0].bias[:2].fill_(-50)), normal(80, 4), {"0": 10, "2": 6}),
    ],
    ids=["inputs", "outputs", "regular", "dead units"],
)
def test_exact_where_one_factor_is_narrow(model, inputs, expected):
    found = certified(model, inputs)
    assert {name: c.nullity for name, c in found.items()} == expected
    for name in expected:
        assert found[name].nullity == block_nullity(model, inputs, name)


def test_at_zero_loss_gradients_of_the_loss_would_not_do():
    model = mlp(4, 5, 3)
    found = certified(model, normal(60, 4))  # no target: outputs, not losses
    assert all(c.nullity == 0 and c.outputs == c.output_size for c in found.values())


def test_unused_tokens_and_tied_weights():
    config = Config()
    model = generic(config)
    ids = torch.randint(7, (40, 5), generator=torch.Generator().manual_seed(0))
    found = certified(model, ids)
    assert found["tokens"].nullity == 4 * 6
    assert "4 of 11 rows are not used" in str(found["tokens"])
    total = sum(c.nullity for c in found.values())
    assert 24 <= total <= slt.functional_dimension(model, ids).nullity
    tied = certified(generic(Config(tied_embeddings=True)), ids)
    assert "tokens" not in tied
    assert "head" not in tied


def test_convolutions():
    model = drawn(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 36, 2)))
    inputs = normal(20, 2, 6, 6)
    inputs[:, 1] = inputs[:, 0]  # two equal channels
    found = certified(model, inputs)
    assert found["0"].inputs == 10
    assert found["0"].nullity == (19 - 10) * 3 == block_nullity(model, inputs, "0")


def test_never_more_than_the_dense_jacobian_finds():
    for seed in range(5):
        model = mlp(4, 6, 6, 2, act=nn.ReLU, seed=seed)
        inputs = normal(30, 4, seed=seed)
        total = sum(c.nullity for c in certified(model, inputs).values())
        assert total <= slt.functional_dimension(model, inputs).nullity


def test_a_large_network_is_certified_and_drawn_as_a_curve(monkeypatch):
    module = importlib.import_module("slt.degeneracy.explain")
    monkeypatch.setattr(module, "DENSE", 50)
    monkeypatch.setattr(module, "LARGEST", 50)
    model = changed(mlp(4, 12, 3, act=nn.ReLU), lambda m: m[0].bias[:4].fill_(-50))
    x = normal(60, 4)
    found = slt.explain(model, (x, model(x).detach()), "mse")
    assert found.nullity == 4 * 5 + 4 * 3
    assert found.curve is not None
    assert found.rank == found.dimension - found.nullity
    text = str(found)
    assert "at least 32 directions" in text
    assert "nothing is resolved" in text
    assert found.to_dict()["certificates"][0]["nullity"] == 20
    with pytest.raises(SettingsError, match="a loss of your own is explained by its whole Hessian"):
        slt.explain(model, (x,), lambda m, batch: m(batch[0]).square().sum(1))


def test_a_curve_tells_of_too_little_memory_before_the_work(monkeypatch):
    module = importlib.import_module("slt.degeneracy.explain")
    monkeypatch.setattr(module, "DENSE", 50)
    monkeypatch.delattr(module, "spectral_curve")
    monkeypatch.delattr(module, "certify")
    monkeypatch.setattr("slt.degeneracy.precision.free_memory", lambda: 1000.0)
    model, x = mlp(4, 12, 3), normal(60, 4)
    with pytest.raises(SettingsError, match=r"a curve of 99 entries needs about .* is free; choose fewer"):
        slt.explain(model, (x, model(x).detach()), "mse")


def test_what_the_data_keep_in_memory_is_measured():
    model = mlp(4, 12, 3)
    found = []
    for n in (60, 120):
        x = normal(n, 4)
        problem = Problem(model, (x, model(x).detach()), "mse")
        with exact(model):
            found.append(graph_bytes(Curvature(problem)))
    # each example keeps its input, 12 hidden values and 3 outputs at least, in float64
    assert found[1] - found[0] >= 60 * 8 * (4 + 12 + 3)
    assert found[1] < 2.5 * found[0]


def test_beyond_the_dense_size_the_rank_is_a_bound(monkeypatch):
    model, inputs = mlp(6, 5, 3), narrow_inputs()
    whole = slt.functional_dimension(model, inputs)
    monkeypatch.setattr(importlib.import_module("slt.degeneracy.jacobian"), "DENSE", 50)
    found = slt.functional_dimension(model, inputs)
    assert found.blocks == {"0": (15, 35), "2": (18, 18)}
    assert found.rank == 33 == whole.rank  # tight here
    assert "functional dimension <= 33 of 53" in str(found)


class ReadOutside(nn.Module):
    """Layers whose weights are read without calling them: one never called, one called and read beside."""

    def __init__(self):
        super().__init__()
        self.places, self.both, self.head = nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        x = torch.tanh(x + self.places.weight[: x.shape[1]])
        return self.head(torch.tanh(self.both(x)) + torch.tanh(x @ self.both.weight))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_what_is_read_outside_its_layer_is_not_certified(kind):
    model, inputs = drawn(ReadOutside()).to(kind), normal(50, 5, 3).to(kind)
    found = certified(model, inputs)
    assert set(found) == {"head"}  # or else all 15 entries of "places" would pass for null
    assert left_out(Network(model, select(model, None), logits), list(found.values())) == ["places", "both"]
    assert block_nullity(model, inputs, "places") == 0
    assert block_nullity(model, inputs, "both") == 0


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_padding_of_images_is_what_the_layer_makes_of_it(mode):
    layer = nn.Conv2d(2, 3, 3, padding="same", padding_mode=mode)
    model, images = drawn(nn.Sequential(layer)), normal(30, 1, 4, 4)
    images = torch.cat([images, images], 1)  # equal channels: inputs of rank 9 of 18, and the bias
    assert certified(model, images)["0"].nullity == 27 == block_nullity(model, images, "0")


def test_a_padded_row():
    model = drawn(nn.Sequential(nn.Embedding(6, 3, padding_idx=0), nn.Linear(3, 2)))
    ids = torch.randint(4, (40, 5), generator=torch.Generator().manual_seed(0))
    assert certified(model, ids)["0"].nullity == 2 * 3 + 4  # two unused rows, and outputs of rank 2 of 3 in the others
