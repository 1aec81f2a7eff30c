"""Preconditioners: the metric P that a step is measured in, chosen beforehand or learned in warmup."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from slt._store import fingerprint
from slt._tree import Params
from slt.errors import SettingsError
from slt.posterior import Posterior
from slt.samplers._adaptation import Moments

_LEARN_AT = (3, 6)  # rounds of warmup after which the metric is taken from what was seen, and the last to learn in


@dataclass(frozen=True)
class RMSprop:
    r"""The diagonal of RMSprop (Li et al., 2016), from the gradient of the loss alone.

    .. math:: v \leftarrow \alpha v + (1 - \alpha) (\nabla L)^2, \qquad P = \frac{1}{\sqrt v + \epsilon}

    with v = 1 at the start. Frozen after warmup it is a preconditioner like any other. Adaptive, it follows the chain
    for ever: P then depends on w, the drift term that this calls for is left out as in the literature, and the
    draws keep a bias that no small step removes.

    Args:
        decay: alpha, in (0, 1).
        epsilon: In units of a gradient, nats per parameter unit, > 0. A large one (0.1 is common) drowns sqrt(v) and
            leaves plain SGLD.
        adaptive: Whether v goes on after warmup.

    Raises:
        SettingsError: If a setting is outside its range.

    >>> RMSprop(epsilon=0.01)
    RMSprop(decay=0.99, epsilon=0.01, adaptive=False)
    """

    decay: float = 0.99
    epsilon: float = 1e-3
    adaptive: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.decay < 1:
            raise SettingsError(f"decay must be in (0, 1), got {self.decay}.")
        if not 0 < self.epsilon < math.inf:
            raise SettingsError(f"epsilon must be positive and finite, got {self.epsilon}.")

    def start(self, w: Params) -> Params:
        """Return v at the start, shaped like w."""
        return {name: torch.ones_like(leaf) for name, leaf in w.items()}

    def update(self, second: Params, gradient: Params) -> Params:
        """Take one gradient of the loss in, in place."""
        for name, v in second.items():
            v.mul_(self.decay).addcmul_(gradient[name], gradient[name], value=1 - self.decay)
        return second

    def metric(self, second: Params) -> Params:
        """Return P."""
        return {name: (v.sqrt() + self.epsilon).reciprocal_() for name, v in second.items()}


@dataclass(frozen=True, repr=False, eq=False)
class Diagonal:
    """A diagonal preconditioner of one's own.

    Args:
        values: The squared unit of every moving parameter, by parameter name: a number, or a tensor of its shape; > 0.

    Raises:
        SettingsError: If it is no mapping.

    >>> Diagonal({"weight": 1.0, "bias": 0.01})
    Diagonal(ac164154c4)
    """

    values: Mapping[str, float | Tensor]

    def __post_init__(self) -> None:
        """Check that it is a mapping; what it names is checked when the parameters are known."""
        if not isinstance(self.values, Mapping):
            raise SettingsError(f"Diagonal takes a mapping by parameter name, got {type(self.values).__name__}.")

    def __repr__(self) -> str:
        """Name the values by their fingerprint: they may be millions, and two that differ must not look alike."""
        numbers = {
            name: torch.as_tensor(v, device="cpu").detach().double().cpu().numpy() for name, v in self.values.items()
        }
        return f"Diagonal({fingerprint(numbers)[:10]})"

    def lay_out(self, posterior: Posterior) -> Params:
        """Return P, one chain."""
        metric = posterior.lay_out(self.values, "preconditioner")
        if not all(bool((leaf > 0).all()) for leaf in metric.values()):
            raise SettingsError("a preconditioner must be positive everywhere, got 0.")
        return metric


Preconditioner = Literal["localizer", "diagonal"] | RMSprop | Diagonal
"""What a sampler may be given; "localizer" is the localizer's unit squared, "diagonal" the variances seen in warmup."""


class Learning(NamedTuple):
    """What warmup has seen that a metric can be taken from."""

    rounds: int
    moments: Moments | None = None
    """Of the positions, for "diagonal"; None once the metric is settled."""
    second: Params | None = None
    """RMSprop's statistics, those of the chains' states."""

    def observe(self, w: Params, second: Params | None = None) -> "Learning":
        """Take a position of every chain in, or look at what its state has collected."""
        if self.moments is not None:
            return self._replace(moments=self.moments.update(w))
        return self._replace(second=second)

    def pool(
        self, preconditioner: Preconditioner, metric: Params, alive: Tensor
    ) -> tuple["Learning", Params, Tensor | None]:
        """End a round of warmup.

        The first round is thrown away as burn-in; the last ones leave the metric alone, so that the step size is
        found for the metric that the draws will have.

        Returns:
            What is seen from here; the metric; and where it changed, the largest ratio of the new to the old, ().
        """
        if not bool(alive.any()) or (self.moments is None and self.second is None):
            return self, metric, None
        rounds = self.rounds + 1
        if rounds not in _LEARN_AT:
            moments = self.moments if self.moments is None or rounds > 1 else Moments.start(self.moments.mean)
            return self._replace(rounds=rounds, moments=moments), metric, None
        if isinstance(preconditioner, RMSprop) and self.second is not None:
            shared = {name: v[alive].mean(0, keepdim=True) for name, v in self.second.items()}
            found = preconditioner.metric(shared)
        elif self.moments is not None:
            found = variances(self.moments, metric, alive)
        else:
            return self._replace(rounds=rounds), metric, None
        ratio = torch.stack([(found[name] / metric[name]).max().double() for name in found]).max()
        moments = Moments.start(self.moments.mean) if self.moments and rounds < _LEARN_AT[-1] else None
        return Learning(rounds, moments, self.second if rounds < _LEARN_AT[-1] else None), found, ratio


def start_metric(
    preconditioner: Preconditioner, posterior: Posterior, w: Params
) -> tuple[Params | None, Learning | None]:
    """Return the metric at the start, None where it is the localizer's or follows the chain, and what learns it."""
    if isinstance(preconditioner, Diagonal):
        return preconditioner.lay_out(posterior), None
    if isinstance(preconditioner, RMSprop):
        if preconditioner.adaptive:
            return None, None
        ones = {name: torch.ones_like(leaf[:1]) for name, leaf in w.items()}
        return preconditioner.metric(ones), Learning(0)
    if preconditioner == "diagonal":
        metric = {name: m.expand(1, w[name].shape[1]).to(w[name]).clone() for name, m in posterior.metric.items()}
        return metric, Learning(0, Moments.start(w))
    return None, None


def check_preconditioner(name: str, given: Any, words: tuple[str, ...], kinds: tuple[type, ...]) -> None:
    """Refuse what a sampler does not take.

    Raises:
        SettingsError: If `given` is none of the words and of none of the kinds.
    """
    if isinstance(given, kinds) or (isinstance(given, str) and given in words):
        return
    choices = [f'"{word}"' for word in words] + [f"slt.{kind.__name__}(...)" for kind in kinds]
    raise SettingsError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {given!r}.")


def variances(moments: Moments, known: Params, alive: Tensor) -> Params:
    """Return variances over the living chains' positions, drawn toward the shape of what is known.

    The prior guess is the known metric, scaled to the spread that was seen and weighted like five positions: a few
    positions cannot make the metric degenerate.
    """
    found = {}
    for name, squares in moments.squares.items():
        mean = moments.mean[name][alive]
        count = moments.positions * mean.shape[0]
        between = moments.positions * (mean - mean.mean(0)).square().sum(0)
        found[name] = ((squares[alive].sum(0) + between) / max(count - 1, 1)).unsqueeze(0)
    seen = sum(float((v / known[name]).double().sum()) for name, v in found.items())
    entries = sum(v.shape[1] for v in found.values())
    scale = seen / entries
    if not (scale > 0 and math.isfinite(scale)):
        return known
    weight = moments.positions * int(alive.sum()) / (moments.positions * int(alive.sum()) + 5)
    return {name: weight * v + (1 - weight) * scale * known[name] for name, v in found.items()}
