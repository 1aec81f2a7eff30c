"""Every shipped sampler passes the whole suite, and the suite catches mutants of the shipped code."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import slt
from slt._tree import per_chain
from slt.errors import ContractError, SettingsError
from slt.samplers import Sampler, hmc, sgld
from slt.testing import CHECKS, Check, Report, Well, check_sampler, langevin_law, require_caught, runs


def sgld_energy(well: Well, step_size: float) -> float:
    return langevin_law(well, step_size).energy


class Stated(NamedTuple):
    """A sampler, and what is said of it."""

    sampler: Sampler
    settings: dict[str, Any]


SHIPPED: dict[str, Stated] = {
    "SGLD": Stated(slt.SGLD(), {"law": sgld_energy}),
    "SGLD by a fixed step": Stated(slt.SGLD(step_size=5e-4), {"law": sgld_energy}),
    "HMC": Stated(slt.HMC(), {"order": 2}),
    "HMC with a diagonal mass": Stated(slt.HMC(leapfrogs=4, mass="diagonal"), {"order": 2}),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_sampler_passes(name: str) -> None:
    sampler, settings = SHIPPED[name]
    check_sampler(sampler, **settings).require()


@pytest.mark.exact
def test_sgld_without_a_stated_law_is_right_by_its_vanishing_bias() -> None:
    check_sampler(slt.SGLD(step_size=5e-5), only=["energy"]).require()


# --- mutants of the shipped code -----------------------------------------------------------------------------


def noisier(w, spent, metric, step_size, random, t) -> None:
    for name, leaf in w.items():
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), 1.05 * random.normal(t, name))


def steeper(w, force, metric, step_size) -> None:
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name], force[name], value=-0.55)


def heavier(w, inverse_mass, random, t):
    return {name: 1.05 * random.normal(t, name) / inverse_mass[name].sqrt() for name in w}


def always(energy_error: Tensor) -> Tensor:
    return torch.ones_like(energy_error)


def stronger(momentum, force, step_size):
    return {name: p - 1.02 * per_chain(step_size, p) * force[name] for name, p in momentum.items()}


CAUGHT: dict[str, tuple[Any, str, Callable[..., Any], Stated, list[str]]] = {
    "SGLD noise x 1.05": (sgld, "diffuse", noisier, SHIPPED["SGLD by a fixed step"], ["energy"]),
    "SGLD drift x 1.1": (sgld, "drift", steeper, SHIPPED["SGLD by a fixed step"], ["energy"]),
    "HMC momentum x 1.05": (hmc, "draw_momentum", heavier, SHIPPED["HMC"], ["energy", "virial"]),
    "HMC without Metropolis": (
        hmc,
        "acceptance_probability",
        always,
        Stated(slt.HMC(step_size=0.07, jitter=(0, 0)), {}),
        ["energy"],
    ),
    "leapfrog kick x 1.02": (hmc, "kick", stronger, SHIPPED["HMC"], ["order"]),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, part, mutant, (sampler, settings), by = CAUGHT[name]
    check_sampler(sampler, only=by, **settings).require()  # the code is right before the fault
    monkeypatch.setattr(module, part, mutant)
    require_caught(sampler, by, **settings)


def test_a_missing_metropolis_test_is_sought_where_it_would_reject() -> None:
    well = Well()
    sampler = CAUGHT["HMC without Metropolis"][3].sampler
    trace = slt.sample(well.posterior(), sampler, chains=100, draws=50, warmup=20, progress=False)
    assert trace.get("sample_stats", "acceptance_rate").mean() <= 0.93


def test_a_wrong_kick_keeps_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a suite of laws alone would pass it."""
    monkeypatch.setattr(hmc, "kick", stronger)
    with pytest.raises(ContractError, match="must fail energy, virial, but passed"):
        require_caught(slt.HMC(), ["energy", "virial"])


# --- faults of other kinds, as a user's class might have them ------------------------------------------------


class Late(slt.HMC):
    """Records the position that leaves the step."""

    def step(self, posterior, state, tuning, nbeta, random, t):
        state, info = super().step(posterior, state, tuning, nbeta, random, t)
        return state, info._replace(excess=state.excess)


class Global(slt.SGLD):
    """Draws from torch's global generator."""

    def step(self, posterior, state, tuning, nbeta, random, t):
        state, info = super().step(posterior, state, tuning, nbeta, random, t)
        for leaf in state.w.values():
            leaf.add_(1e-3 * torch.randn_like(leaf))
        return state, info


class Meddler(slt.SGLD):
    """Lets the tuning drift under the draws."""

    def step(self, posterior, state, tuning, nbeta, random, t):
        tuning.step_size.mul_(0.9)
        return super().step(posterior, state, tuning, nbeta, random, t)


class Neighbour(slt.SGLD):
    """Shares the largest excess among the chains that happen to be evaluated together."""

    def step(self, posterior, state, tuning, nbeta, random, t):
        state, info = super().step(posterior, state, tuning, nbeta, random, t)
        return state, info._replace(excess=info.excess.max().expand_as(info.excess))


class Addressed(slt.HMC):
    """Its repr is its address, which says nothing of its settings."""

    __repr__ = object.__repr__


class Biased(slt.HMC):
    """Accepts more than all."""

    def step(self, posterior, state, tuning, nbeta, random, t):
        state, info = super().step(posterior, state, tuning, nbeta, random, t)
        return state, info._replace(acceptance=info.acceptance + 0.5)


FAULTS: dict[str, tuple[Sampler, list[str]]] = {
    "late": (Late(leapfrogs=2), ["recorded"]),
    "global": (Global(step_size=5e-4), ["cloned", "grouping"]),
    "meddler": (Meddler(step_size=5e-4), ["cloned"]),
    "neighbour": (Neighbour(step_size=5e-4), ["recorded", "grouping"]),
    "addressed": (Addressed(leapfrogs=2), ["protocol"]),
    "accepting": (Biased(leapfrogs=2), ["protocol"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str) -> None:
    broken, by = FAULTS[name]
    require_caught(broken, by)


# --- the report ----------------------------------------------------------------------------------------------


def test_require_names_what_failed_and_carries_the_report() -> None:
    report = check_sampler(Late(leapfrogs=2), only=["cloned", "recorded"])
    assert [check.name for check in report.failed] == ["recorded"]
    with pytest.raises(ContractError, match="recorded: excess is off that of the entering position") as caught:
        report.require()
    assert caught.value.report is report
    assert isinstance(caught.value, AssertionError)
    assert "1 of 4 checks failed" in str(report)
    assert str(report).count("FAILED") == 1


def test_a_report_that_passes_returns_itself() -> None:
    report = Report("S()", (Check("energy", "right", True, 0.3),))
    assert report.require() is report
    assert "+0.3" in str(report)


def test_a_right_sampler_is_not_called_broken() -> None:
    with pytest.raises(ContractError, match="is broken and must fail cloned, but passed"):
        require_caught(slt.HMC(leapfrogs=2), ["cloned"])


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"only must name checks among .*, got \['enrgy'\]"):
        check_sampler(slt.HMC(), only=["enrgy"])
    assert "energy" in CHECKS


def test_an_unstable_sampler_fails_with_words() -> None:
    report = check_sampler(slt.SGLD(step_size=0.1), law=sgld_energy, only=["energy"])
    assert not report.passed
    assert "must be stable on a well" in str(report)


def test_a_sampler_too_slow_to_check_fails_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_LONGEST", 300)
    report = check_sampler(slt.SGLD(step_size=1e-5), law=sgld_energy, only=["energy"])
    assert not report.passed
    assert "steps where 300 are affordable" in str(report)
