"""The block Gibbs reference, checked: a closed form, importance sampling, and mutants that must fail."""

import json
from math import log
from typing import Any

import numpy as np
import pytest

from slt.analytic.finite import crossing_energy
from tests.exact import gibbs_deep_linear as gibbs

exact_draw = gibbs.draw_layer


def colder(design: Any, target: Any, anchor: Any, nbeta: float, localization: float, rng: Any) -> Any:
    """A mutant whose conditional has 10 % too much precision from the data."""
    return exact_draw(design, target, anchor, 1.1 * nbeta, localization, rng)


def unanchored(design: Any, target: Any, anchor: Any, nbeta: float, localization: float, rng: Any) -> Any:
    """A mutant that holds the layers near 0 instead of w*."""
    return exact_draw(design, target, 0 * anchor, nbeta, localization, rng)


@pytest.mark.parametrize(("draw_layer", "holds"), [(exact_draw, True), (colder, False)])
@pytest.mark.parametrize(("nbeta", "localization"), [(145.0, 1.0), (3.0, 2.0)])
def test_scalar_network_has_its_closed_form(
    draw_layer: Any, holds: bool, nbeta: float, localization: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gibbs, "draw_layer", draw_layer)
    mean, error = gibbs.energy((1, 1, 1), 0, nbeta, localization, chains=4000, draws=100, seed=0, burn_in=100)
    exact = crossing_energy(nbeta, localization)
    assert error < 0.004 * exact  # so that 4 errors catch 1.6 %
    assert (abs(mean - exact) / error < 4) == holds


def importance(widths: tuple[int, int, int], rank: int, nbeta: float, localization: float) -> Any:
    """nbeta E[K] and its error from draws of the localizer, weighted: no conditional in it."""
    inputs, hidden, outputs = widths
    rng = np.random.default_rng(1)
    truth, a, b = np.zeros((outputs, inputs)), np.zeros((hidden, inputs)), np.zeros((outputs, hidden))
    for matrix in (truth, a, b):
        matrix[range(rank), range(rank)] = 1
    a = a + rng.standard_normal((400_000, *a.shape)) / localization**0.5
    b = b + rng.standard_normal((400_000, *b.shape)) / localization**0.5
    energy = nbeta * ((np.einsum("sij,sjk->sik", b, a) - truth) ** 2).sum((1, 2))
    weight = np.exp(-energy)
    mean = (weight * energy).mean() / weight.mean()
    return mean, (weight * (energy - mean)).std() / weight.mean() / len(weight) ** 0.5


@pytest.mark.parametrize(("draw_layer", "holds"), [(exact_draw, True), (colder, False), (unanchored, False)])
def test_wide_network_equals_importance_sampling(draw_layer: Any, holds: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gibbs, "draw_layer", draw_layer)
    setting = (2, 3, 4), 1, 1.0, 2.0
    mean, error = gibbs.energy(*setting, chains=2000, draws=50, seed=0, burn_in=50)
    expected, expected_error = importance(*setting)
    total = (error**2 + expected_error**2) ** 0.5
    assert total < 0.006 * expected  # so that 4 errors catch 2.4 %
    assert (abs(mean - expected) / total < 4) == holds


def test_starts_do_not_share_noise():
    cold, hot = (
        gibbs.record((2, 2, 2), 1, 50.0, 1.0, chains=50, draws=40, seed=0, burn_in=20, hot=h)[0] for h in (False, True)
    )
    for lag in (-1, 0, 1):
        shifted = np.roll(hot, lag, axis=1)
        assert abs(np.corrcoef(cold.ravel(), shifted.ravel())[0, 1]) < 0.1


def test_stored_reference_is_what_it_says():
    stored = json.loads(gibbs.REFERENCE.read_text())
    assert (tuple(stored["widths"]), stored["rank"]) == (gibbs.WIDTHS, gibbs.RANK)
    assert stored["nbeta"] == pytest.approx(stored["n"] / log(stored["n"]), rel=1e-15)
    assert stored["standard_error"] < 0.003 * stored["value"]
    assert max(abs(z) for z in gibbs.disagreements(stored["checks"])) < 4
    # a short run with another seed: 4 errors are 1.5 %
    mean, error = gibbs.energy(
        gibbs.WIDTHS,
        gibbs.RANK,
        stored["nbeta"],
        stored["localization"],
        chains=64,
        draws=120,
        seed=1,
        burn_in=200,
    )
    assert error < 0.004 * stored["value"]
    assert abs(mean - stored["value"]) < 4 * error
