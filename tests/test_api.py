import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import slt
from slt import api
from slt.errors import ResumeError, SettingsError
from slt.estimators import Problem
from slt.estimators.llc import least_relative_error
from slt.problem import untouched
from tests.models import called_each_time


def quadratic() -> slt.toys.Toy:
    return slt.toys.quadratic([1.0, 1.0, 0.5, 0.25], n=500)


def exact(localization: float) -> float:
    nbeta = 500 / math.log(500)
    return sum(0.5 * nbeta * h / (nbeta * h + localization) for h in (1.0, 1.0, 0.5, 0.25))


def remarks(estimate: slt.Estimate) -> str:
    return " ".join(str(note) for note in estimate.verdict.notes)


def test_the_target_error_is_reached_and_said() -> None:
    toy = quadratic()
    estimate = slt.estimate_llc(
        toy.model, toy.data, toy.loss, localization=1.0, target_relative_error=0.05, seed=3, progress=False
    )
    low, high = estimate.interval()
    assert (high - low) / 2 <= 0.05 * estimate.value
    assert abs(estimate.value - exact(1.0)) < 4 * estimate.mcse  # 4 errors are 10 % here
    assert estimate.verdict.ok
    assert "target error was reached" in remarks(estimate)
    assert "HMC with a dense mass and scale moves was chosen" in remarks(estimate)


@pytest.mark.parametrize(
    ("sampler", "budget"),
    [
        *((sampler, 3_000) for sampler in (slt.HMC(), slt.HMC(leapfrogs=1), slt.HMC(mass="diagonal"), slt.SGLD())),
        ("auto", 16_000),
        *(pytest.param(sampler, 16_000, marks=pytest.mark.exact) for sampler in (slt.HMC(mass="diagonal"), slt.SGLD())),
    ],
)
def test_a_budget_of_gradients_is_kept_used_and_said(sampler: Any, budget: int) -> None:
    """Counted by the loss itself, each call of which serves all chains; what set-up evaluates is counted apart."""
    toy, rows, chains = quadratic(), 0, 3

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal rows
        called_each_time()
        rows += len(batch[0])
        return toy.loss(model, batch)

    posterior = slt.LocalPosterior(toy.model, toy.data, loss, localization=1.0)
    with untouched(toy.model):
        posterior.bind("auto", chains)
    set_up, rows = rows, 0
    estimate = slt.estimate_llc(
        toy.model,
        toy.data,
        loss,
        localization=1.0,
        budget=slt.Gradients(budget),
        sampler=sampler,
        chains=chains,
        target_relative_error=1e-6,
        progress=False,
    )
    # This loss is a mean, so that on minibatches each gradient comes with a forward pass at w*, which is none.
    full_data = estimate.settings["batch_size"] is None
    tried = 500 if full_data else 0  # for a recording, in vain
    spent = chains * (rows - set_up - tried) / 500 / (1 if full_data else 2)
    assert 0.95 * budget < spent <= budget
    assert estimate.settings["gradients"] == pytest.approx(spent)
    assert "The budget of gradients ended before the target was reached: the error is" in remarks(estimate)


@pytest.mark.parametrize(("sampler", "least"), [(slt.SGLD(), 596), (slt.HMC(), 1876)])
def test_the_least_budget_is_enough_and_less_is_refused(sampler: Any, least: int) -> None:
    toy = quadratic()

    def estimate(gradients: float) -> slt.Estimate:
        budget = slt.Gradients(gradients)
        return slt.estimate_llc(toy.model, toy.data, toy.loss, budget=budget, sampler=sampler, progress=False)

    with pytest.raises(SettingsError, match=f"must be at least {least:,} gradients for 8 chains of .* Got"):
        estimate(least - 1)
    found = estimate(least)
    assert found.trace.draws >= 4
    assert found.settings["gradients"] <= least


def test_minibatches_where_hmc_is_not_affordable() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 5, generator=generator)
    y = x @ torch.ones(5, 1) + 0.1 * torch.randn(2000, 1, generator=generator)
    model = nn.Linear(5, 1)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
        model.bias.zero_()
    estimate = slt.estimate_llc(model, (x, y), "gaussian:0.1", budget=slt.Gradients(4000), chains=8, progress=False)
    assert estimate.settings["method"] == "SGLD"
    assert estimate.settings["batch_size"] == 256
    assert "SGLD was chosen" in remarks(estimate)
    assert estimate.variance_value is None  # minibatch noise would enter it


def test_the_budget_in_seconds_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tested with a clock of its own: a second passes at every look."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(time, "monotonic", clock)
    toy = quadratic()
    estimate = slt.estimate_llc(
        toy.model, toy.data, toy.loss, budget=3.0, sampler=slt.HMC(), target_relative_error=1e-6, progress=False
    )
    assert "The budget ended before the target was reached: the error is" in remarks(estimate)
    assert estimate.trace.draws < 200


def test_the_run_can_be_repeated_by_hand() -> None:
    toy = quadratic()
    estimate = slt.estimate_llc(
        toy.model, toy.data, toy.loss, localization=1.0, target_relative_error=0.1, seed=5, progress=False
    )
    settings = estimate.settings
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=settings["localization"])
    trace = slt.sample(
        posterior,
        slt.ScaleMoves(slt.HMC(mass="dense")),
        chains=settings["chains"],
        draws=settings["draws"],
        warmup=settings["warmup"],
        thin=settings["thin"],
        seed=settings["seed"],
        chain_method=settings["chain_method"],
        hot_start=settings["hot_start"],
        progress=False,
    )
    assert slt.llc(trace).value == estimate.value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_relative_error": 0.0}, "target_relative_error must be a share"),
        ({"target_relative_error": 2.0}, "a share between 0 and 1, such as 0.02, got 2.0"),
        ({"target_relative_error": math.nan}, "target_relative_error must be a share"),
        ({"budget": -1.0}, "budget must be positive"),
        ({"budget": math.nan}, "budget must be positive"),
        ({"budget": "60"}, r"budget must be positive seconds, as a number, or slt\.Gradients\(n\), got '60'"),
        ({"budget": True}, "budget must be positive seconds"),
        ({"target_relative_error": "0.02"}, "a share between 0 and 1, such as 0.02, got '0.02'"),
        ({"chains": 0}, "chains must be an integer of at least 1"),
        ({"chains": 2.0}, r"chains must be an integer of at least 1, got 2\.0"),
        ({"seed": 0.5}, r"seed must be an integer, got 0\.5"),
        ({"n": "20"}, "n must be a positive integer, got '20'"),
        ({"sampler": "nuts"}, r"sampler must be a sampler such as slt\.HMC\(\) or slt\.SGLD\(\), got 'nuts'"),
        ({"sampler": slt.HMC}, r"got the class HMC; call it: HMC\(\)"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    toy = quadratic()
    with pytest.raises(SettingsError, match=message):
        slt.estimate_llc(toy.model, toy.data, toy.loss, progress=False, **settings)


@pytest.mark.parametrize("n", [0, math.nan, math.inf, "100", True])
def test_a_budget_that_is_none_is_refused(n: Any) -> None:
    with pytest.raises(SettingsError, match=f"needs a positive and finite n, got {n!r}"):
        slt.Gradients(n)


def test_numpys_numbers_are_numbers() -> None:
    toy = quadratic()
    estimate = slt.estimate_llc(
        toy.model,
        toy.data,
        toy.loss,
        localization=np.float32(1.0),
        chains=np.int64(4),
        seed=np.int32(2),
        budget=slt.Gradients(np.int64(8_000)),
        target_relative_error=np.float64(0.5),
        progress=False,
    )
    assert estimate.trace.chains == 4


def test_data_that_do_not_tell_their_size_are_read_by_n() -> None:
    toy = quadratic()
    stream = (tuple(t[i : i + 10] for t in toy.data) for i in range(0, 500, 10))
    estimate = slt.estimate_llc(
        toy.model, stream, toy.loss, n=30, localization=1.0, budget=slt.Gradients(8_000), chains=4, progress=False
    )
    assert estimate.trace.n == 30


def slow_start(draws: int, relaxation: float) -> slt.Trace:
    """Draws of a quadratic in 6 directions, whose exact value is 3, that come up from 0."""
    energy = np.random.default_rng(5).gamma(3.0, size=(8, draws)) * (1 - np.exp(-np.arange(draws) / relaxation))
    return slt.Trace.from_arrays(
        posterior={"excess": energy / 100},
        sample_stats={},
        constant_data={"n": 500, "nbeta": 100.0, "dimension": 6, "loss_center": 0.0, "alive": np.ones(8, bool)},
        settings={"unadjusted": False, "full_data": True, "localization": 1.0, "localization_zero": False},
    )


@pytest.mark.parametrize(
    ("draws", "relaxation", "burn_in"),
    [
        (2000, 1e-9, 0),  # at once
        (2000, 150.0, 1000),
        (2000, 1500.0, 0),  # still on the way: the verdict says so of all draws
        (198, 20.0, 0),  # the last half would be too short
    ],
)
def test_the_first_half_is_left_out_where_it_is_a_burn_in(draws: int, relaxation: float, burn_in: int) -> None:
    trace = slow_start(draws, relaxation)
    stop = api._Stop(0.02, None)
    stop(trace)
    assert stop.burn_in == burn_in
    estimate = slt.llc(trace.with_settings(burn_in=stop.burn_in))
    if relaxation < 1000 < draws:
        assert abs(estimate.value - 3) < 4 * estimate.mcse
    else:
        assert Problem.DRIFT in {finding.kind for finding in estimate.verdict.problems}


def test_the_bar_says_how_long_a_run_will_go_on() -> None:
    trace = slow_start(2000, 1e-9)
    error = least_relative_error(trace)
    stop = api._Stop(error / 2, None)
    assert stop.forecast(0.5) == ""  # nothing was seen
    assert not stop(trace)
    assert (
        stop.forecast(0.01) == f"error {error:.2%}, target {error / 2:.2%}, about 60 s left"
    )  # 4 times the draws in all
    stop = api._Stop(error / 2, time.monotonic() + 7.3)
    assert not stop(trace)
    assert stop.forecast(0.01).endswith("about 7 s of the budget left")
    stop = api._Stop(0.5, None)
    assert not stop(slow_start(2000, 1500.0))
    assert stop.forecast(0.01).endswith("but the verdict requires more draws")


def test_a_run_goes_on_while_more_draws_may_mend_it() -> None:
    kinds = {Problem.NOT_CONVERGED, Problem.NOT_EQUILIBRATED, Problem.DRIFT, Problem.SLOW, Problem.TOO_FEW_DRAWS}
    kinds.add(Problem.STARTS_DISAGREE)
    assert kinds == api._UNFINISHED


def test_a_saved_estimate_resumes_with_its_plan(tmp_path: Path) -> None:
    toy = quadratic()
    settings = {"localization": 1.0, "budget": slt.Gradients(16_000), "target_relative_error": 1e-6, "progress": False}
    calm = slt.estimate_llc(toy.model, toy.data, toy.loss, **settings)
    calls = 0

    def dying(model: nn.Module, batch: object) -> torch.Tensor:
        nonlocal calls
        called_each_time()
        calls += 1
        if calls == 1500:
            raise ZeroDivisionError
        return toy.loss(model, batch)

    dying.__qualname__ = toy.loss.__qualname__
    with pytest.raises(ZeroDivisionError):
        slt.estimate_llc(toy.model, toy.data, dying, save_to=tmp_path / "run", **settings)
    saved = slt.estimate_llc(toy.model, toy.data, toy.loss, save_to=tmp_path / "run", **settings)
    assert saved.value == calm.value
    assert slt.llc(slt.Trace.load(tmp_path / "run")).value == calm.value
    with pytest.raises(ResumeError, match="nbeta"):
        slt.estimate_llc(toy.model, toy.data, toy.loss, save_to=tmp_path / "run", nbeta=3.0, **settings)


def test_the_trace_of_a_saved_estimate_is_written_once_with_its_remarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []
    save = slt.Trace.save
    monkeypatch.setattr(slt.Trace, "save", lambda trace, path: (written.append(path), save(trace, path)))
    toy = quadratic()
    settings = {"localization": 1.0, "budget": slt.Gradients(4_000), "chains": 2, "progress": False}
    estimate = slt.estimate_llc(toy.model, toy.data, toy.loss, save_to=tmp_path / "run", **settings)
    assert written == [tmp_path / "run" / "trace.nc"]
    assert remarks(slt.llc(slt.Trace.load(tmp_path / "run"))) == remarks(estimate)


def test_an_error_within_the_target_does_not_reassure_beside_a_problem() -> None:
    """A loss that falls away from w*: the target is reached, and means nothing."""
    toy = quadratic()

    def falling(model: nn.Module, batch: Any) -> torch.Tensor:
        return toy.loss(model, batch) - 0.5 * sum(p.sum() for p in model.parameters())

    estimate = slt.estimate_llc(
        toy.model, toy.data, falling, localization=1.0, target_relative_error=0.5, chains=4, progress=False
    )
    assert Problem.NOT_A_MINIMUM in {finding.kind for finding in estimate.verdict.problems}
    assert "of the value, and the target 50.00%; this error does not account for the other findings" in remarks(
        estimate
    )


def test_a_budget_in_seconds_is_kept_where_a_minibatch_takes_as_long_as_all_data() -> None:
    toy = quadratic()

    def slow(model: nn.Module, batch: Any) -> torch.Tensor:
        called_each_time()
        time.sleep(0.02)
        return toy.loss(model, batch)

    posterior = {"localization": 1.0, "chains": 2, "progress": False}
    start = time.monotonic()
    estimate = slt.estimate_llc(toy.model, toy.data, slow, budget=4.0, **posterior)
    assert estimate.settings["batch_size"] == 256
    assert time.monotonic() - start < 1.5 * 4.0
    assert estimate.trace.draws >= 4
