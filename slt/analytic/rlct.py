"""The pair (lambda, m) and its arithmetic: sums, products and powers of losses, and which zeros dominate."""

from dataclasses import dataclass
from fractions import Fraction
from functools import total_ordering

from slt.analytic.checks import integer, rational
from slt.errors import InputError


@total_ordering
@dataclass(frozen=True, repr=False)
class RLCT:
    r"""A real log canonical threshold lambda and its multiplicity m, with the arithmetic of losses.

    They are the exponents of the prior volume near the zeros of a loss K >= 0 (Watanabe, 2009):

    .. math:: V(\varepsilon) = \int_{K(w) < \varepsilon} \varphi(w)\,dw
              \sim c\,\varepsilon^{\lambda} (\log 1/\varepsilon)^{m-1}, \qquad \varepsilon \to 0.

    With a of a loss K_1 and b of a loss K_2, both >= 0, **in disjoint parameters** under a product prior:

    - ``a + b`` is the RLCT of K_1 + K_2: lambdas add, and so do the m - 1.
    - ``a * b`` is the RLCT of K_1 K_2: the smaller lambda; equal ones add their m.
    - ``a / p`` is the RLCT of K_1^p, for a rational p > 0: lambda / p, with the same m.
    - ``min(a, b)`` is the one that dominates where a loss has both kinds of zeros (wells, strata): the smaller
      lambda; of equal ones the larger m, as it has the larger volume. ``a < b`` says that a dominates b.

    Attributes:
        value: lambda, a number without unit; an int is taken as a Fraction.
        multiplicity: m, the order of the pole that lambda comes from, 1 or more.

    Raises:
        InputError: If the value is not an int or Fraction >= 0, the multiplicity not an integer >= 1, or the
            value 0 (K = 0 on a set of positive volume) and the multiplicity not 1.

    >>> line = RLCT(Fraction(1, 2), 1)  # K = x^2
    >>> line + line  # x^2 + y^2
    RLCT(1, 1)
    >>> line * line  # (x y)^2
    RLCT(1/2, 2)
    >>> (line + line) / 2  # (x^2 + y^2)^2
    RLCT(1/2, 1)
    >>> min(line, line * line)
    RLCT(1/2, 2)
    """

    value: Fraction
    multiplicity: int

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be a threshold and its multiplicity; hold plain Fraction and int."""
        value = rational("value", self.value)
        if value < 0:
            raise InputError(f"value must be an int or a Fraction >= 0, got {value}.")
        multiplicity = integer("multiplicity", self.multiplicity, 1)
        if value == 0 and multiplicity > 1:
            raise InputError(f"multiplicity must be 1 where the value is 0 (else V would diverge), got {multiplicity}.")
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "multiplicity", multiplicity)

    def __add__(self, other: "RLCT") -> "RLCT":
        """RLCT of a sum of non-negative losses in disjoint parameters."""
        if not isinstance(other, RLCT):
            return NotImplemented
        return RLCT(self.value + other.value, self.multiplicity + other.multiplicity - 1)

    def __mul__(self, other: "RLCT") -> "RLCT":
        """RLCT of a product of losses in disjoint parameters."""
        if not isinstance(other, RLCT):
            return NotImplemented
        if self.value == other.value != 0:
            return RLCT(self.value, self.multiplicity + other.multiplicity)
        return min(self, other)

    def __truediv__(self, power: int | Fraction) -> "RLCT":
        """RLCT of the loss to a positive rational power."""
        if isinstance(power, RLCT):
            return NotImplemented
        return RLCT(self.value / rational("the power of a loss", power, above=0), self.multiplicity)

    def __lt__(self, other: "RLCT") -> bool:
        """Whether these zeros have the larger volume, and so decide the free energy."""
        if not isinstance(other, RLCT):
            return NotImplemented
        return (self.value, -self.multiplicity) < (other.value, -other.multiplicity)

    def __repr__(self) -> str:
        """Give the pair as it is written: (lambda, m)."""
        return f"RLCT({self.value}, {self.multiplicity})"
