"""Products of linear forms: hyperplanes through one point."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from slt.analytic._exact import rank, reduced
from slt.analytic.checks import integers, rational
from slt.analytic.entry import Entry
from slt.analytic.finite.law import Law
from slt.analytic.finite.polynomials import polynomial
from slt.analytic.rlct import RLCT
from slt.errors import InputError


def hyperplane_arrangement(forms: Sequence[Sequence[int]], exponents: Sequence[int] | None = None) -> Entry:
    r"""The loss :math:`K(w) = \prod_i |l_i(w)|^{k_i}` of linear forms l_i.

    .. math:: \lambda = \min_F \frac{\operatorname{codim} F}{\sum_{i:\,l_i = 0 \text{ on } F} k_i}

    over the flats F, the intersections of some of the hyperplanes l_i = 0; m is the length of the longest
    chain of flats, each inside the next, that reach the minimum.

    Args:
        forms: The coefficients of the l_i, shape (forms, d); ints or Fractions, no form all 0.
        exponents: k_i >= 1 of K itself, shape (forms,); None means all 2, the square of the product.

    Returns:
        The exact lambda and m: blowing up all flats makes K a normal crossing (Kosta & Windisch, 2024).

    Raises:
        InputError: If there is no form, one is 0 or of another length, or an exponent is no integer >= 1.

    >>> hyperplane_arrangement([(1, 0), (0, 1), (1, -1)]).rlct
    RLCT(1/3, 1)
    >>> hyperplane_arrangement([(1, 0), (0, 1), (1, -1)], exponents=(2, 4, 2)).rlct
    RLCT(1/4, 2)
    """
    rows = _forms(forms)
    k = (2,) * len(rows) if exponents is None else integers("exponents", exponents, 1)
    if len(k) != len(rows):
        raise InputError(f"exponents must have one element per form ({len(rows)}), got {len(k)}.")
    flats = {flat: Fraction(codimension, sum(k[i] for i in flat)) for flat, codimension in _flats(rows).items()}
    value = min(flats.values())
    return Entry(
        rlct=RLCT(value, _longest_chain([flat for flat, ratio in flats.items() if ratio == value])),
        family="hyperplane arrangement",
        parameters={"forms": tuple(tuple(row) for row in rows), "exponents": k},
        K="prod_i |l_i(w)|^(k_i)",
        domain="a neighbourhood of 0 in R^d",
        prior="positive and continuous at 0",
        source="Kosta & Windisch (2024), arXiv:2411.13392",
        conditions="all hyperplanes pass through 0",
        law=_law(rows, k),
    )


def _law(rows: list[list[int | Fraction]], exponents: Sequence[int]) -> Law | None:
    """Of lines through 0 in the plane, with even powers: multiplied out it is a polynomial of two parameters."""
    if any(k % 2 for k in exponents) or len(rows[0]) > 2:
        return None
    d = len(rows[0])
    terms: dict[tuple[int, ...], Fraction] = {(0,) * d: Fraction(1)}
    for form, k in zip(rows, exponents, strict=True):
        for _ in range(k):
            terms = _times(terms, form)
    return polynomial(terms)


def _times(terms: dict[tuple[int, ...], Fraction], form: list[int | Fraction]) -> dict[tuple[int, ...], Fraction]:
    out: dict[tuple[int, ...], Fraction] = {}
    for alpha, c in terms.items():
        for i, x in enumerate(form):
            raised = (*alpha[:i], alpha[i] + 1, *alpha[i + 1 :])
            out[raised] = out.get(raised, Fraction(0)) + c * x
    return {alpha: c for alpha, c in out.items() if c}


def _forms(forms: Sequence[Sequence[int]]) -> list[list[int | Fraction]]:
    if isinstance(forms, str) or not isinstance(forms, Iterable):
        raise InputError(f"forms must be a sequence of coefficient vectors, got {forms!r}.")
    rows: list[list[int | Fraction]] = []
    for i, form in enumerate(forms):
        if isinstance(form, str) or not isinstance(form, Iterable):
            raise InputError(f"forms[{i}] must be a sequence of ints or Fractions, got {form!r}.")
        values = [rational(f"forms[{i}][{j}]", x) for j, x in enumerate(form)]
        rows.append([int(x) if x.denominator == 1 else x for x in values])
        if not any(rows[-1]) or len(rows[-1]) != len(rows[0]):
            raise InputError(f"forms must be nonzero and of one length, got {rows[-1]} at position {i}.")
    if not rows:
        raise InputError("forms must have at least 1 element, got none.")
    return rows


def _flats(rows: list[list[int | Fraction]]) -> dict[frozenset[int], int]:
    """Every flat but the whole space, as the set of all forms that vanish on it, with its codimension."""
    flats: dict[frozenset[int], int] = {}
    layer: set[frozenset[int]] = {frozenset()}
    for codimension in range(1, rank(rows) + 1):
        layer = {larger for flat in layer for larger in _next_larger(rows, flat)}
        flats |= dict.fromkeys(layer, codimension)
    return flats


def _next_larger(rows: list[list[int | Fraction]], flat: frozenset[int]) -> list[frozenset[int]]:
    """The flats of one codimension more: forms that are proportional modulo the span go together."""
    basis, pivots = reduced([rows[i] for i in flat])
    classes: dict[tuple[Fraction, ...], set[int]] = {}
    for i, form in enumerate(rows):
        if i not in flat:
            rest = [Fraction(x) for x in form]
            for row, pivot in zip(basis, pivots, strict=True):
                rest = [x - form[pivot] * y for x, y in zip(rest, row, strict=True)]
            lead = next(x for x in rest if x)
            classes.setdefault(tuple(x / lead for x in rest), set()).add(i)
    return [flat | together for together in classes.values()]


def _longest_chain(flats: list[frozenset[int]]) -> int:
    length: dict[frozenset[int], int] = {}
    for flat in sorted(flats, key=len):
        length[flat] = 1 + max((length[below] for below in length if below < flat), default=0)
    return max(length.values())
