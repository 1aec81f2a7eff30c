"""A law in its place: scaled, and among other parameters."""

from dataclasses import dataclass

from slt.analytic.finite.law import Array, Law, LogVolume, Moments, Priors


@dataclass(frozen=True)
class Placed:
    """c K of some of the parameters, in any order; the others are flat directions.

    Attributes:
        law: Of K.
        coordinates: Which parameter each of K's is, counted from 0.
        dimension: The number of all parameters.
        constant: c > 0.
    """

    law: Law
    coordinates: tuple[int, ...]
    dimension: int
    constant: float = 1.0

    @property
    def direct(self) -> bool:
        """As that of K."""
        return self.law.direct

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """Those of K at c nbeta."""
        return self.law.tempered(nbeta * self.constant, self._own(priors))

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """That of K at eps/c."""
        return self.law.log_volume(eps / self.constant, self._own(priors))

    def _own(self, priors: Priors) -> Priors:
        return tuple(priors[i] for i in self.coordinates)
