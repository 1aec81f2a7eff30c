"""Products of two Gaussian matrices: closed forms, simulation, symmetry, and every nbeta from 1 to 1e16."""

import numpy as np
import pytest

from slt import analytic

NBETAS = [1.0, 1e2, 1e4, 1e8, 1e12, 1e16]


def simulated(inputs: int, outputs: int, hidden: int, draws: int) -> np.ndarray:
    """K = |BA|^2 at standard normal A and B."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((draws, hidden, inputs))
    b = rng.standard_normal((draws, outputs, hidden))
    return np.square(b @ a).sum((1, 2))


def values(entry: analytic.Entry, nbeta: float, localization: float = 1.0) -> np.ndarray:
    t = entry.tempered(nbeta, localization=localization)
    assert {number.kind for number in (t.energy, t.variance, t.log_z)} == {"exact"}
    return np.array([t.energy.value, t.variance.value, t.log_z.value])


@pytest.mark.parametrize("nbeta", NBETAS)
def test_scalars_are_a_crossing(nbeta: float):
    product = analytic.reduced_rank_regression(1, 1, 1)
    crossing = analytic.normal_crossing((2, 2))
    np.testing.assert_allclose(values(product, nbeta), values(crossing, nbeta), rtol=1e-9)


@pytest.mark.parametrize(("width", "energy"), [(2, 1.390), (3, 3.177)])
def test_known_energies(width: int, energy: float):
    entry = analytic.deep_linear((width, width, width))
    found = entry.tempered(100.0, localization=1.0).energy
    assert found.kind == "exact"
    assert found.error is not None
    assert found.error < 1e-6
    assert found.value == pytest.approx(energy, abs=5e-4)


@pytest.mark.parametrize("widths", [(2, 2, 2), (3, 2, 4), (2, 3, 2), (4, 1, 5), (3, 3, 4)])
def test_against_simulation(widths: tuple[int, int, int]):
    draws, nbeta = 400_000, 0.1
    k = nbeta * simulated(widths[0], widths[2], widths[1], draws)
    weight = np.exp(-k)
    energy, variance, log_z = values(analytic.deep_linear(widths), nbeta)
    # each ratio of means is a mean of 0 once the claim is subtracted
    residuals = weight * (k - energy), weight * ((k - energy) ** 2 - variance), weight - np.exp(log_z)
    z = np.array([r.mean() / r.std() * np.sqrt(draws) for r in residuals])
    assert (np.abs(z) < 4).all(), z
    wrong = weight * (k - 1.05 * energy)
    assert abs(wrong.mean() / wrong.std() * np.sqrt(draws)) > 4


@pytest.mark.exact
@pytest.mark.parametrize("width", [2, 3])
def test_stable_up_to_the_limit(width: int):
    entry = analytic.deep_linear((width, width, width))
    logs = np.log(10.0) * np.arange(2, 17)
    energies, _, log_z = np.array([values(entry, float(np.exp(x))) for x in logs]).T
    assert (np.diff(energies) > 0).all()
    # d log Z / d log nbeta = -energy: Simpson's rule over two decades
    third = np.log(10.0) / 3
    change = log_z[2::2] - log_z[:-2:2]
    np.testing.assert_allclose(
        change, -third * (energies[:-2:2] + 4 * energies[1:-1:2] + energies[2::2]), rtol=0, atol=2e-2
    )
    limit, m = float(entry.value), entry.multiplicity
    below = limit - energies[-1]
    assert 0 < below < 1e-6 if m == 1 else 0.5 < below * logs[-1] / (m - 1) < 1.5


@pytest.mark.parametrize(
    ("widths", "reverse"), [((2, 3, 4), (4, 3, 2)), ((3, 2, 2), (2, 2, 3)), ((1, 4, 6), (6, 4, 1))]
)
def test_transposed_factors_have_the_same_law(widths: tuple[int, ...], reverse: tuple[int, ...]):
    both = [values(analytic.deep_linear(each), 50.0) for each in (widths, reverse)]
    np.testing.assert_allclose(*both, rtol=1e-7)


def test_one_precision_for_each_matrix():
    entry = analytic.reduced_rank_regression(2, 3, 2)
    precisions = [4.0] * 4 + [0.5] * 6
    by_matrix = entry.tempered(10.0, localization=precisions)
    assert by_matrix.energy.value == pytest.approx(values(entry, 5.0)[0], rel=1e-12)
    mixed = entry.tempered(10.0, localization=[4.0] * 3 + [2.0] + [0.5] * 6)
    assert (mixed.energy.kind, mixed.log_z.kind) == ("asymptotic", "not available")
    assert entry.tempered(10.0, box=(-1, 1)).log_z.kind == "not available"


def test_where_there_is_no_law():
    for entry in (
        analytic.deep_linear((4, 4, 4)),
        analytic.deep_linear((2, 2, 2), rank=1),
        analytic.deep_linear((2, 2, 2, 2)),
        analytic.deep_linear((2, 2, 2), biases=True),
        analytic.reduced_rank_regression(2, 2, 2, factor_ranks=(1, 0)),
        analytic.deep_linear((900, 3, 900)),  # too large a grid
    ):
        assert entry.tempered(1e6, localization=1.0).log_z.kind == "not available"
    near_zero = analytic.reduced_rank_regression(2, 2, 2, factor_ranks=(0, 0))
    assert near_zero.tempered(1e6, localization=1.0).log_z.kind == "exact"


@pytest.mark.parametrize("eps", [1e-10, 1e-3, 1.0])
def test_volumes_of_scalars(eps: float):
    found = analytic.reduced_rank_regression(1, 1, 1).log_volume(eps, localization=2.0)
    known = analytic.normal_crossing((2, 2)).log_volume(eps, localization=2.0)
    assert found.value == pytest.approx(known.value, abs=1e-7)


@pytest.mark.exact
@pytest.mark.parametrize("widths", [(2, 2, 2), (3, 2, 4), (3, 3, 3)])
def test_volumes_against_simulation(widths: tuple[int, int, int]):
    draws = 400_000
    k = simulated(widths[0], widths[2], widths[1], draws)
    for eps in (3.0, 10.0) if max(widths) > 2 else (0.5, 5.0):
        found = analytic.deep_linear(widths).log_volume(eps, localization=1.0)
        assert found.kind == "exact"
        assert found.value is not None
        p = np.exp(found.value)
        error = np.sqrt(p * (1 - p) / draws)
        assert abs((k < eps).mean() - p) < 4 * error
        assert abs((k < 1.05 * eps).mean() - p) > 4 * error
