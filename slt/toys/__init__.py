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
from slt.toys.factorizations import (
    Factorization,
    diagonal_linear,
    rank_one_tensor,
    symmetric_factorization,
    vandermonde,
)
from slt.toys.hidden_layer import HiddenLayer
from slt.toys.linear_networks import DeepLinear, deep_linear, reduced_rank_regression
from slt.toys.polynomials import newton, plane_curve
from slt.toys.potentials import Potential, from_potential
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
    "deep_linear",
    "diagonal_linear",
    "from_potential",
    "lora",
    "monomial_activation",
    "newton",
    "normal_crossing",
    "plane_curve",
    "quadratic",
    "quadratic_network",
    "random_deep_linear",
    "rank_one_tensor",
    "reduced_rank_regression",
    "relu_network",
    "symmetric_factorization",
    "tanh_network",
    "toy_superposition",
    "vandermonde",
]
