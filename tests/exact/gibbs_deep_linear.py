"""A reference for one-hidden-layer linear networks: block Gibbs, which has no step size to get wrong.

The posterior of the factors A (hidden x inputs) and B (outputs x hidden) is

    p(A, B) ~ exp(-nbeta ||B A - T||_F^2 - (localization / 2) (||A - A*||_F^2 + ||B - B*||_F^2))

with T = diag(1, ..., 1, 0, ...) of the given rank, and w* balanced: A* and B* are such matrices too.
Given A the rows of B are independent Gaussians with one covariance, and given B the columns of A are: a sweep
draws each layer exactly. This file uses numpy alone and nothing of slt, so that the two can disagree.

`python tests/exact/gibbs_deep_linear.py` makes data/deep_linear_5_5_5_rank2.json.
"""

import json
import time
from collections.abc import Iterator
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

REFERENCE = Path(__file__).parent / "data" / "deep_linear_5_5_5_rank2.json"
WIDTHS, RANK, N, LOCALIZATION = (5, 5, 5), 2, 10_000, 1.0
CHAINS, DRAWS, BURN_IN, SEED = 256, 40_000, 4_000, 0  # chains and draws of each of the two runs
METHOD = (
    "block Gibbs, each layer given the other drawn exactly; the mean over two runs, from w* and from draws "
    "of the localizer; the error from the means of independent chains"
)


def center(widths: tuple[int, int, int], rank: int) -> tuple[Array, Array, Array]:
    """(A*, B*, T) of shapes (hidden, inputs), (outputs, hidden), (outputs, inputs)."""
    inputs, hidden, outputs = widths

    def ones(rows: int, columns: int) -> Array:
        return np.eye(rows, columns) * (np.arange(rows)[:, None] < rank)

    return ones(hidden, inputs), ones(outputs, hidden), ones(outputs, inputs)


def draw_layer(
    design: Array, target: Array, anchor: Array, nbeta: float, localization: float, rng: np.random.Generator
) -> Array:
    """Draw X (chains, p, q) from exp(-nbeta ||design X - target||^2 - (localization / 2) ||X - anchor||^2).

    The columns of X are independent; all have the precision 2 nbeta design^T design + localization.

    Args:
        design: Shape (chains, m, p).
        target: Shape (m, q).
        anchor: Shape (p, q).
        nbeta: Inverse temperature times n.
        localization: Precision around the anchor, > 0.
        rng: The source of the noise.

    Returns:
        X, shape (chains, p, q).
    """
    transposed = design.swapaxes(-1, -2)
    precision = 2 * nbeta * transposed @ design + localization * np.eye(design.shape[-1])
    linear = 2 * nbeta * transposed @ target + localization * anchor
    root = np.linalg.cholesky(precision)
    whitened = np.linalg.solve(root, linear) + rng.standard_normal(linear.shape)
    return np.linalg.solve(root.swapaxes(-1, -2), whitened)


def sweeps(
    widths: tuple[int, int, int],
    rank: int,
    nbeta: float,
    localization: float,
    *,
    chains: int,
    seed: int,
    hot: bool = False,
) -> Iterator[tuple[Array, Array, Array]]:
    """Sweep without end, from w*, or, if `hot`, from independent draws of the localizer alone.

    Yields:
        A, B and nbeta K after each sweep, shapes (chains, ...) and (chains,).
    """
    a_star, b_star, truth = center(widths, rank)
    # two runs with one seed must not share noise: hot and cold chains would fall in step and seem to agree
    rng = np.random.default_rng((seed, hot))
    a = np.broadcast_to(a_star, (chains, *a_star.shape))
    b = np.broadcast_to(b_star, (chains, *b_star.shape))
    if hot:
        a = a + rng.standard_normal(a.shape) / np.sqrt(localization)
        b = b + rng.standard_normal(b.shape) / np.sqrt(localization)
    while True:
        a = draw_layer(b, truth, a_star, nbeta, localization, rng)
        # ||B A - T|| = ||A^T B^T - T^T||: the rows of B are the columns of B^T
        b = draw_layer(a.swapaxes(-1, -2), truth.T, b_star.T, nbeta, localization, rng).swapaxes(-1, -2)
        yield a, b, nbeta * ((b @ a - truth) ** 2).sum((-1, -2))


def record(
    widths: tuple[int, int, int],
    rank: int,
    nbeta: float,
    localization: float,
    *,
    chains: int,
    draws: int,
    seed: int,
    burn_in: int,
    hot: bool = False,
) -> tuple[Array, Array]:
    """nbeta K and |w - w*|^2 after every sweep that follows the burn-in, each of shape (chains, draws)."""
    a_star, b_star, _ = center(widths, rank)
    energies, distances = np.empty((chains, draws)), np.empty((chains, draws))
    chain = sweeps(widths, rank, nbeta, localization, chains=chains, seed=seed, hot=hot)
    for t, (a, b, energies_t) in enumerate(islice(chain, burn_in, burn_in + draws)):
        energies[:, t] = energies_t
        distances[:, t] = ((a - a_star) ** 2).sum((-1, -2)) + ((b - b_star) ** 2).sum((-1, -2))
    return energies, distances


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean of (chains, draws), and its standard error from the independent means of the chains."""
    means = values.mean(1)
    return float(means.mean()), float(means.std(ddof=1) / len(means) ** 0.5)


def energy(
    widths: tuple[int, int, int],
    rank: int,
    nbeta: float,
    localization: float,
    *,
    chains: int,
    draws: int,
    seed: int,
    burn_in: int = 1000,
    hot: bool = False,
) -> tuple[float, float]:
    """nbeta E[K] and its standard error over independent chains, started at w* (or hot)."""
    settings = {"chains": chains, "draws": draws, "seed": seed, "burn_in": burn_in}
    return mean_and_error(record(widths, rank, nbeta, localization, **settings, hot=hot)[0])


def report(values: Array) -> dict[str, float]:
    """Say what one run of (chains, draws) tells about itself.

    A run that has not settled has a first half that differs from the second. `time` is the variance of the
    chains' means over that of means of as many independent draws: the autocorrelation time in sweeps.

    Returns:
        Mean and error of the run and of its first half, and the checks.
    """
    first, second = np.array_split(values, 2, axis=1)
    value, error = mean_and_error(values)
    half, half_error = mean_and_error(first)
    return {
        "value": value,
        "standard_error": error,
        "first_half": half,
        "first_half_standard_error": half_error,
        "halves_z": z_score(first, second),
        "largest_chain_z": float(np.abs(values.mean(1) - value).max() / (error * len(values) ** 0.5)),
        "time": float(values.mean(1).var(ddof=1) * values.shape[1] / values.var()),
    }


def z_score(one: Array, other: Array) -> float:
    """The difference of two means of (chains, draws) in standard errors."""
    (mean, error), (other_mean, other_error) = mean_and_error(one), mean_and_error(other)
    return (mean - other_mean) / (error**2 + other_error**2) ** 0.5


def reference() -> dict[str, Any]:
    """Run from w* and hot, check that the two agree, and pool them.

    The distance is checked beside the energy because it is the slower of the two: it moves along the fibre of
    zeros, where the energy does not change.

    Returns:
        The value, its error, how it was made, and what each run says about itself.

    Raises:
        RuntimeError: If the two runs, or the halves of one, differ by more than four standard errors.
    """
    nbeta = N / log(N)
    settings = {"chains": CHAINS, "draws": DRAWS, "seed": SEED, "burn_in": BURN_IN}
    cold, hot = (record(WIDTHS, RANK, nbeta, LOCALIZATION, **settings, hot=start) for start in (False, True))
    names = ("energy", "squared_distance")
    checks = {
        name: {"from_center": report(c), "hot": report(h), "starts_z": z_score(c, h)}
        for name, c, h in zip(names, cold, hot, strict=True)
    }
    if max(abs(z) for z in disagreements(checks)) > 4:
        raise RuntimeError(f"the runs do not agree: {checks}")
    value, error = mean_and_error(np.concatenate([cold[0], hot[0]]))
    return {
        "what": "nbeta E[K] of K = ||B A - T||_F^2 under exp(-nbeta K - localization / 2 |w - w*|^2)",
        "kind": "reference",
        "value": value,
        "standard_error": error,
        "relative_standard_error": error / value,
        "widths": WIDTHS,
        "rank": RANK,
        "n": N,
        "nbeta": nbeta,
        "localization": LOCALIZATION,
        "center": "balanced: A* = B* = T = diag(1, 1, 0, 0, 0), up to a rotation of the hidden coordinates",
        "made_by": "python tests/exact/gibbs_deep_linear.py",
        "method": METHOD,
        **settings,
        "numpy": np.__version__,
        "checks": checks,
    }


def disagreements(checks: dict[str, Any]) -> list[float]:
    """All z-scores between starts and between halves of a run."""
    starts = [check["starts_z"] for check in checks.values()]
    return starts + [check[start]["halves_z"] for check in checks.values() for start in ("from_center", "hot")]


if __name__ == "__main__":
    started = time.perf_counter()
    found = reference()
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['value']:.4f} +- {found['standard_error']:.4f} in {time.perf_counter() - started:.0f} s")
