"""Every shipped sampler passes the whole suite, and the suite catches mutants of the shipped code."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import slt
from slt._tree import per_chain
from slt.errors import ContractError, SettingsError
from slt.posterior import Posterior
from slt.problem.evaluate import Evaluation
from slt.samplers import Sampler, hmc, mala, scale_moves, sgld, sgnht
from slt.testing import CHECKS, Check, Report, Well, check_sampler, langevin_law, require_caught, runs

PROMISES = CHECKS[: CHECKS.index("energy")]
LAWS = CHECKS[CHECKS.index("energy") :]


def langevin(well: Well, tuning: Mapping[str, Any]) -> float:
    return langevin_law(well, tuning["step_size"], tuning.get("metric", 1.0)).energy


def averaged(well: Well, tuning: Mapping[str, Any]) -> float:
    return langevin_law(well, tuning["step_size"], second_order=True).energy


def quiet(well: Well, tuning: Mapping[str, Any]) -> float:
    """The noise of a well does not depend on w, and the control variate takes all of it out."""
    return langevin(replace(well, batch_size=None), tuning)


def unbiased(well: Well, tuning: Mapping[str, Any]) -> float:
    """The symmetric splitting of the thermostat has no bias on a quadratic, and absorbs the noise."""
    return well.energy


class Stated(NamedTuple):
    """A sampler, and what is said of it."""

    sampler: Sampler
    settings: dict[str, Any]


ADAPTIVE = slt.RMSprop(decay=0.9, epsilon=0.01, adaptive=True)
SHIPPED: dict[str, Stated] = {
    "SGLD": Stated(slt.SGLD(), {"law": langevin}),
    "SGLD by a fixed step": Stated(slt.SGLD(step_size=2e-3), {"law": langevin}),
    "SGLD of second order": Stated(slt.SGLD(step_size=2e-3, second_order=True), {"law": averaged}),
    "SGLD with a control variate": Stated(slt.SGLD(step_size=2e-3, control_variate=True), {"law": quiet}),
    "SGLD with a learned diagonal": Stated(slt.SGLD(preconditioner="diagonal"), {"law": langevin}),
    "SGLD with RMSprop": Stated(
        slt.SGLD(step_size=3e-4, preconditioner=slt.RMSprop(decay=0.9, epsilon=0.1)), {"law": langevin}
    ),
    "SGLD with adaptive RMSprop": Stated(slt.SGLD(step_size=3e-4, preconditioner=ADAPTIVE), {}),
    "SGNHT": Stated(slt.SGNHT(), {"law": unbiased}),
    "SGNHT with a control variate": Stated(slt.SGNHT(step_size=0.01, control_variate=True), {"law": unbiased}),
    "SGNHT with a learned diagonal": Stated(slt.SGNHT(preconditioner="diagonal"), {"law": unbiased}),
    "MALA": Stated(slt.MALA(), {"order": 1.5}),
    "MALA with a learned diagonal": Stated(slt.MALA(preconditioner="diagonal"), {"order": 1.5}),
    "HMC": Stated(slt.HMC(), {"order": 2}),
    "HMC of few leapfrogs": Stated(slt.HMC(leapfrogs=3), {"order": 2}),
    "HMC with a diagonal mass": Stated(slt.HMC(leapfrogs=4, mass="diagonal"), {"order": 2}),
    "HMC with a low-rank mass": Stated(slt.HMC(leapfrogs=4, mass="low_rank"), {"order": 2}),
    "HMC with a dense mass": Stated(slt.HMC(leapfrogs=4, mass="dense"), {"order": 2}),
    "scale moves beside HMC": Stated(slt.ScaleMoves(slt.HMC(leapfrogs=3, mass="dense")), {"order": 2}),
    "scale moves beside MALA": Stated(slt.ScaleMoves(slt.MALA()), {"order": 1.5}),
}
# Each algorithm is checked whole with every change; its options, and laws that `test_laws` tests too, when asked for.
LAWLESS = "SGLD with adaptive RMSprop"  # its metric depends on w, and the drift that this calls for is left out
PROMISED = ("SGLD by a fixed step", "SGNHT", "MALA", "HMC of few leapfrogs", "scale moves beside HMC")
LAWFUL = ("SGLD by a fixed step", "MALA")


def slow(names: Iterable[str], fast: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.exact]) for name in names]


@pytest.mark.parametrize("name", slow(SHIPPED, PROMISED))
def test_a_shipped_sampler_keeps_its_promises(name: str) -> None:
    check_sampler(SHIPPED[name].sampler, only=PROMISES).require()


@pytest.mark.parametrize("name", slow((name for name in SHIPPED if name != LAWLESS), LAWFUL))
def test_a_shipped_sampler_has_its_law(name: str) -> None:
    sampler, settings = SHIPPED[name]
    check_sampler(sampler, only=LAWS, **settings).require()


@pytest.mark.exact
@pytest.mark.parametrize("sampler", [slt.SGLD(step_size=5e-5), slt.SGNHT()])
def test_without_a_stated_law_the_bias_must_vanish(sampler: Sampler) -> None:
    check_sampler(sampler, only=["energy"]).require()


@pytest.mark.exact
def test_a_bias_that_no_small_step_removes_is_caught() -> None:
    require_caught(slt.SGLD(step_size=1e-4, preconditioner=ADAPTIVE), ["energy"])


# A sampler that names parameters does not fit every target of the suite.

METRIC = {"0.weight": torch.rand(4, 3, generator=torch.Generator().manual_seed(1)) + 0.5, "2.bias": 0.5}
NAMED: dict[str, Sampler] = {
    "SGLD": slt.SGLD(step_size=1e-3, preconditioner=slt.Diagonal(METRIC)),
    "SGNHT": slt.SGNHT(step_size=0.02, diffusion=1.0, preconditioner=slt.Diagonal(METRIC)),
    "MALA": slt.MALA(step_size=1e-3, preconditioner=slt.Diagonal(METRIC)),
    "HMC": slt.HMC(step_size=0.05, leapfrogs=2, mass=slt.Diagonal(METRIC)),
}


@pytest.mark.parametrize("name", NAMED)
def test_an_own_diagonal_leaves_alone_what_does_not_move(name: str) -> None:
    check_sampler(NAMED[name], only=["frozen"]).require()


# --- mutants of the shipped code -----------------------------------------------------------------------------


def noisier(w, spent, metric, step_size, random, t) -> None:
    for name, leaf in w.items():
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), 1.05 * random.normal(t, name))


def steeper(w, force, metric, step_size) -> None:
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf) * metric[name], force[name], value=-0.55)


def lopsided(w, shared, metric, step_size, random, t) -> None:
    """The noise of this step alone counts: of the right size, but not the form of second order."""
    for name, leaf in w.items():
        leaf.addcmul_((per_chain(step_size, leaf) * metric[name]).sqrt(), shared[name])


def unscaled(w, spent, metric, step_size, random, t) -> None:
    """The metric is in the drift alone."""
    for name, leaf in w.items():
        leaf.addcmul_(per_chain(step_size, leaf).sqrt(), random.normal(t, name))


def uncontrolled(posterior, w, rows):
    """The noise at w* is added, not taken away."""
    here, without = posterior.evaluate(w, rows), controlled(posterior, w, rows)
    return Evaluation(here.excess, {name: 2 * g - without.grad[name] for name, g in here.grad.items()})


def undirected(mass, w, random, t):
    """The momentum does not know of the stiff directions."""
    return {name: random.normal(t, name) / mass.diagonal[name].sqrt() for name in w}


def heavier(mass, w, random, t):
    return {name: 1.05 * random.normal(t, name) / mass.diagonal[name].sqrt() for name in w}


def always(energy_error: Tensor) -> Tensor:
    return torch.ones_like(energy_error)


def stronger(momentum, force, step_size):
    return {name: p - 1.02 * per_chain(step_size, p) * force[name] for name, p in momentum.items()}


def forward_only(noise, force, end_force, metric, step_size):
    return noise


def unstretched(powers: Tensor) -> Tensor:
    """The Jacobian is left out."""
    return torch.zeros_like(powers[..., 0])


def outward(uniforms: Tensor) -> Tensor:
    """Moves go outward alone, with no way back."""
    return choose_size(uniforms).abs()


def undensed(mass, w, random, t):
    """The momentum does not know of the correlations and the scales."""
    return {name: random.normal(t, name) for name in w}


choose_size = scale_moves.choose_size
controlled = Posterior.controlled
kick, heat, propose, reverse_noise = sgnht.kick, sgnht.heat, mala.propose, mala.reverse_noise


def harder(momentum, force, metric, step_size) -> None:
    kick(momentum, force, metric, 1.1 * step_size)


def hotter(momentum, dimension):
    return heat(momentum, dimension) + 0.1


class Mutant(NamedTuple):
    """Where the fault is, what stands there, in which sampler, and what must see it."""

    where: Any
    part: str
    fault: Callable[..., Any]
    stated: Stated
    by: list[str]


CAUGHT: dict[str, Mutant] = {
    "SGLD noise x 1.05": Mutant(sgld, "diffuse", noisier, SHIPPED["SGLD by a fixed step"], ["energy"]),
    "SGLD drift x 1.1": Mutant(sgld, "drift", steeper, SHIPPED["SGLD by a fixed step"], ["energy"]),
    "noise not averaged": Mutant(sgld, "diffuse_twice", lopsided, SHIPPED["SGLD of second order"], ["energy"]),
    "RMSprop noise without its metric": Mutant(sgld, "diffuse", unscaled, SHIPPED["SGLD with RMSprop"], ["energy"]),
    "control variate of the wrong sign": Mutant(
        Posterior, "controlled", uncontrolled, SHIPPED["SGLD with a control variate"], ["energy"]
    ),
    "HMC momentum x 1.05": Mutant(hmc.Mass, "draw", heavier, SHIPPED["HMC of few leapfrogs"], ["energy", "virial"]),
    "HMC momentum without its directions": Mutant(
        hmc.Mass, "draw", undirected, SHIPPED["HMC with a low-rank mass"], ["energy"]
    ),
    "HMC momentum without its dense mass": Mutant(
        hmc.Dense, "draw", undensed, SHIPPED["HMC with a dense mass"], ["energy"]
    ),
    "scale moves without their Jacobian": Mutant(
        scale_moves, "log_jacobian", unstretched, SHIPPED["scale moves beside MALA"], ["energy", "virial"]
    ),
    "scale moves outward alone": Mutant(
        scale_moves, "choose_size", outward, SHIPPED["scale moves beside MALA"], ["energy", "virial"]
    ),
    "HMC without Metropolis": Mutant(
        hmc, "acceptance_probability", always, Stated(slt.HMC(step_size=0.07, jitter=0.0), {}), ["energy"]
    ),
    "leapfrog kick x 1.02": Mutant(hmc, "kick", stronger, SHIPPED["HMC of few leapfrogs"], ["order"]),
    "MALA without Metropolis": Mutant(
        hmc, "acceptance_probability", always, Stated(slt.MALA(step_size=1.0 / 450), {}), ["energy"]
    ),
    "MALA without the way back": Mutant(mala, "reverse_noise", forward_only, SHIPPED["MALA"], ["energy"]),
    "SGNHT drift x 1.1": Mutant(sgnht, "kick", harder, SHIPPED["SGNHT"], ["energy"]),
    "SGNHT at another temperature": Mutant(sgnht, "heat", hotter, SHIPPED["SGNHT"], ["energy"]),
}

SEEN_FAST = (
    "SGLD noise x 1.05",
    "noise not averaged",
    "MALA without the way back",
)


@pytest.mark.parametrize("name", slow(CAUGHT, SEEN_FAST))
def test_a_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, part, fault, (sampler, settings), by = CAUGHT[name]
    check_sampler(sampler, only=by, **settings).require()  # the code is right before the fault
    monkeypatch.setattr(where, part, fault)
    require_caught(sampler, by, **settings)


@pytest.mark.parametrize("name", ["HMC without Metropolis", "MALA without Metropolis"])
def test_a_missing_metropolis_test_is_sought_where_it_would_reject(name: str) -> None:
    sampler = CAUGHT[name].stated.sampler
    trace = slt.sample(Well().posterior(), sampler, chains=100, draws=50, warmup=20, progress=False)
    assert trace.get("sample_stats", "acceptance_rate").mean() <= 0.96


# Faults inside a Metropolis test keep the law: a suite of laws alone would pass them.


def test_a_wrong_kick_shows_in_the_order_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmc, "kick", stronger)
    with pytest.raises(ContractError, match="must fail energy, virial, but passed"):
        require_caught(slt.HMC(leapfrogs=2), ["energy", "virial"])


@pytest.mark.exact
def test_a_wrong_drift_of_mala_shows_in_the_order_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back is computed from the same wrong drift."""

    def scaled(force: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: 1.5 * f for name, f in force.items()}

    monkeypatch.setattr(mala, "propose", lambda w, f, *rest: propose(w, scaled(f), *rest))
    monkeypatch.setattr(mala, "reverse_noise", lambda n, f, e, *rest: reverse_noise(n, scaled(f), scaled(e), *rest))
    check_sampler(slt.MALA(), only=["energy", "virial"]).require()
    require_caught(slt.MALA(), ["order"], order=1.5)


@pytest.mark.exact
def test_the_thermostat_absorbs_wrong_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no law of the energy can see in SGNHT, and why its mutants are of drift and temperature."""
    cool = sgnht.cool

    def noisy(momentum, friction, tuning, random, t) -> None:
        cool(momentum, friction, tuning._replace(diffusion=1.1 * tuning.diffusion), random, t)

    monkeypatch.setattr(sgnht, "cool", noisy)
    check_sampler(slt.SGNHT(), law=unbiased, only=["energy"]).require()


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
    report = check_sampler(slt.SGLD(step_size=0.1), law=langevin, only=["energy"])
    assert not report.passed
    assert "must be stable on a well" in str(report)


def test_a_sampler_too_slow_to_check_fails_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_LONGEST", 300)
    report = check_sampler(slt.SGLD(step_size=1e-5), law=langevin, only=["energy"])
    assert not report.passed
    assert "steps where 300 are affordable" in str(report)
