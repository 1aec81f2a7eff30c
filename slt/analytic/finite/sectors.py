"""Polynomials K(x, y) of high degree under a Gaussian: quadrature by cells of sectors about 0, halved where needed.

Written out about 0, K loses its digits where it is small along a line through 0 other than the axes: (x + y)^42 is a
difference of large numbers at y = -x. So the plane is cut into narrow sectors, y = x (c + s) / 2 or x = y (c + s) / 2
with an integer c and |s| <= 1/2, and K is expanded in s about each, exactly: it is a sum of x^k q_k(s).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb, lcm, sqrt

import numpy as np

from slt.analytic.finite.fibres import Ints
from slt.analytic.finite.law import Array, LogVolume, Moments, Priors, from_sums
from slt.analytic.finite.priors import Gaussian

LARGEST_DEGREE = 128
"""Of K: beyond it powers of the ends of the Gaussian leave the range of float64."""

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_REACH = 8.0  # standard deviations: outside lies less than 1e-14 of the mass
_BEYOND = 1e-14
_TOLERANCE = 1e-8  # of one cell, relative to the whole
_MOST_CELLS = 60_000
_LARGEST_ERROR = 1e-4  # of the energy, relative: beyond it the sums are no answer
# A zero of K between the points of a cell bends log K, which without one is nearly a plane, by more than this from
# point to point: cells as bent are halved, whatever their halves gave so far, until next to no mass is left in them.
_BENT = 2.75
_LITTLE = 1e-7
_CHUNK = 500  # cells evaluated at once


@dataclass(frozen=True)
class Sectors:
    """A polynomial K >= 0 of two parameters with K(0) = 0.

    Attributes:
        terms: ((i, j), c) for each term c x^i y^j.
    """

    terms: tuple[tuple[tuple[int, int], Fraction], ...]
    dimension: int = 2
    direct: bool = False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """By cells; None for a prior that is no Gaussian, and where K is found to be negative."""
        if any(type(prior) is not Gaussian for prior in priors):
            return None
        of_x, of_y = [prior.precision for prior in priors if isinstance(prior, Gaussian)]
        found = [pair for pair in (_sums(self.terms, (of_x, of_y), float(b)) for b in nbeta) if pair is not None]
        if len(found) < len(nbeta):
            return None
        sums, errors = (np.stack([pair[i] for pair in found], -1) for i in (0, 1))
        # what is left of a sum that is mostly error is no answer
        unknown = errors[0] / sums[0] + errors[1] / sums[1] > _LARGEST_ERROR
        return from_sums(sums, np.where(unknown, np.inf, errors))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """None: not available."""
        del eps, priors
        return None


@dataclass(frozen=True)
class _Sector:
    """K = sum_kl q_kl x^k s^l for y = x (c + s) / 2; with x and y exchanged if `swapped`."""

    coefficients: Array
    center: int
    swapped: bool

    def losses(self, x: Array, s: Array) -> Array:
        """K at the products of points, x (cells, points) and s (cells, points) to (cells, points, points)."""
        return _powers(x, 0, self.coefficients) @ self.coefficients @ _powers(s, 1, self.coefficients).swapaxes(1, 2)

    def roundings(self, x: Array, s: Array) -> Array:
        """A bound on the rounding errors of K at all |x| and |s| below the given ones, (cells,) to (cells,)."""
        size = _Sector(np.abs(self.coefficients), self.center, self.swapped).losses(x[:, None], s[:, None])[:, 0, 0]
        # two inner products, and a few roundings for coefficients, points and powers
        steps = sum(self.coefficients.shape) * 2 + 8
        return steps * np.finfo(float).eps * size


def _powers(points: Array, axis: int, coefficients: Array) -> Array:
    return points[..., None] ** np.arange(coefficients.shape[axis])


@lru_cache(maxsize=8)
def _sectors(terms: tuple[tuple[tuple[int, int], Fraction], ...]) -> tuple[_Sector, ...]:
    swapped = tuple(((j, i), c) for (i, j), c in terms)
    return tuple(_Sector(_expanded(dict(f), c), c, f is swapped) for f in (terms, swapped) for c in range(-2, 3))


def _expanded(terms: Mapping[tuple[int, int], Fraction], center: int) -> Array:
    """The q_kl, from integers, rounded once."""
    degree, rows = max(i + j for i, j in terms), max(j for _, j in terms) + 1
    common = lcm(*(c.denominator for c in terms.values()))
    by_degree = np.zeros((degree + 1, rows), object)
    for (i, j), c in terms.items():
        by_degree[i + j, j] = int(c * common) * 2 ** (degree - j)
    shift = [
        [comb(j, power) * center ** (j - power) if power <= j else 0 for power in range(rows)] for j in range(rows)
    ]
    moved = by_degree @ np.array(shift, object)
    denominator = common * 2**degree
    return np.array([[float(Fraction(c, denominator)) if c else 0.0 for c in row] for row in moved])


@dataclass(frozen=True)
class _Cells:
    """Rectangles of (x, s) in the sectors: the corner, both widths, and the sector that each is in."""

    x: Array
    s: Array
    wide: Array
    high: Array
    sector: Array

    @classmethod
    def first(cls, sectors: tuple[_Sector, ...], precisions: tuple[float, float]) -> "_Cells":
        """Four from 0 to the reach of the Gaussian, in both directions, in each sector."""
        rows = []
        for k, sector in enumerate(sectors):
            width = _REACH / sqrt(precisions[sector.swapped]) / 4
            low = -0.5 if sector.center > -2 else 0.0
            high = 0.5 if sector.center < 2 else 0.0
            rows += [(i * width, low, width, high - low, k) for i in range(-4, 4)]
        return cls(*np.array(rows).T)

    def quarters(self) -> "_Cells":
        """All lower left quarters, then all lower right ones, and so on."""
        wide, high = self.wide / 2, self.high / 2
        return _Cells(
            np.concatenate([self.x, self.x + wide] * 2),
            np.concatenate([self.s, self.s, self.s + high, self.s + high]),
            np.tile(wide, 4),
            np.tile(high, 4),
            np.tile(self.sector, 4),
        )

    def select(self, rows: Ints) -> "_Cells":
        return _Cells(self.x[rows], self.s[rows], self.wide[rows], self.high[rows], self.sector[rows])


@dataclass(frozen=True)
class _Contents:
    """What cells hold: of (nbeta K)^j e^(-nbeta K) for j = 0, 1, 2, of a bound on their rounding errors, of the mass.

    Attributes:
        integrals: Shape (5, cells).
        bend: The range of log(nbeta K + 1) - the plane that fits it best, (cells,).
        negative: Whether some K is below 0 beyond rounding.
    """

    integrals: Array
    bend: Array
    negative: bool


def _sums(
    terms: tuple[tuple[tuple[int, int], Fraction], ...], precisions: tuple[float, float], nbeta: float
) -> tuple[Array, Array] | None:
    """E[(nbeta K)^j e^(-nbeta K)] for j = 0, 1, 2, and bounds on their errors; None if K is negative somewhere.

    A cell is compared with its quarters, and the change, which is much larger than what is left, is the error.

    Returns:
        Two arrays (3,), or None.
    """
    sectors = _sectors(terms)
    cells = _Cells.first(sectors, precisions)
    held = _contents(sectors, cells, precisions, nbeta)
    known, total, error, count = held.integrals, np.zeros(5), np.zeros(5), len(cells.x)
    while len(cells.x):
        quarters = cells.quarters()
        count += len(quarters.x)
        held = _contents(sectors, quarters, precisions, nbeta)
        if held.negative:
            return None
        sums = held.integrals.reshape(5, 4, -1).sum(1)
        change, whole = np.abs(sums - known), total + sums.sum(1)
        bent = held.bend.reshape(4, -1).max(0) > _BENT
        bad = (change[:2] > _TOLERANCE * whole[:2, None]).any(0)
        bad |= bent & (sums[4] > _LITTLE * whole[:2].min())
        bad &= count <= _MOST_CELLS
        total += sums[:, ~bad].sum(1)
        # e^-k, k e^-k and k^2 e^-k are at most 1: all the mass of a cell that may still hide something is error
        error += change[:, ~bad].sum(1) + sums[4, ~bad & bent].sum()
        again = np.flatnonzero(np.tile(bad, 4))
        cells, known = quarters.select(again), held.integrals[:, again]
    return total[:3], error[:3] + total[3] + _BEYOND


def _contents(sectors: tuple[_Sector, ...], cells: _Cells, precisions: tuple[float, float], nbeta: float) -> _Contents:
    integrals, bend, negative = np.empty((5, len(cells.x))), np.empty(len(cells.x)), False
    for k, sector in enumerate(sectors):
        rows = np.flatnonzero(cells.sector == k)
        own = (precisions[1], precisions[0]) if sector.swapped else precisions
        for part in np.array_split(rows, len(rows) // _CHUNK + 1):
            held = _of_sector(sector, cells.select(part), own, nbeta)
            integrals[:, part], bend[part] = held.integrals, held.bend
            negative |= held.negative
    return _Contents(integrals, bend, negative)


def _of_sector(sector: _Sector, cells: _Cells, precisions: tuple[float, float], nbeta: float) -> _Contents:
    x = cells.x[:, None] + cells.wide[:, None] * (1 + _POINTS) / 2
    s = cells.s[:, None] + cells.high[:, None] * (1 + _POINTS) / 2
    furthest = [np.maximum(np.abs(a), np.abs(a + b)) for a, b in ((cells.x, cells.wide), (cells.s, cells.high))]
    rounding = nbeta * sector.roundings(*furthest)[:, None, None]
    k = nbeta * sector.losses(x, s)
    slope = (sector.center + s) / 2
    exponent = (precisions[0] + precisions[1] * slope[:, None, :] ** 2) * x[:, :, None] ** 2 / 2
    area = cells.wide * cells.high / 4 * sqrt(precisions[0] * precisions[1]) / (4 * np.pi)  # ds/2 is the slope's
    mass = np.exp(-exponent) * area[:, None, None] * (_WEIGHTS * np.abs(x))[:, :, None] * _WEIGHTS
    bounded = np.clip(k, 0.0, 700.0)
    base = mass * np.exp(-bounded)
    noise = 2 * base * np.minimum(rounding, 700.0) * (1 + bounded) ** 2
    values = base, base * bounded, base * bounded**2, noise, mass
    integrals = np.stack([value.sum((1, 2)) for value in values])
    return _Contents(integrals, _bend(np.log1p(np.maximum(k, 0.0))), bool((k < -rounding).any()))


def _bend(values: Array) -> Array:
    """The range of what is left of values at the points of each cell after the plane that fits best."""
    weights = _WEIGHTS[:, None] * _WEIGHTS / 4
    mean = (values * weights).sum((1, 2))
    along_x, along_s = (3 * (values * weights * p).sum((1, 2)) for p in (_POINTS[:, None], _POINTS))
    plane = mean[:, None, None] + along_x[:, None, None] * _POINTS[:, None] + along_s[:, None, None] * _POINTS
    return np.ptp(values - plane, axis=(1, 2))
