"""Numerical exponents of a Laplace integral: what lambda and m mean, computed without any formula for them.

Z(n) = integral of e^(-n K) ~ C n^(-lambda) (log n)^(m - 1), so its slope s(L) = -d log Z / d log n at L = log n is the
mean of n K, and tends to lambda - (m - 1) / (L + c). It is computed by the trapezoid rule in the logarithms of the
coordinates, where the integrand is smooth on a scale of about 1 however large n is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slt import RLCT

LOW, HIGH = 40.0, 70.0
"""The two values of log n that are compared."""


class Chart(NamedTuple):
    """A part of the domain on a grid of logarithms."""

    log_k: np.ndarray
    log_weight: np.ndarray


def grids(dimension: int, step: float = 0.2, depth: float = 150.0) -> list[np.ndarray]:
    """Logarithms of coordinates in (0, 1)."""
    line = np.arange(-depth, -step / 2, step)
    return list(np.meshgrid(*[line] * dimension, indexing="ij"))


def monomials(exponents: Sequence[Sequence[int]], tau: Sequence[float]) -> list[Chart]:
    """K = a sum of monomials on the unit cube, under a density prod w_i^(tau_i - 1)."""
    logs = grids(len(tau))
    terms = [sum((a * u for a, u in zip(alpha, logs, strict=True)), np.zeros(())) for alpha in exponents]
    return [Chart(np.logaddexp.reduce(terms), sum((t * u for t, u in zip(tau, logs, strict=True)), np.zeros(())))]


def slope(charts: Sequence[Chart], log_n: float) -> float:
    """The mean of n K under e^(-n K) times the weight."""
    energies = [np.exp(np.minimum(log_n + chart.log_k, 300)) for chart in charts]
    exponents = [chart.log_weight - energy for chart, energy in zip(charts, energies, strict=True)]
    top = max(float(x.max()) for x in exponents)
    weights = [np.exp(x - top) for x in exponents]
    total = sum(float(weight.sum()) for weight in weights)
    return sum(float((w * e).sum()) for w, e in zip(weights, energies, strict=True)) / total


def agrees(claimed: RLCT, at: Callable[[float], float], tolerance: float = 1e-3) -> bool:
    """Whether the slopes at two temperatures are those of the claim.

    For m = 1 they are lambda up to a power of n. For m = 2 1 / (lambda - s) = L + c up to such a power, so that its
    growth is 1 / (m - 1) of that of L. A lambda that is off by 1 %, or an m that is off by one, is refused.
    """
    low, high = at(LOW), at(HIGH)
    value = float(claimed.value)
    if claimed.multiplicity == 1:
        return abs(high - value) < tolerance
    if not low < high < value:
        return False
    growth = 1 / (value - high) - 1 / (value - low)
    return abs((HIGH - LOW) / growth - (claimed.multiplicity - 1)) < 0.15


def wrong(claimed: RLCT) -> list[RLCT]:
    """Claims next to this one that a check must refuse."""
    value, m = claimed.value, claimed.multiplicity
    near = [(value, m + 1), (value * 101 / 100, m), (value * 99 / 100, m), (value, m - 1)]
    return [RLCT(*pair) for pair in near if pair[1] > 0]
