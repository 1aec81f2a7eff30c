"""`sample`: what it refuses, what it records, how it ends, and what becomes of chains that blow up."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slt._noise import Random
from slt.errors import InputError, Interrupted, SettingsError
from slt.estimators import Problem, llc
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.running import forecast, sample
from slt.running.advance import Run, advance
from slt.samplers import HMC, SGLD
from slt.trace import Trace
from tests.models import drawn, mean_only, mlp, per_example

X, Y = drawn(40, 4, seed=1), drawn(40, 3, seed=2)
SMALL = SGLD(step_size=1e-4)


def posterior_of(loss: Any = per_example, **settings: Any) -> LocalPosterior:
    return LocalPosterior(mlp(4, 5, 3), (X, Y), loss, **{"nbeta": 20.0, "batch_size": 8} | settings)


def run(posterior: LocalPosterior | None = None, sampler: Any = SMALL, **settings: Any) -> Trace:
    given: dict[str, Any] = {"chains": 2, "draws": 6, "warmup": 0, "progress": False} | settings
    return sample(posterior or posterior_of(), sampler, **given)


class Counting:
    """A loss that counts its calls and acts at one of them."""

    def __init__(self, act: Callable[[], None] | None = None, at: int = 0) -> None:
        self.act, self.at, self.calls = act, at, 0

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        self.calls += 1
        if self.act is not None and self.calls == self.at:
            self.act()
        return per_example(model, batch)


def interrupt() -> None:
    raise KeyboardInterrupt


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains must be an integer of at least 1, got 0"),
        ({"chains": -2}, "got -2"),
        ({"chains": 2.0}, "got 2.0"),
        ({"chains": True}, "got True"),
        ({"draws": 0}, "draws must be an integer of at least 1, got 0"),
        ({"draws": 10.5}, "got 10.5"),
        ({"draws": None}, "got None"),
        ({"thin": 0}, "thin must be an integer of at least 1, got 0"),
        ({"thin": False}, "got False"),
        ({"warmup": -1}, "warmup must be an integer of at least 0, got -1"),
        ({"warmup": "10"}, "warmup must be an integer of at least 0, got '10'"),
        ({"seed": 1.5}, "seed must be an integer, got 1.5"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"seed": True}, "seed must be an integer, got True"),
        ({"until": 100}, "until must be a function of the trace so far, got 100"),
        ({"chain_method": "fast"}, 'chain_method must be "auto", "vectorized" or "in_place", got \'fast\''),
        ({"tuning": {"step": 0.1}}, r"tuning must hold \['step_size'\] for this sampler, got \['step'\]"),
        ({"tuning": {"step_size": -1.0}}, r"tuning\['step_size'\] must be positive and finite"),
        ({"tuning": {"step_size": math.nan}}, "must be positive and finite"),
        ({"tuning": {"step_size": []}}, "must be positive and finite"),
        ({"tuning": {"step_size": [[1e-4, 2e-4]]}}, "one number, or one for each of the chains"),
        ({"tuning": [1e-4]}, "tuning must be a Trace or a mapping of arrays, got list"),
    ],
)
def test_a_setting_outside_its_range_is_refused_before_a_step(settings: dict[str, Any], message: str):
    loss = Counting()
    posterior = posterior_of(loss)
    before = loss.calls
    with pytest.raises(SettingsError, match=message) as caught:
        run(posterior, **settings)
    assert isinstance(caught.value, InputError)
    steps = loss.calls - before
    assert steps == 0 or "tuning" in settings  # a tuning is held against the sampler's, once that is bound


CALLS: dict[str, Callable[..., Any]] = {"sample": sample, "forecast": forecast}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("sampler", "got"),
    [
        (HMC, r"got the class HMC; call it: HMC\(\)"),
        ("hmc", "got 'hmc'"),
        (None, "got NoneType"),
        (nn.Module, "got the class Module"),
    ],
)
def test_anything_but_a_sampler_is_refused_before_a_step(call: str, sampler: Any, got: str):
    loss = Counting()
    posterior = posterior_of(loss)
    before = loss.calls
    with pytest.raises(SettingsError, match=f"sampler must be a sampler .*{got}"):
        CALLS[call](posterior, sampler)
    assert loss.calls == before


@pytest.mark.parametrize("call", CALLS)
def test_a_model_is_no_posterior(call: str):
    message = r"must be a slt\.LocalPosterior\(model, data, loss\), got the model Sequential; build one first"
    with pytest.raises(SettingsError, match=message):
        CALLS[call](mlp(4, 5, 3), SMALL)
    with pytest.raises(SettingsError, match="got the class LocalPosterior"):
        CALLS[call](LocalPosterior, SMALL)


def test_a_forecast_refuses_what_the_run_would():
    for settings in ({"chains": 0}, {"draws": 1.5}, {"warmup": -1}, {"thin": True}):
        with pytest.raises(SettingsError, match="must be an integer of at least"):
            forecast(posterior_of(), SMALL, **settings)


@pytest.mark.parametrize("number", [np.int64(3), np.int32(3)])
def test_numpy_s_integers_are_integers(number: Any):
    posterior = posterior_of(batch_size=number)
    trace = run(posterior, chains=number, draws=number, thin=number, warmup=number, seed=number)
    assert (trace.chains, trace.draws, trace.settings["thin"]) == (3, 3, 3)


# --- what is recorded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
@pytest.mark.parametrize("sampler", [SMALL, HMC(step_size=0.05, leapfrogs=2)])
def test_the_first_draw_without_warmup_is_the_center(sampler: Any, method: str):
    trace = run(sampler=sampler, chain_method=method)
    for name in ("excess", "distance"):
        assert float(np.abs(trace.get("posterior", name)[:, 0]).max()) < 1e-14
        assert float(np.abs(trace.get("posterior", name)[:, 1:]).min()) > 0


def test_the_loss_is_the_excess_above_the_loss_at_the_center():
    posterior = posterior_of()
    trace = run(posterior)
    assert trace.loss_center == posterior.problem.loss_center
    excess, loss = trace.get("posterior", "excess"), trace.get("posterior", "loss")
    assert np.array_equal(loss, excess + trace.loss_center)


def test_the_trace_tells_what_was_asked():
    posterior = posterior_of(localization=2.0)
    trace = run(posterior, chains=3, draws=4, warmup=10, thin=2, seed=7, chain_method="in_place")
    settings = trace.settings
    for name, value in (("chains", 3), ("draws", 4), ("warmup", 10), ("thin", 2), ("seed", 7)):
        assert settings[name] == value
    assert (trace.n, trace.nbeta, trace.dimension, trace.localization) == (40, 20.0, 43, 2.0)
    assert settings["chain_method"] == "in_place"
    assert settings["sampler"] == repr(SMALL)
    assert (settings["unadjusted"], settings["full_data"], settings["batch_size"]) == (True, False, 8)
    assert (settings["localization_rule"], settings["localization_zero"]) == ("isotropic", False)
    assert (settings["dtype"], settings["state_dtype"]) == ("float64", "float64")
    assert settings["notes"] == []


def test_thinned_draws_are_every_third_draw_beside_their_means():
    every, third = run(draws=12), run(draws=4, thin=3)
    for name in ("excess", "distance"):
        assert np.array_equal(third.get("posterior", name), every.get("posterior", name)[:, ::3])
    means = every.get("posterior", "excess").reshape(2, 4, 3).mean(2)
    np.testing.assert_allclose(third.get("sample_stats", "excess_mean"), means, rtol=1e-12)
    assert "excess_mean" not in every.names("sample_stats")


def test_warmup_is_not_recorded_and_is_the_same_walk():
    """With a given step nothing is adapted: warmup drops the first draws and no more."""
    whole, late = run(draws=20), run(draws=8, warmup=12)
    assert np.array_equal(late.get("posterior", "excess"), whole.get("posterior", "excess")[:, 12:])


def test_a_mean_loss_on_minibatches_is_noted_and_on_full_data_is_not():
    posterior = posterior_of(mean_only, localization=1.0)
    assert any("one more forward pass a step" in note for note in run(posterior).settings["notes"])
    assert run(posterior, HMC(step_size=0.01, leapfrogs=2)).settings["notes"] == []


def test_sampling_the_same_posterior_again_gives_the_same_bits():
    posterior = posterior_of()
    first, second = run(posterior), run(posterior)
    assert np.array_equal(first.get("posterior", "excess"), second.get("posterior", "excess"))


# --- ends ----------------------------------------------------------------------------------------------------


def test_until_ends_a_run_early_and_changes_no_draw():
    asked: list[int] = []

    def until(trace: Trace) -> bool:
        asked.append(trace.draws)
        return trace.draws >= 28

    short, whole = run(draws=60, until=until), run(draws=60)
    assert asked == [20, 24, 28]
    assert short.draws == 28
    assert short.settings["draws"] == 28
    assert np.array_equal(short.get("posterior", "excess"), whole.get("posterior", "excess")[:, :28])


def calls_of(**settings: Any) -> int:
    """Calls of the loss in a whole run."""
    loss = Counting()
    run(posterior_of(loss), **settings)
    return loss.calls


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_an_interrupt_keeps_the_draws_so_far(method: str):
    whole = run(draws=60, chain_method=method)
    before = calls_of(draws=30, chain_method=method)
    loss = Counting(interrupt, before + 1)
    with pytest.raises(Interrupted, match=r"draws of each chain are kept in \.trace") as caught:
        run(posterior_of(loss), draws=60, chain_method=method)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert not isinstance(caught.value, Exception)  # which user code catches
    trace = caught.value.trace
    assert 25 <= trace.draws <= 30
    assert np.array_equal(trace.get("posterior", "excess"), whole.get("posterior", "excess")[:, : trace.draws])
    assert trace.alive.all()


def test_an_interrupt_in_warmup_has_nothing_to_keep():
    before = calls_of(warmup=0, draws=1)
    with pytest.raises(Interrupted, match="nothing was drawn yet") as caught:
        run(posterior_of(Counting(interrupt, before + 5)), warmup=50)
    assert caught.value.trace is None


def test_a_posterior_can_be_sampled_after_an_interrupt():
    loss = Counting(interrupt, calls_of(draws=3))
    posterior = posterior_of(loss)
    with pytest.raises(Interrupted):
        run(posterior)
    assert np.array_equal(run(posterior).get("posterior", "excess"), run().get("posterior", "excess"))


# --- chains that blow up -------------------------------------------------------------------------------------


def steep(model: nn.Module, batch: Any) -> Tensor:
    return per_example(model, batch) + sum(p.pow(4).sum() for p in model.parameters())


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_chains_that_blow_up_are_marked(method: str):
    trace = run(posterior_of(steep), SGLD(step_size=10.0), draws=30, chain_method=method)
    assert not trace.alive.any()


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_a_dead_chain_leaves_the_others_alone(method: str):
    """Chain 1 of 3 is given a step of its own that is far too long."""
    steps = [1e-4, 10.0, 1e-4]
    posterior = posterior_of(steep)
    mixed = run(posterior, chains=3, draws=30, tuning={"step_size": steps}, chain_method=method)
    calm = run(posterior, chains=3, draws=30, tuning={"step_size": 1e-4}, chain_method=method)
    assert mixed.alive.tolist() == [True, False, True]
    assert calm.alive.all()
    for k in (0, 2):
        assert np.array_equal(mixed.get("posterior", "excess")[k], calm.get("posterior", "excess")[k])


def test_a_chain_once_dead_stays_dead():
    posterior = posterior_of()
    with untouched(posterior.problem.model):
        bound = posterior.bind("vectorized", 2)
        random = Random(
            0,
            range(2),
            bound.evaluator.leaves,
            n=40,
            batch_size=8,
            uniforms=0,
            device=torch.device("cpu"),
            dtype=torch.float64,
        )
        w = {name: leaf.repeat(2, 1) for name, leaf in bound.center.items()}
        nbeta = torch.full((2,), 20.0, dtype=torch.float64)
        state, tuning, _ = SMALL.init(bound, w, nbeta, random)
        start = Run(0, nbeta, state, tuning, None, torch.tensor([True, False]))
        end, block = advance(start, bound, SMALL, random, 5)
    assert end.step == 5
    assert end.dead.tolist() == [True, False]
    assert {name: tuple(values.shape) for name, values in block.items()}["excess"] == (2, 5)


def test_a_step_so_long_that_the_excess_stays_finite_is_marked_too():
    """A flat loss and a step of 1e30: every number is finite, and none is believable."""

    def flat(model: nn.Module, batch: Any) -> Tensor:
        return per_example(model, batch).clamp(max=1.0)

    trace = run(posterior_of(flat, localization=1e-20), SGLD(step_size=1e30), draws=5)
    assert np.isfinite(trace.get("posterior", "excess")).all()
    assert not trace.alive.any()


def test_hmc_survives_a_step_that_is_far_too_long():
    """It rejects, counts, and stays where it is."""
    trace = run(posterior_of(steep), HMC(step_size=1e3, leapfrogs=3), draws=20)
    assert trace.alive.all()
    assert trace.get("sample_stats", "diverging").all()
    assert Problem.DIVERGING in {finding.kind for finding in llc(trace).verdict.problems}
    assert np.array_equal(trace.get("posterior", "distance"), np.zeros((2, 20)))
    assert float(trace.get("sample_stats", "acceptance_rate").max()) < 1e-6


# --- half precision ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "in_place"])
def test_a_bfloat16_model_is_sampled_from_a_float32_state(method: str):
    """Steps of 1e-5 are far below the spacing of bfloat16 near 1, 2^-8: held in bfloat16 they would be lost."""
    seen: set[torch.dtype] = set()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        seen.update(p.dtype for p in model.parameters())
        return per_example(model, batch).float()

    model = mlp(4, 5, 3).bfloat16()
    before = [p.detach().clone() for p in model.parameters()]
    posterior = LocalPosterior(model, (X.bfloat16(), Y.bfloat16()), loss, nbeta=20.0, localization=1.0, batch_size=8)
    trace = run(posterior, SGLD(step_size=1e-10), draws=100, chain_method=method)
    assert seen == {torch.bfloat16}
    assert (trace.settings["dtype"], trace.settings["state_dtype"]) == ("bfloat16", "float32")
    # 99 steps of sqrt(1e-10) in 43 directions; 8 standard errors of a chi of 43 degrees
    expected = math.sqrt(43 * 99) * 1e-5
    assert np.abs(trace.get("posterior", "distance")[:, -1] / expected - 1).max() < 8 / math.sqrt(2 * 43)
    assert all(torch.equal(p, q) and p.dtype == torch.bfloat16 for p, q in zip(model.parameters(), before, strict=True))
