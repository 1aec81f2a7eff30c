"""Chain by chain through the module itself: serves any module, however wrapped, hooked or compiled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from slt._tree import Params, chains_of
from slt.problem.data import Batch
from slt.problem.evaluate.protocol import Evaluation
from slt.problem.losses import LossFunction
from slt.problem.pointing import pointed_at
from slt.problem.problem import Problem
from slt.problem.writes import refusing_writes


class InPlace:
    """Evaluates one chain after another, one leaf for each parameter tensor, (chains, entries).

    The module's parameters point at a chain's weights while it is evaluated, and back at their own storage
    afterwards: nothing is copied, and w* is not written to.
    """

    def __init__(self, problem: Problem) -> None:
        """Bind the problem."""
        self._problem = problem
        self._parameters = [segment.parameter for segment in problem.segments]
        self._named = list(problem.model.named_parameters())
        self.leaves = {segment.name: [segment.size] for segment in problem.segments}

    def pack(self, tensors: Sequence[Tensor]) -> Params:
        """Give each tensor a leaf."""
        return {name: t.reshape(1, -1) for name, t in zip(self.leaves, tensors, strict=True)}

    def unpack(self, params: Params) -> list[Tensor]:
        """Return the leaves in the model's order."""
        return [params[name] for name in self.leaves]

    def evaluate(self, w: Params, rows: Tensor | None) -> Evaluation:
        """Evaluate the chains on `rows` (chains, batch), or on all data where rows is None."""
        each = [self._one(w, k, None if rows is None else rows[k]) for k in range(chains_of(w))]
        excess = torch.tensor([value for value, _ in each], dtype=torch.float64, device=self._problem.device)
        if len(each) == 1:
            return Evaluation(excess, each[0][1])
        return Evaluation(excess, {name: torch.cat([grad[name] for _, grad in each]) for name in self.leaves})

    def losses(self, w: Params, batch: Batch, loss: LossFunction) -> Tensor:
        """Return what a loss gives on a probe batch, (chains, *its shape)."""
        found = []
        for chain in range(chains_of(w)):
            with self.at(w, chain):
                found.append(loss(self._problem.model, batch).detach())
        return torch.stack(found)

    def _one(self, w: Params, chain: int, rows: Tensor | None) -> tuple[float, Params]:
        problem = self._problem
        count = problem.n if rows is None else len(rows)
        excess, grads, batch = 0.0, None, None
        with self.at(w, chain), refusing_writes(problem.model, self._named):
            for chunk, batch in problem.chunks() if rows is None else [(rows, problem.batch(rows))]:
                losses = problem.loss(problem.model, batch)
                share = len(chunk) / count
                parts = torch.autograd.grad(losses.mean() * share, self._parameters, materialize_grads=True)
                grads = parts if grads is None else [a + b for a, b in zip(grads, parts, strict=True)]
                if problem.baseline is not None:
                    paired = problem.baseline[chunk.to(problem.baseline.device)]
                    excess += float((losses.detach() - paired).mean(dtype=torch.float64)) * share
                else:
                    excess += float(losses.detach()) * share
        if problem.baseline is None:
            # the module is back at w*
            excess -= problem.loss_center if rows is None else float(problem.loss(problem.model, batch).detach())
        assert grads is not None, "the data hold at least one chunk"
        entries = [
            segment.entries(grad.to_dense()).to(problem.dtype)
            for segment, grad in zip(problem.segments, grads, strict=True)
        ]
        return excess, self.pack(_with_own_memory(entries))

    @contextmanager
    def at(self, w: Params, chain: int) -> Iterator[None]:
        """Point the module's parameters at one chain's weights."""
        with pointed_at(self._problem.segments, [leaf[chain] for leaf in self.unpack(w)]):
            yield


def _with_own_memory(grads: Sequence[Tensor]) -> list[Tensor]:
    """Copy what cannot be overwritten: autograd gives a + b one tensor for both, and a.sum() an expanded number."""
    owned: list[Tensor] = []
    taken: set[int] = set()
    for grad in grads:
        shared = grad.untyped_storage().data_ptr() in taken or not grad.is_contiguous()
        owned.append(grad.clone(memory_format=torch.contiguous_format) if shared else grad)
        taken.add(owned[-1].untyped_storage().data_ptr())
    return owned
