"""Directions in which the loss is felt: the law of their virial on quadratics, and what does not meet it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import slt
from slt.posterior.felt import Felt, find_felt

DRAWS = 20_000
CURVATURES = torch.tensor([1e6, 1e3, 1e3, 30.0, 1.0, 0.0], dtype=torch.float64)  # nbeta h
GAMMA = torch.tensor([[0.5, 2.0, 1.0, 1.0, 4.0, 1.0]], dtype=torch.float64)
UNIT = 1 / GAMMA  # D: in its units the localizer is 1


def well(count: int, seed: int, shrunk: Tensor | float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw w - w* of a rotated quadratic well, with nbeta grad L and grad U there."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64))[0]
    z = torch.randn(count, 6, generator=generator, dtype=torch.float64) * shrunk / (CURVATURES + 1).sqrt()
    slope = (z * CURVATURES) @ turn.T * GAMMA.sqrt()  # by w: D^(-1/2) times that by z
    away = (z @ turn.T) * UNIT.sqrt()
    return away, slope, slope + GAMMA * away


def found(places: int = 200, most: int = 6) -> Felt:
    away, slope, _ = well(places, seed=0)
    felt = find_felt({"w": away}, {"w": slope}, {"w": UNIT}, {"w": GAMMA}, most)
    assert felt is not None
    return felt


def z_score(felt: Felt, shrunk: Tensor | float = 1.0, *, of_loss: bool = False) -> float:
    away, slope, force = well(DRAWS, seed=1, shrunk=shrunk)
    virial = felt.virial({"w": away}, {"w": slope if of_loss else force}, {"w": UNIT})
    return float((virial.mean() - felt.trace) / virial.std() * DRAWS**0.5)


def test_shares_are_the_losses_in_the_curvature() -> None:
    share = CURVATURES / (CURVATURES + 1)
    assert found().shares.numpy() == pytest.approx(share[:5].numpy(), abs=0.05)  # the last is not felt at all


@pytest.mark.parametrize("most", [6, 3])
def test_the_mean_is_the_trace(most: int) -> None:
    assert abs(z_score(found(most=most))) < 4


def test_leaves_add_up() -> None:
    away, slope, force = well(50, seed=3)
    cut = [slice(0, 2), slice(2, 6)]
    parts = [{str(i): x[:, s] for i, s in enumerate(cut)} for x in (away, slope, force, UNIT, GAMMA)]
    whole = find_felt({"w": away}, {"w": slope}, {"w": UNIT}, {"w": GAMMA}, 6)
    felt = find_felt(parts[0], parts[1], parts[3], parts[4], 6)
    assert felt is not None
    assert whole is not None
    assert felt.virial(parts[0], parts[2], parts[3]).numpy() == pytest.approx(
        whole.virial({"w": away}, {"w": force}, {"w": UNIT}).numpy()
    )


def test_a_slow_direction_is_seen_where_it_is_felt_and_only_there() -> None:
    """Of standard deviations a tenth of what they should be: with 2e4 draws the fourth costs 0.97 of about 4.5."""
    slow = torch.ones(6, dtype=torch.float64)
    slow[3] = 0.1
    assert z_score(found(), shrunk=slow) < -20
    slow[3], slow[5] = 1.0, 0.1
    assert abs(z_score(found(), shrunk=slow)) < 4


def test_a_force_without_the_localizer_would_be_seen() -> None:
    assert z_score(found(), of_loss=True) < -6


def test_places_without_gradients_show_nothing() -> None:
    nothing = torch.zeros(8, 6, dtype=torch.float64)
    assert find_felt({"w": nothing}, {"w": nothing}, {"w": UNIT}, {"w": GAMMA}, 6) is None
    lost = torch.full((8, 6), torch.nan, dtype=torch.float64)
    assert find_felt({"w": nothing}, {"w": lost}, {"w": UNIT}, {"w": GAMMA}, 6) is None


SAMPLERS = [slt.HMC(), slt.MALA(), slt.SGLD(), slt.SGLD(second_order=True)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["HMC", "MALA", "SGLD", "second order"])
def test_samplers_record_it(sampler: slt.SGLD) -> None:
    """A quadratic of three parameters: the mean is what is due, whatever the step."""
    toy = slt.toys.quadratic(3, n=50)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, nbeta=145.0, localization=1.0)
    draws = 400 if sampler.unadjusted else 100
    trace = slt.sample(posterior, sampler, chains=64, draws=draws, warmup=100, thin=2, progress=False)
    means = trace.get("sample_stats", "felt").mean(axis=1)
    due = float(trace.get("constant_data", "felt_expected"))
    assert due == pytest.approx(3 * 145 / 146, abs=0.05)
    assert abs(means.mean() - due) < 4 * means.std(ddof=1) / 8


def test_both_ways_of_evaluating_find_the_same() -> None:
    toy = slt.toys.quadratic(3, n=50)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    found = [
        slt.sample(posterior, slt.HMC(), chains=4, draws=5, warmup=20, chain_method=method, progress=False)
        for method in ("vectorized", "in_place")
    ]
    one, two = (trace.get("sample_stats", "felt") for trace in found)
    assert one == pytest.approx(two, rel=1e-3)


def test_sgld_in_another_metric_and_sgnht_record_none() -> None:
    toy = slt.toys.quadratic(3)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    for sampler in (slt.SGNHT(), slt.SGLD(preconditioner="diagonal")):
        trace = slt.sample(posterior, sampler, chains=4, draws=20, warmup=100, progress=False)
        assert np.isnan(trace.get("sample_stats", "felt")).all()


def test_without_warmup_nothing_is_recorded() -> None:
    toy = slt.toys.quadratic(3)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    trace = slt.sample(posterior, slt.HMC(step_size=0.05), chains=4, draws=20, warmup=0, progress=False)
    assert "felt" not in trace.names("sample_stats")


def test_how_many_places_are_taken_does_not_move_the_chains() -> None:
    """Looking costs gradients, and changes no draw."""
    toy = slt.toys.quadratic(3)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    with pytest.MonkeyPatch.context() as patch:
        traces = [slt.sample(posterior, slt.HMC(), chains=4, draws=20, warmup=100, progress=False)]
        patch.setattr("slt.running.session.looks_in", lambda warmup, setup: 0)
        traces.append(slt.sample(posterior, slt.HMC(), chains=4, draws=20, warmup=100, progress=False))
    for one, two in pairwise(traces):
        assert np.array_equal(one.get("posterior", "excess"), two.get("posterior", "excess"))
    assert "felt" not in traces[1].names("sample_stats")
