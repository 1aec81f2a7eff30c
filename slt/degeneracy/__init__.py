"""Where the degeneracy of a trained model comes from: null directions, reducible units, curvature, bounds."""

from slt.degeneracy.jacobian import FunctionalDimension, functional_dimension

__all__ = ["FunctionalDimension", "functional_dimension"]
