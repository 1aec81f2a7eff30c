"""Torch models at a known minimum, beside their exact learning coefficient: the bench for every estimator.

A toy's loss is its population loss K(w), the same for every row of its data:

>>> from slt import toys
>>> toy = toys.quadratic([4.0, 1.0, 0.0])
>>> toy.loss(toy.model, toy.data).item(), toy.exact.value
(0.0, Fraction(1, 1))
"""

from slt.toys.crossings import normal_crossing
from slt.toys.factor_models import factor_analysis
from slt.toys.factorizations import lda, multinomial_boundary, nmf
from slt.toys.latent_variables import hmm, naive_bayes, rbm
from slt.toys.linear_networks import DeepLinear, deep_linear
from slt.toys.mixtures import binomial_mixture, gaussian_mixture, poisson_mixture
from slt.toys.potentials import Potential, from_potential
from slt.toys.quadratics import quadratic
from slt.toys.random_linear import RandomDeepLinear, random_deep_linear
from slt.toys.toy import Toy

__all__ = [
    "DeepLinear",
    "Potential",
    "RandomDeepLinear",
    "Toy",
    "binomial_mixture",
    "deep_linear",
    "factor_analysis",
    "from_potential",
    "gaussian_mixture",
    "hmm",
    "lda",
    "multinomial_boundary",
    "naive_bayes",
    "nmf",
    "normal_crossing",
    "poisson_mixture",
    "quadratic",
    "random_deep_linear",
    "rbm",
]
