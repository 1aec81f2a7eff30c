"""Losses of |w| alone, and losses on an orthant: the prior is folded, or cut, at w_i = 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from slt.analytic.finite.law import Array, Law, LogVolume, Moments, Priors, from_sums
from slt.analytic.finite.priors import Gaussian, HalfGaussian, Prior, Uniform
from slt.errors import SettingsError

Weighted = list[tuple[float, Prior]]


@dataclass(frozen=True)
class Folded:
    """K(|w_1|, ..., |w_d|), or K on the orthant of all w_i >= 0 under the prior restricted to it.

    Attributes:
        law: Of K where all w_i >= 0.
        cut: Whether the prior is restricted to the orthant.
    """

    law: Law
    cut: bool

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return self.law.dimension

    @property
    def direct(self) -> bool:
        """As that of K."""
        return self.law.direct

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """A mixture of what K gives for each side of 0 that the prior reaches."""
        parts = [(weight, self.law.tempered(nbeta, own)) for weight, own in self._sides(priors)]
        known = [(weight, m) for weight, m in parts if m is not None]
        if len(known) < len(parts):
            return None
        if len(known) == 1:
            return known[0][1]
        top = np.max([m.log_z for _, m in known], axis=0)
        sums, errors = np.zeros((3, len(nbeta))), np.zeros((3, len(nbeta)))
        for weight, m in known:
            z = weight * np.exp(m.log_z - top)
            second = m.variance + m.energy**2
            sums += z * np.stack([np.ones_like(z), m.energy, second])
            d2 = m.variance_error + 2 * m.energy * m.energy_error
            errors += z * np.stack([m.log_z_error, m.energy_error + m.energy * m.log_z_error, d2])
            errors[2] += z * second * m.log_z_error
        return from_sums(sums, errors, top)

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """The same mixture."""
        parts = [(weight, self.law.log_volume(eps, own)) for weight, own in self._sides(priors)]
        known = [(weight, v) for weight, v in parts if v is not None]
        if len(known) < len(parts):
            return None
        masses = np.stack([weight * np.exp(v.value) for weight, v in known])
        errors = np.stack([mass * v.error for mass, (_, v) in zip(masses, known, strict=True)])
        with np.errstate(divide="ignore", invalid="ignore"):
            return LogVolume(np.log(masses.sum(0)), errors.sum(0) / masses.sum(0))

    def _sides(self, priors: Priors) -> list[tuple[float, Priors]]:
        choices = [_sides(prior, self.cut) for prior in priors]
        return [(float(np.prod([w for w, _ in chosen])), tuple(p for _, p in chosen)) for chosen in product(*choices)]


def _sides(prior: Prior, cut: bool) -> Weighted:
    """The law of |w|, or of w >= 0, as a mixture."""
    if isinstance(prior, Gaussian):
        return [(1.0, HalfGaussian(prior.precision))]
    ends = [(max(prior.low, 0.0), prior.high)] + ([] if cut else [(max(-prior.high, 0.0), -prior.low)])
    sides = [(low, high) for low, high in ends if low < high]
    if not sides:
        raise SettingsError(f"box must reach into w >= 0, where the loss lives, got ({prior.low}, {prior.high}).")
    return _merged(sides)


def _merged(sides: Sequence[tuple[float, float]]) -> Weighted:
    total = sum(high - low for low, high in sides)
    if len(set(sides)) == 1:
        return [(1.0, Uniform(*sides[0]))]
    return [((high - low) / total, Uniform(low, high)) for low, high in sides]
