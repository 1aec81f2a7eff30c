"""What a sampler's gradients cost, whatever they are for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from slt._noise import Random
from slt._tree import Params
from slt.posterior import Posterior
from slt.running.counted import Counted as CountedPosterior
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
        with self._spending("init", posterior):
            return self.sampler.init(posterior, w, nbeta, random)

    def step(
        self, posterior: Posterior, state: Any, tuning: Any, nbeta: Tensor, random: Random, t: int
    ) -> tuple[Any, Info]:
        """Step as the sampler does."""
        with self._spending("step", posterior):
            return self.sampler.step(posterior, state, tuning, nbeta, random, t)

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
        with self._spending("adapt", posterior):
            return self.sampler.adapt(posterior, adaptation, state, tuning, info, nbeta, random, t)

    def pool(self, adaptation: Any, tuning: Any, alive: Tensor) -> tuple[Any, Any]:
        """Pool as the sampler does."""
        return self.sampler.pool(adaptation, tuning, alive)

    @contextmanager
    def _spending(self, name: str, posterior: Posterior) -> Iterator[None]:
        """Put down to `name` what a call spends, which the posterior of a run counts."""
        assert isinstance(posterior, CountedPosterior), "every run of slt.sample counts its gradients"
        before = posterior.tally.rows
        yield
        self.calls[name] += 1
        self.spent[name] += (posterior.tally.rows - before) / self.n
