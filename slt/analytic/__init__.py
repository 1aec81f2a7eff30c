"""Exact answers: real log canonical thresholds as fractions, with the conditions they hold under.

Every function of the catalogue returns an `Entry`:

>>> from slt import analytic
>>> analytic.deep_linear((5, 5, 5), rank=2).value
Fraction(23, 2)
"""

from slt.analytic.activations import monomial_activation, relu_network, tanh_network
from slt.analytic.adapters import lora
from slt.analytic.arrangements import hyperplane_arrangement
from slt.analytic.diagonal_networks import diagonal_linear, rank_one_tensor
from slt.analytic.edge_ideals import edge_ideal
from slt.analytic.entry import Entry
from slt.analytic.factorizations import lda, multinomial_boundary, nmf
from slt.analytic.homogeneous import quasi_homogeneous_squared, weighted_homogeneous
from slt.analytic.latent_variables import factor_analysis, hmm, naive_bayes, rbm
from slt.analytic.linear_networks import deep_linear
from slt.analytic.minors import determinantal
from slt.analytic.mixtures import binomial_mixture, gaussian_mixture, poisson_mixture
from slt.analytic.newton_polyhedra import newton
from slt.analytic.normal_crossings import normal_crossing
from slt.analytic.plane_curves import plane_curve
from slt.analytic.quadratic_networks import quadratic_network
from slt.analytic.quadratics import minimally_singular, quadratic, regular
from slt.analytic.reduced_rank import reduced_rank_regression
from slt.analytic.rlct import RLCT
from slt.analytic.superposition import toy_superposition
from slt.analytic.symmetric_factorizations import symmetric_factorization
from slt.analytic.table import Catalogue, catalogue
from slt.analytic.vandermonde_type import vandermonde

__all__ = [
    "RLCT",
    "Catalogue",
    "Entry",
    "binomial_mixture",
    "catalogue",
    "deep_linear",
    "determinantal",
    "diagonal_linear",
    "edge_ideal",
    "factor_analysis",
    "gaussian_mixture",
    "hmm",
    "hyperplane_arrangement",
    "lda",
    "lora",
    "minimally_singular",
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
    "quasi_homogeneous_squared",
    "rank_one_tensor",
    "rbm",
    "reduced_rank_regression",
    "regular",
    "relu_network",
    "symmetric_factorization",
    "tanh_network",
    "toy_superposition",
    "vandermonde",
    "weighted_homogeneous",
]
