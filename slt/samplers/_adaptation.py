"""The arithmetic that warmup shares between samplers."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from slt._tree import Params, inner, per_chain
from slt.posterior import Posterior


def mean_over(values: Tensor, alive: Tensor) -> Tensor:
    """Give every chain the mean over the living ones; (chains,)."""
    return values[alive].mean().expand_as(values).clone() if bool(alive.any()) else values


def localizer_frequency(posterior: Posterior, metric: Params) -> float:
    """Return how fast the localizer alone would swing a chain in a metric: the square root of its mean curvature."""
    pulls = [float((gamma * metric[name]).double().mean()) for name, gamma in posterior.precision.items()]
    sizes = [sum(posterior.evaluator.leaves[name]) for name in posterior.precision]
    return math.sqrt(sum(p * k for p, k in zip(pulls, sizes, strict=True)) / sum(sizes))


class DualAverage(NamedTuple):
    """Nesterov's dual averaging of log step sizes (Hoffman & Gelman, 2014); (chains,) each."""

    log_step: Tensor
    log_average: Tensor
    error: Tensor
    updates: Tensor
    anchor: Tensor

    @classmethod
    def start(cls, step_size: Tensor) -> "DualAverage":
        """Begin at a step size, drawn toward ten times it."""
        log_step = step_size.log()
        zero = torch.zeros_like(log_step)
        return cls(log_step, log_step.clone(), zero, zero.clone(), log_step + 2.302585)

    def update(self, acceptance: Tensor, target: float) -> "DualAverage":
        """Move the log step toward the acceptance target."""
        count = self.updates + 1
        weight = 1 / (count + 10)  # t0 = 10: the first steps count less
        error = (1 - weight) * self.error + weight * (target - acceptance)
        log_step = self.anchor - count.sqrt() / 0.05 * error  # gamma = 0.05
        fade = count**-0.75
        return DualAverage(log_step, fade * log_step + (1 - fade) * self.log_average, error, count, self.anchor)


_SEARCHING = 8  # rounds of warmup that search; the rest settle
_SLOPE = 0.35  # of the acceptance over the log step, about: 0.25 with a wide jitter to 0.6 without


class StepSearch(NamedTuple):
    """A step size on its way to an acceptance target: found by each chain alone, then settled by all together.

    Dual averaging is fast from afar, but where its rounds are short it stops above its target. So the last rounds hold
    one step for all chains and correct it by their mean acceptance.
    """

    rounds: int
    dual: DualAverage
    accepted: Tensor
    """Sum of this round's acceptances; (chains,)."""
    steps: int

    @classmethod
    def start(cls, step_size: Tensor) -> "StepSearch":
        """Begin at a step size."""
        return cls(0, DualAverage.start(step_size), torch.zeros_like(step_size), 0)

    def update(self, acceptance: Tensor, target: float, step_size: Tensor) -> tuple["StepSearch", Tensor]:
        """Take a step's acceptance in; return the search and the step size."""
        counted = self._replace(accepted=self.accepted + acceptance, steps=self.steps + 1)
        if self.rounds >= _SEARCHING:
            return counted, step_size
        dual = self.dual.update(acceptance, target)
        return counted._replace(dual=dual), dual.log_step.exp()

    def pool(self, step_size: Tensor, target: float, alive: Tensor, *, restart: bool) -> tuple["StepSearch", Tensor]:
        """End a round: one step size for all chains.

        Args:
            step_size: Of each chain.
            target: Acceptance to reach.
            alive: Which chains count.
            restart: Whether the metric has changed, which makes what was seen worthless.

        Returns:
            The search and the step size.
        """
        if not bool(alive.any()) or not self.steps:
            return self, step_size
        if self.rounds >= _SEARCHING:
            reached = float((self.accepted[alive] / self.steps).mean())
            log_step = step_size.log() + max(-0.5, min(0.5, (reached - target) / _SLOPE))
        else:
            log_step = mean_over(self.dual.log_average, alive)
        dual = DualAverage.start(log_step.exp())
        if not restart:
            dual = dual._replace(anchor=log_step)
        return StepSearch(self.rounds + 1, dual, torch.zeros_like(step_size), 0), log_step.exp()


class Moments(NamedTuple):
    """Welford's running mean and sum of squares of positions, leaf by leaf, (chains, entries)."""

    positions: int
    mean: Params
    squares: Params

    @classmethod
    def start(cls, w: Params) -> "Moments":
        """Begin with no positions."""
        return cls(
            0,
            {k: torch.zeros_like(x) for k, x in w.items()},
            {k: torch.zeros_like(x) for k, x in w.items()},
        )

    def update(self, w: Params) -> "Moments":
        """Take one position of every chain in."""
        count = self.positions + 1
        mean, squares = {}, {}
        for name, leaf in w.items():
            away = leaf - self.mean[name]
            mean[name] = self.mean[name] + away / count
            squares[name] = self.squares[name] + away * (leaf - mean[name])
        return Moments(count, mean, squares)


class Curvature(NamedTuple):
    """Power iteration for the largest eigenvalue of the Hessian of U in the metric's coordinates.

    The chain moves between iterations, so the estimate follows the posterior and not w*, where the curvature of a
    singular model may be zero.
    """

    probe: Params
    """Unit vectors in the metric's coordinates."""
    largest: Tensor
    """Largest value seen so far, slowly forgotten; (chains,), float64."""

    def update(self, force: Callable[[Params], Params], w: Params, metric: Params, radius: Tensor) -> "Curvature":
        """Take one step of power iteration at w.

        Args:
            force: Gradient of U on one fixed set of rows.
            w: Positions.
            metric: Squared unit of every entry.
            radius: Length of the finite difference in the metric's coordinates, (chains,).

        Returns:
            The next iterate.
        """
        root = {name: m.sqrt() for name, m in metric.items()}
        beside = {name: leaf + per_chain(radius, leaf) * root[name] * self.probe[name] for name, leaf in w.items()}
        here, there = force(w), force(beside)
        product = {name: root[name] * (there[name] - here[name]) for name in w}
        length = inner(product, product).sqrt()
        value = length / radius
        usable = torch.isfinite(value) & (length > 0)
        probe = {
            name: torch.where(usable.unsqueeze(1), p / per_chain(length, p), self.probe[name])
            for name, p in product.items()
        }
        forgotten = 0.98 * self.largest
        return Curvature(probe, torch.where(usable & (value > forgotten), value, forgotten))
