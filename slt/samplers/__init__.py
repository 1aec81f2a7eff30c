"""The algorithms, one a file."""

from slt.samplers.hmc import HMC
from slt.samplers.mala import MALA
from slt.samplers.preconditioning import Diagonal, RMSprop
from slt.samplers.protocol import AUTO, Auto, Info, Sampler
from slt.samplers.scale_moves import ScaleMoves
from slt.samplers.sgld import SGLD
from slt.samplers.sgnht import SGNHT

__all__ = ["AUTO", "HMC", "MALA", "SGLD", "SGNHT", "Auto", "Diagonal", "Info", "RMSprop", "Sampler", "ScaleMoves"]
