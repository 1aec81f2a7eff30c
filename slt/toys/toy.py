"""What every toy is: a model at its minimum, data, a loss, and the exact answer if one is known."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.errors import NotAvailableError, SettingsError

# "...": each toy's loss knows its own kind of module
Loss = Callable[..., Tensor]


@dataclass(frozen=True, repr=False, eq=False)
class Toy:
    """A benchmark target.

    Attributes:
        model: The network at w*.
        data: One tensor of shape (n, 0): rows without features, which only say how many there are.
        loss: `loss(model, batch)` in nats, a scalar: the population loss K(w), whatever the batch; where the toy says
            so, that of all its drawn rows.
        exact: The exact local RLCT at w*, or None if it is not known.
        name: The toy in words.
    """

    model: nn.Module
    data: tuple[Tensor, ...]
    loss: Loss
    exact: Entry | None
    name: str

    def __repr__(self) -> str:
        """Name the toy, its size and its answer."""
        size = sum(parameter.numel() for parameter in self.model.parameters())
        known = "unknown"
        if self.exact is not None:
            known = f"{self.exact.value}, multiplicity {self.exact.multiplicity}"
        return f"Toy({self.name}; {size} parameters, n={len(self.data[0])}, exact rlct {known})"


def rows(n: int) -> tuple[Tensor, ...]:
    """Return data of n rows without features: they carry n, and a population loss needs no more.

    Raises:
        SettingsError: If n is not an integer >= 2 (nbeta = n / log n needs two).
    """
    return (torch.zeros(integer("n", n, 2, SettingsError), 0),)


def known(entry: Callable[[], Entry]) -> Entry | None:
    """The answer that `entry` gives, or None where it says that none is available."""
    try:
        return entry()
    except NotAvailableError:
        return None
