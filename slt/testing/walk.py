"""Chains of one run stepped by hand, and comparisons of all that a step holds, to the bit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import tensors_in
from slt.posterior import LocalPosterior, Posterior
from slt.problem.evaluate import ChainMethod
from slt.samplers import Sampler


class Walk:
    """Chains of one run, by number, stepped by hand; the caller keeps the model `untouched`.

    Args:
        posterior: What to sample.
        sampler: How.
        chains: Numbers of the chains.
        method: How they are evaluated.
        seed: The run's seed.
    """

    def __init__(
        self,
        posterior: LocalPosterior,
        sampler: Sampler,
        chains: Sequence[int],
        method: ChainMethod,
        seed: int = 3,
    ) -> None:
        """Put the chains at w*."""
        self.sampler = sampler
        self.bound: Posterior = posterior.bind(method, len(chains))
        self.random = Random(
            seed,
            chains,
            self.bound.evaluator.leaves,
            n=posterior.n,
            batch_size=None if sampler.full_data else posterior.batch_size,
            uniforms=sampler.uniforms,
            device=posterior.problem.device,
            dtype=posterior.problem.dtype,
        )
        w = {name: leaf.repeat(len(chains), 1) for name, leaf in self.bound.center.items()}
        self.nbeta = torch.full((len(chains),), posterior.nbeta, dtype=torch.float64)
        self.state, self.tuning, self.adaptation = sampler.init(self.bound, w, self.nbeta, self.random)
        self.infos: list[Any] = []

    def step(self, t: int) -> None:
        """Take one step."""
        self.state, info = self.sampler.step(self.bound, self.state, self.tuning, self.nbeta, self.random, t)
        self.infos.append(info)

    def adapt(self, t: int) -> None:
        """Take one step of warmup."""
        self.step(t)
        if self.adaptation is not None:
            self.adaptation, self.tuning = self.sampler.adapt(
                self.bound, self.adaptation, self.state, self.tuning, self.infos[-1], self.nbeta, self.random, t
            )

    def pool(self) -> None:
        """End a round of warmup."""
        if self.adaptation is not None:
            alive = torch.ones_like(self.nbeta, dtype=torch.bool)
            self.adaptation, self.tuning = self.sampler.pool(self.adaptation, self.tuning, alive)

    def position(self, i: int) -> Tensor:
        """Return w of chain i."""
        return torch.cat(self.bound.evaluator.unpack(self.state.w), dim=1)[i]

    def history(self, name: str, i: int) -> Tensor:
        """Return what was told of every step of chain i."""
        return torch.stack([getattr(info, name)[i] for info in self.infos])


def cloned(tree: Any) -> Any:
    """Copy every tensor of a tree of NamedTuples, tuples and dictionaries."""
    if isinstance(tree, Tensor):
        return tree.clone()
    if isinstance(tree, dict):
        return {key: cloned(value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        values = [cloned(value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else tuple(values)
    return tree


def differing(a: Any, b: Any) -> int:
    """Count the tensors that differ between two trees of one shape, in type or in any bit."""
    pairs = list(zip(tensors_in(a), tensors_in(b), strict=True))
    assert pairs, "a tree without tensors says nothing"
    return sum(not (x.dtype == y.dtype and torch.equal(_bits(x), _bits(y))) for x, y in pairs)


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes: nan equals itself there, and 0 is not -0."""
    return tensor.detach().reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8)
