"""Exact answers: real log canonical thresholds as fractions, with the conditions they hold under.

Every function of the catalogue returns an `Entry`:

>>> from slt import analytic
>>> analytic.deep_linear((5, 5, 5), rank=2).value
Fraction(23, 2)
"""

from slt.analytic.entry import Entry
from slt.analytic.linear_networks import deep_linear
from slt.analytic.normal_crossings import normal_crossing
from slt.analytic.quadratics import quadratic, regular
from slt.analytic.rlct import RLCT

__all__ = ["RLCT", "Entry", "deep_linear", "normal_crossing", "quadratic", "regular"]
