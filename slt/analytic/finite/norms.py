"""Products of norms of vectors: under an isotropic Gaussian each norm is one coordinate with a power as its density."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from slt.analytic.finite.crossing import NormalCrossing
from slt.analytic.finite.law import Array, Law, LogVolume, Moments, Priors
from slt.analytic.finite.priors import Gaussian, Prior
from slt.analytic.finite.quadratic import Quadratic


@dataclass(frozen=True)
class Norms:
    """K = c prod_i |v_i|^(k_i) of vectors v_i, the entries of v_1 first.

    Attributes:
        sizes: Of the vectors.
        exponents: k_i > 0.
        constant: c > 0.
        otherwise: The same K as a composition of other laws, for priors that are not isotropic.
    """

    sizes: tuple[int, ...]
    exponents: tuple[float, ...]
    constant: float
    otherwise: Law

    @property
    def dimension(self) -> int:
        """The number of parameters."""
        return sum(self.sizes)

    @property
    def direct(self) -> bool:
        """Every value is an integral of its own."""
        return False

    def tempered(self, nbeta: Array, priors: Priors) -> Moments | None:
        """Those of a normal crossing of the norms, with prior exponents sizes - 1."""
        own = self._of_norms(priors)
        if own is None:
            return self.otherwise.tempered(nbeta, priors)
        return self._crossing().tempered(nbeta * self.constant, own)

    def log_volume(self, eps: Array, priors: Priors) -> LogVolume | None:
        """That of the same normal crossing."""
        own = self._of_norms(priors)
        if own is None:
            return self.otherwise.log_volume(eps, priors)
        return self._crossing().log_volume(eps / self.constant, own)

    def _crossing(self) -> NormalCrossing:
        return NormalCrossing(self.exponents, tuple(float(size - 1) for size in self.sizes))

    def _of_norms(self, priors: Priors) -> Priors | None:
        ends = np.cumsum([0, *self.sizes])
        blocks = [priors[start:stop] for start, stop in pairwise(ends)]
        own = [_isotropic(block) for block in blocks]
        known = [prior for prior in own if prior is not None]
        return tuple(known) if len(known) == len(own) else None


def _isotropic(block: Priors) -> Prior | None:
    """The one law of all entries, if the vector's own law does not change as it is turned."""
    alone = len(block) == 1 or (isinstance(block[0], Gaussian) and len(set(block)) == 1)
    return block[0] if alone else None


def as_norms(law: Law) -> Norms | None:
    """The law as one of norms, if it is one."""
    if isinstance(law, Norms):
        return law
    if isinstance(law, NormalCrossing) and all(law.exponents) and not any(law.prior_exponents):
        return Norms((1,) * law.dimension, law.exponents, 1.0, law)
    if isinstance(law, Quadratic) and len(set(law.curvatures)) == 1 and law.curvatures[0] > 0:
        return Norms((law.dimension,), (2.0,), law.curvatures[0] / 2, law)
    return None


def product(first: Norms, second: Norms, otherwise: Law) -> Norms:
    """The law of the product of both, in disjoint parameters."""
    return Norms(
        sizes=first.sizes + second.sizes,
        exponents=first.exponents + second.exponents,
        constant=first.constant * second.constant,
        otherwise=otherwise,
    )


def power(law: Norms, exponent: float, otherwise: Law) -> Norms:
    """The law of K^exponent."""
    raised = tuple(k * exponent for k in law.exponents)
    return replace(law, exponents=raised, constant=law.constant**exponent, otherwise=otherwise)
