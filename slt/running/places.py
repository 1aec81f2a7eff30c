"""Where the chains are at the end of warmup, and which directions the loss is felt in there."""

import math

import torch
from torch import Tensor

from slt._tree import Params
from slt.posterior.felt import Felt, find_felt
from slt.running.advance import Run
from slt.running.provenance import Setup

_PLACES = 256  # gradients at most; twice the dimension is enough
_LOOKS = 16  # steps at most, each of which costs one gradient of every chain
LOOKS_SHARE = 0.25
"""Of the steps of warmup at most, that cost one more gradient each."""
_NUMBERS = 2**24  # of all places at most, and a quarter as many of the directions
_DIRECTIONS = 128
_ROWS = 16  # of a gradient, for each direction: finding its virial then takes a few percent of a step
_CHEAP = 8  # directions that are always worth it


def looks_in(warmup: int, setup: Setup) -> int:
    """Return the steps at the end of warmup before each of which the places of all chains are taken."""
    wanted = min(2 * setup.posterior.dimension, _PLACES, _NUMBERS // setup.posterior.dimension)
    return min(math.ceil(wanted / setup.chains), _LOOKS, int(LOOKS_SHARE * warmup))


class Places:
    """Positions of chains, and the loss's gradients there.

    Args:
        setup: What was chosen.
    """

    def __init__(self, setup: Setup) -> None:
        """Begin without any."""
        self._setup = setup
        self._away: list[Params] = []
        self._gradients: list[Params] = []

    def add(self, run: Run, rows: Tensor | None) -> None:
        """Take the places of some chains, with gradients on the rows of their next step."""
        bound, w = self._setup.bound, run.state.w
        self._away.append(bound.away(w))
        gradient = bound.evaluate(w, rows).grad
        self._gradients.append({name: leaf * run.nbeta.to(leaf).unsqueeze(1) for name, leaf in gradient.items()})

    def felt(self) -> Felt | None:
        """Return the directions; None where they would not fit, or no gradient is known."""
        setup, dimension = self._setup, self._setup.posterior.dimension
        rows = setup.posterior.n if setup.full_data else setup.posterior.batch_size or setup.posterior.n
        most = max(_CHEAP, rows // _ROWS) if dimension > _DIRECTIONS else dimension
        most = min(most, _DIRECTIONS, _NUMBERS // 4 // dimension)
        if not self._away or not most:
            return None
        bound = setup.bound
        away, gradient = (
            {name: torch.cat([place[name] for place in places]) for name in places[0]}
            for places in (self._away, self._gradients)
        )
        return find_felt(away, gradient, bound.metric, bound.precision, most)
