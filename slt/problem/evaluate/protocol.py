"""What an evaluator promises: the paired excess loss and its gradient, for every chain."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from slt._tree import Params
from slt.problem.data import Batch
from slt.problem.losses import LossFunction


class Evaluation(NamedTuple):
    """Loss of every chain above its value at w*, and the gradient of the loss alone."""

    excess: Tensor
    """Mean over the rows of l(w) - l(w*), (chains,), float64, nats."""
    grad: Params
    """Gradient of the mean loss; the caller may overwrite it."""


class Evaluator(Protocol):
    """The only code that runs the model."""

    @property
    def leaves(self) -> Mapping[str, Sequence[int]]:
        """For each leaf of `Params` the sizes of the parameter tensors that it holds, in the model's order."""
        ...

    def pack(self, tensors: Sequence[Tensor]) -> Params:
        """Build a one-chain tree from one flat tensor of moving entries a parameter tensor."""
        ...

    def unpack(self, params: Params) -> list[Tensor]:
        """Return one (chains, entries) tensor for each parameter tensor; the inverse of `pack`."""
        ...

    def evaluate(self, w: Params, rows: Tensor | None) -> Evaluation:
        """Evaluate all chains on `rows` (chains, batch), or on all data where rows is None."""
        ...

    def losses(self, w: Params, batch: Batch, loss: LossFunction) -> Tensor:
        """Return what a loss gives on a probe batch, (chains, *its shape)."""
        ...
