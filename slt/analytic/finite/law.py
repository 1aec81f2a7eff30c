"""What a loss must be able to say for exact answers at finite n: the interface of every law."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slt.analytic.finite.priors import Prior

Array = NDArray[np.float64]
Priors = tuple[Prior, ...]


@dataclass(frozen=True)
class Moments:
    """log E[e^(-nbeta K)], and mean and variance of nbeta K under the tempered law; each with a bound on its error."""

    log_z: Array
    energy: Array
    variance: Array
    log_z_error: Array
    energy_error: Array
    variance_error: Array


@dataclass(frozen=True)
class LogVolume:
    """log P(K < eps) under the prior, with a bound on its error."""

    value: Array
    error: Array


class Law(Protocol):
    """The law of a loss K(w) under independent priors of the coordinates of w."""

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        ...

    @property
    def direct(self) -> bool:
        """Whether many values cost little more than one, so that other laws can integrate over this one."""
        ...

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """The moments at each nbeta; None where this law has none that are exact."""
        ...

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """The log volume at each eps; None where this law has none that is exact."""
        ...


def total(nbeta: Array, parts: Sequence[Moments]) -> Moments:
    """The moments of a sum of independent losses: they add, and so do the bounds on their errors."""
    names = [field.name for field in fields(Moments)]
    return Moments(*(sum((getattr(m, name) for m in parts), np.zeros_like(nbeta)) for name in names))


def from_sums(sums: Array, errors: Array, log_scale: float | Array = 0.0) -> Moments:
    """Moments from E[(nbeta K)^j e^(-nbeta K)] e^(-log_scale), j = 0, 1, 2, and their errors, shapes (3, n)."""
    z, one, two = sums
    energy, second = one / z, two / z
    dz, d1, d2 = errors / z
    energy_error = d1 + energy * dz
    return Moments(
        log_z=np.log(z) + log_scale,
        energy=energy,
        variance=second - energy**2,
        log_z_error=dz,
        energy_error=energy_error,
        variance_error=d2 + second * dz + 2 * energy * energy_error,
    )
