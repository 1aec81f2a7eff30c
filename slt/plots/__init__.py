"""Pictures of arrays: every function draws into `ax`, returns it, and neither shows nor saves anything."""

from slt.plots.benchmarks import errors
from slt.plots.chains import acceptance, distances, losses, running_llc, virial
from slt.plots.comparisons import comparison
from slt.plots.over_training import over_training
from slt.plots.traces import traces

__all__ = [
    "acceptance",
    "comparison",
    "distances",
    "errors",
    "losses",
    "over_training",
    "running_llc",
    "traces",
    "virial",
]
