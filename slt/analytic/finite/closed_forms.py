"""Exact means at a finite nbeta, for the few losses where a localized posterior can be integrated by hand."""

from collections.abc import Sequence

import numpy as np
from scipy.special import k0e, k1e

from slt.analytic.checks import as_curvatures, positive
from slt.analytic.finite.law import Array, Moments
from slt.errors import SettingsError


def quadratic_energy(curvatures: int | Sequence[float], nbeta: float, localization: float) -> float:
    r"""Exact nbeta E[K] of K = 1/2 sum_i h_i w_i^2 under :math:`e^{-n\beta K - (\gamma/2)|w|^2}`.

    .. math:: n\beta\,\mathbb{E}[K] = \frac12 \sum_i \frac{n\beta\,h_i}{n\beta\,h_i + \gamma}

    It follows from the Gaussian law of each w_i, and lies below the RLCT rank/2 whenever gamma > 0.

    Args:
        curvatures: h_i >= 0, shape (d,), in nats per squared parameter unit; an int d means d ones.
        nbeta: Inverse temperature times n, > 0, in 1/nats.
        localization: gamma >= 0, per squared parameter unit; > 0 if a curvature is 0.

    Returns:
        nbeta E[K], a number without unit.

    Raises:
        SettingsError: If nbeta or the localization is out of range, or the posterior is improper.

    >>> quadratic_energy(2, nbeta=99.0, localization=1.0)
    0.99
    """
    h = np.asarray(as_curvatures(curvatures))
    if not 0 <= localization < np.inf:
        raise SettingsError(f"localization must be finite and >= 0, got {localization}.")
    precision = positive("nbeta", nbeta) * h + localization
    if not (precision > 0).all():
        raise SettingsError(
            "localization must be positive where a curvature is 0 (else the posterior is improper), got 0."
        )
    return float(quadratic_energies(h, nbeta, localization).sum())


def quadratic_energies(h: Array, nbeta: float | Array, localization: float | Array) -> Array:
    """The part of each coordinate, without checks."""
    return 0.5 * nbeta * h / (nbeta * h + localization)


def crossing_energy(nbeta: float, localization: float) -> float:
    r"""Exact nbeta E[K] of K = (x y)^2 under :math:`e^{-n\beta K - (\gamma/2)(x^2 + y^2)}`.

    .. math:: n\beta\,\mathbb{E}[K] = \frac12 + t\,\Big(1 - \frac{K_1(t)}{K_0(t)}\Big),
              \qquad t = \frac{\gamma^2}{8 n\beta}

    with the modified Bessel functions of the second kind: the integral over y, then over x, gives the
    partition function e^t K_0(t) sqrt(t) up to a constant. As nbeta grows the mean nears the RLCT 1/2 only
    like 1/2 - 1/log(nbeta), which is what multiplicity 2 means.

    Args:
        nbeta: Inverse temperature times n, > 0, in 1/nats.
        localization: gamma > 0, per squared parameter unit.

    Returns:
        nbeta E[K], a number without unit, with an error of about t times 1e-15 (by cancellation at large t).

    Raises:
        SettingsError: If nbeta or the localization is not positive and finite.

    >>> round(crossing_energy(1e4, localization=1.0), 4)
    0.4123
    """
    # scaling both coordinates by sqrt(gamma) makes the localizer standard and divides nbeta by gamma^2
    t = positive("localization", localization) ** 2 / (8 * positive("nbeta", nbeta))
    return float(crossing_moments(np.array(t)).energy)


def crossing_moments(t: Array) -> Moments:
    """Log Z, energy and variance of the same, as functions of t: -nbeta d/dnbeta is t d/dt."""
    ratio = k1e(t) / k0e(t)
    energy = 0.5 + t * (1 - ratio)
    log_z = 0.5 * np.log(2 * t / np.pi) + np.log(k0e(t))
    rounding = 1e-15 * (1 + t)
    variance = energy + t + t**2 * (1 - ratio**2)
    return Moments(log_z, energy, variance, 1e-15 * (1 + np.abs(log_z)), rounding, rounding * (1 + t))
