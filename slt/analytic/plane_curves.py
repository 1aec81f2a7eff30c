"""Any polynomial loss of two parameters: its RLCT at 0."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import lcm

import numpy as np

from slt.analytic._expressions import parse
from slt.analytic._plane import Point, integral, rlct_at_zero
from slt.analytic._sign import require_nonnegative
from slt.analytic.checks import integers, plain, rational
from slt.analytic.entry import Entry
from slt.analytic.finite.law import Array, Law, LogVolume, Moments, Priors
from slt.analytic.finite.polynomials import nonnegative
from slt.analytic.finite.polynomials import polynomial as law_of_polynomial
from slt.analytic.finite.sectors import LARGEST_DEGREE, Sectors
from slt.errors import InputError

Polynomial = Mapping[tuple[int, int], int | Fraction]

_LAST_DEGREE = 12
"""Of K, beyond which quadrature along its roots is slow."""
_FIRST_OF_CELLS = 12
"""The degree from which cells come first, which do not look for roots: some roots are lost to rounding there."""


def plane_curve(polynomial: str | Polynomial | Sequence[Polynomial]) -> Entry:
    r"""The loss :math:`K(x, y) = \sum c_{ij} x^i y^j` at 0, however its zeros run; or a sum of squares.

    The Newton polygon of K meets the diagonal at (d, d). In coordinates that are adapted to K

    .. math:: \lambda = 1/d, \qquad m = 2 \text{ if (d, d) is a corner, else } 1.

    They are, if on the edge through (d, d) no real root :math:`y = c x^q` has a multiplicity above d; such a root
    is unique and rational, and is made the new axis until there is none. A real root of multiplicity d gives
    m = 2, as in (x^2 - y^2)^2, a complex one does not, as in (x^2 + y^2)^2.

    Args:
        polynomial: K as {(i, j): c}, exponents that are integers >= 0 and coefficients that are ints or
            Fractions; K as a text of x and y, such as "(x^2 - y^3)^2"; or a sequence of such mappings f_k, with
            K the sum of their squares.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a key is no pair of integers >= 0, a coefficient no int or Fraction, a text no polynomial,
            K is 0 everywhere, K(0, 0) is not 0, or K takes negative values arbitrarily near 0, which is decided
            in every case.

    >>> plane_curve("(x^2 - y^3)^2").rlct
    RLCT(5/12, 1)
    >>> plane_curve({(2, 0): 1, (1, 2): 2, (0, 4): 1}).rlct  # (x + y^2)^2
    RLCT(1/2, 1)
    >>> plane_curve([{(2, 0): 1, (0, 2): -2}]).rlct  # (x^2 - 2 y^2)^2, two lines of irrational slope
    RLCT(1/2, 2)
    """
    given = parse(polynomial) if isinstance(polynomial, str) else polynomial
    squares = not isinstance(given, Mapping)
    terms = _sum_of_squares(given) if squares else _read("polynomial", given)
    if not terms:
        raise InputError("polynomial must not be 0 everywhere, got no term with a coefficient.")
    if (0, 0) in terms:
        raise InputError(f"K must vanish at (0, 0), got K(0, 0) = {terms[0, 0]}.")
    if not squares:
        require_nonnegative(terms)
    return Entry(
        rlct=rlct_at_zero(integral(terms)),
        family="plane curve",
        parameters={"polynomial": polynomial if isinstance(polynomial, str) else _listed(given)},
        K="sum_k f_k(x, y)^2" if squares else "sum_ij c_ij x^i y^j",
        domain="a neighbourhood of 0 in R^2",
        prior="positive and continuous at 0",
        source=(
            "Varchenko (1976), Newton polyhedra and estimation of oscillating integrals; Ikromov & Mueller (2011), "
            "On adapted coordinate systems"
        ),
        conditions="none",
        law=_LazyLaw(tuple(sorted(terms.items()))),
    )


def _listed(given: Polynomial | Sequence[Polynomial]) -> object:
    """What was given, as plain numbers without terms that are 0."""
    if isinstance(given, Mapping):
        read = _read("polynomial", given)
        return dict(zip(read, plain(read.values()), strict=True))
    return tuple(_listed(one) for one in given)


@dataclass(frozen=True)
class _LazyLaw:
    """What answers at finite n, made when it is asked: for many polynomials that takes longer than the RLCT."""

    terms: tuple[tuple[Point, Fraction], ...]
    dimension: int = 2
    direct: bool = False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        if _FIRST_OF_CELLS <= _degree(self.terms) <= LARGEST_DEGREE:
            found = Sectors(self.terms).tempered(nbeta, priors)
            if found is not None and np.isfinite(found.energy_error).all():
                return found
        law = _law(self.terms)
        return None if law is None else law.tempered(nbeta, priors)

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        law = _law(self.terms)
        return None if law is None else law.log_volume(eps, priors)


@lru_cache(maxsize=32)
def _law(terms: tuple[tuple[Point, Fraction], ...]) -> Law | None:
    """None for a K of high degree, or one that is negative far from 0."""
    if _degree(terms) > _LAST_DEGREE:
        return None
    return law_of_polynomial(dict(terms)) if nonnegative(dict(terms)) else None


def _degree(terms: tuple[tuple[Point, Fraction], ...]) -> int:
    return max(i + j for (i, j), _ in terms)


def _sum_of_squares(polynomials: Sequence[Polynomial]) -> dict[Point, Fraction]:
    if not isinstance(polynomials, Sequence):
        raise InputError(
            f"polynomial must be a mapping {{(i, j): c}}, a text, or a sequence of mappings, got {polynomials!r}."
        )
    total: defaultdict[Point, Fraction] = defaultdict(Fraction)
    for k, one in enumerate(polynomials):
        if not isinstance(one, Mapping):
            raise InputError(f"polynomial[{k}] must be a mapping {{(i, j): c}}, got {one!r}.")
        for point, c in _square(_read(f"polynomial[{k}]", one)).items():
            total[point] += c
    return {point: c for point, c in total.items() if c}


def _square(terms: Mapping[Point, Fraction]) -> dict[Point, Fraction]:
    """Over one denominator: in fractions it would take ten times as long."""
    common = lcm(*(c.denominator for c in terms.values()))
    whole = [(point, int(c * common)) for point, c in terms.items()]
    out: defaultdict[Point, int] = defaultdict(int)
    for (i, j), c in whole:
        for (k, m), d in whole:
            out[i + k, j + m] += c * d
    return {point: Fraction(c, common**2) for point, c in out.items()}


def plane_terms(polynomial: str | Polynomial) -> dict[Point, Fraction]:
    """Read one polynomial as {(i, j): c}.

    Args:
        polynomial: As `plane_curve` takes it, but for sequences.

    Returns:
        The terms with a coefficient other than 0.

    Raises:
        InputError: If it is none.

    >>> plane_terms("(x - y)^2")[1, 1]
    Fraction(-2, 1)
    """
    return _read("polynomial", parse(polynomial) if isinstance(polynomial, str) else polynomial)


def _read(name: str, given: Polynomial) -> dict[Point, Fraction]:
    terms: dict[Point, Fraction] = {}
    for key, c in given.items():
        point = integers(f"{name}'s exponents", key, 0)
        if len(point) != 2:
            raise InputError(f"{name}'s exponents must be pairs (i, j), got {key!r}.")
        terms[point[0], point[1]] = rational(f"{name}[{key}]", c)
    return {point: c for point, c in terms.items() if c}
