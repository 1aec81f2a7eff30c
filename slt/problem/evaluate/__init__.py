"""The only room that runs the model."""

from slt.problem.evaluate.choose import ChainMethod, choose_evaluator
from slt.problem.evaluate.in_place import InPlace
from slt.problem.evaluate.protocol import Evaluation, Evaluator
from slt.problem.evaluate.vectorized import Vectorized

__all__ = ["ChainMethod", "Evaluation", "Evaluator", "InPlace", "Vectorized", "choose_evaluator"]
