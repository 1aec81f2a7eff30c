"""Any polynomial loss of one or two parameters, by quadrature that follows its zeros over many decades."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from slt.analytic.finite import algebra
from slt.analytic.finite.fibres import Array, Fibres, Ints, masses, moments
from slt.analytic.finite.law import LogVolume, Moments, Priors, from_sums
from slt.analytic.finite.panels import gauss, integrate
from slt.analytic.finite.priors import Gaussian, Prior
from slt.errors import InputError

_FLAT = 0.1

Terms = tuple[tuple[tuple[int, int], Fraction], ...]
"""((i, j), c) for each term c x^i y^j, in order."""


@dataclass(frozen=True)
class Polynomial:
    """K = f^power with a polynomial f >= 0 of the first one or two of `dimension` parameters.

    Attributes:
        terms: ((i, j), c) for each term c x^i y^j of f.
        dimension: The number of parameters.
        power: > 0.
    """

    terms: Terms
    dimension: int
    power: float = 1.0

    @property
    def direct(self) -> bool:
        """Whether K depends on one parameter only."""
        return not _form(self.terms, self.power).plane

    def tempered(self, nbeta: Array, priors: Priors) -> Moments:
        """By nested quadrature, y inside, x outside."""
        form = _form(self.terms, self.power)
        inner, outer = form.order(priors)
        if not form.plane:
            fibres = form.fibres([Fraction(0)], np.zeros(len(nbeta), np.int64), np.zeros(len(nbeta)))
            coarse, fine = (moments(fibres, inner, nbeta, cut) for cut in (1, 2))
            return from_sums(fine[:3], np.abs(fine - coarse)[:3] + fine[3] + 1e-14 * fine[:3] + _beyond(inner, outer))
        sums = [_sums(form, inner, outer, float(b)) for b in nbeta]
        return from_sums(np.stack([s for s, _ in sums], -1), np.stack([e for _, e in sums], -1))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume:
        """By adaptive quadrature over x of the mass of {y: K < eps}, whose ends are roots."""
        form = _form(self.terms, self.power)
        inner, outer = form.order(priors)
        if form.plane:
            pairs = np.array([_volume(form, inner, outer, float(e)) for e in eps])
            volume, error = pairs[:, 0], pairs[:, 1]
        else:
            n = len(eps)
            volume, error = masses(form.fibres([Fraction(0)], np.zeros(n, np.int64), np.zeros(n)), inner, eps)
        with np.errstate(divide="ignore"):
            return LogVolume(np.log(volume), (error + _beyond(inner, outer)) / volume)


def polynomial(
    terms: Mapping[tuple[int, ...], float | Fraction], dimension: int | None = None, *, orthant: bool = False
) -> Polynomial:
    """The law of K(x, y) = sum c x^i y^j, given as {(i, j): c}, or of K(x), given as {(i,): c}.

    Coefficients are taken exactly as they are given: 0.1 is the float, Fraction(1, 10) the tenth.

    Args:
        terms: The exponents, one or two for each term, and the coefficient.
        dimension: The number of parameters; None means as many as there are exponents.
        orthant: Whether the law is asked about x >= 0 and y >= 0 only.

    Returns:
        The law.

    Raises:
        InputError: If a term is not as described, the polynomial has no term, or it is negative somewhere there.
    """
    lengths = {len(key) if isinstance(key, tuple) else 0 for key in terms}
    if lengths not in ({1}, {2}):
        raise InputError(f"the terms must be {{(i, j): c}} or {{(i,): c}}, got {dict(terms)!r}.")
    exact: dict[tuple[int, int], Fraction] = {}
    for key, c in terms.items():
        if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in key):
            raise InputError(f"exponents must be integers >= 0, got {key!r}.")
        if not (isinstance(c, Real) and np.isfinite(float(c))):
            raise InputError(f"coefficients must be finite numbers, got {c!r} at {key!r}.")
        exact[key[0], key[1] if len(key) == 2 else 0] = Fraction(c)
    exact = {key: c for key, c in exact.items() if c}
    if not exact or set(exact) == {(0, 0)}:
        raise InputError(f"the polynomial must not be constant, got {dict(terms)!r}.")
    if not nonnegative(exact, orthant):
        raise InputError(f"the polynomial must be >= 0 everywhere, got {dict(terms)!r}.")
    return Polynomial(tuple(sorted(exact.items())), lengths.pop() if dimension is None else dimension)


def nonnegative(terms: Mapping[tuple[int, ...], Fraction], orthant: bool = False) -> bool:
    """Whether the polynomial is >= 0 on a grid of many scales, exactly evaluated."""
    if all(c > 0 and (orthant or not any(i % 2 for i in key)) for key, c in terms.items()):
        return True
    f = algebra.from_terms({(key[0], key[1] if len(key) == 2 else 0): c for key, c in terms.items()})
    grid = [Fraction(0)] + [sign * Fraction(2) ** k for k in range(-12, 9, 2) for sign in (1, -1)[: 2 - orthant]]
    return all(algebra.value(f, x, y) >= 0 for x, y in product(grid, grid))


@dataclass(frozen=True)
class _Form:
    """c prod_i |g_i|^(p_i), oriented such that the quadrature over y, the inner one, meets few roots."""

    constant: float
    factors: tuple[tuple[algebra.Plane, float], ...]
    signed: tuple[bool, ...]
    swapped: bool

    @property
    def degree(self) -> int:
        return sum(len(g) - 1 for g, _ in self.factors)

    @property
    def plane(self) -> bool:
        """Whether the loss depends on both variables."""
        return any(len(row) > 1 for g, _ in self.factors for row in g)

    def order(self, priors: Priors) -> tuple[Prior, Prior]:
        """The priors of the inner and the outer variable."""
        x, *rest = priors
        y = rest[0] if rest else x
        return (x, y) if self.swapped else (y, x)

    def fibres(self, centers: list[Fraction], index: Ints, offset: Array) -> Fibres:
        """The loss on the lines x = center[index] + offset."""
        coefficients, sizes = [], []
        for g, _ in self.factors:
            table = _table(g, tuple(centers))
            powers = offset[:, None] ** np.arange(table.shape[-1])
            coefficients.append(np.einsum("nji,ni->nj", table[index], powers))
            sizes.append(np.einsum("nji,ni->nj", np.abs(table)[index], np.abs(powers)))
        powers = tuple(p for _, p in self.factors)
        return Fibres(self.constant, powers, tuple(coefficients), tuple(sizes), self.signed)

    def centers(self, inner: Prior, outer: Prior) -> list[Fraction]:
        """Where in x something happens on a small scale: roots in y meet, reach infinity, or leave the box."""
        special: list[algebra.Line] = [(Fraction(0), Fraction(1))]
        whole = _product([g for g, _ in self.factors if len(g) > 1])
        special += [g[0] for g, _ in self.factors if len(g) == 1]
        if len(whole) > 1:
            special += [algebra.discriminant(whole), whole[-1]]
            special += [algebra.at_height(whole, Fraction(end)) for end in inner.edges]
        roots: NDArray[np.complex128] = np.array([z for p in special for z in _line_roots(p)])
        real = np.unique(roots.real[np.abs(roots.imag) <= 1e-14 * np.abs(roots)])
        for z in roots:  # a pair off the axis matters if it is nearer to the axis than to what is there already
            near = np.abs(real - z.real).min(initial=np.inf)
            if z.imag > 0 and z.imag < 0.3 * near:
                real = np.append(real, z.real)
        real = np.unique(real[(real > outer.low) & (real < outer.high)])
        apart = np.diff(real, prepend=-np.inf) > 1e-12 * np.abs(real)
        return [Fraction(c) for c in real[apart].tolist()]


def _line_roots(p: algebra.Line) -> list[complex]:
    roots: list[complex] = []
    for q, _ in algebra.squarefree_in_x(p) if len(p) > 1 else []:
        scale = max(abs(c) for c in q)
        zero = next(i for i, c in enumerate(q) if c)
        roots += [0j] * zero + [complex(z) for z in np.roots([float(c / scale) for c in reversed(q[zero:])])]
    return roots


def _product(factors: list[algebra.Plane]) -> algebra.Plane:
    total: algebra.Plane = ((Fraction(1),),)
    for g in factors:
        terms: dict[tuple[int, int], Fraction] = {}
        for (j, row), (k, other) in product(enumerate(total), enumerate(g)):
            for i, c in enumerate(algebra.multiply(row, other)):
                terms[i, j + k] = terms.get((i, j + k), Fraction(0)) + c
        total = algebra.from_terms(terms)
    return total


@lru_cache(maxsize=512)
def _table(g: algebra.Plane, centers: tuple[Fraction, ...]) -> Array:
    """Coefficients of y^j d^i in g(center + d, y), exact up to the last rounding; shape (centers, j, i)."""
    table = np.zeros((len(centers), len(g), max(len(row) for row in g)))
    for k, center in enumerate(centers):
        for j, row in enumerate(g):
            moved = algebra.shifted(row, center)
            table[k, j, : len(moved)] = [float(c) for c in moved]
    return table


@lru_cache(maxsize=128)
def _form(terms: Terms, power: float) -> _Form:
    f = algebra.from_terms(dict(terms))
    choices = []
    for swapped, g in ((False, f), (True, algebra.transpose(f))):
        factors = algebra.squarefree(g)
        constant = float(abs(algebra.leading_constant(g, factors))) ** power
        signed = tuple(p % 2 == 1 for _, p in factors)
        choices.append(_Form(constant, tuple((g, p * power) for g, p in factors), signed, swapped))
    # a loss of one variable has it inside
    return min(choices, key=lambda form: (form.plane, form.degree) if form.plane else (False, -form.degree))


@dataclass(frozen=True)
class _Mesh:
    """Half intervals of x between the centers, each measured from its center as scale * sinh(u)."""

    form: _Form
    outer: Prior
    centers: list[Fraction]
    index: Ints
    sign: Array
    scale: Array
    top: Array

    @classmethod
    def around(cls, form: _Form, inner: Prior, outer: Prior, size: Callable[[Array], Array]) -> "_Mesh":
        """The mesh whose scales are those on which size(K) changes by little."""
        centers = form.centers(inner, outer)
        points = np.array([outer.low, *(float(c) for c in centers), outer.high])
        ends = [Fraction(outer.low), *centers, Fraction(outer.high)]
        half = np.diff(points) / 2
        gaps = np.flatnonzero(half > 0)
        index = np.concatenate([gaps, gaps + 1])
        sign = np.repeat([1.0, -1.0], len(gaps))
        length = np.concatenate([half[gaps], half[gaps]])
        scale = _flat_scales(form, ends, index, length, max(abs(inner.low), abs(inner.high)), outer.unit, size)
        return cls(form, outer, ends, index, sign, scale, np.arcsinh(length / scale))

    def panels(self, width: float = 2.0) -> tuple[Array, Array, Ints]:
        """The first panels, about this wide in u."""
        low, high, piece = [], [], []
        for i, top in enumerate(self.top):
            edges = np.linspace(0, top, int(np.ceil(top / width)) + 1)
            low.append(edges[:-1])
            high.append(edges[1:])
            piece.append(np.full(len(edges) - 1, i))
        return np.concatenate(low), np.concatenate(high), np.concatenate(piece)

    def fibres(self, u: Array, piece: Ints) -> tuple[Fibres, Array]:
        """The lines at these points, and dx/du times the prior's density there."""
        offset = self.sign[piece] * self.scale[piece] * np.sinh(u)
        place = np.array([float(c) for c in self.centers])[self.index[piece]] + offset
        weight = self.scale[piece] * np.cosh(u) * self.outer.density(place)
        return self.form.fibres(self.centers, self.index[piece], offset), weight

    def rough(self, function: Callable[[Array, Ints], Array], width: float = 2.0) -> Array:
        """The integral over the first panels alone."""
        low, high, piece = self.panels(width)
        nodes, weights = gauss(low, high)
        return (function(nodes.ravel(), np.repeat(piece, nodes.shape[1])) * weights.ravel()).sum(1)


def _flat_scales(
    form: _Form,
    ends: list[Fraction],
    index: Ints,
    length: Array,
    reach: float,
    unit: float,
    size: Callable[[Array], Array],
) -> Array:
    """Distances from the centers below which size(K) changes by less than a tenth whatever y is."""
    tables = [(np.abs(_table(g, tuple(ends)))[index], p) for g, p in form.factors]
    log_length = np.log(length)

    def majorant(offset: Array) -> Array:
        total = np.full(len(index), form.constant)
        for table, p in tables:
            x = offset[:, None] ** np.arange(table.shape[2])
            y = reach ** np.arange(table.shape[1])
            total *= np.einsum("nji,ni,j->n", table, x, y) ** p
        return total

    at_center = majorant(np.zeros(len(index)))
    low, high = log_length - 740.0, log_length
    for _ in range(17):
        middle = (low + high) / 2
        flat = size(majorant(np.exp(middle)) - at_center) < _FLAT
        low, high = np.where(flat, middle, low), np.where(flat, high, middle)
    return np.minimum(np.exp(low), unit)


def _sums(form: _Form, inner: Prior, outer: Prior, nbeta: float) -> tuple[Array, Array]:
    """E[(nbeta K)^j e^(-nbeta K)] for j = 0, 1, 2, and bounds on their errors."""
    mesh = _Mesh.around(form, inner, outer, lambda k: nbeta * k)

    def lines(u: Array, piece: Ints, cut: int = 1) -> Array:
        fibres, weight = mesh.fibres(u, piece)
        return moments(fibres, inner, nbeta, cut) * weight

    total, error = integrate(lines, *mesh.panels(), noisy=True)
    # the quadrature over y does not adapt: what a finer one changes, on the first mesh, is its error
    coarse, fine = (mesh.rough(lambda u, i, cut=cut: lines(u, i, cut)) for cut in (1, 2))
    return total[:3], error[:3] + 2 * np.abs(fine - coarse)[:3] + total[3] + _beyond(inner, outer)


def rough_sums(terms: Terms, priors: Priors, nbeta: float, width: float = 2.0, cut: int = 1) -> Array:
    """As `Polynomial.tempered`, by panels in y of this width that do not adapt, `cut` times as many as usual inside.

    Returns:
        E[(nbeta K)^j e^(-nbeta K)] for j = 0, 1, 2, and a bound on their rounding errors.
    """
    form = _form(terms, 1.0)
    inner, outer = form.order(priors)
    mesh = _Mesh.around(form, inner, outer, lambda k: nbeta * k)

    def lines(u: Array, piece: Ints) -> Array:
        fibres, weight = mesh.fibres(u, piece)
        return moments(fibres, inner, nbeta, cut) * weight

    return mesh.rough(lines, width)


def degree(terms: Terms) -> int:
    """How many roots a line across the zeros meets at most, which is what quadrature costs."""
    return _form(terms, 1.0).degree


def _volume(form: _Form, inner: Prior, outer: Prior, eps: float) -> tuple[float, float]:
    mesh = _Mesh.around(form, inner, outer, lambda k: k / eps)

    def lines(u: Array, piece: Ints) -> Array:
        fibres, weight = mesh.fibres(u, piece)
        return masses(fibres, inner, np.array(eps)) * weight

    total, error = integrate(lines, *mesh.panels(), tolerance=1e-13, noisy=True)
    return float(total[0]), float(error[0] + total[1])


def _beyond(*both: Prior) -> float:
    """The mass that the quadrature leaves out."""
    return sum(1e-88 for prior in both if isinstance(prior, Gaussian))
