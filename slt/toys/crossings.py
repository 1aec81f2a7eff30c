"""Monomial toys: the simplest losses whose zeros cross, where multiplicity shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import integers
from slt.toys.potentials import Potential, PotentialLoss
from slt.toys.toy import Toy, rows


@dataclass(frozen=True)
class Monomial:
    """w of shape (..., d) -> prod_i |w_i|^(k_i) of shape (...); without the moduli if not `absolute`."""

    exponents: tuple[int, ...]
    absolute: bool = True

    def __call__(self, w: Tensor) -> Tensor:
        """The product, one by one: the gradient of torch.prod branches on zeros in the data."""
        factors = zip(w.unbind(-1), self.exponents, strict=True)
        return reduce(mul, [_power(x, k, self.absolute) for x, k in factors if k > 0])


def _power(x: Tensor, k: int, absolute: bool) -> Tensor:
    """x^k or |x|^k. No modulus for even k: its second derivative at 0 is 0 in torch, and that of x^2 is 2."""
    return x.abs() ** k if absolute and k % 2 else x**k


def normal_crossing(exponents: Sequence[int], *, n: int = 1000) -> Toy:
    """The toy with K(w) = prod_i |w_i|^(k_i) and w* = 0.

    Args:
        exponents: k_i >= 0, shape (d,), at least one positive: the exponents of K itself; (xy)^2 is (2, 2).
        n: The number of data rows, >= 2.

    Returns:
        The toy, with its exact RLCT min 1/k_i.

    Raises:
        InputError: If an exponent is not an integer >= 0, or all are 0.
        SettingsError: If n is not an integer >= 2.

    >>> normal_crossing((2, 2))
    Toy(normal_crossing((2, 2)); 2 parameters, n=1000, exact rlct 1/2, multiplicity 2)
    """
    k = integers("exponents", exponents, 0)
    model, loss = Potential(torch.zeros(len(k))), PotentialLoss(Monomial(k))
    return Toy(model, rows(n), loss, analytic.normal_crossing(k), f"normal_crossing({k})")
