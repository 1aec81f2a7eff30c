"""What a sampler promises to the loop, and what it is given."""

import enum
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from slt._noise import Random
from slt._tree import Params
from slt.posterior import Posterior


class Auto(enum.Enum):
    """The type of `AUTO`."""

    AUTO = "auto"

    def __repr__(self) -> str:
        """Print the bare word, so that the repr of a sampler reads as code."""
        return "AUTO"


AUTO = Auto.AUTO
"""A setting that warmup decides."""


class Info(NamedTuple):
    """What a reader of the trace wants to know of a step: (chains,) each, of the position ENTERING it."""

    excess: Tensor
    """Loss above its value at w*, on this step's rows, nats, float64."""
    acceptance: Tensor
    """Metropolis acceptance probability; 1 for samplers without a Metropolis test."""
    diverging: Tensor
    """Whether the step's proposal was not finite or its energy error beyond all reason."""
    virial: Tensor
    """(w - w*) . grad U: its mean is the dimension under the posterior."""
    surplus: Tensor
    """Step bias in units of the virial, of the loss's share alone; 0 for exact samplers, nan where not known."""
    felt: Tensor | None = None
    """`Posterior.felt_virial`, less what the step size adds to it; None where that is not known."""


class Sampler(Protocol):
    """One algorithm: frozen choices in the fields, everything that moves in State, Tuning and Adaptation.

    State, Tuning and Adaptation are NamedTuples of (chains,) tensors, of `Params`, or of nested NamedTuples. Tuning
    holds (chains,) tensors, and `Params` that all chains share.
    """

    @property
    def full_data(self) -> bool:
        """Whether a step needs the loss on all the data."""
        ...

    @property
    def uniforms(self) -> int:
        """Uniform numbers that a step needs for each chain."""
        ...

    @property
    def unadjusted(self) -> bool:
        """Whether the step size biases what is sampled."""
        ...

    def init(self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random) -> tuple[Any, Any, Any | None]:
        """Return (state, tuning, adaptation); adaptation is None where nothing is left to find."""
        ...

    def step(
        self, posterior: Posterior, state: Any, tuning: Any, nbeta: Tensor, random: Random, t: int
    ) -> tuple[Any, Info]:
        """Take one step; consumes `state`."""
        ...

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Any,
        state: Any,
        tuning: Any,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Any, Any]:
        """After each warmup step, elementwise over chains: return (adaptation, tuning)."""
        ...

    def pool(self, adaptation: Any, tuning: Any, alive: Tensor) -> tuple[Any, Any]:
        """Between rounds of warmup, over all living chains of the run: return (adaptation, tuning)."""
        ...
