"""Low-rank adapters on a frozen layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import integer
from slt.errors import SettingsError
from slt.toys.factors import factors_of_ranks
from slt.toys.linear_networks import DeepLinear
from slt.toys.products import as_default, squared_distance
from slt.toys.toy import Toy, rows


class Adapter(DeepLinear):
    """The layer x -> (W_0 + B A) x with W_0 frozen.

    Attributes:
        layers: A and B.
        frozen: W_0, shape (outputs, inputs).
    """

    frozen: Tensor

    def __init__(self, layers: Sequence[Tensor], frozen: Tensor, truth: Tensor) -> None:
        """Start at the given factors, copied."""
        super().__init__(layers, truth)
        self.register_buffer("frozen", frozen.detach().clone(), persistent=False)

    def product(self) -> Tensor:
        """W_0 + B A, shape (outputs, inputs)."""
        return self.frozen + super().product()


def lora(inputs: int, outputs: int, adapter: int, rank: int = 0, *, n: int = 1000, seed: int = 0) -> Toy:
    """The toy with K(A, B) = ||W_0 + B A - W||_F^2: a low-rank adapter on one frozen linear layer W_0.

    W_0 has entries N(0, 1 / inputs), and W - W_0 ones in the first `rank` places of its diagonal, else zeros. At w*
    both factors have the rank of W - W_0 and singular values 1, where the local value is the global one.

    Args:
        inputs: Columns of the layer, >= 1.
        outputs: Rows of the layer, >= 1.
        adapter: The rank that the adapter has room for, >= 1: A has shape (adapter, inputs).
        rank: The rank of the true update, from 0 to the smallest of the three.
        n: The number of data rows, >= 2.
        seed: Chooses W_0 and the hidden coordinates, >= 0; torch's global generator is not touched.

    Returns:
        The toy, with its exact RLCT (Aoyagi & Watanabe, 2005).

    Raises:
        InputError: If a number is no integer in its range.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> lora(6, 4, adapter=3, rank=1)
    Toy(lora(6, 4, adapter=3, rank=1); 30 parameters, n=1000, exact rlct 15/2, multiplicity 1)
    """
    exact = analytic.lora(inputs, outputs, adapter, rank)
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    layers = factors_of_ranks((inputs, adapter, outputs), rank, (rank, rank), generator)
    frozen = torch.randn(outputs, inputs, dtype=torch.float64, generator=generator, device="cpu") / inputs**0.5
    update = torch.zeros_like(frozen)
    update.diagonal()[:rank] = 1
    model = Adapter([as_default(layer) for layer in layers], as_default(frozen), as_default(frozen + update))
    name = f"lora({inputs}, {outputs}, adapter={adapter}, rank={rank})"
    return Toy(model, rows(n), squared_distance, exact, name)
