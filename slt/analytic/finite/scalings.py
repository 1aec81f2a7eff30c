"""Polynomial losses of three parameters that a scaling of the coordinates multiplies by a number.

Where K(t^w_1 x, t^w_2 y, t^w_3 z) = t^D K(x, y, z), the plane at any x > 0 is the one at x = 1 in other units. With
a = w_2/w_1, b = w_3/w_1 and D counted in units of w_1,

    K(x, x^a y, x^b z) = x^D K(1, y, z)

and y and z are, in these units, again Gaussian or uniform, with other widths. So at every x the zeros lie where they
lie at x = 1, which is known exactly, and what is left is one integral over x in which nothing happens but near 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from slt.analytic.finite.law import Array, LogVolume, Moments, Priors, from_sums
from slt.analytic.finite.polynomials import Terms, degree, nonnegative, rough_sums
from slt.analytic.finite.priors import Gaussian, HalfGaussian, Prior, Uniform

Exponent = tuple[int, ...]

_FLAT = 0.1  # below it nbeta K changes too little to need a scale of its own
_REACH = 12.0  # standard deviations: beyond them lies less than 1e-32 of the mass
_STEP = 0.15  # in u of x = scale sinh(u)
_PANEL, _NODES = 2.0, 15
_FINE, _COARSE = 2.5, 3.5  # panels in y


@dataclass(frozen=True)
class Scaling:
    """K of three parameters, known from its planes at x = 1 and x = -1.

    Attributes:
        order: Which parameter x is, which y, and which z.
        planes: The terms of K(1, y, z) and of K(-1, y, z).
        powers: a and b.
        degree: D.
        terms: All exponents in the order x, y, z, and the sizes of their coefficients.
    """

    order: tuple[int, int, int]
    planes: tuple[Terms, Terms]
    powers: tuple[float, float]
    degree: float
    terms: tuple[tuple[Exponent, float], ...]

    @property
    def dimension(self) -> int:
        """Three."""
        return 3

    @property
    def direct(self) -> bool:
        """A value costs seconds."""
        return False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments:
        """By quadrature over x; errors are what coarser rules in x and in y, and a finer one in z, change."""
        own = tuple(priors[i] for i in self.order)
        pairs = [self._sums(float(b), own) for b in nbeta]
        return from_sums(np.stack([s for s, _ in pairs], -1), np.stack([e for _, e in pairs], -1))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """None: volumes have corners that these rules do not follow."""
        del eps, priors

    def _sums(self, nbeta: float, priors: Priors) -> tuple[Array, Array]:
        folded, even = self._folded(priors)
        sides = [self._side(sign, nbeta, folded, even) for sign in (1.0, -1.0)]
        total, error = (np.sum(parts, axis=0) for parts in zip(*sides, strict=True))
        return total, error

    def _folded(self, priors: Priors) -> tuple[Priors, bool]:
        """The priors, halved where reflections leave K and them as they are; and whether one reflects x."""
        flips = [
            flip
            for flip in product((False, True), repeat=3)
            if all(sum(k for k, f in zip(alpha, flip, strict=True) if f) % 2 == 0 for alpha, _ in self.terms)
        ]
        out = list(priors)
        even = any(f[0] and all(_half(p) for p, g in zip(priors[1:], f[1:], strict=True) if g) for f in flips)
        for i in range(3):
            # of the parameters that are folded already no sign is left to change
            if any(
                f[i] and not any(f[:i]) and all(_half(p) for p, g in zip(priors, f, strict=True) if g) for f in flips
            ):
                out[i] = _half(priors[i]) or priors[i]
        return tuple(out), even

    def _side(self, sign: float, nbeta: float, priors: Priors, even: bool) -> tuple[Array, Array]:
        """The part of sign * x > 0: sums and errors."""
        low, high = _ends(priors[0], sign)
        if low >= high:
            return np.zeros(3), np.zeros(3)
        scale = self._scale(nbeta, priors, high)
        smooth = isinstance(priors[0], Gaussian) and (even or not isinstance(priors[0], HalfGaussian))
        u, weights = (_trapezoid if smooth else _panels)(
            float(np.arcsinh(low / scale)), float(np.arcsinh(high / scale))
        )
        x = scale * np.sinh(u)
        weights = weights * scale * np.cosh(u) * priors[0].density(sign * x)

        def planes(rows: NDArray[np.int64], width: float, cut: int = 1) -> Array:
            found = []
            for at in x[rows]:
                own = tuple(_stretched(prior, at**-p) for prior, p in zip(priors[1:], self.powers, strict=True))
                found.append(rough_sums(self.planes[sign < 0], own, nbeta * at**self.degree, width, cut))
            return np.stack(found, 1)

        every, sparse = planes(np.arange(len(x)), _FINE), np.flatnonzero(weights[1])
        heavy = np.argsort(every[0] * weights[0])[-3:]
        total = every @ weights[0]
        error = np.abs(every @ (weights[0] - weights[1]))[:3]
        error += np.abs(planes(sparse, _COARSE) - every[:, sparse])[:3] @ weights[1, sparse]
        inside = np.abs(planes(heavy, _FINE, cut=2) - every[:, heavy])[:3] / every[:3, heavy]
        return total[:3], error + inside.max(1) * total[:3] + total[3] + 1e-32

    def _scale(self, nbeta: float, priors: Priors, high: float) -> float:
        """The x below which nbeta K changes by less than a tenth, wherever y and z are."""
        reach = [max(_ends(prior, sign)[1] for sign in (1.0, -1.0)) for prior in priors]
        grows = [(alpha, c) for alpha, c in self.terms if alpha[0]]
        others = [c * reach[1] ** alpha[1] * reach[2] ** alpha[2] for alpha, c in grows]
        low, high = -740.0, float(np.log(min(high, priors[0].unit)))
        while high - low > 0.1:
            middle = (low + high) / 2
            change = sum(c * np.exp(middle * alpha[0]) for (alpha, _), c in zip(grows, others, strict=True))
            low, high = (middle, high) if nbeta * change < _FLAT else (low, middle)
        return float(np.exp(low))


def scaling(terms: Mapping[Exponent, Fraction], *, orthant: bool = False) -> Scaling | None:
    """The law of K = sum c x^i y^j z^k, if its exponents (i, j, k) lie in a plane of space.

    So do any three terms, and all terms of a homogeneous polynomial.

    Args:
        terms: The coefficient of each exponent, shape (3,).
        orthant: Whether the law is asked about x, y, z >= 0 only.

    Returns:
        None where they do not, or where K is negative somewhere.
    """
    found = [_turned(terms, w, outer) for w in _weights(list(terms)) for outer in range(3) if w[outer]]
    found.sort(key=lambda law: (max(degree(plane) for plane in law.planes), sum(map(abs, law.powers))))
    if not found or not all(nonnegative(dict(plane), orthant) for plane in found[0].planes[: 2 - orthant]):
        return None
    return found[0]


def _weights(exponents: list[Exponent]) -> list[tuple[int, ...]]:
    """Integers w, not all 0, whose product with every exponent is the same; as few of them other than 0 as may be."""
    first, *rest = (np.array(alpha, dtype=np.int64) for alpha in exponents)
    normals = [np.cross(a - first, b) for a in rest for b in [*(c - first for c in rest), *np.eye(3, dtype=np.int64)]]
    level = {tuple(w.tolist()) for w in normals if w.any() and all(w @ (a - first) == 0 for a in rest)}
    return sorted(level, key=lambda w: (sum(1 for x in w if x), w))


def _turned(terms: Mapping[Exponent, Fraction], w: tuple[int, ...], outer: int) -> Scaling:
    """The law with this coordinate as x."""
    order = (outer, *(i for i in range(3) if i != outer))
    x, y, z = order
    planes = tuple(
        tuple(sorted(((alpha[y], alpha[z]), c * sign ** alpha[x]) for alpha, c in terms.items())) for sign in (1, -1)
    )
    alpha = next(iter(terms))
    return Scaling(
        order=(x, y, z),
        planes=(planes[0], planes[1]),
        powers=(w[y] / w[x], w[z] / w[x]),
        degree=sum(a * b for a, b in zip(w, alpha, strict=True)) / w[x],
        terms=tuple((tuple(alpha[i] for i in order), abs(float(c))) for alpha, c in terms.items()),
    )


def _ends(prior: Prior, sign: float) -> tuple[float, float]:
    """Where sign * w > 0 begins and ends under the prior; not in this order where it has no such part."""
    if isinstance(prior, Gaussian):
        return (0.0, _REACH * prior.unit) if sign > 0 or prior.low < 0 else (0.0, 0.0)
    low, high = (prior.low, prior.high) if sign > 0 else (-prior.high, -prior.low)
    return max(low, 0.0), max(high, 0.0)


def _stretched(prior: Prior, factor: float) -> Prior:
    """The law of factor * w."""
    if isinstance(prior, Gaussian):
        return replace(prior, precision=prior.precision / factor**2)
    return Uniform(prior.low * factor, prior.high * factor)


def _half(prior: Prior) -> Prior | None:
    """The law of |w| where w and -w have the same; None where they do not."""
    if isinstance(prior, Gaussian):
        return None if isinstance(prior, HalfGaussian) else HalfGaussian(prior.precision)
    return Uniform(0.0, prior.high) if prior.low == -prior.high else None


def _trapezoid(low: float, high: float) -> tuple[Array, Array]:
    """Points in u from 0, for what is smooth across 0 and dies out before `high`.

    Returns:
        The points, and the weights of two rules, shape (2, points): of one step, and of two.
    """
    del low
    u = np.arange(int(high / _STEP) + 1, dtype=np.float64) * _STEP
    weights = np.stack([np.full(len(u), _STEP), np.where(np.arange(len(u)) % 2 == 0, 2 * _STEP, 0.0)])
    weights[:, 0] /= 2
    u[0] = 1e-6  # the plane at 0 itself has no units; on this scale nothing has happened yet
    return u, weights


def _panels(low: float, high: float) -> tuple[Array, Array]:
    """Points in u, on panels.

    Returns:
        The points, and the weights of two rules, shape (2, points), both Fejer's, of 15 and of 7 points a panel.
    """
    edges = np.linspace(low, high, int(np.ceil((high - low) / _PANEL)) + 1)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    points, weights = _fejer(_NODES)
    sparse = np.zeros_like(weights)
    sparse[1::2] = _fejer(_NODES // 2)[1]
    return (middle + half * points).ravel(), np.stack([(half * w).ravel() for w in (weights, sparse)])


def _fejer(nodes: int) -> tuple[Array, Array]:
    """Points cos(k pi / (n + 1)) on [-1, 1], in order, and their weights."""
    points = -np.cos(np.arange(1, nodes + 1) * np.pi / (nodes + 1))
    integrals = np.zeros(nodes)
    integrals[0] = 2.0  # of Legendre polynomials
    weights = np.linalg.solve(np.polynomial.legendre.legvander(points, nodes - 1).T, integrals)
    return points, weights.astype(np.float64)
