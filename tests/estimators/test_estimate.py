import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import t

from slt.errors import SettingsError, UnreliableEstimateError
from slt.estimators import Finding, Problem, Verdict, llc

BAD = Verdict(problems=(Finding(Problem.NOT_CONVERGED, "R-hat is 1.3."),))


@pytest.fixture(scope="module")
def estimate(make_trace):
    trace = make_trace(
        np.random.default_rng(0).gamma(3.0, size=(4, 1000)),
        sampler="HMC(step_size=AUTO)",
        thin=1,
        warmup=500,
        seed=3,
        batch_size=None,
        localization_rule="isotropic",
        loss="cross-entropy in nats",
        versions={"slt": "0.1", "torch": "2.13"},
        notes=["fc.bias is zero at w*"],
    )
    return llc(trace)


@pytest.mark.parametrize("prob", [0.5, 0.95, 0.999])
def test_interval_is_students_with_a_quarter_of_ess(estimate, prob):
    low, high = estimate.interval(prob)
    expected = t.interval(prob, estimate.ess / 4, estimate.value, estimate.mcse)
    assert (low, high) == pytest.approx(expected)


def test_interval_of_very_few_draws_is_as_wide_as_one_degree_allows(estimate):
    low, high = replace(estimate, ess=1.5).interval()
    assert high - low == pytest.approx(2 * 12.706 * estimate.mcse, rel=1e-3)


def test_interval_without_error_is_nan(estimate):
    assert np.isnan(replace(estimate, ess=np.nan, mcse=np.nan).interval()).all()


@pytest.mark.parametrize("prob", [0.0, 1.0, 95, np.nan])
def test_probability_is_checked(estimate, prob):
    with pytest.raises(SettingsError, match="prob must be between 0 and 1, got"):
        estimate.interval(prob)


def test_require_passes_a_reliable_estimate_on(estimate):
    assert estimate.require() is estimate


def test_require_refuses_with_the_estimate_and_the_problems_inside(estimate):
    bad = replace(estimate, verdict=BAD)
    with pytest.raises(UnreliableEstimateError, match=re.escape(str(BAD.problems[0]))) as caught:
        bad.require()
    assert caught.value.estimate is bad
    assert str(caught.value).startswith(f"llc {bad.value:.3f}")


def test_text_gives_value_verdict_and_circumstances(estimate):
    text = str(estimate)
    low, high = estimate.interval()
    first, *rest = text.splitlines()
    assert first == f"llc {estimate.value:.3f} +- {estimate.mcse:.3f} (95 % interval {low:.3f} to {high:.3f})"
    assert rest[:2] == [
        "verdict: reliable, at nbeta 100 and localization 1",
        "n 1000, nbeta 100, localization 1 (isotropic), 6 moving parameters, loss at w* 0 nats",
    ]
    assert max(map(len, rest)) <= 100
    words = " ".join(text.split())
    for expected in (
        "note: fc.bias is zero at w*",
        "variance form",
        "HMC(step_size=AUTO), all data in each step; 4 chains x 1000 draws, thin 1, warmup 500, seed 3",
        "loss: cross-entropy in nats",
        "versions: slt 0.1, torch 2.13",
    ):
        assert expected in words
    assert repr(estimate) == text


def test_text_of_an_unreliable_estimate_says_what_to_do(estimate):
    text = str(replace(estimate, verdict=BAD))
    assert text.splitlines()[1] == "verdict: not reliable, at nbeta 100 and localization 1"
    assert Problem.NOT_CONVERGED.remedy in " ".join(text.split())


def test_text_shows_step_size_batch_and_localization_by_tensor(make_trace):
    energy = np.random.default_rng(0).gamma(3.0, size=(4, 1000))
    trace = make_trace(
        energy,
        full_data=False,
        unadjusted=True,
        batch_size=64,
        localization={"a": 0.5, "b": 20.0},
        localization_rule="auto",
        constants={"tuning_step_size": (("chain",), np.array([1e-4, 2e-4, 2e-4, 1e-4]))},
    )
    text = " ".join(str(llc(trace)).split())
    assert "at nbeta 100 and localization auto n 1000" in text
    assert "step sizes 0.0001 to 0.0002, minibatches of 64" in text
    assert "localization 0.5 to 20 (auto)" in text
    assert "variance form: not available" in text


@pytest.mark.parametrize(
    ("value", "mcse", "shown"),
    [
        (4.91234, 0.0213, "4.912 +- 0.021"),
        (373.4, 12.0, "373 +- 12"),
        (0.0012345, 0.000098, "0.001234 +- 0.000098"),
        (5.0, np.nan, "5.0000 +- nan"),
    ],
)
def test_two_digits_of_the_error_are_shown(estimate, value, mcse, shown):
    assert f"llc {shown} (" in str(replace(estimate, value=value, mcse=mcse))


def test_html_is_the_same_text_escaped(estimate):
    bad = replace(estimate, verdict=Verdict(notes=(Finding(Problem.REMARK, "<b>&"),)))
    assert "&lt;b&gt;&amp;" in bad._repr_html_()


def test_plot_says_value_interval_and_verdict_over_the_traces(estimate):
    figure = Figure()
    axes = estimate.plot(axes=figure.subplots(2, 2))
    low, high = estimate.interval()
    assert figure.get_suptitle().splitlines() == [
        f"LLC {estimate.value:.3f} +- {estimate.mcse:.3f} (95 % interval {low:.3f} to {high:.3f})",
        "reliable, at nbeta 100 and localization 1",
    ]
    (band,) = axes[0, 1].patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))
    assert axes[0, 1].get_lines()[-1].get_ydata()[-1] == pytest.approx(estimate.value)


def test_plot_of_an_unreliable_estimate_names_the_problems(estimate):
    figure = Figure()
    replace(estimate, verdict=BAD).plot(axes=figure.subplots(2, 2))
    assert figure.get_suptitle().endswith("not reliable, at nbeta 100 and localization 1: not converged")


def test_sensitivity_of_draws_with_problems_is_marked(estimate):
    sensitive = replace(estimate, sensitivity=-0.3, sensitivity_mcse=0.02)
    assert "sensitivity to localization: -0.300 +- 0.020\n" in str(sensitive)
    assert "sensitivity to localization: -0.300 +- 0.020 (from draws with problems)" in str(
        replace(sensitive, verdict=BAD)
    )
    own = Verdict(notes=(Finding(Problem.LOCALIZATION_DECIDES, "s is -0.9."),))
    assert "(from draws with problems)" not in str(replace(sensitive, verdict=own))
