"""Scale moves away from w* = 0, beside samplers that take them and those that do not; and the dense mass."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import slt
from slt.errors import SettingsError
from slt.problem import untouched
from slt.running.counted import Counted
from slt.samplers import hmc, scale_moves
from slt.testing import Well, require_caught
from slt.testing.walk import Walk

CENTER = (0.3, -0.2)
NBETA, LOCALIZATION = 40.0, 4.0


def beside_the_center(w: Tensor) -> Tensor:
    """Correlated, and not even in w - w*: the pivots and the sides differ."""
    a, b = w[..., 0] - CENTER[0], w[..., 1] - CENTER[1]
    return 0.5 * a.square() + 0.4 * a * b + 0.2 * b.square() + 0.3 * (a.square() + b.square()).square()


def exact_energy() -> float:
    """By quadrature: a grid so fine that only rounding is left of its error."""
    axes = [np.linspace(c - 3, c + 3, 1201) for c in CENTER]
    grid = torch.as_tensor(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    energy = NBETA * beside_the_center(grid)
    weight = torch.exp(-energy - LOCALIZATION / 2 * (grid - torch.tensor(CENTER)).square().sum(-1))
    return float((weight * energy).sum() / weight.sum())


def posterior() -> slt.LocalPosterior:
    toy = slt.toys.from_potential(beside_the_center, CENTER)
    return slt.LocalPosterior(toy.model, toy.data, toy.loss, nbeta=NBETA, localization=LOCALIZATION)


def z_score() -> float:
    """Of steps by moves alone, but for one short leapfrog that cannot make up for a wrong one."""
    sampler = slt.ScaleMoves(slt.HMC(step_size=0.02, leapfrogs=1), moves=4)
    trace = slt.sample(posterior(), sampler, chains=1000, draws=25, warmup=60, thin=4, seed=5, progress=False)
    means = NBETA * trace.get("posterior", "excess").mean(axis=1)
    return float((means.mean() - exact_energy()) / (means.std() / math.sqrt(len(means))))


def one_sided(w: Any, center: Any, factors: Tensor, at_zero: Tensor) -> Any:
    """Only what grows changes sides, so that the way back leads elsewhere."""
    return scaled(w, center, torch.where(factors.abs() > 1, factors, factors.abs()), at_zero)


scaled = scale_moves.scaled


def test_the_law_beside_a_center_that_is_not_zero() -> None:
    """An error of the mean energy of 3 % would be seen."""
    assert abs(z_score()) < 4


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("scaled", one_sided),
        ("log_jacobian", lambda powers: 1.2 * powers.sum(-1)),
        ("choose_size", lambda uniforms: uniforms[..., 4]),
    ],
)
def test_a_wrong_move_breaks_that_law(part: str, fault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if part == "scaled":
        monkeypatch.setattr(scale_moves, "_REFLECTED", 0.5)
        assert abs(z_score()) < 4
    monkeypatch.setattr(scale_moves, part, fault)
    assert abs(z_score()) > 6


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (slt.SGLD(), "exact and uses all the data.*Got SGLD"),
        (slt.SGNHT(), "exact and uses all the data.*Got SGNHT"),
        (slt.HMC, "got <class"),
        ("HMC", "got 'HMC'"),
        (slt.ScaleMoves(slt.HMC()), "beside another sampler"),
    ],
)
def test_a_sampler_beside_which_they_are_wrong_is_refused(inner: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        slt.ScaleMoves(inner)


@pytest.mark.parametrize("moves", [0, -1, True, 1.5])
def test_a_number_of_moves_that_is_none_is_refused(moves: Any) -> None:
    with pytest.raises(SettingsError, match="moves must be a positive integer"):
        slt.ScaleMoves(slt.HMC(), moves=moves)


def test_a_state_that_holds_more_is_refused() -> None:
    class Remembering(slt.HMC):
        def init(self, *given: Any) -> tuple[Any, Any, None]:
            state, tuning, _ = super().init(*given)
            return (*state, 1), tuning, None

    with pytest.raises(SettingsError, match="State holds w, excess and grad and nothing else, got Remembering"):
        slt.sample(posterior(), slt.ScaleMoves(Remembering(step_size=0.1)), chains=1, draws=1, progress=False)


def test_the_sampler_beside_sees_the_numbers_that_it_sees_alone() -> None:
    sampler = slt.HMC(step_size=0.1, leapfrogs=2)
    with untouched((held := posterior()).problem.model):
        alone, beside = (Walk(held, s, range(4), "vectorized") for s in (sampler, slt.ScaleMoves(sampler)))
        alone.step(0)
        beside.step(0)
    torch.testing.assert_close(alone.infos[0].acceptance, beside.infos[0].acceptance, rtol=0, atol=0)


def test_each_move_counts_as_a_gradient() -> None:
    with untouched((held := posterior()).problem.model):
        walk = Walk(held, slt.ScaleMoves(slt.MALA(step_size=0.01), moves=5), range(3), "vectorized")
        walk.bound = Counted.of(walk.bound, held.n)
        walk.step(0)
    assert walk.bound.spent == 3 * 6


def test_what_a_scale_move_made_good_is_not_called_diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmc, "DIVERGENCE", -math.inf)  # all diverge
    trace = slt.sample(posterior(), slt.ScaleMoves(slt.HMC(), moves=1), chains=50, draws=40, warmup=40, progress=False)
    assert 0.1 < trace.get("sample_stats", "diverging").mean() < 0.9


# --- the dense mass ------------------------------------------------------------------------------------------


def test_a_dense_mass_is_the_covariance() -> None:
    trace = slt.sample(posterior(), slt.HMC(mass="dense"), chains=200, draws=5, warmup=200, seed=3, progress=False)
    factor = trace.get("constant_data", "tuning_factor").astype(float)
    chains = slt.sample(
        posterior(),
        slt.HMC(),
        chains=200,
        draws=100,
        warmup=100,
        observe={"w": lambda model: model.w},
        progress=False,
    )
    seen = np.cov(chains.get("observables", "w").reshape(-1, 2).T.astype(float))
    assert np.array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor, seen, rtol=0.12)
    again = slt.sample(posterior(), slt.HMC(mass="dense"), chains=2, draws=5, warmup=0, tuning=trace, progress=False)
    assert np.array_equal(again.get("constant_data", "tuning_factor"), trace.get("constant_data", "tuning_factor"))


def test_scales_that_differ_by_many_orders_are_found() -> None:
    """Exactly 5/6; with the localizer's unit it is .5, the second parameter never leaving w*."""

    def steep(w: Tensor) -> Tensor:
        return 1e6 * w[..., 0].square() + 1e-3 * w[..., 1].square()

    toy = slt.toys.from_potential(steep, (0.0, 0.0))
    target = slt.LocalPosterior(toy.model, toy.data, toy.loss, nbeta=1000.0, localization=1.0)
    found = {}
    for sampler in (slt.HMC(), slt.ScaleMoves(slt.HMC(mass="dense"))):
        trace = slt.sample(target, sampler, chains=250, draws=60, warmup=150, seed=2, progress=False)
        means = 1000.0 * trace.get("posterior", "excess").mean(axis=1)
        found[type(sampler)] = (means.mean() - 5 / 6) / (means.std() / math.sqrt(len(means)))
    assert abs(found[slt.ScaleMoves]) < 4
    assert abs(found[slt.HMC]) > 8


def test_a_mass_too_large_for_a_matrix_is_refused() -> None:
    toy = slt.toys.quadratic(513)
    target = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    with pytest.raises(SettingsError, match="at most 512 may move, got 513"):
        slt.sample(target, slt.HMC(mass="dense"), chains=1, draws=1, progress=False)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (np.eye(3), r"shape \(2, 2\), got \(3, 3\)"),
        (np.ones((2, 2)), "upper triangular"),
        (np.diag([1.0, 0.0]), "positive diagonal"),
        (np.diag([1.0, np.nan]), "finite"),
    ],
)
def test_a_factor_that_is_none_is_refused(factor: Any, said: str) -> None:
    tuning = {"step_size": 0.1, "leapfrogs": 2.0, "factor": factor}
    with pytest.raises(SettingsError, match=said):
        slt.sample(posterior(), slt.HMC(mass="dense"), chains=1, draws=1, tuning=tuning, progress=False)


def test_a_dense_mass_of_another_law_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def heavier(self: hmc.Dense, w: Any, random: Any, t: int) -> Any:
        return {name: 1.1 * p for name, p in draw(self, w, random, t).items()}

    draw = hmc.Dense.draw
    tuning_of_the_well = slt.HMC(step_size=0.5, leapfrogs=2, mass="dense")
    assert Well().dimension == 8
    monkeypatch.setattr(hmc.Dense, "draw", heavier)
    require_caught(tuning_of_the_well, ["energy", "virial"])
