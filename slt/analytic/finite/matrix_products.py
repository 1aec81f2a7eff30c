"""Products of two Gaussian matrices near zero: K = |BA|^2, through the eigenvalues of one of the two Gram matrices."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, log1p, pi, prod, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from slt.analytic.finite.law import Array, LogVolume, Moments, Priors
from slt.analytic.finite.priors import Gaussian

_DEEP = 37.0
"""e^-37 is rounding."""
_MOST = 10**8
"""Grid points, beyond which an answer would take minutes."""
_NODES = 30
WIDEST = 3
"""The largest smallest width: as many logarithms are integrated over."""

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class MatrixProduct:
    r"""K(A, B) = |BA|_F^2, A of shape (hidden, inputs) and B of shape (outputs, hidden), row by row, A first.

    Given A the mean over B is Gaussian. With the eigenvalues of A A^T, in units of the prior's variances,

    .. math:: Z(\beta) = \mathbb{E} \prod_i (1 + 2 \beta \lambda_i)^{-M/2}

    and the same with A and B exchanged; there are as many eigenvalues as the smallest width. The law of
    lambda_1 > ... > lambda_s is Wishart's. In the logarithms of lambda_s and of the gaps above it the integrand
    is smooth on a scale of about 1 and has only positive factors, so the trapezoid rule converges geometrically,
    on a grid whose floor lies below 1/beta.
    """

    inputs: int
    outputs: int
    hidden: int

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return self.hidden * (self.inputs + self.outputs)

    @property
    def direct(self) -> bool:
        """Every value is an integral of its own."""
        return False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """By the trapezoid rule; None unless the prior is Gaussian with one precision for each matrix."""
        unit = _unit(self, priors)
        grids = [_Grid.of(self, float(b) / unit) for b in nbeta] if unit else []
        if not unit or any(grid is None for grid in grids):
            return None
        rows = [_moments(grid, float(b) / unit) for grid, b in zip(grids, nbeta, strict=True) if grid]
        return Moments(*np.array(rows).T)

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """By inverting the Laplace transform Z; None where `tempered` has none."""
        unit = _unit(self, priors)
        if not unit:
            return None
        rows = [_log_volume(self, float(e) * unit) for e in eps]
        if any(row is None for row in rows):
            return None
        return LogVolume(*np.array(rows, dtype=np.float64).T)


def law_at_zero(inputs: int, outputs: int, hidden: int) -> MatrixProduct | None:
    """The law of |BA|^2 around A = 0 and B = 0; None where the smallest width is above 3."""
    return MatrixProduct(inputs, outputs, hidden) if min(inputs, outputs, hidden) <= WIDEST else None


def _unit(law: MatrixProduct, priors: Priors) -> float | None:
    """The product of the two precisions, which divides nbeta."""
    split = law.hidden * law.inputs
    both = priors[:split], priors[split:]
    precisions = [{p.precision if isinstance(p, Gaussian) else None for p in own} for own in both]
    if any(len(found) > 1 or None in found for found in precisions):
        return None
    return prod(p for found in precisions for p in found if p is not None)


@dataclass(frozen=True)
class _Grid:
    """The nodes of the logarithms of lambda_s and of the gaps, which follow it upwards.

    Attributes:
        longer: The longer side of the matrix whose Gram matrix it is.
        power: The number of rows that the other matrix has.
        step: The distance of the nodes.
        nodes: One array an eigenvalue, the smallest first.
    """

    longer: int
    power: int
    step: float
    nodes: tuple[Array, ...]

    @classmethod
    def of(cls, law: MatrixProduct, beta: float) -> "_Grid | None":
        """A grid that is right at beta; None if it would be too large."""
        n, m, h = law.inputs, law.outputs, law.hidden
        (count, longer), power = min(((min(x, h), max(x, h)), y) for x, y in ((n, m), (m, n)))
        step = min(0.35, 0.42 * sqrt(2 / longer))
        bottom = -log1p(2 * beta * (power + 1))
        top = log(longer + count + 12 * sqrt(2 * (longer + count)) + 90)
        exponents = [(longer - count + 1) / 2] + [2.0] * (count - 1)
        sizes = [int((top - bottom + _DEEP / k) / step) + 2 for k in exponents]
        if prod(sizes) > _MOST:
            return None
        return cls(longer, power, step, tuple(top - step * np.arange(size, dtype=np.float64)[::-1] for size in sizes))

    def slices(self) -> Iterator[tuple[int, list[Array], Array]]:
        """For each lambda_s its place, the eigenvalues upwards, and the log of density times volume element."""
        count = len(self.nodes)
        exponent = (self.longer - count - 1) / 2
        half = self.longer / 2
        total = count * half * log(2) - count**2 / 2 * log(pi)  # the integral of the density without its constant
        total += _log_gamma(half, count) + _log_gamma(count / 2, count)
        shapes = [[-1 if axis == own else 1 for axis in range(count - 1)] for own in range(count - 1)]
        logs = [t.reshape(shape) for t, shape in zip(self.nodes[1:], shapes, strict=True)]
        for place, t in enumerate(self.nodes[0]):
            gaps = [np.exp(x) for x in logs]
            eigenvalues: list[Array] = [np.exp(t).reshape([1] * (count - 1))]
            for gap in gaps:
                eigenvalues.append(eigenvalues[-1] + gap)
            weight = t + count * log(self.step) - total + sum(2 * x for x in logs)  # volume element and neighbours
            weight = weight + sum(exponent * np.log(x) - x / 2 for x in eigenvalues)
            if count == 3:
                weight = weight + np.log(gaps[0] + gaps[1])
            yield place, eigenvalues, np.asarray(weight)


def _log_gamma(a: float, count: int) -> float:
    """The log of the multivariate gamma function."""
    return count * (count - 1) / 4 * log(pi) + sum(float(gammaln(a - i / 2)) for i in range(count))


def _moments(grid: _Grid, beta: float) -> list[float]:
    """Log Z, energy and variance, and how far they are from those of every second node; the tails beyond the floor."""
    half, top = grid.power / 2, -np.inf
    sums = np.zeros((3, 3))  # all nodes, every second, those at the floor
    for place, eigenvalues, weight in grid.slices():
        # at fixed eigenvalues beta K is a sum of gammas of mean half * pulled and variance half * pulled^2
        pulled = [2 * beta * x / (1 + 2 * beta * x) for x in eigenvalues]
        mean = half * sum(pulled)
        values = weight - half * sum(np.log1p(2 * beta * x) for x in eigenvalues)
        high = max(top, float(values.max()))
        density = np.exp(values - high)
        powers = [density, density * mean, density * (mean**2 + half * sum(p**2 for p in pulled))]
        sums *= np.exp(top - high)
        top = high
        sums += np.stack([_of_nodes(f, place) for f in powers], axis=-1)
    fine, coarse = sums[0], sums[1] * 2 ** len(grid.nodes)
    tails = sums[2] / grid.step * 2
    (z, energy, variance), others = _cumulants(fine, top), _cumulants(coarse, top)
    errors = [abs(a - b) + tail / fine[0] for a, b, tail in zip((z, energy, variance), others, tails, strict=True)]
    return [z, energy, variance, *(e + 1e-13 * abs(x) for e, x in zip(errors, (z, energy, variance), strict=True))]


def _cumulants(sums: Array, top: float) -> tuple[float, float, float]:
    z, one, two = sums.tolist()
    return log(z) + top, one / z, two / z - (one / z) ** 2


def _of_nodes(values: Array, place: int) -> Array:
    """Sums over one slice: over all its nodes, over every second in all directions, over those at the floor."""
    whole = values.sum()
    second = values[tuple([slice(None, None, 2)] * values.ndim)].sum() if place % 2 == 0 else 0.0
    floor = whole if place == 0 else sum(values.take(0, axis).sum() for axis in range(values.ndim))
    return np.array([whole, second, floor])


def _log_volume(law: MatrixProduct, eps: float) -> tuple[float, float] | None:
    r"""Log of the integral of e^(s eps) Z(s)/s over the contour s = s* theta (cot theta + i) of Talbot (1979).

    It is compared with the midpoint rule of a third of the nodes, and with every second node of the grid.

    Returns:
        The value and its error; None where the grid would be too large.
    """
    place = 5 / eps
    grid = _Grid.of(law, place)
    for _ in range(3):  # towards the saddle point: s eps = E(s) + 1
        if grid is None:
            return None
        place = max(5.0, _moments(grid, place)[1] + 1) / eps
        grid = _Grid.of(law, place)
    if grid is None:
        return None
    theta = (np.arange(_NODES) + 0.5) * np.pi / _NODES
    turn = 1 / np.tan(theta)
    s = place * theta * (turn + 1j)
    front = np.exp(s * eps - place * eps) / s * place * (turn - theta / np.sin(theta) ** 2 + 1j)
    used = np.flatnonzero(np.abs(front) > 1e-18)
    z, second, top = _transforms(grid, s[used])
    terms, rough = np.zeros((2, _NODES))
    terms[used], rough[used] = (front[used] * z).imag, (front[used] * second).imag
    value = terms.sum() / _NODES
    error = abs(value - terms[1::3].sum() * 3 / _NODES) + abs(value - rough.sum() / _NODES)
    return log(value) + top + place * eps, error / value


def _transforms(grid: _Grid, s: Complex) -> tuple[Complex, Complex, float]:
    """Z at each s by all nodes and by every second one, over e^top."""
    sums, top = np.zeros((2, len(s)), np.complex128), -np.inf
    for place, eigenvalues, weight in grid.slices():
        high = max(top, float(weight.max()))
        density = np.exp(weight - high)
        sums *= np.exp(top - high)
        top = high
        for i, each in enumerate(s):
            logs: Complex = sum((np.log1p(2 * each * x) for x in eigenvalues), np.zeros((), np.complex128))
            values = density * np.exp(-grid.power / 2 * logs)
            sums[0, i] += values.sum()
            if place % 2 == 0:
                sums[1, i] += values[tuple([slice(None, None, 2)] * values.ndim)].sum()
    return sums[0], sums[1] * 2 ** len(grid.nodes), top
