"""Sums of squares: closed forms under a Gaussian, and the law of K by inverting its Laplace transform."""

from dataclasses import dataclass
from math import lgamma, log, pi, sqrt
from typing import Any

import numpy as np
from scipy.special import gammainc, hyp1f1

from slt.analytic.finite.closed_forms import quadratic_energies
from slt.analytic.finite.law import Array, LogVolume, Moments, Priors, total
from slt.analytic.finite.polynomials import polynomial
from slt.analytic.finite.priors import Gaussian, Uniform

_EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Quadratic:
    """K = 1/2 sum_i h_i w_i^2, h_i >= 0."""

    curvatures: tuple[float, ...]

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return len(self.curvatures)

    @property
    def direct(self) -> bool:
        """Many values cost little more than one."""
        return True

    def tempered(self, nbeta: Array, priors: Priors) -> Moments:
        """In closed form under a Gaussian; in a box coordinate by coordinate, by quadrature."""
        gamma = _precisions(priors)
        if gamma is None:
            curved = [(h, p) for h, p in zip(self.curvatures, priors, strict=True) if h > 0]
            laws = {pair: polynomial({(2,): pair[0] / 2}).tempered(nbeta, (pair[1],)) for pair in set(curved)}
            return total(nbeta, [laws[pair] for pair in curved])
        h = np.array(self.curvatures)
        pulled = 2 * quadratic_energies(h, nbeta[:, None], gamma)
        log_z = -0.5 * np.log1p(nbeta[:, None] * h / gamma).sum(1)
        energy, variance = pulled.sum(1) / 2, (pulled**2).sum(1) / 2
        sizes = np.abs(log_z), energy, variance
        return Moments(log_z, energy, variance, *(4 * _EPS * len(h) * size for size in sizes))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """Under a Gaussian always; in a box where the ellipsoid fits in, or in two curved directions at most."""
        gamma = _precisions(priors)
        if gamma is not None:
            scales = np.unique([h / g for h, g in zip(self.curvatures, gamma, strict=True) if h > 0])
            if len(scales) == 0:
                return LogVolume(np.zeros_like(eps), np.zeros_like(eps))
            if len(scales) == 1:
                return _ball(sum(h > 0 for h in self.curvatures) / 2, eps / scales[0])
            return _inverted(np.array([h / g for h, g in zip(self.curvatures, gamma, strict=True) if h > 0]), eps)
        boxes = [(h, p) for h, p in zip(self.curvatures, priors, strict=True) if h > 0 and isinstance(p, Uniform)]
        room = min((h * min(max(-p.low, 0), max(p.high, 0)) ** 2 / 2 for h, p in boxes), default=0.0)
        if boxes and (eps <= room).all():
            return _ellipsoid(boxes, eps)
        if not boxes or len(boxes) > 2:
            return None
        if len(boxes) == 2:
            return _disc(boxes, eps)
        return polynomial({(2,): boxes[0][0] / 2}).log_volume(eps, (boxes[0][1],))


def _precisions(priors: Priors) -> Array | None:
    gaussian = [p.precision for p in priors if isinstance(p, Gaussian)]
    return np.array(gaussian) if len(gaussian) == len(priors) else None


def _ball(half: float, x: Array) -> LogVolume:
    """Log of the regularised incomplete gamma function P(half, x), below its middle by the series in x."""
    small = np.minimum(x, half + 1)
    series = half * np.log(small) - small - lgamma(half + 1) + np.log(hyp1f1(1, half + 1, small))
    value = np.where(x < half + 1, series, np.log(gammainc(half, np.maximum(x, half + 1))))
    return LogVolume(value, 1e-14 * (1 + half + np.abs(value)))


def _ellipsoid(boxes: list[tuple[float, Uniform]], eps: Array) -> LogVolume:
    """The volume of the whole ellipsoid K < eps over that of the box."""
    d = len(boxes)
    ball = d / 2 * log(2 * pi) - lgamma(d / 2 + 1)
    value = d / 2 * np.log(eps) + ball - sum(log(h) / 2 + log(p.high - p.low) for h, p in boxes)
    return LogVolume(value, 8 * _EPS * (1 + np.abs(value)))


def _disc(boxes: list[tuple[float, Uniform]], eps: Array) -> LogVolume:
    """The area of a disc about 0 inside a rectangle, over that of the rectangle: a signed sum over its corners."""
    (left, right), (low, high) = ((p.low * sqrt(h / 2), p.high * sqrt(h / 2)) for h, p in boxes)
    corners = ((right, high, 1), (left, high, -1), (right, low, -1), (left, low, 1))
    parts = [sign * np.sign(x) * np.sign(y) * _quarter(abs(x), abs(y), np.sqrt(eps)) for x, y, sign in corners]
    area, whole = np.sum(parts, axis=0), (right - left) * (high - low)
    with np.errstate(divide="ignore", invalid="ignore"):
        return LogVolume(np.log(np.maximum(area, 0) / whole), 1e-14 * np.sum(np.abs(parts), axis=0) / area)


def _quarter(x: float, y: float, radius: Array) -> Array:
    """The area of the disc where 0 < u < x and 0 < v < y."""
    a, b = np.minimum(x, radius), np.minimum(y, radius)
    over = np.sqrt(np.maximum(radius**2 - a**2, 0)), np.sqrt(np.maximum(radius**2 - b**2, 0))
    round_corner = (a * over[0] + b * over[1] + radius**2 * (np.arcsin(a / radius) - np.arccos(b / radius))) / 2
    return np.where(a**2 + b**2 <= radius**2, a * b, round_corner)


def _inverted(a: Array, eps: Array) -> LogVolume:
    r"""Log P(1/2 sum a_i z_i^2 < eps), z_i standard normal.

    .. math:: P = \frac{1}{2 \pi i} \int e^{s \varepsilon} \prod_i (1 + a_i s)^{-1/2} \frac{ds}{s}

    on the contour s = s* theta (cot theta + i) of Talbot (1979) through the saddle point s*, or 5/eps if that is
    farther from the cut; there the midpoint rule converges geometrically. The error is what twice as many nodes change.

    Returns:
        One log volume for each eps.
    """
    saddle = np.maximum(_saddle(a, eps), 5 / eps)
    top = _exponent(a, eps, saddle[:, None])[:, 0].real
    coarse, fine = (_contour(a, eps, saddle, top, nodes) for nodes in (64, 128))
    error = np.abs(fine - coarse) / fine + 1e-14 * (1 + np.abs(top))
    return LogVolume(top + np.log(fine), error)


def _exponent(a: Array, eps: Array, s: Any) -> Any:
    logs = sum((n * np.log1p(s * x) for x, n in zip(*np.unique(a, return_counts=True), strict=True)), 0 * s)
    return s * eps[:, None] - logs / 2 - np.log(s)


def _saddle(a: Array, eps: Array) -> Array:
    """Where the exponent is stationary on the real axis: eps = 1/2 sum a_i/(1 + a_i s) + 1/s."""
    low, high = -np.log(eps), np.log((len(a) / 2 + 1) / eps)
    for _ in range(60):
        middle = (low + high) / 2
        s = np.exp(middle)[:, None]
        rises = (a / (1 + a * s)).sum(1) / 2 + 1 / s[:, 0] < eps
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    return np.exp((low + high) / 2)


def _contour(a: Array, eps: Array, saddle: Array, top: Array, nodes: int) -> Array:
    theta = (np.arange(nodes) + 0.5) * np.pi / nodes
    turn = 1 / np.tan(theta)
    s = saddle[:, None] * theta * (turn + 1j)
    speed = turn - theta / np.sin(theta) ** 2 + 1j
    values = np.exp(_exponent(a, eps, s) - top[:, None] + np.log(saddle)[:, None]) * speed
    return values.imag.sum(1) / nodes
