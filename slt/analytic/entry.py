"""The answer for one loss: what every function of the catalogue returns."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, get_args

from slt.analytic.finite.answers import Box, Number, Tempered, log_volume, tempered
from slt.analytic.finite.compose import add, multiply, raise_to
from slt.analytic.finite.law import Law
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
        law: What answers `tempered` and `log_volume` exactly; None where nothing does.

    Entries compose like losses >= 0 **in disjoint parameters**, those of the first coming first: ``a + b``, ``a * b``,
    and ``a / p`` for K^p, as RLCTs do. ``min(a, b)`` is the entry of the zeros that dominate; its law is its own alone.

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
    law: Law | None = field(default=None, compare=False)

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

    def tempered(
        self, nbeta: float, *, localization: float | Sequence[float] | None = None, box: Box | None = None
    ) -> Tempered:
        r"""Mean, variance and partition function of K at a finite nbeta, under a normalised prior.

        .. math:: Z = \int e^{-n\beta K(w)} \varphi(w)\,dw, \qquad \int \varphi(w)\,dw = 1

        Args:
            nbeta: Inverse temperature times n, > 0, in 1/nats.
            localization: gamma > 0: the prior is Gaussian about w* = 0 with these precisions, one number or one
                for each parameter. This is the localizer of `slt.LocalPosterior`.
            box: The prior is uniform on (low, high), one pair for all parameters or one for each.

        Returns:
            `.energy`, nbeta E[K]; `.variance`, nbeta^2 Var[K]; `.log_z`; each with ``.value``, ``.error`` and
            ``.kind``. Without a law the energy is lambda - (m - 1)/log(nbeta), of kind "asymptotic", and the rest is
            not available.

        Raises:
            SettingsError: If nbeta is not positive and finite, not exactly one of localization and box is given,
                or it is out of range or of another number of parameters.

        >>> from slt import analytic
        >>> analytic.quadratic([1.0, 1.0]).tempered(99.0, localization=1.0).energy.value
        0.99
        """
        return tempered(self.law, self.rlct if self.bound == "exact" else None, nbeta, localization, box)

    def log_volume(
        self, eps: float, *, localization: float | Sequence[float] | None = None, box: Box | None = None
    ) -> Number:
        """Log of the prior probability of K < eps.

        Args:
            eps: > 0, in nats.
            localization: As in `tempered`.
            box: As in `tempered`.

        Returns:
            ``.value``, ``.error`` and ``.kind``: "exact", or "not available" with the value None.

        Raises:
            SettingsError: If eps is not positive and finite, or the prior is not as in `tempered`.

        >>> from slt import analytic
        >>> analytic.normal_crossing((2,)).log_volume(0.25, box=(-1, 1)).value  # P(|w| < 1/2)
        -0.6931471805...
        """
        return log_volume(self.law, eps, localization, box)

    def __add__(self, other: "Entry") -> "Entry":
        """The entry of K_1 + K_2."""
        if not isinstance(other, Entry):
            return NotImplemented
        law = None if self.law is None or other.law is None else add(self.law, other.law)
        return self._joined(other, "sum", "+", self.rlct + other.rlct, law)

    def __mul__(self, other: "Entry") -> "Entry":
        """The entry of K_1 K_2."""
        if not isinstance(other, Entry):
            return NotImplemented
        law = None if self.law is None or other.law is None else multiply(self.law, other.law)
        return self._joined(other, "product", "*", self.rlct * other.rlct, law)

    def __truediv__(self, power: int | Fraction) -> "Entry":
        """The entry of K^power, for a rational power > 0."""
        if isinstance(power, Entry):
            return NotImplemented
        rlct = self.rlct / power
        law = None if self.law is None else raise_to(self.law, float(power))
        parameters = {"loss": self, "power": power}
        return replace(self, rlct=rlct, family="power", parameters=parameters, K=f"({self.K})^({power})", law=law)

    def __lt__(self, other: "Entry") -> bool:
        """Whether these zeros dominate: the smaller lambda, of equal ones the larger m."""
        if not isinstance(other, Entry):
            return NotImplemented
        return self.rlct < other.rlct

    def _joined(self, other: "Entry", family: str, sign: str, rlct: RLCT, law: Law | None) -> "Entry":
        def both(name: str) -> str:
            first, second = getattr(self, name), getattr(other, name)
            return first if first == second else f"{first}; and {second}"

        return Entry(
            rlct=rlct,
            family=family,
            parameters={"first": self, "second": other},
            K=f"({self.K}) {sign} ({other.K}), in disjoint parameters",
            domain=both("domain"),
            prior=both("prior"),
            source=both("source"),
            conditions=both("conditions"),
            bound="exact" if self.bound == other.bound == "exact" else "upper",
            law=law,
        )

    def __repr__(self) -> str:
        """Give the answer first, then the question, long tuples cut short."""
        upper = self.bound == "upper"
        parts = [f"value{'<=' if upper else '='}{self.value}", f"multiplicity={self.multiplicity}"]
        parts += [f"bound={self.bound!r}"] * upper
        parts += [f"family={self.family!r}"]
        parts += [f"{name}={_SHORT.repr(value)}" for name, value in self.parameters.items()]
        return f"Entry({', '.join(parts)})"
