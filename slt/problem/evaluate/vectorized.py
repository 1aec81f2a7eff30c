"""All chains in one call: the model under `torch.func.vmap`, every chain's weights in one row of a matrix."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from slt._tree import Params
from slt.errors import VectorizationError
from slt.problem.data import Batch, holds_only_tensors, map_tensors, tensors_of
from slt.problem.evaluate.protocol import Evaluation
from slt.problem.evaluate.recorded import Function, record
from slt.problem.losses import LossFunction
from slt.problem.problem import Problem
from slt.problem.switches import FLASH, held

# What torch says when an operation cannot run under vmap, or only chain by chain. Anything else is the user's own.
_REFUSALS = (
    "vmap: ",
    "Batching rule not implemented",
    "You are attempting to call Tensor.requires_grad_()",
    "Cannot access data pointer of Tensor",
    "accessing `data` under vmap transform is not allowed",
    "It looks like you're trying to use vmap",
    "In order to use an autograd.Function with functorch transforms",
    "You tried to vmap over",
    "mutating directly with `.data` under vmap",
    "backward() called inside a functorch transform",
    "Either your tensor may have escaped from inside a function being vmapped",
    "output with shape",  # written in place; the same loss has passed the set-up checks without vmap
    "There is a performance drop because we have not yet implemented the batching rule",
)


@contextmanager
def refusals_by_name() -> Iterator[None]:
    """Turn what torch says where vmap ends into a `VectorizationError`."""
    try:
        yield
    except (RuntimeError, NotImplementedError, UserWarning) as error:
        if str(error).startswith(_REFUSALS):
            raise VectorizationError(f"torch cannot vectorize this model or loss: {error}") from error
        raise


class _LossModule(nn.Module):
    """Model and loss as one module, so that a swap of weights reaches the model wherever the loss meets it."""

    def __init__(self, model: nn.Module, loss: LossFunction) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> Tensor:
        return self.loss(self.model, batch)


class Vectorized:
    """Evaluates a stack of chains, one leaf ``w`` of shape (chains, d).

    Only the forward pass runs under vmap; the backward pass is an ordinary one through batched operations, which
    costs less than differentiating inside.
    """

    def __init__(self, problem: Problem) -> None:
        """Bind the problem.

        Raises:
            VectorizationError: If the model is of a kind that functional calls do not reach.
        """
        for module in problem.model.modules():
            if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
                raise VectorizationError(
                    f"{type(module).__name__} is compiled: its weights cannot be swapped for a stack of chains."
                )
        self._problem = problem
        self._module = _LossModule(problem.model, problem.loss)
        self._module.training = problem.model.training
        self.leaves = {"w": [segment.size for segment in problem.segments]}
        self._seen: Counter[int] = Counter()  # evaluations by the number of chains; one alone is not worth recording
        self._recordings: dict[int, Function | None] = {}

    def pack(self, tensors: Sequence[Tensor]) -> Params:
        """Concatenate the tensors into one row."""
        return {"w": torch.cat([t.reshape(-1) for t in tensors]).unsqueeze(0)}

    def unpack(self, params: Params) -> list[Tensor]:
        """Split the rows at the tensors' borders."""
        return list(params["w"].split(self.leaves["w"], dim=1))

    def evaluate(self, w: Params, rows: Tensor | None) -> Evaluation:
        """Evaluate all chains on `rows` (chains, batch), or on all data where rows is None.

        Returns:
            Paired excess and gradient.

        Raises:
            VectorizationError: If torch cannot run this model, loss or batch for all chains at once.
        """
        leaf = w["w"].detach().requires_grad_()
        with refusals_by_name(), _batched_attention(leaf):
            return self._all_data(leaf) if rows is None else self._minibatch(leaf, rows)

    def losses(self, w: Params, batch: Batch, loss: LossFunction) -> Tensor:
        """Return what a loss gives on a probe batch, (chains, *its shape).

        Returns:
            Detached values.

        Raises:
            VectorizationError: If torch cannot run this loss or batch for all chains at once.
        """
        module = _LossModule(self._problem.model, loss)
        module.training = self._module.training
        with refusals_by_name(), _batched_attention(w["w"]):
            return self._losses(w["w"].detach(), batch, shared=True, module=module).detach()

    def _all_data(self, leaf: Tensor) -> Evaluation:
        """Evaluate on all data, from the second time on by a recording where there can be one."""
        chains = leaf.shape[0]
        if self._seen[chains] == 1 and self._problem.chunk >= self._problem.n and leaf.device.type == "cpu":
            self._recordings[chains] = record(self._full, [leaf])
        self._seen[chains] += 1
        recording = self._recordings.get(chains)
        excess, grad = self._full(leaf) if recording is None else recording(leaf)
        return Evaluation(excess, {"w": grad})

    def _full(self, leaf: Tensor) -> tuple[Tensor, Tensor]:
        problem = self._problem
        excess, grad, start = None, None, 0
        for chunk, batch in problem.chunks():
            losses = self._losses(leaf, batch, shared=True)
            share = len(chunk) / problem.n
            part = _gradient(losses.mean(1) if losses.ndim == 2 else losses, leaf, share)
            grad = part if grad is None else grad.add_(part)
            if problem.baseline is not None:
                paired = problem.baseline[start : start + len(chunk)]
                above = (losses.detach() - paired).mean(1, dtype=torch.float64) * share
            else:
                above = losses.detach().double() * share
            excess = above if excess is None else excess.add_(above)
            start += len(chunk)
        assert excess is not None, "the data hold at least one chunk"
        assert grad is not None, "as above"
        return excess if problem.baseline is not None else excess - problem.loss_center, grad

    def _minibatch(self, leaf: Tensor, rows: Tensor) -> Evaluation:
        chains, size = rows.shape
        folded = self._problem.batch(rows.reshape(-1))
        if any(t.shape[:1] != (chains * size,) for t in tensors_of(folded)) or not holds_only_tensors(folded):
            raise VectorizationError(
                "the batch holds more than tensors whose first axis counts examples, so chains cannot share it."
            )
        batch = map_tensors(lambda t: t.reshape(chains, size, *t.shape[1:]), folded)
        losses = self._losses(leaf, batch, shared=False)
        mean = losses.mean(1) if losses.ndim == 2 else losses
        grad = _gradient(mean, leaf)
        if self._problem.baseline is not None:
            paired = self._problem.baseline[rows.to(self._problem.baseline.device)]
            excess = (losses.detach() - paired).mean(1, dtype=torch.float64)
        else:
            center = self.pack([s.entries(s.parameter).to(leaf) for s in self._problem.segments])["w"]
            paired = self._losses(center.expand_as(leaf), batch, shared=False)
            excess = mean.detach().double() - paired.detach().double()
        return Evaluation(excess, {"w": grad})

    def _losses(self, leaf: Tensor, batch: Batch, *, shared: bool, module: nn.Module | None = None) -> Tensor:
        weights = {
            f"model.{segment.name}": _place(segment.index, segment.parameter, piece)
            for segment, piece in zip(self._problem.segments, self.unpack({"w": leaf}), strict=True)
        }

        def one_chain(weights: dict[str, Tensor], batch: Batch) -> Tensor:
            return functional_call(module or self._module, weights, (batch,))

        if shared:
            return vmap(lambda weights: one_chain(weights, batch))(weights)
        return vmap(one_chain)(weights, batch)


@contextmanager
def _batched_attention(leaf: Tensor) -> Iterator[None]:
    """Keep attention on the CPU from its flash kernel, of which torch has no batched form."""
    with held(FLASH, False) if leaf.device.type == "cpu" else nullcontext():
        yield


def _gradient(losses: Tensor, leaf: Tensor, share: float = 1.0) -> Tensor:
    """Differentiate the losses of all chains, times a share of the data."""
    ones = torch.full_like(losses, share)
    grad = torch.autograd.grad(losses, leaf, ones, allow_unused=True)[0] if losses.requires_grad else None
    if grad is None:
        raise VectorizationError("the swapped weights do not reach the loss: does the model keep its own list of them?")
    return grad


def _place(index: Tensor | None, parameter: Tensor, moving: Tensor) -> Tensor:
    """Put the moving entries (chains, k) into copies of a parameter, (chains, *shape)."""
    chains = moving.shape[0]
    if index is not None:
        still = parameter.detach().reshape(1, -1).to(moving.dtype).expand(chains, -1)
        moving = still.index_copy(1, index, moving)
    return moving.reshape(chains, *parameter.shape).to(parameter.dtype)
