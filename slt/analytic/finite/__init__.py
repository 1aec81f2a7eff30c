"""Exact answers at finite n: a loss averaged under a Gaussian or a box, at any nbeta and any eps.

An `Entry` that knows the law of its loss answers `tempered` and `log_volume` with it. A law is composed of parts:
quadratic forms, monomials, any polynomial of one or two parameters, some of three, and sums, products and powers of
these.

>>> from slt import analytic
>>> analytic.normal_crossing((2, 2)).tempered(1e9, localization=1.0).energy.value  # the limit is 0.5
0.4564...
"""

from slt.analytic.finite.answers import Number, Tempered
from slt.analytic.finite.closed_forms import crossing_energy, quadratic_energy
from slt.analytic.finite.compose import add, multiply, raise_to
from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Law
from slt.analytic.finite.polynomials import Polynomial, polynomial
from slt.analytic.finite.quadratic import Quadratic

__all__ = [
    "Law",
    "NormalCrossing",
    "Number",
    "Polynomial",
    "Quadratic",
    "Tempered",
    "add",
    "crossing_energy",
    "multiply",
    "polynomial",
    "quadratic_energy",
    "raise_to",
]
