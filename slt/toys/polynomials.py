"""Toys whose loss is a polynomial at 0, where its Newton polyhedron or its real branches decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add, mul

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.plane_curves import Polynomial as PlanePolynomial
from slt.analytic.plane_curves import plane_terms
from slt.toys.crossings import Monomial
from slt.toys.potentials import Potential, PotentialLoss
from slt.toys.toy import Toy, rows


@dataclass(frozen=True)
class Polynomial:
    """w of shape (..., d) -> sum_k c_k w^(alpha_k) of shape (...).

    It is evaluated in float64 and returned in the dtype of w: between the branches of its zeros, as of (x^2 - y^3)^2
    written out, float32 would cancel all digits.

    Attributes:
        exponents: alpha, shape (terms, d).
        coefficients: c, shape (terms,).
        absolute: Whether each monomial is taken without its sign.
    """

    exponents: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]
    absolute: bool = False

    def __call__(self, w: Tensor) -> Tensor:
        """The sum."""
        exact = w.double()
        terms = zip(self.exponents, self.coefficients, strict=True)
        return reduce(add, [c * Monomial(alpha, self.absolute)(exact) for alpha, c in terms]).to(w.dtype)


class SumOfSquares:
    """w of shape (..., d) -> sum_j (sum_alpha c_(j alpha) w^alpha)^2 of shape (...), in float64 too.

    Many polynomials share most of their monomials: each is evaluated once, from a table of powers for each coordinate.

    Args:
        polynomials: For each j the coefficients by exponents alpha.
    """

    def __init__(self, polynomials: Sequence[Mapping[tuple[int, ...], int | Fraction]]) -> None:
        """Lay the coefficients out by monomial."""
        exponents = sorted({alpha for terms in polynomials for alpha in terms})
        by_monomial = [[float(terms.get(alpha, 0)) for terms in polynomials] for alpha in exponents]
        self._coefficients = torch.tensor(by_monomial, dtype=torch.float64)
        self._exponents = torch.tensor(exponents).T.contiguous()
        self._largest = tuple(map(max, zip(*exponents, strict=True)))

    def __call__(self, w: Tensor) -> Tensor:
        """The sum."""
        powers = [_powers(x, largest) for x, largest in zip(w.double().unbind(-1), self._largest, strict=True)]
        exponents = self._exponents.to(w.device)
        monomials = reduce(mul, [x.index_select(-1, k) for x, k in zip(powers, exponents, strict=True)])
        return (monomials @ self._coefficients.to(w.device)).square().sum(-1).to(w.dtype)


def _powers(x: Tensor, largest: int) -> Tensor:
    """Return 1, x, x^2, ... of x, shape (...), along a last axis of length largest + 1."""
    return torch.stack([x**k for k in range(largest + 1)], dim=-1)


def newton(
    exponents: Sequence[Sequence[int]], *, coefficients: Sequence[int | Fraction] | None = None, n: int = 1000
) -> Toy:
    """The toy with K(w) = sum_alpha c_alpha w^alpha and w* = 0.

    Args:
        exponents: alpha, shape (terms, d).
        coefficients: c_alpha, shape (terms,); None means 1 before |w^alpha|.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with its exact RLCT; or with an upper bound, as `slt.analytic.newton` says.

    Raises:
        InputError: If the exponents or coefficients are not as `slt.analytic.newton` asks.
        SettingsError: If n is not an integer >= 2.

    >>> newton([(2, 2), (6, 0), (0, 6)])
    Toy(newton(((2, 2), (6, 0), (0, 6))); 2 parameters, n=1000, exact rlct 1/2, multiplicity 2)
    """
    exact = analytic.newton(exponents, coefficients=coefficients)
    alphas = tuple(tuple(map(int, alpha)) for alpha in exponents)
    factors = (1.0,) * len(alphas) if coefficients is None else tuple(map(float, coefficients))
    function = Polynomial(alphas, factors, absolute=coefficients is None)
    given = "" if coefficients is None else f", coefficients=({', '.join(map(str, coefficients))})"
    return _at_zero(function, len(alphas[0]), exact, f"newton({alphas}{given})", n)


def plane_curve(
    polynomial: str | PlanePolynomial | Sequence[PlanePolynomial], *, name: str | None = None, n: int = 1000
) -> Toy:
    """The toy with a polynomial K(x, y) >= 0 and w* = 0.

    Args:
        polynomial: A text such as "(x^2 - y^3)^2", a mapping {(i, j): c}, or a sequence of mappings whose squares are
            summed, as `slt.analytic.plane_curve` takes it.
        name: What the polynomial is called; None writes it out.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with its exact RLCT.

    Raises:
        InputError: If the polynomial is not as `slt.analytic.plane_curve` asks.
        SettingsError: If n is not an integer >= 2.

    >>> plane_curve("(x^2 - y^3)^2")
    Toy(plane_curve((x^2 - y^3)^2); 2 parameters, n=1000, exact rlct 5/12, multiplicity 1)
    """
    exact = analytic.plane_curve(polynomial)
    if isinstance(polynomial, str | Mapping):
        terms = plane_terms(polynomial)
        function = Polynomial(tuple(terms), tuple(map(float, terms.values())))
    else:
        function = SumOfSquares([plane_terms(one) for one in polynomial])
    shown = name or (polynomial if isinstance(polynomial, str) else repr(exact.parameters["polynomial"]))
    return _at_zero(function, 2, exact, f"plane_curve({shown})", n)


def _at_zero(function: Polynomial | SumOfSquares, dimension: int, exact: analytic.Entry, name: str, n: int) -> Toy:
    return Toy(Potential(torch.zeros(dimension)), rows(n), PotentialLoss(function), exact, name)
