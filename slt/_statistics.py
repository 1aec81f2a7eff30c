"""How precisely (chain, draw) arrays determine their mean: ArviZ's diagnostics, drift and block means.

Every function takes an array of shape (chains, draws) of finite numbers, and returns nan where the result is not
defined: with fewer than `MIN_DRAWS` draws, or for a constant array (whose spread is unknown).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slt._imports import import_whole

Array = NDArray[np.floating]

MIN_DRAWS = 4
"""ArviZ splits each chain in two and needs two draws in each half."""

MIN_CHAINS_TO_COMPARE = 4
"""With fewer, the spread of the chains' means is itself too uncertain (one or two degrees of freedom)."""


def ess(x: Array) -> float:
    """Effective sample size of the mean: the number of independent draws that would determine it as precisely.

    Chains that disagree lower it, since the variance between them enters (Vehtari et al., 2021).

    Args:
        x: Shape (chains, draws).

    Returns:
        A number of draws, or nan below `MIN_DRAWS` draws and for a constant array.
    """
    if not _can_say(x):
        return np.nan
    az = import_whole("arviz")

    return float(az.ess(_standardized(x), method="mean"))


def mcse(x: Array) -> float:
    """Monte Carlo standard error of the mean: standard deviation / sqrt(ess).

    Args:
        x: Shape (chains, draws).

    Returns:
        An error in the units of `x`, or nan below `MIN_DRAWS` draws and for a constant array.
    """
    if not _can_say(x):
        return np.nan
    az = import_whole("arviz")

    return float(az.mcse(_standardized(x), method="mean")) * float(np.std(x))


def rhat(x: Array) -> float:
    """Rank-normalized split R-hat (Vehtari et al., 2021): 1 if the halves of all chains agree.

    A single chain is compared with itself: its halves are treated as two chains, so its quarters must agree.

    Args:
        x: Shape (chains, draws).

    Returns:
        R-hat, or nan below `MIN_DRAWS` draws (twice as many for a single chain) and for a constant array.
    """
    if len(x) == 1:
        half = x.shape[1] // 2
        x = np.stack([x[0, :half], x[0, x.shape[1] - half :]])
    if not _can_say(x):
        return np.nan
    az = import_whole("arviz")

    # chains that stand still at different points give a division by zero variance: R-hat is rightly inf
    with np.errstate(divide="ignore"):
        return float(az.rhat(_standardized(x)))


class Drift(NamedTuple):
    """How far early draws are from late ones, and the effect on the mean."""

    errors: float
    """Difference of the late and the early mean in standard errors; nan where no error can be computed."""
    shift: float
    """Mean of the last half minus mean of all draws, in the units of the draws."""


def drift(x: Array) -> Drift:
    """Compare the last half of the draws with the first tenth and with the first third (after Geweke, 1992).

    The tenth detects a short approach, the third a long one; the larger difference counts. The error of the early
    mean is taken from the late draws, since an approach would inflate its own. It is raised to the error given by the
    spread of the differences over chains, because in short chains the first error is too small.

    Args:
        x: Shape (chains, draws).

    Returns:
        The drift, or nan in both fields where the last half has no standard error.
    """
    draws = x.shape[1]
    late = x[:, draws - draws // 2 :]
    error = mcse(late)
    if np.isnan(error):
        return Drift(np.nan, np.nan)
    found = []
    for early in (x[:, : -(-draws // 10)], x[:, : -(-draws // 3)]):
        moved = late.mean(axis=1) - early.mean(axis=1)
        joint = np.fmax(error * np.sqrt(1 + late.shape[1] / early.shape[1]), between_chains(moved[:, None]))
        found.append(float(moved.mean() / joint))
    return Drift(errors=max(found, key=abs), shift=float(late.mean() - x.mean()))


class Slow(NamedTuple):
    """The slowest part of the draws; nan in all fields where it cannot be determined."""

    time: float
    """Relaxation time: draws until its correlation falls to 1/e; inf if it does not fall."""
    spread: float
    """Its standard deviation, in the units of the draws."""
    errors: float
    """Its significance: the covariance at half the run, in standard errors."""


def slow(x: Array) -> Slow:
    """Find the slowest part of the draws from the covariances of the means of four quarters of the chains.

    A mode of relaxation time t, and all that is as slow, covaries between quarters k apart in proportion to
    exp(-k draws / 4 t); what is fast adds noise alone. The quarters are taken from their means over the chains, so that
    an approach that all chains share does not count: that is for `drift`.

    Args:
        x: Shape (chains, draws).

    Returns:
        The slowest part, or nan below `MIN_CHAINS_TO_COMPARE` chains or `MIN_DRAWS` draws.
    """
    chains, draws = x.shape
    if chains < MIN_CHAINS_TO_COMPARE or draws < MIN_DRAWS:
        return Slow(np.nan, np.nan, np.nan)
    quarter = draws // 4
    means = x[:, draws - 4 * quarter :].reshape(chains, 4, quarter).mean(axis=2)
    means = (means - means.mean(axis=0)) * np.sqrt(chains / (chains - 1))
    near = (means[:, :3] * means[:, 1:]).mean(axis=1)
    far = (means[:, :2] * means[:, 2:]).mean(axis=1)
    error = far.std(ddof=1) / np.sqrt(chains)
    fall = near.mean() / far.mean() if far.mean() > 0 else np.inf
    return Slow(
        time=quarter / float(np.log(fall)) if fall > 1 else np.inf,
        spread=float(np.sqrt(max(near.mean(), far.mean(), 0.0))),
        errors=float(far.mean() / error) if error > 0 else np.nan,
    )


def between_chains(x: Array) -> float:
    """Standard error of the mean from the spread of the chains' means alone.

    Args:
        x: Shape (chains, draws).

    Returns:
        An error in the units of `x`, or nan below `MIN_CHAINS_TO_COMPARE` chains.
    """
    if len(x) < MIN_CHAINS_TO_COMPARE:
        return np.nan
    return float(x.mean(axis=1).std(ddof=1) / np.sqrt(len(x)))


def block_means(x: Array, blocks: int) -> Array:
    """Means over about `blocks` consecutive stretches of each chain, of equal length.

    Draws that do not fill a stretch are left out at the start of the chain.

    Args:
        x: Shape (chains, draws).
        blocks: Requested number; there are up to twice as many, or one per draw if there are fewer draws.

    Returns:
        Shape (chains, blocks).

    >>> block_means(np.arange(7.0)[None], 3)
    array([[1.5, 3.5, 5.5]])
    """
    chains, draws = x.shape
    length = max(draws // blocks, 1)
    count = draws // length
    return x[:, draws - count * length :].reshape(chains, count, length).mean(axis=2)


def _can_say(x: Array) -> bool:
    return x.shape[0] >= 1 and x.shape[1] >= MIN_DRAWS and bool(np.ptp(x) > 0)


def _standardized(x: Array) -> Array:
    # ArviZ treats anything that varies by less than 1e-15 as constant, whatever its units
    x = np.asarray(x, dtype=float)
    return (x - x.mean()) / x.std()
