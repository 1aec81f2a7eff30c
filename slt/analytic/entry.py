"""The answer for one loss: what every function of the catalogue returns."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

from slt.analytic.rlct import RLCT
from slt.errors import InputError

Bound = Literal["exact", "upper"]
"""What an entry's rlct is: the RLCT itself, or one that it does not exceed in the order of `slt.RLCT`."""

_SHORT = reprlib.Repr()
_SHORT.maxtuple = 8


@dataclass(frozen=True, repr=False, kw_only=True)
class Entry:
    """The real log canonical threshold of one loss and its multiplicity, with what they rest on.

    They are exact about the limit of small losses, or large nbeta. At a finite nbeta the mean nbeta E[K] is about
    (m - 1)/log(nbeta) below the value, so an estimate that agrees with the value to many digits is not for that
    reason a better one.

    Attributes:
        rlct: The pair (lambda, m); `value` and `multiplicity` are its parts.
        family: What the loss belongs to, in words.
        parameters: The member of the family, by the names of the arguments that chose it.
        K: The excess loss, as text.
        domain: Where the parameters lie, as text.
        prior: What is asked of the prior, as text.
        source: Where the value is proved or derived.
        conditions: What else must hold for the value to apply, as text.
        bound: "exact", or "upper" where the formula is proved to be an upper bound only: the true lambda may be
            smaller, or the same with a larger m.

    Raises:
        InputError: If `rlct` is not an `slt.RLCT`, or `bound` is neither "exact" nor "upper".
    """

    rlct: RLCT
    family: str
    parameters: Mapping[str, object] = field(hash=False)
    K: str
    domain: str
    prior: str
    source: str
    conditions: str
    bound: Bound = "exact"

    def __post_init__(self) -> None:
        """Refuse what is no answer."""
        if not isinstance(self.rlct, RLCT):
            raise InputError(f"rlct must be an slt.RLCT, got {self.rlct!r}.")
        if self.bound not in get_args(Bound):
            raise InputError(f"bound must be one of {', '.join(get_args(Bound))}, got {self.bound!r}.")

    @property
    def value(self) -> Fraction:
        """The real log canonical threshold lambda, a number without unit; for an upper bound, the bound."""
        return self.rlct.value

    @property
    def multiplicity(self) -> int:
        """The order m of the pole that lambda comes from, 1 or more."""
        return self.rlct.multiplicity

    def __repr__(self) -> str:
        """Give the answer first, then the question, long tuples cut short."""
        upper = self.bound == "upper"
        parts = [f"value{'<=' if upper else '='}{self.value}", f"multiplicity={self.multiplicity}"]
        parts += [f"bound={self.bound!r}"] * upper
        parts += [f"family={self.family!r}"]
        parts += [f"{name}={_SHORT.repr(value)}" for name, value in self.parameters.items()]
        return f"Entry({', '.join(parts)})"
