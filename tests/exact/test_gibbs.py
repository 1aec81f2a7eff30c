"""The block Gibbs reference, checked: a closed form, importance sampling, and mutants that must fail."""

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from benchmarks import _gibbs as gibbs
from slt.analytic.finite import crossing_energy

pytestmark = pytest.mark.exact

exact_draw = gibbs.draw_layer


def colder(above: Any, below: Any, target: Any, anchor: Any, nbeta: float, localization: float, rng: Any) -> Any:
    """A mutant whose conditional has 10 % too much precision from the data."""
    return exact_draw(above, below, target, anchor, 1.1 * nbeta, localization, rng)


def unanchored(above: Any, below: Any, target: Any, anchor: Any, nbeta: float, localization: float, rng: Any) -> Any:
    """A mutant that holds the layers near 0 instead of w*."""
    return exact_draw(above, below, target, 0 * anchor, nbeta, localization, rng)


def network(widths: tuple[int, ...], rank: int) -> tuple[list[Any], Any]:
    """The layers at a balanced w*, and their product: ones in the first places of the diagonals."""
    shapes = [(above, below) for below, above in pairwise(widths)]
    layers = [np.eye(*shape) * (np.arange(shape[0])[:, None] < rank) for shape in shapes]
    return layers, reduce(lambda below, layer: layer @ below, layers)


def energy(widths: tuple[int, ...], rank: int, nbeta: float, localization: Any, **settings: Any) -> tuple[float, float]:
    """nbeta E[K] and its standard error over independent chains, started at w*."""
    return gibbs.mean_and_error(gibbs.record(*network(widths, rank), nbeta, localization, **settings)[0])


@pytest.mark.parametrize(("draw_layer", "holds"), [(exact_draw, True), (colder, False)])
@pytest.mark.parametrize(("nbeta", "localization"), [(145.0, 1.0), (3.0, 2.0)])
def test_scalar_network_has_its_closed_form(
    draw_layer: Any, holds: bool, nbeta: float, localization: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gibbs, "draw_layer", draw_layer)
    mean, error = energy((1, 1, 1), 0, nbeta, [localization] * 2, chains=4000, draws=100, seed=0, burn_in=100)
    exact = crossing_energy(nbeta, localization)
    assert error < 0.004 * exact  # so that 4 errors catch 1.6 %
    assert (abs(mean - exact) / error < 4) == holds


def importance(widths: tuple[int, ...], rank: int, nbeta: float, localization: Any) -> tuple[float, float]:
    """nbeta E[K] and its error from draws of the localizer, weighted: no conditional in it."""
    center, truth = network(widths, rank)
    rng = np.random.default_rng(1)
    drawn = [
        w + rng.standard_normal((400_000, *w.shape)) / gamma**0.5 for w, gamma in zip(center, localization, strict=True)
    ]
    product = reduce(lambda below, layer: np.einsum("sij,sjk->sik", layer, below), drawn)
    energy = nbeta * ((product - truth) ** 2).sum((1, 2))
    weight = np.exp(-energy)
    mean = (weight * energy).mean() / weight.mean()
    return mean, (weight * (energy - mean)).std() / weight.mean() / len(weight) ** 0.5


SETTINGS = [((2, 3, 4), 1, 1.0, (2.0, 2.0)), ((2, 2, 3, 2), 1, 1.0, (2.0, 5.0, 3.0))]


@pytest.mark.parametrize("setting", SETTINGS, ids=["two layers", "three layers, three precisions"])
@pytest.mark.parametrize(("draw_layer", "holds"), [(exact_draw, True), (colder, False), (unanchored, False)])
def test_network_equals_importance_sampling(
    setting: Any, draw_layer: Any, holds: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gibbs, "draw_layer", draw_layer)
    mean, error = energy(*setting, chains=2000, draws=60, seed=0, burn_in=60)
    expected, expected_error = importance(*setting)
    total = (error**2 + expected_error**2) ** 0.5
    assert total < 0.006 * expected  # so that 4 errors catch 2.4 %
    assert (abs(mean - expected) / total < 4) == holds


def test_starts_do_not_share_noise():
    settings = {"chains": 50, "draws": 40, "seed": 0, "burn_in": 20}
    cold, hot = (gibbs.record(*network((2, 2, 2), 1), 50.0, [1.0] * 2, **settings, hot=h)[0] for h in (False, True))
    for lag in (-1, 0, 1):
        shifted = np.roll(hot, lag, axis=1)
        assert abs(np.corrcoef(cold.ravel(), shifted.ravel())[0, 1]) < 0.1


def test_runs_that_disagree_are_refused(monkeypatch: pytest.MonkeyPatch):
    # chains scattered as widely as the localizer allows land in the well of the other sign, and stay there
    monkeypatch.setattr(gibbs, "SCATTER", 1.0)
    with pytest.raises(RuntimeError, match="do not agree"):
        gibbs.reference(*network((1, 1, 1), 1), 145.0, [1.0] * 2, chains=2000, draws=40, burn_in=20)
