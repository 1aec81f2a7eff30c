"""Laws of polynomials of any number of parameters that come apart into pieces of two or three, sums and products."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce

from slt.analytic.finite.compose import add, multiply
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Law
from slt.analytic.finite.placed import Placed
from slt.analytic.finite.polynomials import nonnegative, polynomial
from slt.analytic.finite.quadratic import Quadratic
from slt.analytic.finite.scalings import scaling

Exponent = tuple[int, ...]
Terms = Mapping[Exponent, Fraction]
Ordered = tuple[Law, tuple[int, ...]]
"""A law, and which parameter each of its own is."""


def separable(terms: Terms, *, orthant: bool = False) -> Law | None:
    """The law of K = sum c_alpha w^alpha, if it is a composition of pieces of three parameters at most.

    Pieces are polynomials of one or two parameters, of three where a scaling multiplies them, monomials, and sums, and
    products with a monomial, of these in disjoint parameters.

    Args:
        terms: The coefficient of each exponent, shape (d,).
        orthant: Whether the law is asked about all w_i >= 0 only.

    Returns:
        None where K does not come apart so far, or is negative somewhere.
    """
    found = _law({alpha: Fraction(c) for alpha, c in terms.items()}, orthant)
    if found is None:
        return None
    dimension = len(next(iter(terms)))
    law, order = found
    return law if order == tuple(range(dimension)) else Placed(law, order, dimension)


def _law(terms: Terms, orthant: bool) -> Ordered | None:
    used = _used(terms)
    if all(sum(alpha) == max(alpha) == 2 for alpha in terms) and min(terms.values()) > 0:
        by_place = {alpha.index(2): c for alpha, c in terms.items()}
        return Quadratic(tuple(float(2 * by_place[i]) for i in used)), used
    if len(terms) == 1:
        return _monomial(*next(iter(terms.items())), orthant)
    if len(used) <= 2:
        own = {tuple(alpha[i] for i in used): c for alpha, c in terms.items()}
        return (polynomial(own, orthant=orthant), used) if nonnegative(own, orthant) else None
    apart = _components(terms)
    if len(apart) > 1:
        return _joined([_law(part, orthant) for part in apart], add)
    shared = tuple(min(alpha[i] for alpha in terms) for i in range(len(next(iter(terms)))))
    rest = {tuple(a - s for a, s in zip(alpha, shared, strict=True)): c for alpha, c in terms.items()}
    if not any(shared) or set(_used({shared: Fraction(1)})) & set(_used(rest)):
        own = {tuple(alpha[i] for i in used): c for alpha, c in terms.items()}
        law = scaling(own, orthant=orthant) if len(used) == 3 else None
        return None if law is None else (law, used)
    return _joined([_law({shared: Fraction(1)}, orthant), _law(rest, orthant)], multiply)


def _monomial(alpha: Exponent, c: Fraction, orthant: bool) -> Ordered | None:
    used = _used({alpha: c})
    exponents = tuple(alpha[i] for i in used)
    if c < 0 or (any(k % 2 for k in exponents) and not orthant):
        return None
    law = NormalCrossing(tuple(float(k) for k in exponents), (0.0,) * len(used))
    return (law if c == 1 else Placed(law, tuple(range(len(used))), len(used), float(c))), used


def _joined(parts: Sequence[Ordered | None], join: Callable[[Law, Law], Law]) -> Ordered | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return reduce(lambda a, b: (join(a[0], b[0]), a[1] + b[1]), known)


def _used(terms: Terms) -> tuple[int, ...]:
    return tuple(sorted({i for alpha in terms for i, k in enumerate(alpha) if k}))


def _components(terms: Terms) -> list[dict[Exponent, Fraction]]:
    """The terms, apart from each other as they share no parameter."""
    groups: list[tuple[set[int], dict[Exponent, Fraction]]] = []
    for alpha, c in terms.items():
        used, group = set(_used({alpha: c})), {alpha: c}
        for other in [g for g in groups if g[0] & used]:
            groups.remove(other)
            used |= other[0]
            group = other[1] | group
        groups.append((used, group))
    return [group for _, group in groups]
