"""Toys whose population loss is a sum over the states that can be seen: the divergence of the model from its truth."""

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from slt.analytic.checks import rational
from slt.errors import InputError


class StatesModel(nn.Module):
    """A model of the probability of each state, whose truth is its own law at w*.

    A subclass is built at w* in float64, and ends its construction with `freeze_truth`.

    Attributes:
        log_truth: log q(x) of every state x, shape (states,).
        masses: The weight of every state in the loss: q(x), or the weights of a quadrature rule; shape (states,).
    """

    log_truth: Tensor
    masses: Tensor

    @abstractmethod
    def log_probabilities(self) -> Tensor:
        """Return log p(x), or the log of a density, of every state: shape (states,)."""

    def forward(self, *args: object) -> Tensor:
        """Return log p(x) of every state, shape (states,).

        Args:
            *args: A batch, ignored.
        """
        return self.log_probabilities()

    def freeze_truth(self, masses: Tensor | None = None) -> Self:
        """Take the law at the present parameters for the truth, then go to torch's default dtype and device.

        Args:
            masses: The weights of the states, where they are not their probabilities.

        Returns:
            The model itself.
        """
        truth = self.log_probabilities().detach()
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("log_truth", truth, persistent=False)
        self.register_buffer("masses", truth.exp() if masses is None else masses, persistent=False)
        return self.to(device=torch.get_default_device(), dtype=torch.get_default_dtype())


def relative_entropy(model: StatesModel, batch: tuple[Tensor, ...]) -> Tensor:
    r"""Return K = KL(q || p) in nats, a scalar, whatever the batch.

    As the probabilities of both laws sum to 1,

    .. math:: K = \sum_x q(x) \big(e^{t(x)} - 1 - t(x)\big), \qquad t(x) = \log p(x) - \log q(x)

    Every term is >= 0 and of second order in t. So rounding moves sqrt(K) by a few units in the last place of log p,
    and near w* K neither turns negative nor drowns, as the difference of two entropies does in float32.
    """
    t = model(*batch) - model.log_truth
    return (model.masses * excess_ratio(t)).sum(-1)


def excess_ratio(t: Tensor) -> Tensor:
    """e^t - 1 - t, which is >= 0: what a state adds to the divergence for each unit of its true mass."""
    return torch.expm1(t) - t


def parameter(values: Tensor) -> nn.Parameter:
    """A parameter at these values, in float64 until the truth is frozen."""
    return nn.Parameter(values.detach().to(device="cpu", dtype=torch.float64, copy=True))


def with_reference(logits: Tensor, dim: int = 0) -> Tensor:
    """The logits with one more, 0, in front: of k probabilities k - 1 are free."""
    return torch.cat([torch.zeros_like(logits.narrow(dim, 0, 1)), logits], dim)


def even_power(concentration: object, name: str) -> int:
    """Return 1 / concentration, which must be an even integer e.

    If theta has a density that is positive and continuous at 0, theta^e has one like x^(1/e - 1) there: that of a
    Dirichlet or Gamma prior of this concentration. An even power is never negative, and smooth.

    Raises:
        InputError: If the concentration is none of the Fractions 1/2, 1/4, 1/6, ...
    """
    phi = rational(name, concentration, above=0)
    if phi.numerator != 1 or phi.denominator % 2:
        raise InputError(f"{name} must be one of Fraction(1, 2), Fraction(1, 4), ..., got {phi}.")
    return phi.denominator
