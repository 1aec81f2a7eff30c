"""Laws of sums, products and powers of losses in disjoint parameters, from the laws of their parts."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slt.analytic.finite import norms
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Array, Law, LogVolume, Moments, Priors, from_sums, total
from slt.analytic.finite.panels import SAMPLES, Ints, integrate
from slt.analytic.finite.placed import Placed
from slt.analytic.finite.polynomials import Polynomial
from slt.analytic.finite.quadratic import Quadratic

_NOTHING = 1e-16


def add(first: Law, second: Law) -> Law:
    """The law of K_1 + K_2."""
    if isinstance(first, Quadratic) and isinstance(second, Quadratic):
        return Quadratic(first.curvatures + second.curvatures)
    return Sum(first, second)


def multiply(first: Law, second: Law) -> Law:
    """The law of K_1 K_2."""
    if isinstance(first, NormalCrossing) and isinstance(second, NormalCrossing):
        return NormalCrossing(first.exponents + second.exponents, first.prior_exponents + second.prior_exponents)
    both = norms.as_norms(first), norms.as_norms(second)
    if both[0] is None or both[1] is None:
        return Product(first, second)
    return norms.product(both[0], both[1], Product(both[0].otherwise, both[1].otherwise))


def raise_to(law: Law, power: float) -> Law:
    """The law of K^power."""
    if isinstance(law, NormalCrossing):
        return replace(law, exponents=tuple(k * power for k in law.exponents))
    if isinstance(law, Polynomial | Power):
        return replace(law, power=law.power * power)
    if isinstance(law, Product):
        return Product(raise_to(law.first, power), raise_to(law.second, power))
    if isinstance(law, Placed):
        return replace(law, law=raise_to(law.law, power), constant=law.constant**power)
    alone = norms.as_norms(law)
    if alone is None:
        return Power(law, power)
    return norms.power(alone, power, Power(law, power) if alone.otherwise is law else raise_to(alone.otherwise, power))


@dataclass(frozen=True)
class _Pair:
    """Two losses in disjoint parameters, those of the first first."""

    first: Law
    second: Law

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return self.first.dimension + self.second.dimension

    @property
    def direct(self) -> bool:
        """Every value is an integral of its own."""
        return False

    def _split(self, priors: Priors) -> list[tuple[Law, Priors]]:
        d = self.first.dimension
        return [(self.first, priors[:d]), (self.second, priors[d:])]


class Sum(_Pair):
    """K_1 + K_2, the parameters of K_1 first."""

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """Log Z, energy and variance add."""
        parts = [law.tempered(nbeta, own) for law, own in self._split(priors)]
        return None if parts[0] is None or parts[1] is None else total(nbeta, [parts[0], parts[1]])

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """P = int P(K_2 < eps - a) dP(K_1 < a)."""
        if not (self.first.direct and self.second.direct):
            return None
        (first, own), (second, others) = self._split(priors)
        values = [_sum_volume(first, own, second, others, float(e)) for e in eps]
        return _stacked(values)


class Product(_Pair):
    """K_1 K_2, the parameters of K_1 first."""

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """The mean over K_1 = a of what K_2 gives at nbeta a."""
        if not (self.first.direct and self.second.direct):
            return None
        (first, own), (second, others) = self._split(priors)
        return _stacked_moments([self._one(first, own, second, others, float(b)) for b in nbeta])

    @staticmethod
    def _one(first: Law, own: Priors, second: Law, others: Priors, nbeta: float) -> "_Means | None":
        def given(v: Array) -> tuple[Array, Array] | None:
            m = second.tempered(nbeta * np.exp(v), others)
            if m is None:
                return None
            z = np.exp(m.log_z)
            values = np.stack([z, z * m.energy, z * (m.variance + m.energy**2)])
            return values, m.log_z_error + m.energy_error + m.variance_error

        return _mean_over(first, own, given)

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """P = int P(K_2 < eps/a) dP(K_1 < a)."""
        if not (self.first.direct and self.second.direct):
            return None
        (first, own), (second, others) = self._split(priors)

        def below(e: float) -> Callable[[Array], tuple[Array, Array] | None]:
            def given(v: Array) -> tuple[Array, Array] | None:
                volume = second.log_volume(e * np.exp(-v), others)
                return None if volume is None else (np.exp(volume.value)[None], volume.error)

            return given

        return _stacked([_mean_over(first, own, below(float(e))) for e in eps])


@dataclass(frozen=True)
class Power:
    """K^power of a law that has no closed form for it."""

    law: Law
    power: float

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return self.law.dimension

    @property
    def direct(self) -> bool:
        """Every value is an integral of its own."""
        return False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """The mean over K = a of e^(-nbeta a^power), and so on."""
        if not self.law.direct:
            return None

        def weight(b: float) -> Callable[[Array], tuple[Array, Array]]:
            def given(v: Array) -> tuple[Array, Array]:
                k = np.exp(np.minimum(self.power * v + np.log(b), 7.0))  # e^(-e^7) is 0
                base = np.exp(-k)
                return np.stack([base, base * k, base * k**2]), np.zeros_like(v)

            return given

        return _stacked_moments([_mean_over(self.law, priors, weight(float(b))) for b in nbeta])

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """That of K at eps^(1/power)."""
        return self.law.log_volume(eps ** (1 / self.power), priors)


_Means = tuple[Array, Array]
_Given = Callable[[Array], tuple[Array, Array] | None]


def _mean_over(law: Law, priors: Priors, given: _Given) -> _Means | None:
    """E[g(log K)] of functions g that decrease towards large K, with bounds on the errors.

    Args:
        law: Of K.
        priors: Of its parameters.
        given: The functions g, shape (functions, n), and the bound on their relative error, shape (n,).

    Returns:
        The means and bounds on their errors, shapes (functions,); None where a part is not available.
    """
    return _stieltjes(lambda v: law.log_volume(np.exp(v), priors), given, np.linspace(-300, 250, 551))


def _sum_volume(first: Law, own: Priors, second: Law, others: Priors, eps: float) -> _Means | None:
    """P(K_1 + K_2 < eps), with K_1 = eps / (1 + e^(-u)): fine near both ends."""

    def given(u: Array) -> tuple[Array, Array] | None:
        volume = second.log_volume(eps / (1 + np.exp(u)), others)
        return None if volume is None else (np.exp(volume.value)[None], volume.error)

    def below(u: Array) -> LogVolume | None:
        return first.log_volume(eps / (1 + np.exp(-u)), own)

    return _stieltjes(below, given, np.linspace(-300, 300, 601))


def _stieltjes(below: Callable[[Array], LogVolume | None], given: _Given, grid: Array) -> _Means | None:
    """The integral of g dF, log F = below and g = given, over the part of the grid that matters."""
    coarse, values = below(grid), given(grid)
    if coarse is None or values is None:
        return None
    with np.errstate(divide="ignore"):
        reached = coarse.value + np.log(values[0][0])
    start = np.flatnonzero(reached > np.max(reached) + np.log(_NOTHING))[0]
    stop = np.flatnonzero((coarse.value < coarse.value[-1] - _NOTHING) & (values[0][0] > 0))[-1]
    first, last = max(start - 1, 0), min(stop + 1, len(grid) - 1)
    worst = [0.0]

    def integrand(u: Array, piece: Ints) -> Array:
        del piece
        volume, here = below(u), given(u)
        if volume is None or here is None:
            raise RuntimeError("a law answered on the grid but not between.")
        worst.append(float(np.max(volume.error + here[1])))
        return here[0] * _slope(u, volume.value)

    edges = np.linspace(grid[first], grid[last], int(grid[last] - grid[first]) // 2 + 1)
    piece = np.zeros(len(edges) - 1, np.int64)
    value, error = integrate(integrand, edges[:-1], edges[1:], piece, tolerance=1e-11, most=4000)
    # below the first point g is taken as it is there; beyond the last one there is no mass, or g is nothing
    left, right = np.exp(coarse.value[first]), values[0][0, last] * np.ptp(np.exp(coarse.value[last:]))
    return value + left * values[0][:, first], error + left + right + max(worst) * np.abs(value)


def _slope(u: Array, log_value: Array) -> Array:
    """dF/du at the samples of panels from log F there, by differentiating the interpolation."""
    grid = u.reshape(-1, len(SAMPLES))
    per_unit = (SAMPLES[-1] - SAMPLES[-2]) / (grid[:, -1] - grid[:, -2])
    return ((np.exp(log_value).reshape(-1, len(SAMPLES)) @ _DIFFERENCES.T) * per_unit[:, None]).ravel()


def _differences() -> Array:
    """The matrix that takes the values of a polynomial at the nodes to its derivatives there."""
    gaps = SAMPLES[:, None] - SAMPLES[None, :] + np.eye(len(SAMPLES))
    scale = gaps.prod(1)
    matrix = scale[:, None] / scale[None, :] / gaps
    np.fill_diagonal(matrix, 0)
    return matrix - np.diag(matrix.sum(1))


_DIFFERENCES = _differences()


def _stacked(means: list[_Means | None]) -> LogVolume | None:
    known = [m for m in means if m is not None]
    if len(known) < len(means):
        return None
    value, error = (np.array([m[i][0] for m in known]) for i in (0, 1))
    return LogVolume(np.log(value), error / value)


def _stacked_moments(means: list[_Means | None]) -> Moments | None:
    known = [m for m in means if m is not None]
    if len(known) < len(means):
        return None
    return from_sums(np.stack([m[0] for m in known], -1), np.stack([m[1] for m in known], -1))
