"""A model as a function of one float64 vector: what Jacobians, curvatures and higher derivatives are taken of."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from slt.degeneracy.precision import double_precision
from slt.errors import DataError, LossError, SettingsError
from slt.problem import untouched
from slt.problem.data import Batch, TensorExamples, map_tensors, tensors_of
from slt.problem.parameters import Segment
from slt.problem.writes import refusing_writes_to

Function = Callable[[Any, Batch], Tensor]
"""function(model, batch) -> the outputs whose derivatives are meant, examples first."""

FunctionName = Literal["logits", "log_probs"]
_VMAP_REFUSALS = ("vmap: ", "Batching rule not implemented", "There is a performance drop")
_LIMITS = {
    "You must implement the jvp function": "a forward derivative, which an autograd.Function of the model lacks",
    "torch.utils.checkpoint": "all values of a forward pass, where checkpointing computes them anew: switch it off",
    "element 0 of tensors does not require grad": "a forward pass that does not differentiate by itself",
}
_ROWS = 128  # rows of a Jacobian taken in one backward pass
_TOGETHER = 32  # random combinations of outputs that go back in one pass


def call(model: Any, batch: Batch) -> Any:
    """Call a model with what one batch of inputs holds: a tensor, a tuple of arguments, or a mapping of names."""
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, (tuple, list)) else model(batch)


def logits(model: Any, batch: Batch) -> Tensor:
    """Return the model's output as it is; of a Hugging Face output its logits."""
    output = call(model, batch)
    return output.logits if hasattr(output, "logits") else output


def log_probs(model: Any, batch: Batch) -> Tensor:
    """Return log softmax of the model's output over its last axis."""
    return logits(model, batch).log_softmax(-1)


def resolve_function(function: FunctionName | Function) -> tuple[Function, str]:
    """Turn what the user calls a function into one, with its name.

    Args:
        function: "logits", "log_probs", or ``function(model, inputs)`` with examples on the first axis.

    Returns:
        The function and its name.

    Raises:
        SettingsError: If it is neither.
    """
    ready: dict[str, Function] = {"logits": logits, "log_probs": log_probs}
    if isinstance(function, str) and function in ready:
        return ready[function], function
    if not callable(function):
        raise SettingsError(f'function must be "logits", "log_probs" or a callable, got {function!r}.')
    return function, getattr(function, "__name__", type(function).__name__)


@contextmanager
def refusals_by_name() -> Iterator[None]:
    """Say what it takes where torch cannot differentiate a model as is done here.

    Raises:
        SettingsError: In the place of what torch says.
        RuntimeError: What is the user's own.
    """
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        cause = next((cause for start, cause in _LIMITS.items() if str(error).startswith(start)), None)
        if cause is None:
            raise
        raise SettingsError(f"null directions and curvature take {cause}. torch says: {error}") from error


def _kept_values() -> AbstractContextManager[None]:
    """Refuse what would recompute values with other weights later; not inside hooks of the user's own."""
    if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return nullcontext()
    return torch.autograd.graph.disable_saved_tensors_hooks("torch.utils.checkpoint")


class _Bound(nn.Module):
    """Model and function as one module, so that a swap of weights reaches the model wherever it is met."""

    def __init__(self, model: nn.Module, function: Function) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, batch: Batch) -> Tensor:
        return self.function(self.model, batch)


class Network:
    """A model seen as w -> function(model with weights w, batch), w in R^P, in float64.

    Use it inside `exact`: the model's own tensors are never written to.

    Args:
        model: The model at w*.
        segments: The moving parameters.
        function: What to evaluate.

    Attributes:
        center: w*, (P,), float64.
        segments: The moving parameters, in the order of the vector.
    """

    def __init__(self, model: nn.Module, segments: Sequence[Segment], function: Function) -> None:
        """Copy the model's tensors in float64."""
        self.model, self.segments, self.function = model, tuple(segments), function
        self.center = torch.cat([s.entries(s.parameter).double() for s in self.segments])
        moving = {s.name for s in self.segments}
        self._still = {
            f"model.{name}": t.detach().double() if t.is_floating_point() else t.detach().clone()
            for name, t in [*model.named_parameters(), *model.named_buffers()]
            if name not in moving
        }
        self._sizes = [s.size for s in self.segments]
        self._module = _Bound(model, function)
        self._module.training = model.training

    def with_function(self, function: Function) -> "Network":
        """Return the same network with another function."""
        return Network(self.model, self.segments, function)

    def model_in_double(self) -> nn.Module:
        """Return a copy of the model in float64, for those who look at modules and not at a vector."""
        return copied_in_double(self.model)

    @property
    def dimension(self) -> int:
        """Number of moving entries, P."""
        return len(self.center)

    def slices(self) -> dict[str, slice]:
        """Where each moving tensor stands in the vector."""
        found, start = {}, 0
        for segment in self.segments:
            found[segment.name] = slice(start, start + segment.size)
            start += segment.size
        return found

    def split(self, w: Tensor) -> list[Tensor]:
        """Cut a vector, or the last axis of several, into one piece a tensor."""
        return list(w.split(self._sizes, dim=-1))

    def weights(self, w: Tensor) -> dict[str, Tensor]:
        """Return the moving tensors at w, in their own shapes."""
        # Not views of w: a module that writes to them could not be told what is wrong.
        return {s.name: _place(s, piece).clone() for s, piece in zip(self.segments, self.split(w), strict=True)}

    def __call__(self, w: Tensor, batch: Batch) -> Tensor:
        """Evaluate the function at w on a batch, which is taken in float64."""
        swapped = {f"model.{name}": t for name, t in self.weights(w).items()}
        # buffers are handed over afresh: what a forward pass writes to them must not last
        still = {name: t.clone() if name not in self._still_names() else t for name, t in self._still.items()}
        versions = [t._version for t in swapped.values()]
        with refusals_by_name():
            value = functional_call(self._module, {**still, **swapped}, (doubled(batch),))
        if [t._version for t in swapped.values()] != versions:
            raise LossError("the function must not write to the weights that it is evaluated at.")
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise SettingsError(f"the function must return a floating tensor, got {got}.")
        if value.dtype != torch.float64:
            raise SettingsError(
                f"an exact rank needs float64 throughout, but the function returned {value.dtype}: pass one that "
                "keeps the type of its weights."
            )
        return value

    def _still_names(self) -> set[str]:
        return {f"model.{name}" for name, _ in self.model.named_parameters()}

    def check(self, batch: Batch) -> Tensor:
        """Evaluate at w* and check that the weights reach the outputs.

        Returns:
            The outputs, detached.

        Raises:
            LossError: If they do not, or an output is not finite.
        """
        w = self.center.clone().requires_grad_()
        with refusing_writes_to(batch, by_content=True), refusals_by_name(), _kept_values():
            value = self(w, batch)
        if not value.requires_grad or torch.autograd.grad(value.sum(), w, allow_unused=True)[0] is None:
            raise LossError(
                "the function must depend on the moving parameters, but swapped weights do not reach it: does the "
                "model keep its own list of them, or is it compiled?"
            )
        if not bool(value.isfinite().all()):
            raise LossError("the function must be finite at w*, got NaN or infinity.")
        return value.detach()

    def jacobian(self, w: Tensor, batch: Batch) -> Tensor:
        """Return d function / d w on a batch, (outputs, P), outputs flattened."""
        w = w.detach().requires_grad_()
        flat = self(w, batch).reshape(-1)
        rows = []
        for start in range(0, len(flat), _ROWS):
            chosen = torch.eye(len(flat), dtype=flat.dtype, device=flat.device)[start : start + _ROWS]
            rows.append(_rows(flat, w, chosen))
        return torch.cat(rows)

    def cotangents(self, w: Tensor, batch: Batch, count: int, generator: torch.Generator) -> Tensor:
        """Return J^T s for random s, one a row, (count, P)."""
        w = w.detach().requires_grad_()
        flat = self(w, batch).reshape(-1)
        drawn = torch.randn(count, len(flat), generator=generator, dtype=flat.dtype, device="cpu").to(flat.device)
        return torch.cat([_rows(flat, w, piece) for piece in drawn.split(_TOGETHER)])

    def jvp(self, w: Tensor, v: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the outputs at w and their derivative along v."""
        return cast("tuple[Tensor, Tensor]", jvp(lambda t: self(t, batch), (w,), (v,)))


def copied_in_double(model: nn.Module) -> nn.Module:
    """Return a copy of a model in float64.

    What a module computes from its parameters and keeps, as torch's older weight norm does, is copied by value; a
    tensor of a class of one's own becomes a plain one. What else hangs on a module and cannot be copied, such as a
    lock, is shared.
    """
    known: dict[int, Any] = {}
    for module in model.modules():
        for held in (*vars(module).values(), *module._parameters.values(), *module._buffers.values()):
            _note_copy(held, known)
    return copy.deepcopy(model, known).double()


def _note_copy(held: Any, known: dict[int, Any]) -> None:
    """Put a copy of what `copy.deepcopy` would refuse where it looks for copies that it has made."""
    if isinstance(held, Tensor):
        own = type(held) not in (Tensor, nn.Parameter)
        if own or not held.is_leaf:
            plain = held.detach().as_subclass(Tensor).clone()
            known[id(held)] = nn.Parameter(plain, held.requires_grad) if isinstance(held, nn.Parameter) else plain
    elif type(held) in (list, tuple, dict):
        for part in held.values() if isinstance(held, dict) else held:
            _note_copy(part, known)
    elif not isinstance(held, nn.Module) and not _can_be_copied(held):
        known[id(held)] = held


def _can_be_copied(held: Any) -> bool:
    try:
        copy.deepcopy(held)
    except (TypeError, RuntimeError, ValueError, AttributeError, NotImplementedError):
        return False
    return True


def _rows(flat: Tensor, w: Tensor, cotangents: Tensor) -> Tensor:
    """J^T of several cotangents at once, or one by one where an operation knows no batches."""
    try:
        found = torch.autograd.grad(
            flat, w, cotangents, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )[0]
    except RuntimeError as error:
        if not str(error).startswith(_VMAP_REFUSALS):
            raise
        each = [torch.autograd.grad(flat, w, c, retain_graph=True, materialize_grads=True)[0] for c in cotangents]
        found = torch.stack(each)
    return found.detach()


def _place(segment: Segment, piece: Tensor) -> Tensor:
    if segment.index is None:
        return piece.reshape(segment.parameter.shape)
    still = segment.parameter.detach().reshape(-1).to(piece.dtype)
    return still.index_copy(0, segment.index, piece).reshape(segment.parameter.shape)


def doubled(batch: Batch) -> Batch:
    """Return a batch whose floating tensors are float64."""
    return map_tensors(lambda t: t.double() if t.is_floating_point() else t, batch)


@contextmanager
def exact(model: nn.Module) -> Iterator[None]:
    """Compute with a model in float64; leave it, and the process, bit-identical."""
    with untouched(model), double_precision():
        yield


class Inputs:
    """Model inputs held as tensors whose first axis counts examples, and others like them.

    Args:
        inputs: A tensor, a tuple of arguments or a mapping of named ones.

    Raises:
        DataError: If there is none, or they disagree on the number of examples.
    """

    def __init__(self, inputs: Batch) -> None:
        """Check the rows."""
        self._examples = TensorExamples(inputs)
        self.n = self._examples.n
        self.batch = inputs

    def take(self, start: int, stop: int) -> Batch:
        """Return examples start to stop."""
        return self._examples.take(torch.arange(start, min(stop, self.n), device="cpu"))

    def rows(self, chosen: Tensor) -> Batch:
        """Return examples by number."""
        return self._examples.take(chosen)

    def chunks(self, rows: int) -> Iterator[Batch]:
        """Pass over all the inputs once."""
        for start in range(0, self.n, rows):
            yield self.take(start, start + rows)

    def fresh(self, seed: int) -> "Inputs":
        """Draw as many examples of the same shape and range.

        A floating entry is uniform between its least and greatest value over the examples; integers are uniform
        between the least and greatest of their tensor; Boolean tensors stay.

        Args:
            seed: Seed of the draw.

        Returns:
            The inputs.
        """
        generator = torch.Generator("cpu").manual_seed(seed)

        def like(t: Tensor) -> Tensor:
            if t.is_floating_point():
                low, high = t.amin(0).double().cpu(), t.amax(0).double().cpu()
                share = torch.rand(t.shape, generator=generator, dtype=torch.float64, device="cpu")
                return (low + (high - low) * share).to(t)
            if t.dtype == torch.bool or not t.numel():
                return t
            low, high = int(t.min()), int(t.max())
            return torch.randint(low, high + 1, t.shape, generator=generator, device="cpu").to(t)

        return Inputs(map_tensors(like, self.batch))

    def joined(self, other: "Inputs") -> "Inputs":
        """Return both, one after the other."""
        second = iter(tensors_of(other.batch))
        return Inputs(map_tensors(lambda t: torch.cat([t, next(second)]), self.batch))


def as_inputs(inputs: Any) -> Inputs:
    """Read what the user calls inputs.

    Returns:
        The inputs.

    Raises:
        DataError: If they are not tensors.
    """
    if isinstance(inputs, Inputs):
        return inputs
    if not tensors_of(cast("Batch", inputs)):
        raise DataError(f"inputs must hold tensors, got {type(inputs).__name__}.")
    return Inputs(inputs)
