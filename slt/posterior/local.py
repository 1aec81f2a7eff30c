"""U(w) = nbeta L_n(w) - log prior(w), with a Gaussian prior at w*."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any, cast

import torch
from torch import Tensor, nn

from slt._tree import Params, chains_of, inner, per_chain
from slt.errors import SettingsError
from slt.posterior.felt import Felt
from slt.posterior.localization import Localization, each, is_number, precisions
from slt.posterior.resolution import require_resolution
from slt.posterior.sizes import Sizes
from slt.problem import Problem
from slt.problem.evaluate import ChainMethod, Evaluation, Evaluator, choose_evaluator
from slt.problem.parameters import Segment, Selection, select
from slt.problem.surroundings import require_plain_surroundings


class LocalPosterior:
    r"""The tempered posterior near w* of a trained model.

    .. math:: p(w) \propto \exp\Big(-n\beta\, L_n(w) - \tfrac12 \sum_i \gamma_i (w_i - w^*_i)^2\Big)

    Args:
        model: The model at w*. It is evaluated in eval mode and is bit-identical afterwards.
        data: A tuple of tensors or arrays whose first axis counts examples; a Dataset, torch's or Hugging Face's, or a
            list of rows; a DataLoader, which must give every row once (its dataset and collate function are used); or
            an iterable of batches. Nothing may write to them.
        loss: ``loss(model, batch)`` in nats, per example (batch,) or their mean (); or the name of a ready loss:
            "cross_entropy", "mse", "gaussian", "gaussian:SCALE", "causal_lm". It must do the same each time: of a
            small model the operations of one evaluation may be run again without calling it.
        n: Number of examples to read, for data that do not tell it themselves.
        nbeta: Inverse temperature times n; default n / log n.
        localization: gamma, in 1 / (parameter unit)^2: a number (isotropic), a mapping from parameter name to a
            number or tensor, or "auto", 1 / rms(w*)^2 of each tensor; a bias may move what its module puts
            out as far as a weight of its layer does.
        parameters: Which parameters move: names, globs, modules, or a mapping to Boolean masks; default every
            floating parameter that requires a gradient. The others stay at w*.
        batch_size: Rows of a minibatch for samplers that use them, and of a chunk of a full pass for those that
            do not; None means full data, in chunks that fit in memory.

    Raises:
        SettingsError: If nbeta, localization, n or batch_size is outside its range, or beyond what rounding can follow.
        InputError: If model, data or loss cannot be used; see `slt.errors`.

    >>> import slt
    >>> toy = slt.toys.quadratic(3, n=1000)
    >>> posterior = LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    >>> posterior.dimension, round(posterior.nbeta, 2)
    (3, 144.76)
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: Any,
        *,
        n: int | None = None,
        nbeta: float | None = None,
        localization: Localization = "auto",
        parameters: Selection = None,
        batch_size: int | None = None,
    ) -> None:
        """Check the settings, then read the problem."""
        if not isinstance(model, nn.Module):
            raise SettingsError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
        if nbeta is not None and not (is_number(nbeta) and 0 < nbeta < math.inf):
            raise SettingsError(f"nbeta must be positive and finite, got {nbeta!r}.")
        for name, value in (("n", n), ("batch_size", batch_size)):
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if value is not None and not (whole and value >= 1):
                raise SettingsError(f"{name} must be a positive integer, got {value!r}.")
        self.localization = float(cast("float", localization)) if is_number(localization) else localization
        require_plain_surroundings()
        if isinstance(parameters, Iterator):
            parameters = list(parameters)
        segments = select(model, parameters)
        # Checked before any pass over the data, for which only "auto" has to wait.
        sizes = Sizes(model, segments) if isinstance(localization, str) and localization == "auto" else None
        if sizes is None:
            self.precisions, self._notes = precisions(self.localization, segments)
        self.problem = Problem(model, data, loss, n=n, parameters=parameters, batch_size=batch_size, watch=sizes)
        if sizes is not None:
            self.precisions, self._notes = precisions(self.localization, segments, sizes)
        self.nbeta = self.problem.default_nbeta() if nbeta is None else float(nbeta)
        require_resolution(self.problem, self.precisions, self.nbeta)
        self.batch_size = None if batch_size is None else int(batch_size)

    @property
    def notes(self) -> list[str]:
        """What a reader of the estimate should know about the set-up."""
        return [*self.problem.notes, *self._notes]

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.problem.n

    @property
    def dimension(self) -> int:
        """Number of moving entries."""
        return self.problem.dimension

    @property
    def mean_precisions(self) -> dict[str, float]:
        """The localizer's precision of each moving tensor by name, in the mean over its entries."""
        pairs = zip(self.problem.segments, self.precisions, strict=True)
        return {segment.name: float(precision.double().mean()) for segment, precision in pairs}

    def with_batch_size(self, batch_size: int | None) -> "LocalPosterior":
        """Return the same posterior with other minibatches; nothing is read again."""
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def __repr__(self) -> str:
        """Name what defines the posterior."""
        kind = "mapping" if not isinstance(self.localization, (str, int, float)) else self.localization
        return (
            f"LocalPosterior(dimension={self.dimension}, n={self.n}, nbeta={self.nbeta:.6g}, "
            f"localization={kind!r}, batch_size={self.batch_size})"
        )

    def bind(self, chain_method: ChainMethod, chains: int) -> "Posterior":
        """Choose how chains are evaluated and lay the constants out accordingly.

        Returns:
            The posterior as samplers see it.

        Raises:
            InputError: If the model no longer stands at w*.
        """
        self.problem.require_center()
        evaluator = choose_evaluator(self.problem, chain_method, chains)
        segments = self.problem.segments
        center = evaluator.pack([s.entries(s.parameter).to(self.problem.dtype).clone() for s in segments])
        precision = _expand(self.precisions, segments, evaluator)
        metric = self._metric(precision)
        return Posterior(
            evaluator=evaluator,
            segments=segments,
            center=center,
            precision=evaluator.pack(precision),
            metric=evaluator.pack(metric),
            dimension=self.dimension,
        )

    def _metric(self, precision: list[Tensor]) -> list[Tensor]:
        """Return the localizer's unit squared, 1 / gamma, scaled to a mean of 1 over entries.

        With an isotropic localizer this is 1 everywhere. Entries without a localizer take the largest unit.
        """
        positive = [p[p > 0].min() for p in precision if bool((p > 0).any())]
        if not positive:
            return [torch.ones_like(p) for p in precision]
        floor = torch.stack(positive).min()
        unit = [1 / torch.where(p > 0, p, floor) for p in precision]
        sizes = [s.size for s in self.problem.segments]
        mean = sum(float(u.double().mean()) * k for u, k in zip(unit, sizes, strict=True)) / self.dimension
        return [u / mean for u in unit]


@dataclass(frozen=True)
class Posterior:
    """The arithmetic of U on evaluations of several chains; what a sampler sees.

    Attributes:
        evaluator: Runs the model.
        segments: The moving tensors, in the model's order.
        center: w*, one chain.
        precision: gamma of every entry, one chain (a leaf of one number stands for all its entries).
        metric: The localizer's unit squared with mean 1, one chain, likewise.
        dimension: Number of moving entries.
        felt: Directions in which the loss is felt, once warmup has found them.
    """

    evaluator: Evaluator
    segments: Sequence[Segment]
    center: Params
    precision: Params
    metric: Params
    dimension: int
    felt: Felt | None = field(default=None, kw_only=True)

    def evaluate(self, w: Params, rows: Tensor | None = None) -> Evaluation:
        """Return the paired excess of the loss and its gradient."""
        return self.evaluator.evaluate(w, rows)

    def controlled(self, w: Params, rows: Tensor | None) -> Evaluation:
        """Return the same with the first order at w* as control variate, at twice the cost.

        On rows S the gradient g_S(w) - g_S(w*) + g(w*) and the excess e_S(w) - (w - w*) . (g_S(w*) - g(w*)) have the
        same means over S as g_S(w) and e_S(w), and less noise as long as w is where g_S changes little.
        """
        excess, gradient = self.evaluate(w, rows)
        if rows is None:
            return Evaluation(excess, gradient)
        center = {name: leaf.repeat(chains_of(w), 1) for name, leaf in self.center.items()}
        noise = self.evaluate(center, rows).grad
        for name, leaf in noise.items():
            leaf.sub_(self.center_gradient[name])
            gradient[name].sub_(leaf)
        return Evaluation(excess - inner(self.away(w), noise), gradient)

    @cached_property
    def center_gradient(self) -> Params:
        """Gradient of the loss at w* on all the data, one chain."""
        return self.evaluate({name: leaf.clone() for name, leaf in self.center.items()}).grad

    def lay_out(self, values: Mapping[str, Any], what: str) -> Params:
        """Lay numbers or tensors by parameter name out like w, one chain; `what` names the setting in errors."""
        tensors = [t.to(next(iter(self.center.values())).dtype) for t in each(values, self.segments, what)]
        return self.evaluator.pack(_expand(tensors, self.segments, self.evaluator))

    def force(self, w: Params, gradient: Params, nbeta: Tensor, *, out: bool = False) -> Params:
        """Return grad U = nbeta grad L + gamma (w - w*).

        Args:
            w: Positions.
            gradient: Gradient of the loss alone.
            nbeta: Inverse temperature of each chain, (chains,).
            out: Write into `gradient`, which saves a copy of the parameters.
        """
        force: Params = {}
        for name, g in gradient.items():
            scaled = g.mul_(per_chain(nbeta, g)) if out else g * per_chain(nbeta, g)
            gamma = self.precision[name]
            force[name] = scaled.addcmul_(gamma, w[name]).addcmul_(gamma, self.center[name], value=-1)
        return force

    def prior_energy(self, w: Params) -> Tensor:
        """Return 1/2 sum gamma (w - w*)^2, (chains,), float64."""
        away = self.away(w)
        return 0.5 * inner(away, away, self.precision)

    def energy(self, w: Params, excess: Tensor, nbeta: Tensor) -> Tensor:
        """Return U(w) - U(w*), (chains,), float64."""
        return nbeta * excess + self.prior_energy(w)

    def away(self, w: Params) -> Params:
        """Return w - w*."""
        return {name: leaf - self.center[name] for name, leaf in w.items()}

    def virial(self, w: Params, force: Params) -> Tensor:
        """Return (w - w*) . grad U, whose mean is the dimension under the posterior; (chains,), float64."""
        return inner(self.away(w), force)

    def felt_virial(self, away: Params, force: Params) -> Tensor | None:
        """Return the same of the directions in which the loss is felt, whose mean is `felt.trace`; None without any.

        Args:
            away: w - w*.
            force: grad U there.
        """
        return None if self.felt is None else self.felt.virial(away, force, self.metric)

    def distance(self, w: Params) -> Tensor:
        """Return |w - w*|, (chains,), float64."""
        away = self.away(w)
        return inner(away, away).sqrt()


def _expand(tensors: Sequence[Tensor], segments: Sequence[Segment], evaluator: Evaluator) -> list[Tensor]:
    """Give 0-dim tensors the size that packing needs: where tensors share a leaf, one number an entry."""
    full = len(evaluator.leaves) < len(segments)
    return [t.expand(s.size) if full or t.ndim else t.expand(1) for t, s in zip(tensors, segments, strict=True)]
