"""Chains from hot draws: which they are, how hot, that they find wells far from w*, and that a kill changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import slt
from slt.errors import ResumeError, SettingsError
from slt.estimators import Problem
from slt.running import saved
from slt.running.hot_start import HOT_ROUNDS, hot_chains, nbeta_in_round

NBETA = 500.0


def two_wells(w: Tensor) -> Tensor:
    """A well at 0, a flatter one at 3, and between them a wall of 800 nats in U, but of 2 where nbeta is 1."""
    x = w[..., 0]
    return 0.1 * x.square() * (x - 3).pow(4)


def posterior() -> slt.LocalPosterior:
    toy = slt.toys.from_potential(two_wells, [0.0])
    return slt.LocalPosterior(toy.model, toy.data, toy.loss, nbeta=NBETA, localization=0.05)


def drawn(**settings: Any) -> slt.Trace:
    given: dict[str, Any] = {"chains": 64, "draws": 20, "warmup": 200, "seed": 1, "progress": False, "hot_start": True}
    return slt.sample(posterior(), slt.HMC(), **given | settings)


def test_every_second_chain_begins_at_nbeta_one() -> None:
    assert hot_chains(range(3, 7)).tolist() == [True, False, True, False]
    assert [nbeta_in_round(1000.0, r) for r in range(5)] == pytest.approx([1, 10, 100, 1000, 1000])
    assert nbeta_in_round(0.5, 0) == 0.5
    assert nbeta_in_round(123.4, HOT_ROUNDS) == 123.4


def test_the_draws_are_all_at_the_posteriors_nbeta(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    class Noting(slt.HMC):
        def step(self, posterior: Any, state: Any, tuning: Any, nbeta: Tensor, random: Any, t: int) -> Any:
            seen.append(nbeta.tolist())
            return super().step(posterior, state, tuning, nbeta, random, t)

    slt.sample(posterior(), Noting(), chains=2, draws=5, warmup=20, progress=False, hot_start=True)
    assert {pair[0] for pair in seen} == {NBETA}
    assert [pair[1] for pair in seen[:7:2]] == pytest.approx([1.0, NBETA ** (1 / 3), NBETA ** (2 / 3), NBETA])
    assert {pair[1] for pair in seen[6:]} == {NBETA}


def test_hot_chains_find_the_other_well_and_cold_ones_do_not() -> None:
    trace = drawn()
    hot = trace.get("constant_data", "hot")
    there = trace.get("posterior", "distance") > 1.5
    assert hot.tolist() == [k % 2 == 1 for k in range(64)]
    assert there[hot].mean() > 0.25
    assert not there[~hot].any()
    assert "hot" not in drawn(hot_start=False).names("constant_data")


def test_what_warmup_finds_in_hot_rounds_is_not_what_hot_chains_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is that of the cold chains alone."""
    pooled: list[Tensor] = []
    pool = slt.HMC.pool
    monkeypatch.setattr(slt.HMC, "pool", lambda self, a, t, alive: (pooled.append(alive), pool(self, a, t, alive))[1])
    drawn(chains=4, draws=4)
    assert [p.tolist() for p in pooled[:HOT_ROUNDS]] == [[True, False, True, False]] * HOT_ROUNDS
    assert all(bool(p.all()) for p in pooled[HOT_ROUNDS:])


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_a_run_that_is_killed_in_its_hot_rounds_ends_with_the_same_bits(
    tmp_path: Path, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"chains": 4, "draws": 5, "warmup": 40, "chain_method": method}
    calm = drawn(**settings)
    monkeypatch.setattr(saved, "_INTERVAL", 0.0)
    monkeypatch.setattr(saved, "_SHARE", 1e9)
    save, at = saved.SavedRun.save, [4, 8, 15]

    class Dead(Exception):
        pass

    def die(self: saved.SavedRun, blocks: Any, observed: Any, state: saved.Saved) -> None:
        save(self, blocks, observed, state)
        if at and state.warmed >= at[0]:
            at.pop(0)
            raise Dead

    monkeypatch.setattr(saved.SavedRun, "save", die)
    for _ in range(3):
        with pytest.raises(Dead):
            drawn(save_to=tmp_path / "run", **settings)
    found = drawn(save_to=tmp_path / "run", **settings)
    np.testing.assert_array_equal(found.get("posterior", "excess"), calm.get("posterior", "excess"))
    with pytest.raises(ResumeError, match="hot_start"):
        drawn(save_to=tmp_path / "run", **settings, hot_start=False)


@pytest.mark.parametrize("settings", [{"chains": 1}, {"warmup": 9}, {"hot_start": 1}, {"hot_start": "yes"}])
def test_a_hot_start_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="hot_start must be True or False, and True takes 2 chains"):
        drawn(**settings)


def test_wells_between_which_chains_do_not_pass_are_named() -> None:
    """The energy is 1/2 in the one and 1/4 in the other."""
    kinds = {
        start: {found.kind for found in slt.llc(drawn(chains=128, draws=200, hot_start=start)).verdict.problems}
        for start in (True, False)
    }
    assert Problem.STARTS_DISAGREE in kinds[True]
    assert not kinds[False]  # all in one well, and blind to the other


def test_where_chains_pass_both_starts_agree() -> None:
    toy = slt.toys.normal_crossing((2, 2))
    estimate = slt.estimate_llc(toy.model, toy.data, toy.loss, chains=64, budget=slt.Gradients(3e5), progress=False)
    assert estimate.settings["hot_start"]
    assert estimate.verdict.ok
    assert abs(estimate.value - 0.3614) < 4 * estimate.mcse < 0.05
