"""Each check at its thresholds, on bare numbers; on whole traces in test_llc.py."""

import numpy as np
import pytest

from slt._statistics import Drift, Slow
from slt.estimators import Problem, Verdict, judges

NAN, INF = np.nan, np.inf


def outcome(verdict):
    """Read a verdict as "problem", "note" or None, and check that it holds at most one finding."""
    assert isinstance(verdict, Verdict)
    assert len(verdict.problems) + len(verdict.notes) <= 1
    return "problem" if verdict.problems else "note" if verdict.notes else None


def kind(verdict):
    return (verdict.problems + verdict.notes)[0].kind


def detail(verdict):
    return (verdict.problems + verdict.notes)[0].detail


def test_excluded_chains_are_counted_and_named():
    assert outcome(judges.judge_living(np.ones(3, bool))) is None
    verdict = judges.judge_living(np.array([True, False, True, False]))
    assert outcome(verdict) == "problem"
    assert kind(verdict) is Problem.NON_FINITE_CHAIN
    assert detail(verdict) == "2 of 4 chains (numbers 1, 3)."


def frozen(change, distance=None):
    excess = np.random.default_rng(0).gamma(1.0, size=(4, 200))
    change(excess)
    return judges.judge_movement(np.array([0, 2, 3, 5]), excess, distance)


def test_chains_that_move_alike_are_not_frozen():
    assert outcome(frozen(lambda x: None)) is None
    assert outcome(frozen(lambda x: x.__imul__([[1], [1], [1], [0.2]]))) is None


def test_a_chain_that_stands_still_or_nearly_is_frozen():
    still = frozen(lambda x: x[1].fill(0.7))
    assert (outcome(still), kind(still)) == ("problem", Problem.FROZEN_CHAIN)
    assert detail(still) == "1 of 4 chains (number 2)."
    assert outcome(frozen(lambda x: x.__imul__([[1], [1], [1], [0.05]]))) == "problem"


def test_all_chains_standing_still_are_frozen():
    assert detail(frozen(lambda x: x.fill(0.0))).startswith("4 of 4")


@pytest.mark.parametrize(("energy", "expected"), [(0.0, "note"), (1.0, "note"), (2.9, "note"), (3.2, "problem")])
def test_one_frozen_chain_of_a_hundred_counts_by_what_it_could_do(energy, expected):
    excess = np.random.default_rng(0).gamma(1.0, size=(100, 200))
    excess[3] = energy
    assert outcome(judges.judge_movement(np.arange(100), excess, None)) == expected
    assert outcome(judges.judge_acceptance(np.arange(100), np.r_[1, 1, 1, 0, np.ones(96)], excess)) == expected
    assert outcome(judges.judge_diverging(np.arange(100), np.r_[0, 0, 0, 0.9, np.zeros(96)], excess)) == expected


def test_distance_shows_a_standstill_that_batch_noise_hides():
    distance = np.random.default_rng(1).random((4, 200))
    assert outcome(frozen(lambda x: None, distance)) is None
    distance[3] = 0.4
    assert detail(frozen(lambda x: None, distance)) == "1 of 4 chains (number 5)."


@pytest.mark.parametrize(("acceptance", "expected"), [(0.11, None), (0.09, "problem"), (NAN, "problem")])
def test_low_acceptance_is_frozen(acceptance, expected):
    verdict = judges.judge_acceptance(np.arange(2), np.array([0.8, acceptance]), np.ones((2, 9)))
    assert outcome(verdict) == expected


@pytest.mark.parametrize(("rhat", "expected"), [(1.0, None), (1.049, None), (1.06, "problem"), (INF, "problem")])
def test_convergence(rhat, expected):
    assert outcome(judges.judge_convergence(rhat)) == expected


@pytest.mark.parametrize(
    ("drift", "mcse", "expected"),
    [
        (Drift(errors=4.5, shift=0.3), 0.2, "problem"),
        (Drift(errors=-4.5, shift=-0.3), 0.2, "problem"),
        (Drift(errors=3.5, shift=0.3), 0.2, None),  # not certain
        (Drift(errors=9.0, shift=0.1), 0.1, None),  # certain, and of no weight in 10
        (Drift(errors=9.0, shift=0.1), 0.04, "problem"),  # but of weight beside the error
        (Drift(errors=NAN, shift=NAN), 0.1, None),
    ],
)
@pytest.mark.parametrize("value", [10.0, -10.0])
def test_drift(drift, mcse, value, expected):
    assert outcome(judges.judge_drift(drift, value, mcse)) == expected


@pytest.mark.parametrize(
    ("bias", "expected"),
    [(0.19, None), (-0.19, None), (0.21, "note"), (-0.21, "note"), (0.51, "problem"), (NAN, "problem")],
)
@pytest.mark.parametrize("value", [10.0, -10.0])
def test_step_bias(bias, value, expected):
    assert outcome(judges.judge_step_bias(bias, value)) == expected


@pytest.mark.parametrize(
    ("virial", "error", "expected", "value", "mcse", "problem"),
    [
        (99.9, 0.05, 100.0, 50.0, 0.03, False),  # certain by no means
        (96.6, 0.05, 100.0, 48.3, 0.03, True),
        (103.4, 0.05, 100.0, 51.7, 0.03, True),
        (96.6, 1.0, 100.0, 48.3, 0.03, False),  # 3.4 errors
        (96.6, 0.05, 100.0, 48.3, 1.0, False),  # half the gap is 1.7 errors of the value
        (99.4, 0.05, 100.0, 48.3, 0.03, False),  # half the gap is under a hundredth of the value
    ],
)
def test_felt(virial, error, expected, value, mcse, problem):
    verdict = judges.judge_felt(virial, error, expected, value, mcse)
    assert [finding.kind for finding in verdict.problems] == [Problem.NOT_EQUILIBRATED] * problem
    assert not verdict.notes


@pytest.mark.parametrize(
    ("bias", "value", "expected"),
    [(0.0, 2.5, None), (-0.01, 2.5, None), (-0.03, 2.5, "note"), (-0.1, 2.5, "problem"), (-0.1, 0.0, None)],
)
def test_rounding(bias, value, expected):
    verdict = judges.judge_rounding(bias, value)
    found = {"problem": verdict.problems, "note": verdict.notes}
    assert {name: len(each) for name, each in found.items() if each} == ({expected: 1} if expected else {})


@pytest.mark.parametrize(
    ("depth", "rounding", "value", "mcse", "expected"),
    [
        (0.0, 0.0, 10.0, 0.1, None),
        (0.04, 0.0, 10.0, 0.1, None),
        (0.06, 0.0, 10.0, 0.1, "note"),
        (0.06, 0.07, 10.0, 0.1, None),  # may all be rounding
        (0.51, 0.0, 10.0, 0.1, "problem"),
        (0.51, 0.6, 10.0, 0.1, None),
        (0.0, 0.0, -0.2, 0.1, None),  # below zero within its error
        (0.0, 0.0, -0.4, 0.1, "problem"),
        (0.0, 0.5, -0.4, 0.1, None),
        (0.0, 0.0, -0.4, NAN, "problem"),
        (0.1, 0.0, -0.2, 0.1, "problem"),
        (0.0, 0.0, 0.0, NAN, None),  # nothing moved: another check says so
    ],
)
def test_center(depth, rounding, value, mcse, expected):
    assert outcome(judges.judge_center(depth, rounding, value, mcse, nbeta=100.0)) == expected


def test_center_says_how_much_lower():
    assert detail(judges.judge_center(2.5, 0.0, 10.0, 0.1, nbeta=100.0)).startswith(
        "the chains found a loss lower by at least 0.025 nats"
    )
    assert "too low by at least 373" in detail(judges.judge_center(0.0, 0.0, -373.0, 1.0, nbeta=100.0))


@pytest.mark.parametrize(
    ("sensitivity", "mcse", "expected"),
    [
        (-0.19, 0.0, None),
        (-0.29, 0.05, None),  # 0.2 is within two errors
        (-0.31, 0.05, "note"),
        (0.31, 0.05, "note"),
        (-0.59, 0.05, "note"),
        (-2.0, 0.05, "note"),  # part of the definition, whatever its size
        (-9.0, 5.0, None),
        (-9.0, NAN, None),
    ],
)
def test_localization(sensitivity, mcse, expected):
    assert outcome(judges.judge_localization(sensitivity, mcse)) == expected


def test_localization_says_what_twice_the_localization_does():
    assert "by about -50%" in detail(judges.judge_localization(-1.0, 0.01))


@pytest.mark.parametrize(("zero", "expected"), [(True, "problem"), (False, None)])
def test_localization_zero(zero, expected):
    assert outcome(judges.judge_localization_zero(zero)) == expected


@pytest.mark.parametrize(("ess", "expected"), [(101.0, None), (99.0, "problem"), (NAN, "problem")])
def test_draws(ess, expected):
    assert outcome(judges.judge_draws(ess, 1000, 4)) == expected


@pytest.mark.parametrize(
    ("variance_value", "variance_mcse", "expected"),
    [(10.9, 0.1, None), (12.0, 0.3, "note"), (8.0, 0.3, "note"), (12.0, 0.6, None), (12.0, NAN, None)],
)
def test_forms(variance_value, variance_mcse, expected):
    assert outcome(judges.judge_forms(10.0, 0.1, variance_value, variance_mcse)) == expected


@pytest.mark.parametrize(
    ("others", "used"),
    [
        (set(), "the first"),
        ({Problem.NOT_A_MINIMUM}, "the second"),
        ({Problem.NOT_CONVERGED}, "neither"),
        ({Problem.NOT_A_MINIMUM, Problem.FROZEN_CHAIN}, "neither"),
    ],
)
def test_forms_that_disagree_say_which_to_use(others, used):
    said = detail(judges.judge_forms(10.0, 0.1, 12.0, 0.3, frozenset(others)))
    assert [one for one in ("the first", "the second", "neither") if f"use {one}," in said] == [used]
    assert ("frozen chain" in said) == (Problem.FROZEN_CHAIN in others)


def test_forms_never_contradict_a_note_that_a_lower_loss_was_found():
    lower = judges.judge_center(0.2, 0.0, 10.0, 0.1, nbeta=100.0)
    assert outcome(lower) == "note"
    noted = frozenset(finding.kind for finding in lower.notes)
    said = detail(judges.judge_forms(10.0, 0.1, 12.0, 0.3, noted=noted))
    assert "no loss lower" not in said
    assert "slightly too low because a lower loss than at w* was found" in said
    assert "no loss lower than at w* was found" in detail(judges.judge_forms(10.0, 0.1, 12.0, 0.3))


def test_checks_that_could_not_be_made_are_a_note():
    assert outcome(judges.judge_records([])) is None
    verdict = judges.judge_records(["surplus", "distance"])
    assert (outcome(verdict), kind(verdict)) == ("note", Problem.NOT_JUDGED)
    assert detail(verdict) == "the trace does not contain surplus, distance."


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0, 0.0], None),
        ([0.08, 0.1], None),
        ([0.2, 0.38], None),
        ([0.21, 0.41], "note"),
        ([0.32, 0.32], "note"),
        ([0.12, 0.5], "note"),
        ([0.0, 0.51], "problem"),
        ([0.9, 0.9], "problem"),
    ],
)
def test_diverging_proposals(shares, expected):
    assert outcome(judges.judge_diverging(np.array([1, 4]), np.array(shares), np.ones((2, 9)))) == expected


def test_diverging_proposals_are_counted_and_the_worst_chain_named():
    verdict = judges.judge_diverging(np.array([1, 4]), np.array([0.1, 0.6]), np.ones((2, 9)))
    assert (kind(verdict), detail(verdict)) == (Problem.DIVERGING, "35.0% of all, 60.0% in chain 4.")


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        (Slow(90.0, 1.0, 9.0), None),
        (Slow(110.0, 1.0, 9.0), "problem"),
        (Slow(INF, 1.0, 9.0), "problem"),
        (Slow(110.0, 1.0, 3.9), None),
        (Slow(110.0, 0.03, 9.0), None),
        (Slow(NAN, NAN, NAN), None),
    ],
)
def test_what_is_slower_than_the_run(slow, expected):
    verdict = judges.judge_slow(slow, 100, 2.0)
    assert outcome(verdict) == expected
    assert expected is None or kind(verdict) is Problem.SLOW


@pytest.mark.parametrize(
    ("hot", "error", "expected"),
    [
        (0.40, 0.010, "problem"),  # a gap of .1 at a joint error of .014
        (0.40, 0.020, "note"),  # at .028
        (0.40, 0.040, None),  # at .057
        (0.60, 0.010, "problem"),
        (0.491, 0.0001, None),  # for certain, but under 2 %
        (0.489, 0.0001, "problem"),
    ],
)
def test_chains_from_two_kinds_of_starts_must_agree(hot, error, expected):
    verdict = judges.judge_starts(0.5, error, hot, error)
    assert outcome(verdict) == expected
    assert expected is None or kind(verdict) is Problem.STARTS_DISAGREE


def test_localization_is_not_extrapolated_from_draws_with_problems():
    assert "doubling the localization would change the estimate by about -29%" in detail(
        judges.judge_localization(-0.5, 0.01)
    )
    unsettled = detail(judges.judge_localization(-0.5, 0.01, settled=False))
    assert unsettled.startswith("d log(llc) / d log(localization) is -0.50")
    assert "twice" not in unsettled
    assert "should not be extrapolated" in unsettled
