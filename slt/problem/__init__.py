"""What the user hands over: model, data, loss and the choice of what moves, read carefully."""

from slt.problem.losses import gaussian_loss
from slt.problem.problem import Problem
from slt.problem.untouched import untouched

__all__ = ["Problem", "gaussian_loss", "untouched"]
