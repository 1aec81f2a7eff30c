"""References for linear networks of any depth: block Gibbs, which has no step size to get wrong.

The posterior of the layers W_1, ..., W_L is

    p(W) ~ exp(-nbeta ||W_L ... W_1 - T||_F^2 - 1/2 sum over l of gamma_l ||W_l - W_l*||_F^2)

Given the others a layer is Gaussian: with the product U of those above it and the product V of those below, the
eigenvectors of U^T U and V V^T make its entries independent, so that a sweep draws each layer exactly. This file uses
numpy alone and nothing of slt, so that the two can disagree.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

METHOD = (
    "block Gibbs, each layer given the others drawn exactly; the mean over two runs, from w* and from points scattered "
    "around it; the error from the means of independent chains"
)
SCATTER = 0.25
"""Of the second run's starts, in units of the localizer: far in the loss, but not in the wells of other signs."""
DISAGREE = 4.5
"""A z-score beyond which two means differ: of some hundreds of references one passes it in a thousand by chance."""


def draw_layer(
    above: Array,
    below: Array,
    target: Array,
    anchor: Array,
    nbeta: float,
    localization: float,
    rng: np.random.Generator,
) -> Array:
    """Draw X (chains, p, q) from exp(-nbeta ||above X below - target||^2 - (localization / 2) ||X - anchor||^2).

    Args:
        above: U, shape (chains, outputs, p).
        below: V, shape (chains, q, inputs).
        target: Shape (outputs, inputs).
        anchor: Shape (p, q).
        nbeta: Inverse temperature times n.
        localization: Precision around the anchor, > 0.
        rng: The source of the noise.

    Returns:
        X, shape (chains, p, q).
    """
    a, left = np.linalg.eigh(above.swapaxes(-1, -2) @ above)
    b, right = np.linalg.eigh(below @ below.swapaxes(-1, -2))
    pulled = above.swapaxes(-1, -2) @ target @ below.swapaxes(-1, -2)
    linear = left.swapaxes(-1, -2) @ (2 * nbeta * pulled + localization * anchor) @ right
    precision = 2 * nbeta * a.clip(0)[..., :, None] * b.clip(0)[..., None, :] + localization
    rotated = linear / precision + rng.standard_normal(linear.shape) / np.sqrt(precision)
    return left @ rotated @ right.swapaxes(-1, -2)


def sweeps(
    center: Sequence[Array],
    truth: Array,
    nbeta: float,
    localization: Sequence[float],
    *,
    chains: int,
    seed: int,
    hot: bool = False,
) -> Iterator[tuple[Array, Array]]:
    """Sweep without end, from w*, or, if `hot`, from points scattered around it.

    Yields:
        nbeta K and |w - w*|^2 after each sweep, each of shape (chains,).
    """
    # two runs with one seed must not share noise: hot and cold chains would fall in step and seem to agree
    rng = np.random.default_rng((seed, hot))
    layers = [np.broadcast_to(w, (chains, *w.shape)) for w in center]
    if hot:
        layers = [
            w + SCATTER * rng.standard_normal(w.shape) / np.sqrt(gamma)
            for w, gamma in zip(layers, localization, strict=True)
        ]
    ends = [np.broadcast_to(np.eye(size), (chains, size, size)) for size in (truth.shape[1], truth.shape[0])]
    while True:
        # the products of the layers above each layer; those below are made on the way up
        above = [ends[1]]
        for w in reversed(layers[1:]):
            above.append(above[-1] @ w)
        below = ends[0]
        for level, (anchor, gamma) in enumerate(zip(center, localization, strict=True)):
            layers[level] = draw_layer(above.pop(), below, truth, anchor, nbeta, gamma, rng)
            below = layers[level] @ below
        away = sum(((w - anchor) ** 2).sum((-1, -2)) for w, anchor in zip(layers, center, strict=True))
        yield nbeta * ((below - truth) ** 2).sum((-1, -2)), away


def record(
    center: Sequence[Array],
    truth: Array,
    nbeta: float,
    localization: Sequence[float],
    *,
    chains: int,
    draws: int,
    seed: int,
    burn_in: int,
    hot: bool = False,
) -> tuple[Array, Array]:
    """Collect nbeta K and |w - w*|^2 after every sweep that follows the burn-in, each of shape (chains, draws)."""
    run = sweeps(center, truth, nbeta, localization, chains=chains, seed=seed, hot=hot)
    return collect(run, burn_in, draws)


def collect(run: Iterator[tuple[Array, Array]], burn_in: int, draws: int) -> tuple[Array, Array]:
    """Energies and squared distances of the steps that follow the burn-in, each of shape (chains, draws)."""
    energies, distances = zip(*islice(run, burn_in, burn_in + draws), strict=True)
    return np.stack(energies, 1), np.stack(distances, 1)


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean of (chains, draws), and its standard error from the independent means of the chains."""
    means = values.mean(1)
    return float(means.mean()), float(means.std(ddof=1) / len(means) ** 0.5)


def z_score(one: Array, other: Array) -> float:
    """The difference of two means of (chains, draws) in standard errors."""
    (mean, error), (other_mean, other_error) = mean_and_error(one), mean_and_error(other)
    return (mean - other_mean) / (error**2 + other_error**2) ** 0.5


def reference(
    center: Sequence[Array],
    truth: Array,
    nbeta: float,
    localization: Sequence[float],
    *,
    chains: int,
    draws: int,
    burn_in: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Run from w* and hot, check that the two agree, and pool them.

    The distance is checked beside the energy because it is the slower of the two: it moves along the fibre of
    zeros, where the energy does not change.

    Returns:
        Value, error, method, and the z-scores of starts and of halves.

    Raises:
        RuntimeError: If the two runs, or the halves of one, differ by more than `DISAGREE` standard errors.
    """
    settings = {"chains": chains, "draws": draws, "seed": seed, "burn_in": burn_in}
    cold, hot = (record(center, truth, nbeta, localization, **settings, hot=start) for start in (False, True))
    checks = {}
    for name, c, h in zip(("energy", "squared distance"), cold, hot, strict=True):
        checks[f"{name}, starts"] = z_score(c, h)
        for start, run in (("from w*", c), ("hot", h)):
            checks[f"{name}, halves {start}"] = z_score(*np.array_split(run, 2, axis=1))
    if max(map(abs, checks.values())) > DISAGREE:
        raise RuntimeError(f"the runs do not agree: {checks}")
    value, error = mean_and_error(np.concatenate([cold[0], hot[0]]))
    rounded = {name: round(z, 2) for name, z in checks.items()}
    return {"value": value, "error": error, "method": METHOD, "settings": settings, "z": rounded}
