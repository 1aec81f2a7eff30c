"""The laws of one coordinate under which a loss is averaged: a Gaussian about w* = 0, or uniform on an interval."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from slt.analytic.checks import positive
from slt.errors import SettingsError

Array = NDArray[np.float64]
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class Gaussian:
    """N(0, 1/precision)."""

    precision: float

    @property
    def low(self) -> float:
        """Left end of the range that quadrature covers: beyond it lies less than 1e-88 of the mass."""
        return -20 / sqrt(self.precision)

    @property
    def high(self) -> float:
        """Right end of that range."""
        return 20 / sqrt(self.precision)

    @property
    def edges(self) -> tuple[float, ...]:
        """Where the density jumps."""
        return ()

    @property
    def unit(self) -> float:
        """The scale on which the density changes."""
        return 1 / sqrt(self.precision)

    def density(self, w: Array) -> Array:
        """The density at w."""
        return np.sqrt(self.precision / (2 * np.pi)) * np.exp(-self.precision * w**2 / 2)

    def mass(self, start: Array, length: Array) -> Array:
        """The mass of [start, start + length], accurate relative to itself; a negative length goes left."""
        low = np.where(length < 0, start + length, start) * sqrt(self.precision)
        wide = np.abs(length) * sqrt(self.precision)
        mirrored = low > 0  # tails are differenced on the left, where ndtr has small values
        tail = ndtr(np.where(mirrored, -low, low + wide)) - ndtr(np.where(mirrored, -low - wide, low))
        z = low[..., None] + np.minimum(wide, 1.0)[..., None] * (1 + _POINTS) / 2
        narrow = (np.exp(-(z**2) / 2) * _WEIGHTS).sum(-1) * wide / 2 / sqrt(2 * np.pi)
        return np.where(wide < 1, narrow, tail)


@dataclass(frozen=True)
class HalfGaussian(Gaussian):
    """The law of |w| under N(0, 1/precision); closed forms for even functions of w are the same for both."""

    @property
    def low(self) -> float:
        """Left end."""
        return 0.0

    @property
    def edges(self) -> tuple[float, ...]:
        """Where the density jumps."""
        return (0.0,)

    def density(self, w: Array) -> Array:
        """The density at w >= 0."""
        return 2 * super().density(w)

    def mass(self, start: Array, length: Array) -> Array:
        """The mass of [start, start + length], an interval of w >= 0."""
        return 2 * super().mass(start, length)


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high]."""

    low: float
    high: float

    @property
    def unit(self) -> float:
        """The scale on which the density changes: none but the whole."""
        return self.high - self.low

    @property
    def edges(self) -> tuple[float, ...]:
        """Where the density jumps."""
        return (self.low, self.high)

    def density(self, w: Array) -> Array:
        """The density at w."""
        return np.full_like(w, 1 / (self.high - self.low))

    def mass(self, start: Array, length: Array) -> Array:
        """The mass of [start, start + length], an interval inside; a negative length goes left."""
        del start
        return np.abs(length) / (self.high - self.low)


Prior = Gaussian | Uniform


def priors(dimension: int | None, localization: object, box: object) -> tuple[Prior, ...]:
    """The prior of each coordinate; without a known dimension of as many as are given.

    Returns:
        One law a coordinate.

    Raises:
        SettingsError: If not exactly one of the two is given, a number is out of range, or their count is not
            the number of parameters.
    """
    if (localization is None) == (box is None):
        raise SettingsError(f"give exactly one of localization and box, got {localization!r} and {box!r}.")
    if localization is not None:
        return tuple(Gaussian(g) for g in _localizations(dimension, localization))
    return tuple(Uniform(low, high) for low, high in _intervals(dimension, box))


def _localizations(dimension: int | None, localization: object) -> list[float]:
    values = _floats("localization", localization)
    if values.ndim == 0:
        values = np.full(dimension or 1, values)
    if values.ndim != 1 or dimension not in (None, len(values)):
        count = "parameter" if dimension is None else f"of the {dimension} parameters"
        raise SettingsError(f"localization must be one number, or one for each {count}, got {localization!r}.")
    return [positive("localization", g) for g in values.tolist()]


def _intervals(dimension: int | None, box: object) -> list[tuple[float, float]]:
    pairs = _floats("box", box)
    if pairs.shape == (2,):
        pairs = np.broadcast_to(pairs, (dimension or 1, 2))
    if pairs.ndim != 2 or pairs.shape[1] != 2 or dimension not in (None, len(pairs)):
        count = "parameter" if dimension is None else f"of the {dimension} parameters"
        raise SettingsError(f"box must be (low, high), or one such pair for each {count}, got {box!r}.")
    if not (np.isfinite(pairs).all() and (pairs[:, 0] < pairs[:, 1]).all()):
        raise SettingsError(f"box must have finite ends, low < high, got {box!r}.")
    return [(low, high) for low, high in pairs.tolist()]


def _floats(name: str, values: object) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as failure:
        raise SettingsError(f"{name} must be made of numbers, got {values!r}.") from failure
