"""Estimates beside what they should be: the right value, the right z, a table that fits, and refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import slt
from slt import analytic, toys
from slt.analytic.finite import quadratic_energy
from slt.diagnostics import (
    Case,
    benchmark_sampler,
    compare,
    order_preserved,
)
from slt.diagnostics.references import same
from slt.errors import InputError, NotAvailableError
from slt.estimators.verdict import Finding, Problem, Verdict
from slt.plots import comparison

NBETA = 145.0


def estimate(value: float, localization: Any = 1.0, sizes: Any = None, uniform: bool = True, seed: int = 0) -> Any:
    """An estimate of about `value`, from gamma draws, as if drawn at this localizer."""
    sizes = sizes or {"w": 2}
    draws = np.random.default_rng(seed).gamma(value, size=(4, 1000)) / NBETA
    trace = slt.Trace.from_arrays(
        posterior={"excess": draws},
        sample_stats={},
        constant_data={
            "n": 1000,
            "nbeta": NBETA,
            "dimension": sum(sizes.values()),
            "loss_center": 0.0,
            "alive": np.ones(4, bool),
        },
        settings={
            "unadjusted": False,
            "full_data": True,
            "localization": localization,
            "localization_zero": False,
            "localization_uniform": uniform,
            "sizes": sizes,
        },
    )
    return slt.llc(trace)


def test_the_value_is_that_of_the_estimates_own_localizer():
    entry = analytic.quadratic([1.0, 0.01])
    rows = compare([estimate(0.9), estimate(0.9, 5.0)], [entry, entry]).rows
    assert [row.known.value for row in rows] == [
        pytest.approx(quadratic_energy([1.0, 0.01], NBETA, gamma)) for gamma in (1.0, 5.0)
    ]
    assert [row.known.kind for row in rows] == ["exact", "exact"]


def test_each_tensor_has_its_precision():
    entry = analytic.quadratic([1.0, 1.0, 0.01])
    (row,) = compare([estimate(1.2, {"a": 2.0, "b": 30.0}, {"a": 2, "b": 1})], [entry]).rows
    each = [NBETA * h / (2 * (NBETA * h + gamma)) for h, gamma in ((1.0, 2.0), (1.0, 2.0), (0.01, 30.0))]
    assert row.known.value == pytest.approx(sum(each))


def test_z_and_relative_error():
    made = estimate(1.0)
    (row,) = compare([made], [analytic.quadratic([1.0, 1.0])]).rows
    value = quadratic_energy(2, NBETA, 1.0)
    assert row.relative_error == pytest.approx(made.value / value - 1)
    assert row.z == pytest.approx((made.value - value) / made.mcse)
    assert abs(row.z) < 4
    # the same estimate beside another loss: four errors catch a fifth
    (far,) = compare([made], [analytic.quadratic([1.0, 0.01])]).rows
    assert far.z > 4


def test_beside_a_limit_there_is_no_z():
    (row,) = compare([estimate(1.4)], [analytic.tanh_network(3)]).rows
    assert row.known.kind == "asymptotic"
    assert np.isnan(row.z)
    assert np.isfinite(row.relative_error)


def test_an_unknown_toy_has_no_number():
    toy = toys.from_potential(lambda w: w.square().sum(-1), [0.0, 0.0])
    found = compare([estimate(1.0)], [toy])
    assert found.rows[0].known.value is None
    assert np.isnan(found.rows[0].relative_error)
    assert "?" in str(found)
    with pytest.raises(InputError, match="picture needs a target"):
        found.plot()
    with pytest.raises(NotAvailableError, match="no value of from_potential"):
        Case.of(toy)


def test_the_table_fits_a_terminal():
    bad = estimate(0.5)
    problems = tuple(Finding(kind, "why") for kind in list(Problem)[:5])
    bad = replace(bad, verdict=Verdict(problems=problems))
    entries = [
        analytic.quadratic([1.0, 1.0]),
        analytic.newton([(6, 2), (2, 6)]),
        analytic.deep_linear((784, 128, 64, 10), 5),
    ]
    found = compare([bad, estimate(0.2), estimate(3e4)], entries, names=["x" * 60, "b", "c"])
    assert max(map(len, str(found).splitlines())) <= 100
    assert "xxx..xxx" in str(found)
    assert "+4" in str(found)
    assert len(found.to_dict()) == 3
    assert found.to_dict()[1]["rlct"] == "1/4"


def test_good_verdicts_far_off_are_counted():
    found = compare([estimate(1.0), estimate(1.0)], [analytic.quadratic([1.0, 1.0]), analytic.quadratic([1.0, 0.0])])
    assert "2 reliable estimates, 1 of them more than 4 standard errors off" in str(found)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True))
def test_order(values: list[int]):
    assert order_preserved(values, [3 * v - 1e-3 for v in values]) == 1
    assert order_preserved(values, [-v for v in values]) == 0


def test_order_without_a_pair():
    assert np.isnan(order_preserved([1.0, 1.0], [2.0, 3.0]))


def test_a_benchmark_tells_the_order():
    cases = [Case.of(toys.quadratic(d), {"localization": 1.0}) for d in (1, 4)]
    right = benchmark_sampler(lambda case, gradients, seed: (case.value, gradients), cases, 100, seeds=2)
    wrong = benchmark_sampler(lambda case, gradients, seed: (-case.value, gradients), cases, 100, seeds=2)
    assert (right.order_preserved(100), wrong.order_preserved(100)) == (1, 0)
    assert "order of the targets kept in 100.0% of the pairs" in str(right)


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimates", "entries", "message"),
    [
        ([estimate(1.0)], [], "equal in number, got 1, 0 and 0"),
        ([1.0], [analytic.quadratic([1.0, 1.0])], r"estimates\[0\] must be an slt.Estimate, got float"),
        ([estimate(1.0)], ["x"], r"entries\[0\] must be an entry of slt.analytic or a toy, got str"),
        ([estimate(1.0)], [analytic.quadratic([1.0])], "as many parameters as move, got 1 of"),
        ([estimate(1.0, uniform=False)], [analytic.quadratic([1.0, 1.0])], "one precision per tensor"),
    ],
)
def test_refusals(estimates: Any, entries: Any, message: str):
    with pytest.raises(InputError, match=message):
        compare(estimates, entries)


def test_a_trace_that_does_not_tell_its_localizer_is_refused():
    made = estimate(1.0)
    settings = {name: value for name, value in made.settings.items() if name != "sizes"}
    with pytest.raises(InputError, match="must have its localizer"):
        compare([replace(made, settings=settings)], [analytic.quadratic([1.0, 1.0])])


# --- references ------------------------------------------------------------------------------------


def test_same_localizers():
    assert same(1.0, 1.000001)
    assert not same(1.0, 1.001)
    assert same({"a": 2.0}, 2.0)
    assert not same({"a": 2.0, "b": 1.0}, 2.0)
    assert not same({"a": 2.0}, {"a": 2.0, "b": 2.0})


# --- the picture -------------------------------------------------------------------------------------------------


def test_the_picture_shows_errors_verdicts_and_limits():
    ax = comparison(
        ["a", "b"],
        [0.01, -0.02],
        [(0.0, 0.02), (-0.04, 0.0)],
        good=[True, False],
        limits=[0.05, 3.0],
        ax=Figure().subplots(),
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    dots = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [1.0, -2.0]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    (far,) = [line for line in ax.get_lines() if line.get_marker() == ">"]
    assert list(far.get_ydata()) == [1]
    assert ax.get_legend() is not None


def test_the_picture_refuses_unequal_lengths():
    with pytest.raises(InputError, match="sequences of one length"):
        comparison(["a"], [0.0, 1.0], [(0, 1)], good=[True], limits=[None])
