"""The list of families, in the order of the documentation: what the catalogue, the page and the command go by."""

from collections.abc import Callable

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
from slt.analytic.superposition import toy_superposition
from slt.analytic.symmetric_factorizations import symmetric_factorization
from slt.analytic.vandermonde_type import vandermonde

GROUPS: dict[str, tuple[Callable[..., Entry], ...]] = {
    "Polynomials": (
        regular,
        minimally_singular,
        quadratic,
        normal_crossing,
        weighted_homogeneous,
        quasi_homogeneous_squared,
        hyperplane_arrangement,
        newton,
        plane_curve,
        edge_ideal,
        determinantal,
    ),
    "Linear networks": (
        reduced_rank_regression,
        deep_linear,
        lora,
        diagonal_linear,
        symmetric_factorization,
        rank_one_tensor,
    ),
    "Networks with one hidden layer": (
        vandermonde,
        tanh_network,
        relu_network,
        monomial_activation,
        quadratic_network,
        toy_superposition,
    ),
    "Latent variables": (
        gaussian_mixture,
        poisson_mixture,
        binomial_mixture,
        naive_bayes,
        factor_analysis,
        rbm,
        hmm,
        lda,
        nmf,
        multinomial_boundary,
    ),
}
"""Every family under the heading it stands under."""

FAMILIES = {family.__name__: family for group in GROUPS.values() for family in group}
"""Every family by its name."""
