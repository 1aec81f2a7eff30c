"""Every second chain from hot draws: warmup begins where the loss hardly counts, so that no chain has to stay near w*.

Chains that all start at w* agree with each other whether or not they have found the other places where the loss is low.
A chain that comes from a hot posterior has been everywhere that the localizer allows, and has fallen into one of these
places when the loss came to count. Neither kind is where it should be before it has moved between them; where both give
the same energy they have.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDS = 10
"""Rounds of warmup; between two of them the chains share what they found."""

HOT_ROUNDS = 3
"""Rounds of warmup in which the hot chains have a smaller nbeta."""


def hot_chains(numbers: Sequence[int]) -> Tensor:
    """Tell which chains begin hot, by their numbers in the run: the odd ones; (chains,), on the CPU."""
    return torch.tensor([number % 2 == 1 for number in numbers], device="cpu")


def nbeta_in_round(nbeta: float, rounds: int) -> float:
    """Return the nbeta of hot chains after so many rounds of warmup: from 1 to the posterior's by equal factors."""
    return float(min(nbeta, nbeta ** (rounds / HOT_ROUNDS))) if rounds < HOT_ROUNDS else nbeta
