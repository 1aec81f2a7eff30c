"""What an entry answers at finite n: numbers that carry their error, and say what kind of number they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np

from slt.analytic.checks import positive
from slt.analytic.finite.law import Array, Law
from slt.analytic.finite.priors import priors
from slt.analytic.rlct import RLCT
from slt.errors import SettingsError

Kind = Literal["exact", "asymptotic", "not available"]


@dataclass(frozen=True)
class Number:
    """A number, a bound on its error, and what kind of answer it is.

    Attributes:
        value: None where no answer is available.
        error: A bound on the numerical error of an exact value, below 1e-3; else None.
        kind: "exact": a closed form, or quadrature whose error is followed; "asymptotic": the leading terms of the
            limit, of unknown error; "not available".
    """

    value: float | None
    error: float | None
    kind: Kind


@dataclass(frozen=True)
class Tempered:
    r"""A loss K under the tempered law :math:`e^{-n\beta K(w)} \varphi(w) / Z`, with a normalised prior.

    Attributes:
        energy: nbeta E[K], without unit: what an LLC estimate estimates.
        variance: nbeta^2 Var[K].
        log_z: log of the prior mean Z of e^(-nbeta K): 0 at nbeta = 0.
    """

    energy: Number
    variance: Number
    log_z: Number


Box = Sequence[float] | Sequence[Sequence[float]]
_LARGEST_ERROR = 1e-3
NOTHING = Number(None, None, "not available")


def tempered(
    law: Law | None,
    rlct: RLCT | None,
    nbeta: float,
    localization: float | Sequence[float] | None,
    box: Box | None,
) -> Tempered:
    """The exact numbers of a law; without one the energy of an rlct that is exact, in the limit.

    Returns:
        Energy, variance and log Z.

    Raises:
        SettingsError: If nbeta is not positive and finite, or the prior is not as `priors` asks.
    """
    positive("nbeta", nbeta)
    given = priors(None if law is None else law.dimension, localization, box)
    m = None if law is None else law.tempered(np.array([float(nbeta)]), given)
    if m is None:
        return Tempered(_limit(rlct, nbeta), NOTHING, NOTHING)
    energy = _bounded(m.energy, m.energy_error)
    return Tempered(
        energy=_limit(rlct, nbeta) if energy is NOTHING else energy,
        variance=_bounded(m.variance, m.variance_error),
        log_z=_bounded(m.log_z, m.log_z_error),
    )


def _bounded(value: Array, error: Array) -> Number:
    """An exact number, if its error is small: where rounding has the last word there is none."""
    return Number(float(value[0]), float(error[0]), "exact") if error[0] < _LARGEST_ERROR else NOTHING


def _limit(rlct: RLCT | None, nbeta: float) -> Number:
    """The value lambda - (m - 1)/log(nbeta), where nbeta is large enough for that to be positive."""
    if rlct is None or (rlct.multiplicity > 1 and log(nbeta) <= 0):
        return NOTHING
    value = float(rlct.value) - (rlct.multiplicity - 1) / log(nbeta) if rlct.multiplicity > 1 else float(rlct.value)
    return Number(value, None, "asymptotic") if value >= 0 else NOTHING


def log_volume(law: Law | None, eps: float, localization: float | Sequence[float] | None, box: Box | None) -> Number:
    """The exact log volume of a law, if it has one.

    Returns:
        The number, "not available" if there is none.

    Raises:
        SettingsError: If eps is not positive and finite, or the prior is not as `priors` asks.
    """
    if not 0 < eps < float("inf"):
        raise SettingsError(f"eps must be positive and finite, got {eps}.")
    given = priors(None if law is None else law.dimension, localization, box)
    volume = None if law is None else law.log_volume(np.array([float(eps)]), given)
    if volume is None:
        return NOTHING
    return _bounded(volume.value, volume.error)
