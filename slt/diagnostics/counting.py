"""What a sampler's gradients cost, whatever they are for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from slt._noise import Random
from slt._tree import Params, chains_of
from slt.posterior import Posterior
from slt.problem.data import Batch
from slt.problem.evaluate import Evaluation, Evaluator
from slt.problem.losses import LossFunction
from slt.samplers import Info, Sampler


class Counted:
    """A sampler that counts its gradients, in passes over all the data, summed over chains.

    A gradient on `batch` of n rows is batch / n of a pass. Warmup counts like the rest; what it spends beside its
    steps is kept apart.

    Args:
        sampler: What is counted.
        n: Number of examples.
    """

    def __init__(self, sampler: Sampler, n: int) -> None:
        """Begin at nothing."""
        self.sampler, self.n = sampler, n
        self.spent = {"init": 0.0, "step": 0.0, "adapt": 0.0}
        self.calls = {"init": 0, "step": 0, "adapt": 0}
        self._now = "init"
        self._of: Posterior | None = None
        self._counting: Posterior | None = None

    @property
    def total(self) -> float:
        """Passes over the data, summed over chains."""
        return sum(self.spent.values())

    @property
    def full_data(self) -> bool:
        """As the sampler says."""
        return self.sampler.full_data

    @property
    def uniforms(self) -> int:
        """As the sampler says."""
        return self.sampler.uniforms

    @property
    def unadjusted(self) -> bool:
        """As the sampler says."""
        return self.sampler.unadjusted

    def __repr__(self) -> str:
        """Be the sampler's."""
        return repr(self.sampler)

    def init(self, posterior: Posterior, w: Params, nbeta: Tensor, random: Random) -> tuple[Any, Any, Any | None]:
        """Begin as the sampler does."""
        return self.sampler.init(self._enter("init", posterior), w, nbeta, random)

    def step(
        self, posterior: Posterior, state: Any, tuning: Any, nbeta: Tensor, random: Random, t: int
    ) -> tuple[Any, Info]:
        """Step as the sampler does."""
        return self.sampler.step(self._enter("step", posterior), state, tuning, nbeta, random, t)

    def adapt(
        self,
        posterior: Posterior,
        adaptation: Any,
        state: Any,
        tuning: Any,
        info: Info,
        nbeta: Tensor,
        random: Random,
        t: int,
    ) -> tuple[Any, Any]:
        """Adapt as the sampler does."""
        bound = self._enter("adapt", posterior)
        return self.sampler.adapt(bound, adaptation, state, tuning, info, nbeta, random, t)

    def pool(self, adaptation: Any, tuning: Any, alive: Tensor) -> tuple[Any, Any]:
        """Pool as the sampler does."""
        return self.sampler.pool(adaptation, tuning, alive)

    def count(self, w: Params, rows: Tensor | None) -> None:
        """Add one gradient of every chain."""
        self.spent[self._now] += chains_of(w) * (1.0 if rows is None else rows.shape[1] / self.n)

    def _enter(self, name: str, posterior: Posterior) -> Posterior:
        self._now = name
        self.calls[name] += 1
        if self._counting is None or self._of is not posterior:  # one a run: it may keep what is costly
            self._of = posterior
            self._counting = replace(posterior, evaluator=_Counting(posterior.evaluator, self))
        return self._counting


class _Counting:
    """An evaluator that tells of each gradient."""

    def __init__(self, evaluator: Evaluator, counted: Counted) -> None:
        self.evaluator, self.counted = evaluator, counted

    @property
    def leaves(self) -> Mapping[str, Sequence[int]]:
        return self.evaluator.leaves

    def pack(self, tensors: Sequence[Tensor]) -> Params:
        return self.evaluator.pack(tensors)

    def unpack(self, params: Params) -> list[Tensor]:
        return self.evaluator.unpack(params)

    def evaluate(self, w: Params, rows: Tensor | None) -> Evaluation:
        self.counted.count(w, rows)
        return self.evaluator.evaluate(w, rows)

    def losses(self, w: Params, batch: Batch, loss: LossFunction) -> Tensor:
        return self.evaluator.losses(w, batch, loss)
