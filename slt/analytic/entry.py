"""The exact answer for one loss: what every function of the catalogue returns."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from slt.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxtuple = 8


@dataclass(frozen=True, repr=False)
class Entry:
    r"""The real log canonical threshold of one loss and its multiplicity, with what they rest on.

    They are the exponents of the prior volume near the zeros of the excess loss K (Watanabe, 2009):

    .. math:: V(\varepsilon) = \int_{K(w) < \varepsilon} \varphi(w)\,dw
              \sim c\,\varepsilon^{\lambda} (\log 1/\varepsilon)^{m-1}, \qquad \varepsilon \to 0.

    They are exact about this limit. At a finite nbeta the mean nbeta E[K] is about (m - 1)/log(nbeta) below
    the value, so an estimate that agrees with the value to many digits is not for that reason a better one.

    Attributes:
        value: The real log canonical threshold lambda, a number without unit.
        multiplicity: The order m of the pole that lambda comes from, 1 or more.
        family: What the loss belongs to, in words.
        parameters: The member of the family, by the names of the arguments that chose it.
        K: The excess loss, as text.
        source: Where the value is proved.
        conditions: What must hold for the value to apply, as text.

    Raises:
        InputError: If the value is not a Fraction >= 0, or the multiplicity not an integer >= 1.
    """

    value: Fraction
    multiplicity: int
    family: str
    parameters: Mapping[str, object] = field(hash=False)
    K: str
    source: str
    conditions: str

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be a threshold and its multiplicity."""
        if not (isinstance(self.value, Fraction) and self.value >= 0):
            raise InputError(f"value must be a Fraction >= 0, got {self.value!r}.")
        if not (isinstance(self.multiplicity, int) and self.multiplicity >= 1):
            raise InputError(f"multiplicity must be an integer >= 1, got {self.multiplicity!r}.")

    def __repr__(self) -> str:
        """Give the answer first, then the question, long tuples cut short."""
        parts = [f"value={self.value}", f"multiplicity={self.multiplicity}", f"family={self.family!r}"]
        parts += [f"{name}={_SHORT.repr(value)}" for name, value in self.parameters.items()]
        return f"Entry({', '.join(parts)})"
