"""The models of the mixture toys: components at locations that move, with weights that may be 0."""

from abc import abstractmethod
from math import log

import torch
from torch import Tensor

from slt.toys.finite_states import StatesModel, parameter, with_reference


class Mixture(StatesModel):
    """H components at locations that move, with weights that are positive or may be 0.

    Attributes:
        weights: Shape (H - 1,), for all components but the first: logits beside its own, 0; or, for those that the
            truth lacks, theta, where their weights are theta^e times that of the first.
        locations: Where the components are, shape (H, ...): means, log rates or logits.
    """

    def __init__(self, components: int, power: int | None, true_locations: Tensor) -> None:
        """Start at w*, r true components of equal weight; `power` is e, or None where all weights have logits."""
        super().__init__()
        true = len(true_locations)
        extra = components - true
        weights = torch.zeros(components - 1, device="cpu")
        if power is None:  # the first true component is shared out among 1 + extra
            weights[: true - 1] = log(1 + extra)
        self.weights = parameter(weights)
        self.locations = parameter(torch.cat([true_locations] + [true_locations[:1]] * extra))
        self._power, self._true = power, true

    @abstractmethod
    def log_components(self) -> Tensor:
        """Return the log probabilities or densities of the components, shape (H, states)."""

    def proportions(self) -> Tensor:
        """The weights as probabilities, shape (H,)."""
        if self._power is None:
            return with_reference(self.weights).softmax(0)
        positive, extra = self.weights[: self._true - 1], self.weights[self._true - 1 :]
        unscaled = torch.cat([torch.ones_like(self.weights[:1]), positive.exp(), extra**self._power])
        return unscaled / unscaled.sum()

    def log_probabilities(self) -> Tensor:
        """Return the logs of the mixture, without logs of the weights, which may be 0."""
        logs = self.log_components()
        top = logs.detach().amax(0)
        return (self.proportions()[:, None] * (logs - top).exp()).sum(0).log() + top


class GaussianMixture(Mixture):
    """Normal laws of unit covariance, seen at the points of a quadrature rule, shape (states, M)."""

    points: Tensor

    def __init__(self, components: int, power: int | None, true_locations: Tensor, points: Tensor) -> None:
        """Start at w*."""
        super().__init__(components, power, true_locations)
        self.register_buffer("points", points, persistent=False)

    def log_components(self) -> Tensor:
        """Return the log densities, without the constant of the normal law."""
        return -(self.points - self.locations[:, None]).square().sum(-1) / 2


class CountMixture(Mixture):
    """Laws of a count x of the form h(x) e^(x s(location) - a(location)): Poisson laws, and binomial ones.

    Attributes:
        counts: x, shape (states,).
        log_base: log h(x), shape (states,).
    """

    counts: Tensor
    log_base: Tensor

    def __init__(self, components: int, power: int | None, true_locations: Tensor, log_base: Tensor) -> None:
        """Start at w*, with the counts 0, 1, ... of `log_base`."""
        super().__init__(components, power, true_locations)
        counts = torch.arange(len(log_base), dtype=torch.float64, device="cpu")
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("log_base", log_base, persistent=False)

    def log_components(self) -> Tensor:
        """Return the log probabilities."""
        where = self.locations[:, None]
        return self.counts * where - self.log_partition(where) + self.log_base

    @abstractmethod
    def log_partition(self, locations: Tensor) -> Tensor:
        """Return a(location), elementwise."""


class PoissonMixture(CountMixture):
    """Poisson laws, at log rates."""

    def log_partition(self, locations: Tensor) -> Tensor:
        """Return the rates."""
        return locations.exp()


class BinomialMixture(CountMixture):
    """Binomial laws, at logits."""

    def log_partition(self, locations: Tensor) -> Tensor:
        """Return N log(1 + e^logit)."""
        trials = len(self.log_base) - 1
        return trials * torch.logaddexp(locations, torch.zeros_like(locations))
