"""The algorithms, one a file."""

from slt.samplers.hmc import HMC
from slt.samplers.protocol import AUTO, Auto, Info, Sampler
from slt.samplers.sgld import SGLD

__all__ = ["AUTO", "HMC", "SGLD", "Auto", "Info", "Sampler"]
