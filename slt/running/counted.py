"""What a run spends: a posterior that counts its gradients, and how many there may be."""

import math
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from slt._tree import Params, chains_of
from slt.posterior import Posterior
from slt.posterior.felt import Felt
from slt.problem.evaluate import Evaluation


@dataclass
class Tally:
    """The gradients of a run so far, all chains together.

    Attributes:
        gradients: Of one chain each, on however many rows.
        rows: Rows that they were on; n of them are a gradient on all the data.
    """

    gradients: int = 0
    rows: int = 0


class Allowance(NamedTuple):
    """What a run may spend, from its first step to its last."""

    gradients: float = math.inf
    """On all the data, all chains together."""
    draw: float = 1.0
    """Gradients that one draw of every chain takes at most: no draw is begun that might pass them."""
    deadline: float = math.inf
    """By `time.monotonic`: no round of draws is begun after it."""

    def draws(self, spent: float) -> float:
        """How many more draws there may be, after so many gradients."""
        return 0.0 if time.monotonic() >= self.deadline else max(0.0, (self.gradients - spent) / self.draw)


@dataclass(frozen=True)
class Counted(Posterior):
    """A posterior that keeps count of its gradients."""

    n: int
    tally: Tally

    @classmethod
    def of(cls, posterior: Posterior, n: int) -> "Counted":
        """Count the gradients of a posterior of n examples, from none."""
        return cls(**vars(posterior), n=n, tally=Tally())

    def with_felt(self, felt: Felt) -> "Counted":
        """Return the same posterior with directions in which the loss is felt; the count goes on."""
        other = replace(self, felt=felt)
        vars(other).update({k: v for k, v in vars(self).items() if k not in vars(other)})  # what was computed already
        return other

    @property
    def spent(self) -> float:
        """Gradients so far; a minibatch counts its share of the data."""
        return self.tally.rows / self.n

    def evaluate(self, w: Params, rows: Tensor | None = None) -> Evaluation:
        """Count one gradient a chain."""
        chains = chains_of(w)
        self.tally.gradients += chains
        self.tally.rows += chains * (self.n if rows is None else rows.shape[1])
        return super().evaluate(w, rows)
