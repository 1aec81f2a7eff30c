"""Where the degeneracy of a trained model comes from: null directions, reducible units, curvature, bounds."""

from slt.degeneracy.explain import explain
from slt.degeneracy.explanation import Explanation
from slt.degeneracy.higher_order import HigherOrder, higher_order
from slt.degeneracy.jacobian import FunctionalDimension, functional_dimension
from slt.degeneracy.proximate import ProximateRank, proximate_rank
from slt.degeneracy.reducible import Reducibility, reducible
from slt.degeneracy.spectrum import SpectralCurve, spectral_curve

__all__ = [
    "Explanation",
    "FunctionalDimension",
    "HigherOrder",
    "ProximateRank",
    "Reducibility",
    "SpectralCurve",
    "explain",
    "functional_dimension",
    "higher_order",
    "proximate_rank",
    "reducible",
    "spectral_curve",
]
