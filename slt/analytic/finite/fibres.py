"""Integrals over y at many fixed x at once, of a loss K(y) = c prod_i |g_i(y)|^(p_i) with polynomials g_i.

K is small near roots of the g_i, on a scale that shrinks as nbeta grows and differs from root to root. So the line
is cut at the real parts of all roots, and each half of a cut is measured from its end: K is evaluated by its
expansion there, whose constant term is exactly 0 at a real root, so that it is right relative to itself
however close to the root.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slt.analytic.finite.panels import NODES, gauss
from slt.analytic.finite.priors import Prior
from slt.errors import InputError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_FLAT = 0.1  # below it nbeta K changes too little to need a scale of its own
_DEAD = 120.0  # e^-120 is nothing
_ROUNDING = 8 * np.finfo(float).eps


@dataclass(frozen=True)
class Fibres:
    """A loss on many lines: shape (lines, degree + 1) for each factor, lowest degree first.

    `sizes` are the same with every term taken by its absolute value: rounding errors are relative to these.
    """

    constant: float
    powers: tuple[float, ...]
    coefficients: tuple[Array, ...]
    sizes: tuple[Array, ...]
    signed: tuple[bool, ...]

    @property
    def degree(self) -> int:
        """The number of roots on each line, counted once."""
        return sum(a.shape[1] - 1 for a in self.coefficients)

    @property
    def total_degree(self) -> float:
        """The number of roots on each line, each as often as it occurs: the degree of K in y."""
        return sum(p * (a.shape[1] - 1) for p, a in zip(self.powers, self.coefficients, strict=True))


@dataclass(frozen=True)
class Pieces:
    """Intervals of the lines, each measured from its end `start` in the direction `sign`, over `length`."""

    fibres: Fibres
    line: Ints
    start: Array
    sign: Array
    length: Array
    expansions: tuple[Array, ...]
    sizes: tuple[Array, ...]

    def select(self, rows: Ints) -> "Pieces":
        """Some of the pieces, or each several times."""
        return Pieces(
            fibres=self.fibres,
            line=self.line[rows],
            start=self.start[rows],
            sign=self.sign[rows],
            length=self.length[rows],
            expansions=tuple(a[rows] for a in self.expansions),
            sizes=tuple(a[rows] for a in self.sizes),
        )

    def losses(self, distance: Array) -> Array:
        """K at a distance from each start; distance (pieces,) or (pieces, points)."""
        out = np.full(np.shape(distance), self.fibres.constant)
        for power, c in zip(self.fibres.powers, self.expansions, strict=True):
            out *= np.abs(_polynomial(c, distance)) ** power
        return out

    def majorant(self, distance: Array) -> Array:
        """The same with every term of the expansions taken by its absolute value."""
        out = np.full(np.shape(distance), self.fibres.constant)
        for power, c in zip(self.fibres.powers, self.expansions, strict=True):
            out *= _polynomial(np.abs(c), distance) ** power
        return out

    def losses_with_errors(self, distance: Array) -> tuple[Array, Array]:
        """K and a bound on what rounding does to it.

        Returns:
            Two arrays of the shape of the distance.

        Raises:
            InputError: If K is negative somewhere, beyond rounding.
        """
        values = [_polynomial(c, distance) for c in self.expansions]
        errors = [_ROUNDING * _polynomial(s, distance) for s in self.sizes]
        powers = self.fibres.powers
        parts = [np.abs(v) ** p for v, p in zip(values, powers, strict=True)]
        loss = self.fibres.constant * np.prod(parts, axis=0)
        error = np.zeros_like(loss)
        for v, e, p, part in zip(values, errors, powers, parts, strict=True):
            rest = np.divide(loss, part, out=np.zeros_like(loss), where=part > 0)
            error += np.abs((np.abs(v) + e) ** p - part) * rest
        below, clear = np.zeros(loss.shape, bool), np.ones(loss.shape, bool)
        for v, e, signed in zip(values, errors, self.fibres.signed, strict=True):
            if signed:
                below, clear = below ^ (v < 0), clear & (np.abs(v) > 4 * e)
        if (below & clear).any():
            raise InputError("the polynomial K must be >= 0 everywhere, got one that changes sign.")
        return loss, error


def _polynomial(c: Array, x: Array) -> Array:
    shape = c.shape[:1] + (1,) * (x.ndim - 1)
    value = np.zeros_like(x)
    for j in range(c.shape[1] - 1, -1, -1):
        value = value * x + c[:, j].reshape(shape)
    return value


def moments(fibres: Fibres, prior: Prior, nbeta: float | Array, cut: int) -> Array:
    """E[(nbeta K)^j e^(-nbeta K)] over y on each line for j = 0, 1, 2, and a bound on their rounding errors.

    Each piece is cut into panels of equal width in u, distance = scale sinh(u); `cut` times as many as usual.
    nbeta is one number, or one a line.

    Returns:
        Shape (4, lines).
    """
    pieces = _halves(fibres, prior)
    lines = len(fibres.coefficients[0])
    inverse = np.broadcast_to(nbeta, (lines,))[pieces.line]
    scale, reach = _scales(pieces, inverse, prior.unit)
    width = 2.0 / max(fibres.total_degree, 2.0)
    top = np.arcsinh(reach / scale)
    count = cut * np.maximum(np.ceil(top / width), 1).astype(np.int64)
    rows = np.repeat(np.arange(len(count)), count)
    index = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    step = (top / count)[rows]
    out = np.zeros((4, lines))
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) * NODES // 40_000)):
        r = rows[part]
        u, weights = gauss(index[part] * step[part], (index[part] + 1) * step[part])
        panels, s = pieces.select(r), scale[r][:, None]
        distance = np.minimum(s * np.sinh(u), panels.length[:, None])
        weights = weights * s * np.cosh(u) * prior.density(panels.start[:, None] + panels.sign[:, None] * distance)
        loss, error = panels.losses_with_errors(distance)
        tempered = inverse[r][:, None]
        k = np.minimum(tempered * loss, 700.0)
        base = weights * np.exp(-k)
        values = base, base * k, base * k**2, 2 * base * tempered * error * (1 + k) ** 2
        for row, value in zip(out, values, strict=True):
            row += np.bincount(panels.line, value.sum(1), len(row))
    return out


def masses(fibres: Fibres, prior: Prior, eps: Array) -> Array:
    """The mass of {y: K(y) < eps} on each line, eps (lines,) or one for all, and a bound on its rounding error.

    Between two neighbours among the roots and the critical points K is monotone, so it crosses eps at most once.

    Returns:
        Shape (2, lines).
    """
    pieces = _monotone(fibres, prior)
    level = np.broadcast_to(eps, (len(fibres.coefficients[0]),))[pieces.line]
    reach = _crossings(pieces, level)
    mass = prior.mass(pieces.start, pieces.sign * reach)
    noise = 1e-14 * mass
    error = np.maximum(*(pieces.losses_with_errors(place)[1] for place in (np.zeros_like(reach), reach)))
    rough = np.flatnonzero(error > 1e-14 * level)
    if len(rough):
        some = pieces.select(rough)
        both = [_crossings(some, level[rough] + side * error[rough]) for side in (-1, 1)]
        noise[rough] += np.subtract(*(prior.mass(some.start, some.sign * place) for place in reversed(both)))
    total = np.zeros((2, len(fibres.coefficients[0])))
    for row, values in zip(total, (mass, noise), strict=True):
        row += np.bincount(pieces.line, values, len(row))
    return total


def _crossings(pieces: Pieces, level: Array) -> Array:
    """The distance from each start up to which K < level, at most the length of the piece."""
    low, high = np.full(len(level), -740.0), np.zeros(len(level))
    for _ in range(63):
        middle = (low + high) / 2
        above = pieces.losses(pieces.length * np.exp(middle)) > level
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    reach = np.exp((low + high) / 2) * pieces.length
    reach = np.where(pieces.losses(pieces.length) <= level, pieces.length, reach)
    return np.where(pieces.losses(np.zeros(len(level))) >= level, 0.0, reach)


def _scales(pieces: Pieces, nbeta: Array, unit: float) -> tuple[Array, Array]:
    """Where nbeta K begins to change, and where e^(-nbeta K) has died out, on each piece.

    From there on K may fall again, but no more than halving the distance to each of the roots beyond allows.

    Returns:
        Two distances for each piece.
    """
    log_length = np.log(pieces.length)
    low, high = log_length - 740.0, log_length
    at_start = pieces.majorant(np.zeros_like(low))
    for _ in range(17):
        middle = (low + high) / 2
        flat = nbeta * (pieces.majorant(np.exp(middle)) - at_start) < _FLAT
        low, high = np.where(flat, middle, low), np.where(flat, high, middle)
    scale = np.minimum(np.exp(low), unit)
    dead = _DEAD * 2.0**pieces.fibres.total_degree
    low, high = np.log(scale), log_length
    for _ in range(10):
        middle = (low + high) / 2
        alive = nbeta * pieces.losses(np.exp(middle)) < dead
        low, high = np.where(alive, middle, low), np.where(alive, high, middle)
    return scale, np.exp(high)


def _halves(fibres: Fibres, prior: Prior) -> Pieces:
    """The lines cut at the real parts of all roots, and each interval halved: two pieces, one from each end."""
    places, factor = _roots(fibres)
    lines, position, kind = _sorted(places, factor, prior)
    length = np.diff(position, axis=1) / 2
    line, gap = np.nonzero(length > 0)
    pieces = [
        _expanded(fibres, lines[line], position[line, gap + end], sign, length[line, gap], kind[line, gap + end])
        for end, sign in ((0, 1.0), (1, -1.0))
    ]
    return _joined(pieces)


def _monotone(fibres: Fibres, prior: Prior) -> Pieces:
    """The lines cut also at the critical points of K; each interval from the end where K is smaller."""
    places, factor = _roots(fibres)
    critical = _eigenvalues(_critical(fibres))
    real = np.where(critical.imag == 0, critical.real, np.inf)
    places = np.concatenate([places, real], axis=1)
    factor = np.concatenate([factor, np.full(real.shape, -1)], axis=1)
    lines, position, kind = _sorted(places, factor, prior)
    length = np.diff(position, axis=1)
    line, gap = np.nonzero(length > 0)
    whole = length[line, gap]
    left = _expanded(fibres, lines[line], position[line, gap], 1.0, whole, kind[line, gap])
    right = _expanded(fibres, lines[line], position[line, gap + 1], -1.0, whole, kind[line, gap + 1])
    zero = np.zeros(len(line))
    rises = left.losses(zero) <= right.losses(zero)
    return _joined([left.select(np.flatnonzero(rises)), right.select(np.flatnonzero(~rises))])


def _joined(pieces: Sequence[Pieces]) -> Pieces:
    return Pieces(
        fibres=pieces[0].fibres,
        line=np.concatenate([p.line for p in pieces]),
        start=np.concatenate([p.start for p in pieces]),
        sign=np.concatenate([p.sign for p in pieces]),
        length=np.concatenate([p.length for p in pieces]),
        expansions=tuple(np.concatenate(group) for group in zip(*(p.expansions for p in pieces), strict=True)),
        sizes=tuple(np.concatenate(group) for group in zip(*(p.sizes for p in pieces), strict=True)),
    )


def _sorted(places: Array, factor: Ints, prior: Prior) -> tuple[Ints, Array, Ints]:
    """The cuts of each line in order, with the ends, and the factor whose real root each is (else -1)."""
    n = len(places)
    outside = ~((places > prior.low) & (places < prior.high))
    ends = np.broadcast_to([prior.low, prior.high], (n, 2))
    position = np.concatenate([np.where(outside, prior.high, places), ends], axis=1)
    kind = np.concatenate([np.where(outside, -1, factor), np.full((n, 2), -1)], axis=1)
    order = np.argsort(position, axis=1, kind="stable")
    return np.arange(n), np.take_along_axis(position, order, 1), np.take_along_axis(kind, order, 1)


def _expanded(fibres: Fibres, line: Ints, start: Array, sign: float, length: Array, kind: Ints) -> Pieces:
    """Pieces with the Taylor coefficients of every factor in the distance from the start."""
    expansions, sizes = [], []
    for i, (a, b) in enumerate(zip(fibres.coefficients, fibres.sizes, strict=True)):
        c, size = _shifted(a[line], start), _shifted(b[line], np.abs(start))
        c *= sign ** np.arange(c.shape[1])
        # what is called a root may be none: eigenvalues of very different sizes are wrong in the small ones
        root = (kind == i) & (np.abs(c[:, 0]) <= 16 * _ROUNDING * size[:, 0])
        if root.any():
            # the root is where the polynomial is 0, not where rounding puts it; that moves the other terms a little
            moved = _uncertainty(c[root], size[root, 0])
            size[root, :-1] += np.arange(1, c.shape[1]) * np.abs(c[root, 1:]) * moved[:, None]
            c[root, 0], size[root, 0] = 0.0, 0.0
        expansions.append(c)
        sizes.append(size)
    return Pieces(fibres, line, start, np.full(len(line), sign), length, tuple(expansions), tuple(sizes))


def _uncertainty(c: Array, size: Array) -> Array:
    """How far rounding moves the root at 0, in units of rounding: where roots meet by more than a multiple of it."""
    orders = np.arange(1, c.shape[1])
    ratios = _ROUNDING * size[:, None] / np.maximum(np.abs(c[:, 1:]), 1e-300)
    return (ratios ** (1 / orders)).min(1) / _ROUNDING


def _shifted(a: Array, center: Array) -> Array:
    """Coefficients of a(center + d) in d, by repeated synthetic division."""
    c = a.copy()
    n = c.shape[1]
    for i in range(n - 1):
        for j in range(n - 2, i - 1, -1):
            c[:, j] += center * c[:, j + 1]
    return c


def _roots(fibres: Fibres) -> tuple[Array, Ints]:
    """Real parts of the roots of all factors, of a pair once, and the factor where the root is real (else -1)."""
    n = len(fibres.coefficients[0])
    places, factor = [np.empty((n, 0))], [np.empty((n, 0), np.int64)]
    for i, a in enumerate(fibres.coefficients):
        z = _eigenvalues(a)
        places.append(np.where(z.imag >= 0, z.real, np.inf))
        factor.append(np.where(z.imag == 0, i, -1))
    return np.concatenate(places, axis=1), np.concatenate(factor, axis=1)


def _eigenvalues(a: Array) -> NDArray[np.complex128]:
    """The roots of each row, as eigenvalues of its companion matrix, then polished; shape (rows, degree)."""
    n, degree = len(a), a.shape[1] - 1
    if degree < 1:
        return np.empty((n, 0), np.complex128)
    largest = np.abs(a).max(1)
    lead = np.where(np.abs(a[:, -1]) > 1e-250 * largest, a[:, -1], 1e-250 * np.maximum(largest, 1e-50))
    companion = np.zeros((n, degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, :, -1] = -a[:, :-1] / lead[:, None]
    z = np.linalg.eigvals(companion).astype(np.complex128)
    slope = a[:, 1:] * np.arange(1, degree + 1)
    value = _complex(a, z)
    for _ in range(3):
        change = _complex(slope, z)
        step = np.divide(value, change, out=np.zeros_like(z), where=change != 0)
        better = _complex(a, z - step)
        gain = np.abs(better) < np.abs(value)
        z, value = np.where(gain, z - step, z), np.where(gain, better, value)
    return z


def _complex(a: Array, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    value = np.zeros_like(z)
    for j in range(a.shape[1] - 1, -1, -1):
        value = value * z + a[:, j, None]
    return value


def _critical(fibres: Fibres) -> Array:
    """sum_i p_i g_i' prod_(j != i) g_j: zero where K has a critical point that is no root."""
    n, degree = len(fibres.coefficients[0]), fibres.degree
    total = np.zeros((n, max(degree, 1)))
    for i, (power, a) in enumerate(zip(fibres.powers, fibres.coefficients, strict=True)):
        if a.shape[1] == 1:
            continue
        term = power * a[:, 1:] * np.arange(1, a.shape[1])
        for j, b in enumerate(fibres.coefficients):
            if j != i:
                term = _times(term, b)
        total[:, : term.shape[1]] += term
    return total


def _times(p: Array, q: Array) -> Array:
    out = np.zeros((len(p), p.shape[1] + q.shape[1] - 1))
    for j in range(q.shape[1]):
        out[:, j : j + p.shape[1]] += p * q[:, j, None]
    return out
