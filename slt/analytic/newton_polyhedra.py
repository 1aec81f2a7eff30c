"""Newton polyhedra: the RLCT of a sum of monomials at 0, and a bound for a polynomial."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from slt.analytic._faces import positive_on_faces
from slt.analytic._linear_program import lightest_weight
from slt.analytic.checks import densities, integers, plain, rational
from slt.analytic.entry import Entry
from slt.analytic.finite.folded import Folded
from slt.analytic.finite.law import Law
from slt.analytic.finite.monomials import separable
from slt.errors import InputError

_SOURCE = (
    "Varchenko (1976), Newton polyhedra and estimation of oscillating integrals; Howald (2001), Multiplier ideals "
    "of monomial ideals; Lin (2011), Algebraic methods for evaluating integrals in Bayesian statistics"
)


def newton(
    exponents: Sequence[Sequence[int]],
    prior_exponents: Sequence[int | Fraction] | None = None,
    *,
    coefficients: Sequence[int | Fraction] | None = None,
    orthant: bool = False,
) -> Entry:
    r"""The loss :math:`K(w) = \sum_\alpha c_\alpha w^\alpha` at 0, from the Newton polyhedron of its exponents.

    .. math:: \lambda = \min\{\langle h + 1, v\rangle : v \ge 0,\ \langle \alpha, v\rangle \ge 1
              \text{ for all } \alpha\}, \qquad m = 1 + \dim(\text{the v that reach the minimum})

    Without coefficients K is a sum of :math:`|w^\alpha|`, as for sums of squared monomials or on an orthant, and
    this is exact. With coefficients K may vanish where its monomials do not, and then it is an upper bound only:
    (x - y)^2 has the bound 1 but the value 1/2. So the part of K on every compact face of the polyhedron is
    tested for zeros off the coordinate planes; if none is excluded the entry's `bound` is "upper". Positive are
    sums of monomials that are, faces of dimension 1 without a real root, and definite quadratic forms; a face
    of another kind counts as not established.

    Args:
        exponents: The alpha of K itself, not of its square root; shape (monomials, d), integers >= 0.
        prior_exponents: h_i > -1 of a prior like prod |w_i|^(h_i), shape (d,), ints or Fractions; None means 0.
        coefficients: c_alpha, shape (monomials,), ints or Fractions other than 0; None means 1 before
            :math:`|w^\alpha|`.
        orthant: Whether all w_i >= 0, where monomials with odd exponents are positive too.

    Returns:
        lambda and m: a linear program, solved by scipy, its solution taken to fractions and proved by duality.

    Raises:
        InputError: If there is no monomial, an exponent is no integer >= 0, the lengths differ, two exponents
            are the same, one is 0 (K would not vanish at 0), or K takes negative values near 0.

    >>> newton([(2, 2), (6, 0), (0, 6)]).rlct
    RLCT(1/2, 2)
    >>> newton([(2, 0), (1, 1), (0, 2)], coefficients=(1, -2, 1))  # (x - y)^2, whose lambda is 1/2
    Entry(value<=1, multiplicity=1, bound='upper', family='Newton polyhedron', ...)
    """
    alphas = _alphas(exponents)
    h = densities(prior_exponents, len(alphas[0]))
    given = None if coefficients is None else _coefficients(coefficients, len(alphas))
    polynomial = None if given is None else dict(zip(alphas, given, strict=True))
    exact = polynomial is None or positive_on_faces(polynomial, orthant=bool(orthant))
    options = {"coefficients": None if given is None else plain(given), "orthant": bool(orthant)}
    return Entry(
        rlct=lightest_weight(alphas, [h_i + 1 for h_i in h]),
        family="Newton polyhedron",
        parameters={"exponents": alphas, "prior_exponents": plain(h)} | {k: x for k, x in options.items() if x},
        K="sum_alpha |w^alpha|" if polynomial is None else "sum_alpha c_alpha w^alpha",
        domain="a neighbourhood of 0 in R^d" + (", the part with all w_i >= 0" if orthant else ""),
        prior="prod_i |w_i|^(h_i) times a function positive and continuous at 0",
        source=_SOURCE,
        conditions="none" if exact else "K may vanish off the coordinate planes: its faces are not all positive",
        bound="exact" if exact else "upper",
        law=None if any(h) else _law(polynomial or dict.fromkeys(alphas, Fraction(1)), given is None, bool(orthant)),
    )


def _law(terms: Mapping[tuple[int, ...], Fraction], absolute: bool, orthant: bool) -> Law | None:
    """The law of K, if it comes apart into pieces of two parameters, or of three with a scaling."""
    fold = orthant or (absolute and any(k % 2 for alpha in terms for k in alpha))
    law = separable(terms, orthant=fold)
    return Folded(law, cut=orthant) if fold and law is not None else law


def _alphas(exponents: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    if isinstance(exponents, str) or not isinstance(exponents, Iterable):
        raise InputError(f"exponents must be a sequence of exponent vectors, got {exponents!r}.")
    alphas = tuple(integers(f"exponents[{i}]", alpha, 0) for i, alpha in enumerate(exponents))
    if not alphas:
        raise InputError("exponents must have at least 1 element, got none (a loss without a monomial).")
    for i, alpha in enumerate(alphas):
        if len(alpha) != len(alphas[0]):
            raise InputError(f"exponents must be of one length ({len(alphas[0])}), got {alpha} at position {i}.")
        if not any(alpha):
            raise InputError(f"exponents[{i}] must not be 0 (K would not vanish at 0), got {alpha}.")
        if alpha in alphas[:i]:
            raise InputError(f"exponents must differ from each other, got {alpha} twice.")
    return alphas


def _coefficients(given: Sequence[int | Fraction], length: int) -> tuple[Fraction, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"coefficients must be a sequence of ints or Fractions, got {given!r}.")
    values = tuple(rational(f"coefficients[{i}]", c) for i, c in enumerate(given))
    if len(values) != length:
        raise InputError(f"coefficients must have one element per exponent vector ({length}), got {len(values)}.")
    if 0 in values:
        raise InputError(f"coefficients[{values.index(Fraction(0))}] must not be 0 (leave the monomial out), got 0.")
    return values
