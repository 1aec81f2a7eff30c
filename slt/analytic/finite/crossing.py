"""Monomials of any number of parameters, from their Mellin transform, which is a product of known functions."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, loggamma, logsumexp

from slt.analytic.finite.closed_forms import crossing_moments
from slt.analytic.finite.law import Array, LogVolume, Moments, Priors, from_sums
from slt.analytic.finite.polynomials import Polynomial
from slt.analytic.finite.priors import Gaussian, Prior, Uniform

Complex = NDArray[np.complex128]
_EPS = np.finfo(float).eps
_MOST_POINTS = 1 << 16


@dataclass(frozen=True)
class NormalCrossing:
    """K = prod_i |w_i|^(k_i), under the prior times prod_i |w_i|^(h_i), normalised.

    Attributes:
        exponents: k_i >= 0.
        prior_exponents: h_i > -1.
    """

    exponents: tuple[float, ...]
    prior_exponents: tuple[float, ...]

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return len(self.exponents)

    @property
    def direct(self) -> bool:
        """Whether it is a power of one variable, uniform or Gaussian."""
        return len(self.exponents) == 1 and not any(self.prior_exponents)

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        r"""By the inverse of the Mellin transform M(s) = E[K^(-s)], up to its first pole a product of means.

        .. math:: E[(n\beta K)^j e^{-n\beta K}] = \frac{1}{2 \pi i} \int \Gamma(s + j) M(s) (n\beta)^{-s} ds

        Returns:
            None in a box that leaves out 0 in some direction: the transform has no pole then, and its parts cancel.
        """
        if self.direct:
            return self._power().tempered(nbeta, priors)
        gaussian = [p.precision for p in priors if isinstance(p, Gaussian)]
        if self.exponents == (2, 2) and not any(self.prior_exponents) and len(gaussian) == 2:
            t = gaussian[0] * gaussian[1] / (8 * nbeta)
            if (t <= 1).all():
                return crossing_moments(t)
        if not all(p.low <= 0 <= p.high for _, _, p in self._coordinates(priors)):
            return None
        sums = [self._inverse(priors, lambda s: loggamma(s), -log(b), 3) for b in nbeta.tolist()]
        values, errors = np.stack([v for v, _, _ in sums], -1), np.stack([e for _, e, _ in sums], -1)
        return from_sums(values, errors, np.array([peak for *_, peak in sums]))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """By the same inverse with 1/s for Gamma(s); in a box in closed form."""
        if self.direct:
            return self._power().log_volume(eps, priors)
        if any(isinstance(p, Uniform) for p in priors):
            return self._log_box_volume(eps, priors)
        sums = [self._inverse(priors, lambda s: -np.log(s), log(e), 1) for e in eps.tolist()]
        value, error = np.array([v[0] for v, _, _ in sums]), np.array([e[0] for _, e, _ in sums])
        return LogVolume(np.log(value) + np.array([peak for *_, peak in sums]), error / value)

    def _power(self) -> Polynomial:
        return Polynomial((((2, 0), Fraction(1)),), 1, float(self.exponents[0]) / 2)

    def _coordinates(self, priors: Priors) -> list[tuple[float, float, Prior]]:
        listed = zip(self.exponents, self.prior_exponents, priors, strict=True)
        return [(float(k), float(h), p) for k, h, p in listed if k > 0]

    def _inverse(
        self, priors: Priors, kernel: Callable[[Complex], Complex], log_scale: float, count: int
    ) -> tuple[Array, Array, float]:
        """(1/2 pi i) int e^(kernel(s) + s log_scale) M(s) s (s+1) ... ds, the first `count` of these, with errors.

        On the vertical line through the saddle point, where the trapezoidal rule converges geometrically.

        Returns:
            Values and bounds on their errors, shapes (count,), both over e^peak, and the peak.
        """
        parts = self._coordinates(priors)

        def exponent(s: Complex) -> Complex:
            return kernel(s) + s * log_scale + sum(_log_mellin(s, k, h, p) for k, h, p in parts)

        pole = min((h + 1) / k for k, h, _ in parts)
        place = _saddle(exponent, pole)
        step = 2 * np.pi * min(place, pole - place) / 60
        points = 256
        while True:
            s = np.asarray(place + 1j * step * np.arange(points), np.complex128)
            log_values = exponent(s)
            values = np.exp(log_values - log_values[0].real) * step / np.pi
            values[0] /= 2
            out = values * np.array([np.ones_like(s), s, s * (s + 1)])[:count]
            sizes = np.abs(out)
            # all factors together decay faster and faster at first, then like an exponential of the height
            if (sizes[:, -1] * points < 1e-18 * sizes.sum(1)).all() or points >= _MOST_POINTS:
                break
            points *= 2
        fine, coarse = out.real.sum(1), 2 * out.real[:, ::2].sum(1)
        error = np.abs(fine - coarse) + 1e-14 * sizes.sum(1) + points * sizes[:, -1]
        return fine, error, float(log_values[0].real)

    def _log_box_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """A sum of exponential variables: -log(|w_i|/b) of w_i uniform on [0, b]; any box is a signed mixture."""
        parts = self._coordinates(priors)
        mixtures = [[(w, k * log(end)) for w, end in _ends(p, h)] for k, h, p in parts]
        if np.prod([len(m) for m in mixtures]) > 4096:
            return None
        rates = np.array([(h + 1) / k for k, h, _ in parts])
        value, size = np.zeros(len(eps)), np.zeros(len(eps))
        for choice in product(*mixtures):
            weight = float(np.prod([w for w, _ in choice]))
            beyond = np.exp(_log_survival(rates, sum(shift for _, shift in choice) - np.log(eps)))
            value, size = value + weight * beyond, size + abs(weight) * beyond
        with np.errstate(divide="ignore"):
            return LogVolume(np.log(value), 1e-13 * size / value)


def _ends(prior: Prior, h: float) -> list[tuple[float, float]]:
    """The law of |w| as sum of weight * (that of w^h on [0, end], normalised), one for each end that is not 0."""
    signed = [(np.sign(end) * side * abs(end) ** (h + 1), abs(end)) for end, side in ((prior.high, 1), (prior.low, -1))]
    mass = sum(w for w, _ in signed)
    merged: dict[float, float] = {}
    for w, end in signed:
        if end:
            merged[end] = merged.get(end, 0.0) + w / mass
    return [(w, end) for end, w in merged.items()]


def _log_mellin(s: Complex, k: float, h: float, prior: Prior) -> Complex:
    """The log of E|w|^(-k s)."""
    if isinstance(prior, Gaussian):
        return loggamma((h + 1 - k * s) / 2) - gammaln((h + 1) / 2) - k * s / 2 * log(2 / prior.precision)
    means = sum(w * np.exp(-k * s * log(end)) for w, end in _ends(prior, h)) * (h + 1) / (h + 1 - k * s)
    return np.log(means)


def _saddle(exponent: Callable[[Complex], Complex], pole: float) -> float:
    """The minimum of the exponent, which is convex between 0 and the pole."""

    def real(s: float) -> float:
        return float(exponent(np.array([s + 0j]))[0].real)

    found: Any = minimize_scalar(real, bounds=(0, pole), method="bounded")
    return float(found.x)


def _log_survival(rates: Array, level: Array) -> Array:
    """The log of P(sum_i E_i > level), E_i exponential with the given rates: a chain that leaves state i at rate i.

    Seen at the events of a Poisson process of the largest rate it is a Markov chain: a sum of positive terms.

    Returns:
        Shape (levels,).
    """
    fastest = rates.max()
    mean = fastest * np.maximum(level, 0.0)
    count = int(np.ceil(mean.max() + 12 * np.sqrt(mean.max()) + 60))
    stay, go = 1 - rates / fastest, rates / fastest
    state, alive = np.zeros(len(rates)), np.empty(count)
    state[0] = 1.0
    for n in range(count):
        alive[n] = state.sum()
        state = state * stay + np.concatenate([[0.0], (state * go)[:-1]])
    n = np.arange(count)
    with np.errstate(divide="ignore"):
        terms = n * np.log(np.maximum(mean, 1e-300))[:, None] - mean[:, None] - gammaln(n + 1) + np.log(alive)
    return np.where(level <= 0, 0.0, logsumexp(terms, axis=1))
