"""U and its parts on evaluations of several chains, and what a local posterior refuses."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slt.errors import DataError, InputError, LossError, ParametersError, SettingsError, VectorizationError
from slt.posterior import LocalPosterior, Posterior
from slt.problem import untouched
from slt.problem.evaluate import InPlace, Vectorized
from slt.running import sample
from slt.samplers import HMC
from tests.models import drawn, mlp, per_example, positions

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)
METHODS = ["vectorized", "in_place"]
MASK = torch.tensor([True, False, True])
CHAINS = 3

LAYOUTS: dict[str, dict[str, Any]] = {
    "auto": {"localization": "auto"},
    "isotropic": {"localization": 2.5},
    "none": {"localization": 0.0},
    "mapping": {
        "localization": {
            "0.weight": drawn(5, 4, seed=3).abs(),
            "0.bias": 0.0,
            "2.weight": 3.0,
            "2.bias": torch.tensor([1.0, 0.0, 2.0]),
        }
    },
    "masked": {
        "localization": {"2.weight": 2.0, "2.bias": torch.tensor([1.0, 9.0, 2.0])},
        "parameters": {"2": True, "2.bias": MASK},
    },
    "one tensor": {"localization": "auto", "parameters": "0.weight"},
}


class Bound:
    """A bound posterior and positions, with the same numbers tensor by tensor."""

    def __init__(self, method: Any, layout: str, *, spread: float = 0.1) -> None:
        self.whole = LocalPosterior(mlp(4, 5, 3), (X, Y), per_example, nbeta=7.0, **LAYOUTS[layout])
        self.model = self.whole.problem.model
        with untouched(self.model):
            self.posterior: Posterior = self.whole.bind(method, CHAINS)
            self.w, self.each = positions(self.posterior.evaluator, self.whole.problem.segments, CHAINS, spread=spread)
            self.excess, self.grad = self.posterior.evaluate(self.w)
        self.nbeta = torch.tensor([7.0, 1.0, 0.5], dtype=torch.float64)

    def gammas(self) -> list[Tensor]:
        """One number an entry of every tensor, read from the settings by hand."""
        found = []
        for segment, gamma in zip(self.whole.problem.segments, self.whole.precisions, strict=True):
            found.append(gamma.expand(segment.size))
        return found

    def prior(self, k: int) -> float:
        total = 0.0
        for segment, gamma, entries in zip(self.whole.problem.segments, self.gammas(), self.each[k], strict=True):
            total += float(0.5 * (gamma * (entries - segment.entries(segment.parameter)) ** 2).sum())
        return total


# --- U -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_energy_is_nbeta_times_the_excess_and_the_prior(method: str, layout: str):
    b = Bound(method, layout)
    energy = b.posterior.energy(b.w, b.excess, b.nbeta)
    assert energy.dtype == torch.float64
    for k in range(CHAINS):
        assert float(energy[k]) == pytest.approx(float(b.nbeta[k] * b.excess[k]) + b.prior(k), rel=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_force_is_the_gradient_of_the_energy(method: str, layout: str):
    """Central differences along a random direction, good to about 1e-8 here."""
    b = Bound(method, layout)
    force = b.posterior.force(b.w, b.grad, b.nbeta)
    along = {name: drawn(*leaf.shape, seed=5) for name, leaf in b.w.items()}
    step = 1e-5
    energies = []
    with untouched(b.model):
        for sign in (-1, 1):
            w = {name: leaf + sign * step * along[name] for name, leaf in b.w.items()}
            energies.append(b.posterior.energy(w, b.posterior.evaluate(w).excess, b.nbeta))
    slope = (energies[1] - energies[0]) / (2 * step)
    expected = sum((force[name] * along[name]).sum(1) for name in force)
    torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_force_writes_into_the_gradient_only_if_asked(method: str, layout: str):
    b = Bound(method, layout)
    kept = {name: g.clone() for name, g in b.grad.items()}
    force = b.posterior.force(b.w, b.grad, b.nbeta)
    assert all(torch.equal(b.grad[name], kept[name]) for name in kept)
    written = b.posterior.force(b.w, b.grad, b.nbeta, out=True)
    for name, leaf in written.items():
        assert leaf.data_ptr() == b.grad[name].data_ptr()
        assert torch.equal(leaf, force[name])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_hold_the_same_numbers(layout: str):
    a, b = Bound("vectorized", layout), Bound("in_place", layout)
    for k in range(2):
        for x, y in zip(a.each[k], b.each[k], strict=True):
            assert torch.equal(x, y)
    for of in (
        lambda c: c.posterior.energy(c.w, c.excess, c.nbeta),
        lambda c: c.posterior.prior_energy(c.w),
        lambda c: c.posterior.distance(c.w),
        lambda c: c.posterior.virial(c.w, c.posterior.force(c.w, c.grad, c.nbeta)),
    ):
        torch.testing.assert_close(of(a), of(b), rtol=1e-12, atol=1e-13)
    for name in ("center", "precision", "metric"):
        for x, y, segment in zip(
            a.posterior.evaluator.unpack(spread_out(a, name)),
            b.posterior.evaluator.unpack(spread_out(b, name)),
            a.whole.problem.segments,
            strict=True,
        ):
            assert x.shape == (1, segment.size)
            torch.testing.assert_close(x, y.expand_as(x), rtol=1e-12, atol=0)


def spread_out(b: Bound, name: str) -> dict[str, Tensor]:
    tree, like = getattr(b.posterior, name), b.posterior.center
    return {leaf: t.expand_as(like[leaf]) for leaf, t in tree.items()}


@pytest.mark.parametrize("method", METHODS)
def test_distance_and_virial_by_hand(method: str):
    b = Bound(method, "auto")
    force = b.posterior.force(b.w, b.grad, b.nbeta)
    forces = b.posterior.evaluator.unpack(force)
    distance, virial = b.posterior.distance(b.w), b.posterior.virial(b.w, force)
    for k in range(CHAINS):
        away = [e - s.entries(s.parameter) for e, s in zip(b.each[k], b.whole.problem.segments, strict=True)]
        assert float(distance[k]) == pytest.approx(math.sqrt(sum(float((a**2).sum()) for a in away)), rel=1e-12)
        assert float(virial[k]) == pytest.approx(
            sum(float((a * f[k]).sum()) for a, f in zip(away, forces, strict=True)), rel=1e-10
        )


@pytest.mark.parametrize("method", METHODS)
def test_everything_is_0_at_the_center(method: str):
    b = Bound(method, "auto", spread=0.0)
    zero = torch.zeros(CHAINS, dtype=torch.float64)
    for found in (b.posterior.distance(b.w), b.posterior.prior_energy(b.w)):
        assert torch.equal(found, zero)
    torch.testing.assert_close(b.excess, zero, rtol=0, atol=1e-14)


# --- the metric ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_metric_is_one_over_gamma_with_a_mean_of_1(method: str, layout: str):
    b = Bound(method, layout)
    metric = torch.cat([m.flatten() for m in b.posterior.evaluator.unpack(spread_out(b, "metric"))])
    gamma = torch.cat(b.gammas())
    assert float(metric.mean()) == pytest.approx(1, rel=1e-12)
    assert bool((metric > 0).all())
    positive = gamma > 0
    if positive.any():
        products = (metric * gamma)[positive]
        torch.testing.assert_close(products, products[:1].expand_as(products), rtol=1e-12, atol=0)
    if not positive.all() and positive.any():
        assert torch.equal(metric[~positive], metric.max().expand(int((~positive).sum())))


@pytest.mark.parametrize("layout", ["isotropic", "none"])
def test_an_isotropic_localizer_has_the_metric_1(layout: str):
    for metric in Bound("vectorized", layout).posterior.metric.values():
        torch.testing.assert_close(metric, torch.ones_like(metric), rtol=1e-15, atol=0)


# --- the center ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_center_is_a_copy_of_the_weights(method: str):
    b = Bound(method, "auto")
    for leaf, p in zip(b.posterior.evaluator.unpack(b.posterior.center), b.model.parameters(), strict=True):
        assert torch.equal(leaf[0], p.detach().flatten())
        assert leaf.data_ptr() != p.data_ptr()


def changed(model: nn.Module) -> None:
    with torch.no_grad():
        model[2].bias[0] += 1e-6


def loaded(model: nn.Module) -> None:
    model.load_state_dict(mlp(4, 5, 3, seed=1).state_dict())


def replaced(model: nn.Module) -> None:
    model[0].weight.data = model[0].weight.data * 1.001


@pytest.mark.parametrize("change", [changed, loaded, replaced])
def test_a_model_that_left_the_center_is_refused(change: Any):
    """Otherwise new weights would be compared with the old baseline."""
    posterior = LocalPosterior(mlp(4, 5, 3), (X, Y), per_example)
    change(posterior.problem.model)
    with pytest.raises(InputError, match=r"must stay at w\*, but parameter .* has changed"):
        sample(posterior, HMC(step_size=0.01), chains=2, draws=2, warmup=0, progress=False)


def test_loading_the_same_weights_again_is_no_change():
    model = mlp(4, 5, 3)
    posterior = LocalPosterior(model, (X, Y), per_example)
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    with untouched(model):
        posterior.bind("vectorized", 2)


# --- settings ------------------------------------------------------------------------------------------------


def test_what_a_posterior_tells():
    posterior = LocalPosterior(mlp(4, 5, 3), (X, Y), per_example, localization=2, batch_size=5)
    assert (posterior.n, posterior.dimension, posterior.batch_size, posterior.notes) == (20, 43, 5, [])
    assert posterior.nbeta == 20 / math.log(20)
    assert repr(posterior) == ("LocalPosterior(dimension=43, n=20, nbeta=6.67616, localization=2.0, batch_size=5)")
    assert "localization='auto'" in repr(posterior_of())
    assert "localization='mapping'" in repr(posterior_of(**LAYOUTS["mapping"]))


def posterior_of(**settings: Any) -> LocalPosterior:
    return LocalPosterior(mlp(4, 5, 3), (X, Y), per_example, **settings)


def test_other_minibatches_read_nothing_again():
    posterior = posterior_of(batch_size=5)
    other = posterior.with_batch_size(None)
    assert (posterior.batch_size, other.batch_size) == (5, None)
    assert other.problem is posterior.problem


@pytest.mark.parametrize("number", [np.int64(5), np.int32(5)])
def test_numpy_s_integers_are_integers(number: Any):
    posterior = posterior_of(batch_size=number, n=np.int64(20), nbeta=np.float32(2.5))
    assert (posterior.batch_size, posterior.nbeta) == (5, 2.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nbeta": 0}, "nbeta must be positive and finite, got 0"),
        ({"nbeta": -1.0}, "got -1.0"),
        ({"nbeta": math.nan}, "got nan"),
        ({"nbeta": math.inf}, "got inf"),
        ({"nbeta": True}, "got True"),
        ({"nbeta": "auto"}, "got 'auto'"),
        ({"n": 0}, "n must be a positive integer, got 0"),
        ({"n": 2.0}, "got 2.0"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"batch_size": -3}, "got -3"),
        ({"batch_size": True}, "got True"),
        ({"batch_size": 5.0}, "got 5.0"),
        ({"batch_size": "5"}, "got '5'"),
        ({"batch_size": 21}, "batch_size must be at most n = 20, got 21"),
        ({"localization": -0.5}, "localization must be >= 0 and finite, got -0.5"),
        ({"localization": math.nan}, "got nan"),
        ({"localization": False}, "got False"),
    ],
)
def test_a_setting_outside_its_range_is_refused_before_the_loss_is_called(settings: dict[str, Any], message: str):
    def loss(model: nn.Module, batch: Any) -> Tensor:
        raise AssertionError("the loss was called")

    with pytest.raises(SettingsError, match=message):
        LocalPosterior(mlp(4, 5, 3), (X, Y), loss, **settings)


@pytest.mark.parametrize(
    ("arguments", "settings", "error"),
    [
        (("model", (X, Y), "mse"), {}, SettingsError),
        ((mlp(4, 5, 3), (X, Y), "huber"), {}, LossError),
        ((mlp(4, 5, 3), (X, Y), None), {}, LossError),
        ((mlp(4, 5, 3), (), "mse"), {}, DataError),
        ((mlp(4, 5, 3), (b for b in [(X, Y)]), "mse"), {}, DataError),
        ((mlp(4, 5, 3), (X[:2], Y[:2]), "mse"), {}, DataError),
        ((mlp(4, 5, 3), (X, Y), "mse"), {"parameters": "oops"}, ParametersError),
        ((mlp(4, 5, 3), (X, Y), "mse"), {"n": 7}, DataError),
        ((nn.Tanh(), (X, X), "mse"), {}, ParametersError),
    ],
)
def test_input_that_cannot_be_used_is_refused_by_its_own_class(
    arguments: tuple[Any, ...], settings: dict[str, Any], error: type[Exception]
):
    with pytest.raises(error) as caught:
        LocalPosterior(*arguments, **settings)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


def test_two_examples_take_a_given_temperature():
    assert LocalPosterior(mlp(4, 5, 3), (X[:2], Y[:2]), "mse", nbeta=3.0).nbeta == 3.0


def test_parameters_may_be_an_iterator():
    assert posterior_of(parameters=iter(["0.bias", "2.bias"])).dimension == 8


@pytest.mark.parametrize("chain_method", ["parallel", None, "Vectorized", 1])
def test_an_unknown_chain_method_is_refused(chain_method: Any):
    with pytest.raises(SettingsError, match='must be "auto", "vectorized" or "in_place", got'):
        posterior_of().bind(chain_method, 2)


def test_bind_takes_the_evaluator_that_was_asked_for():
    posterior = posterior_of()
    with untouched(posterior.problem.model):
        assert type(posterior.bind("vectorized", 1).evaluator) is Vectorized
        assert type(posterior.bind("in_place", 5).evaluator) is InPlace


def test_a_fall_back_is_noted_by_the_posterior_that_falls_back():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(x)
            return y if bool(y.detach().isfinite().all()) else x[:, :3]

    posterior = LocalPosterior(Branching(), (X, Y), per_example, localization=1.0)
    assert posterior.notes == []
    trace = sample(posterior, HMC(step_size=0.01), chains=2, draws=2, warmup=0, progress=False)
    assert trace.settings["chain_method"] == "in_place"
    assert len(trace.settings["notes"]) == 1
    assert trace.settings["notes"][0].startswith("chains run one after another: torch cannot vectorize")
    again = sample(posterior, HMC(step_size=0.01), chains=2, draws=2, warmup=0, progress=False)
    assert again.settings["notes"] == trace.settings["notes"]
    with pytest.raises(VectorizationError, match="data-dependent control flow"):
        sample(posterior, HMC(), chains=2, draws=2, chain_method="vectorized", progress=False)
