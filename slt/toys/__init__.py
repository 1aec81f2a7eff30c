"""Torch models at a known minimum, beside their exact learning coefficient: the bench for every estimator.

A toy's loss is its population loss K(w), the same for every row of its data:

>>> from slt import toys
>>> toy = toys.quadratic([4.0, 1.0, 0.0])
>>> toy.loss(toy.model, toy.data).item(), toy.exact.value
(0.0, Fraction(1, 1))
"""

from slt.toys.activations import monomial_activation, quadratic_network, relu_network, tanh_network
from slt.toys.adapters import Adapter, lora
from slt.toys.crossings import normal_crossing
from slt.toys.factor_models import factor_analysis
from slt.toys.factorizations import (
    Factorization,
    diagonal_linear,
    rank_one_tensor,
    symmetric_factorization,
    vandermonde,
)
from slt.toys.hidden_layer import HiddenLayer
from slt.toys.latent_variables import hmm, naive_bayes, rbm
from slt.toys.linear_networks import DeepLinear, deep_linear, reduced_rank_regression
from slt.toys.mixtures import binomial_mixture, gaussian_mixture, poisson_mixture
from slt.toys.polynomials import newton, plane_curve
from slt.toys.potentials import Potential, from_potential
from slt.toys.probabilities import lda, multinomial_boundary, nmf
from slt.toys.quadratics import quadratic
from slt.toys.random_linear import RandomDeepLinear, random_deep_linear
from slt.toys.superposition import Superposition, toy_superposition
from slt.toys.toy import Toy

__all__ = [
    "Adapter",
    "DeepLinear",
    "Factorization",
    "HiddenLayer",
    "Potential",
    "RandomDeepLinear",
    "Superposition",
    "Toy",
    "binomial_mixture",
    "deep_linear",
    "diagonal_linear",
    "factor_analysis",
    "from_potential",
    "gaussian_mixture",
    "hmm",
    "lda",
    "lora",
    "monomial_activation",
    "multinomial_boundary",
    "naive_bayes",
    "newton",
    "nmf",
    "normal_crossing",
    "plane_curve",
    "poisson_mixture",
    "quadratic",
    "quadratic_network",
    "random_deep_linear",
    "rank_one_tensor",
    "rbm",
    "reduced_rank_regression",
    "relu_network",
    "symmetric_factorization",
    "tanh_network",
    "toy_superposition",
    "vandermonde",
]
