"""What follows a training run: one estimate for each of its checkpoints."""

from slt.checkpoints.rows import Row
from slt.checkpoints.sweep import Sweep, sweep
from slt.checkpoints.weights import load_weights

__all__ = ["Row", "Sweep", "load_weights", "sweep"]
