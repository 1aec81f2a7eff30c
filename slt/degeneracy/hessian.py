"""Products with the Hessian of the loss and with its Gauss-Newton part, over all the data, without either matrix."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor

from slt.degeneracy.function import Function, Network, doubled
from slt.errors import LossError
from slt.problem import Problem
from slt.problem.data import Batch

_DENSE_ROWS = 64  # rows of a dense curvature taken in one backward pass
_DENSE_CHUNK = 512  # and examples, so that what passes between layers stays near the processor


class Curvature:
    r"""The loss near w*: L(w) = sum over chunks of (rows / n) times the chunk's mean, in float64.

    .. math:: H v = \nabla (\nabla L \cdot v), \qquad G v = J^T (\nabla^2_f \ell)\, J v

    with f what the model returns where the loss calls it, and l the loss as a function of f. Use it inside
    `slt.degeneracy.function.exact`.

    Args:
        problem: Model, data and loss, checked.

    Attributes:
        network: The model with its loss as function.
        splits: Whether the loss calls the model once and depends on the weights through that call alone, so that G
            is defined.
    """

    def __init__(self, problem: Problem) -> None:
        """Bind the problem."""
        self.problem = problem
        self.network = Network(problem.model, problem.segments, _mean(problem.loss))
        self.outputs = self.network.with_function(outputs_of(problem.loss))
        self.splits = self._check_split()
        self._held: tuple[Tensor, Tensor] | None = None

    @property
    def dimension(self) -> int:
        """Number of moving entries."""
        return self.network.dimension

    def loss(self, w: Tensor) -> float:
        """L(w) in nats."""
        with torch.no_grad():
            return sum(float(self.network(w, batch)) * share for share, batch in self._chunks())

    def gradient(self, w: Tensor | None = None) -> Tensor:
        """The gradient of L, at w* where no other point is given, (P,)."""
        total = torch.zeros_like(self.network.center)
        for share, batch in self._chunks():
            leaf = (self.network.center if w is None else w).detach().clone().requires_grad_()
            total += share * torch.autograd.grad(self.network(leaf, batch), leaf, materialize_grads=True)[0]
        return total

    def hessian_product(self, v: Tensor) -> Tensor:
        """H v at w*, (P,)."""
        total = torch.zeros_like(v)
        for share, batch in self._chunks():
            one = share == 1
            leaf, gradient = self._whole_graph(batch) if one else self._gradient_graph(batch)
            if gradient.requires_grad:
                found = torch.autograd.grad(gradient, leaf, v, retain_graph=one, materialize_grads=True)
                total += share * found[0]
        return total

    def ggn_product(self, v: Tensor) -> Tensor:
        """G v at w*, (P,)."""
        total = torch.zeros_like(v)
        for share, batch in self._chunks():
            leaf = self.network.center.clone().requires_grad_()
            with fwd.dual_level():
                dual = self.outputs(fwd.make_dual(leaf, v), batch)
                value, tangent = fwd.unpack_dual(dual)
            if tangent is None:
                continue  # these outputs do not see v
            bent = self._output_product(value.detach(), tangent.detach(), batch)
            total += share * torch.autograd.grad(value, leaf, bent, materialize_grads=True)[0]
        return total

    def dense_hessian(self) -> Tensor:
        """H at w*, (P, P)."""
        size = self.dimension
        total = torch.zeros(size, size, dtype=torch.float64, device=self.network.center.device)
        for share, batch in self._chunks(_DENSE_CHUNK):
            leaf, gradient = self._gradient_graph(batch)
            if not gradient.requires_grad:
                continue
            for start in range(0, size, _DENSE_ROWS):
                chosen = torch.zeros(min(_DENSE_ROWS, size - start), size, dtype=torch.float64, device=leaf.device)
                chosen[:, start:].fill_diagonal_(1.0)
                rows = torch.autograd.grad(
                    gradient, leaf, chosen, retain_graph=True, is_grads_batched=True, materialize_grads=True
                )[0]
                total[start : start + _DENSE_ROWS] += share * rows
        return (total + total.T) / 2

    def _gradient_graph(self, batch: Batch) -> tuple[Tensor, Tensor]:
        leaf = self.network.center.clone().requires_grad_()
        return leaf, torch.autograd.grad(self.network(leaf, batch), leaf, create_graph=True, materialize_grads=True)[0]

    def _whole_graph(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The gradient of all the data in one chunk: w* never moves, so further products need no other."""
        if self._held is None:
            self._held = self._gradient_graph(batch)
        return self._held

    def _output_product(self, value: Tensor, tangent: Tensor, batch: Batch) -> Tensor:
        """The second derivative of the loss in the outputs, times a change of them."""
        outputs = value.requires_grad_()
        loss = _mean(self.problem.loss)(_Given(outputs), doubled(batch))
        (slope,) = torch.autograd.grad(loss, outputs, create_graph=True, materialize_grads=True)
        if not slope.requires_grad:
            return torch.zeros_like(tangent)
        return torch.autograd.grad(slope, outputs, tangent, materialize_grads=True)[0]

    def _chunks(self, most: int | None = None) -> Iterator[tuple[float, Batch]]:
        """Shares and batches of a pass over all the data, of at most so many examples each."""
        n = self.problem.n
        if most is None or most >= min(self.problem.chunk, n):
            for rows, batch in self.problem.chunks():
                yield len(rows) / n, batch
            return
        for rows in torch.arange(n, device="cpu").split(most):
            yield len(rows) / n, self.problem.batch(rows)

    def _check_split(self) -> bool:
        """Whether the loss of the outputs alone is the loss."""
        _, batch = next(self._chunks())
        with torch.no_grad():
            try:
                outputs = self.outputs(self.network.center, batch)
            except _NoCallError:
                return False
            again = _mean(self.problem.loss)(_Given(outputs), doubled(batch))
            whole = self.network(self.network.center, batch)
        return bool((again - whole).abs() <= 1e-9 * (1 + whole.abs()))


class _NoCallError(LossError):
    """The loss did not call the model exactly once, with a tensor or logits coming back."""


class _Given:
    """Stands where a loss expects the model, and returns given outputs whatever it is fed."""

    def __init__(self, outputs: Tensor) -> None:
        self._outputs = outputs

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._outputs

    def __getattr__(self, name: str) -> Any:
        raise _NoCallError(f"the loss reads {name!r} of the model beside calling it.")


class _Recorder:
    """Stands where a loss expects the model, calls it, and keeps what came back."""

    def __init__(self, model: Any) -> None:
        self._model, self.found = model, []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self._model(*args, **kwargs)
        self.found.append(output.logits if hasattr(output, "logits") else output)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def outputs_of(loss: Function) -> Function:
    """Return the function that gives what the model returns where a loss calls it."""

    def outputs(model: Any, batch: Batch) -> Tensor:
        recorder = _Recorder(model)
        loss(recorder, batch)
        if len(recorder.found) != 1 or not isinstance(recorder.found[0], Tensor):
            raise _NoCallError("the loss must call the model exactly once and get one tensor, or logits, from it.")
        return recorder.found[0]

    return outputs


def _mean(loss: Function) -> Function:
    def mean(model: Any, batch: Batch) -> Tensor:
        return loss(model, batch).mean()

    return mean
