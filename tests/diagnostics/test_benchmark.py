"""Benchmarks of samplers: gradients counted as they are taken, errors against known values, failures kept."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import slt
from slt.analytic.finite import quadratic_energy
from slt.diagnostics import Benchmark, Case, Row, Run, benchmark_sampler, standard_cases
from slt.diagnostics.counting import Counted
from slt.errors import SettingsError

NBETA = 99.0


def quadratic(**settings: Any) -> Case:
    given: dict[str, Any] = {"nbeta": NBETA, "localization": 1.0} | settings
    return Case(slt.toys.quadratic(2), given, quadratic_energy(2, NBETA, 1.0))


def spent(sampler: Any, *, chains: int = 3, batch_size: int | None = None, **settings: Any) -> Counted:
    toy = slt.toys.quadratic(2, n=40)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0, batch_size=batch_size)
    counted = Counted(sampler, posterior.n)
    slt.sample(posterior, counted, chains=chains, progress=False, **settings)
    return counted


# --- what is counted -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_a_minibatch_counts_its_share(method: str) -> None:
    found = spent(slt.SGLD(step_size=1e-3), batch_size=10, draws=12, warmup=4, thin=2, chain_method=method)
    assert found.total == pytest.approx(3 * (12 * 2 + 4) * 10 / 40, rel=1e-12)


def test_a_leapfrog_counts_a_pass_and_warmup_counts_too() -> None:
    found = spent(slt.HMC(step_size=0.05, leapfrogs=1, jitter=0.0), draws=30, warmup=0)
    # one at the start; then round(0.5 + uniform) leapfrogs, at least one, the same for all chains
    assert found.spent["init"] == 3
    assert found.spent["step"] % 3 == 0
    assert 3 * 30 <= found.spent["step"] <= 3 * 60
    warmed = spent(slt.SGLD(), draws=5, warmup=8)
    assert warmed.spent["adapt"] == 3 * 2 * 2  # two gradients at every fourth step
    assert warmed.spent["step"] == 3 * 13


def test_counting_changes_no_draw() -> None:
    toy = slt.toys.quadratic(2)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    settings: dict[str, Any] = {"chains": 2, "draws": 20, "warmup": 20, "progress": False}
    plain, counted = (slt.sample(posterior, s, **settings) for s in (slt.HMC(), Counted(slt.HMC(), 1000)))
    assert np.array_equal(plain.get("posterior", "excess"), counted.get("posterior", "excess"))
    assert plain.settings["sampler"] == counted.settings["sampler"]


# --- what is found -------------------------------------------------------------------------------------------


def test_an_exact_sampler_is_right_and_keeps_its_budget() -> None:
    result = benchmark_sampler(slt.HMC(leapfrogs=4), [quadratic()], [300, 900], seeds=2, chains=8)
    short, long = result.rows
    assert (short.budget, long.budget, long.completed) == (300, 900, 2)
    assert short.gradients == pytest.approx(300, rel=0.15)
    assert long.gradients == pytest.approx(900, rel=0.15)
    assert long.error < 0.08
    assert result.completion_rate == 1


def test_a_biased_sampler_shows_its_bias() -> None:
    """The mutant: a step that inflates every energy by 1 / (1 - 1/4)."""
    result = benchmark_sampler(slt.SGLD(step_size=1 / (NBETA + 1)), [quadratic()], 1000, seeds=4, chains=32)
    mean, error = result.rows[0].bias
    assert error < 0.03
    assert abs(mean - 1 / 3) < 4 * error


def test_chains_that_blow_up_are_failures_and_stay_in_the_table() -> None:
    result = benchmark_sampler(slt.SGLD(step_size=1.0), [quadratic()], 300, seeds=2, chains=2)
    row = result.rows[0]
    assert (row.completed, len(row.runs), result.completion_rate) == (0, 2, 0.0)
    assert math.isnan(row.error)
    assert all("2 of 2 chains blew up" in failure for failure in result.failures)
    assert "0% of the runs completed" in str(result)
    assert "failed: quadratic(2), 300 gradients, seed 1: 2 of 2 chains blew up" in str(result)


def test_another_program_is_measured_alike() -> None:
    def program(case: Case, gradients: float, seed: int) -> tuple[float, float]:
        if seed == 2:
            raise RuntimeError("NaN detected in loss")
        return case.value * (1.1 if seed else 0.9), 2 * gradients

    result = benchmark_sampler(program, [quadratic()], [100], seeds=3, name="other")
    row = result.rows[0]
    assert (row.completed, row.gradients, row.reliable) == (2, 200, None)
    assert row.error == pytest.approx(0.1)
    assert row.bias[0] == pytest.approx(0, abs=1e-12)
    assert result.failures == ["quadratic(2), 100 gradients, seed 2: RuntimeError: NaN detected in loss"]
    assert str(result).startswith("other: 67% of the runs completed")


def test_a_fault_of_the_program_itself_is_not_a_failed_run() -> None:
    with pytest.raises(TypeError):
        benchmark_sampler(lambda case: 1.0, [quadratic()], 100)  # type: ignore[arg-type]


def test_a_program_that_returns_nonsense_has_failed() -> None:
    result = benchmark_sampler(lambda case, gradients, seed: (math.inf, gradients), [quadratic()], 100, seeds=1)
    assert result.failures == ["quadratic(2), 100 gradients, seed 0: the value is inf"]


# --- cases ---------------------------------------------------------------------------------------------------


def test_the_standard_cases() -> None:
    cases = standard_cases()
    assert [case.kind for case in cases] == ["exact", "exact", "exact", "reference"]
    assert all((case.error == 0) == (case.kind == "exact") for case in cases)
    stiff = cases[1].toy.model.curvatures
    assert isinstance(stiff, torch.Tensor)
    assert float(stiff.max() / stiff.min()) == pytest.approx(1e3, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"value": 0.0}, "the value of a case must be positive and finite, got 0.0"),
        ({"value": math.nan}, "got nan"),
        ({"value": 1.0, "error": -1.0}, "the error of a case must be finite and >= 0, got -1.0"),
        ({"value": 1.0, "kind": "true"}, "got 'true'"),
    ],
)
def test_a_case_is_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Case(slt.toys.quadratic(2), {}, **settings)


@pytest.mark.parametrize("wrong", [{"toys": []}, {"budget": 0}, {"budget": []}, {"seeds": 0}, {"chains": 0}])
def test_settings_are_checked_before_any_run(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"toys": [quadratic()], "budget": 100} | wrong
    with pytest.raises(SettingsError):
        benchmark_sampler(slt.HMC(), **given)


# --- the picture ---------------------------------------------------------------------------------------------


def test_the_plot_holds_the_numbers() -> None:
    def row(budget: float, *values: float) -> Row:
        runs = tuple(Run(value, budget + 1, True) for value in values)
        return Row("bowl", "exact", 1.0, 0.0, budget, runs)

    nothing = Row("wall", "exact", 1.0, 0.0, 10.0, (Run(math.nan, math.nan, None, failure="fell"),))
    ax = Benchmark("S", (row(10, 1.3, 0.7), row(100, 1.1, 0.9), nothing)).plot(ax=Figure().subplots())
    bowl, guide = ax.get_lines()
    assert bowl.get_xdata() == pytest.approx([11, 101])
    assert bowl.get_ydata() == pytest.approx([0.3, 0.1])
    assert guide.get_ydata()[1] / guide.get_ydata()[0] == pytest.approx(math.sqrt(11 / 101))
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "log", "S")


def test_modules_of_other_kinds_are_cases_too() -> None:
    """A toy is no more than a model, data and a loss."""
    toy = slt.toys.Toy(
        nn.Linear(2, 1), (torch.zeros(30, 2),), lambda model, batch: model.weight.square().sum() / 2, None, "own"
    )
    case = Case(toy, {"nbeta": NBETA, "localization": 1.0, "parameters": "weight"}, quadratic_energy(2, NBETA, 1.0))
    with torch.no_grad():
        toy.model.weight.zero_()
    assert benchmark_sampler(slt.HMC(leapfrogs=4), [case], 400, seeds=1).rows[0].error < 0.3
