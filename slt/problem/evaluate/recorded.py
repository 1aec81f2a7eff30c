"""A function of tensors as the operations that it came to, so that a small model is not taken apart anew each time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Function = Callable[..., tuple[Tensor, ...]]

# Of all results together: they are held while recording, and beyond it the operations themselves take the time.
_MOST_NUMBERS = 2**23
_MOST_CALLS = 5_000  # beyond it the recording itself takes as long as what it saves in a short run
_BESIDE = 0.01  # where a recording is tried: the inputs plus a normal number times this part of their rms
# What an operation must not be: random, or one whose value Python may have looked at.
_REFUSED = (torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


def record(function: Function, inputs: Sequence[Tensor]) -> Function | None:
    """Return what does the same as a function, without the Python code and the bookkeeping of gradients in it.

    The operations that torch runs are noted once, below autograd and `torch.vmap`, and run again on other inputs of the
    same shape. Results are the same to the bit, or there is no recording: that is tried at another point. (Where torch
    sees that it is watched a few of its gradients take other ways.) Tensors that are not inputs are held as they are:
    data, and weights that do not move.

    Args:
        function: From tensors to tensors; must run the same operations whatever the values are.
        inputs: Where it is recorded.

    Returns:
        The recording; None if there can be none: the function looks at values, draws random numbers, writes to tensors
        that are not its own, has operations that cannot be watched, or is too large for a recording to gain anything.
    """
    try:
        with _Recorder(inputs) as recorder:
            outputs = function(*inputs)
    except NotImplementedError:
        return None  # so torch calls what it runs, but cannot run while it is watched
    recording = recorder.recording(outputs)
    if recording is None:
        return None
    generator = torch.Generator().manual_seed(0)
    beside = [_beside(t, generator) for t in inputs]
    pairs = zip(function(*beside), recording(*beside), strict=True)
    same = all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs)
    return recording if same else None


def _beside(given: Tensor, generator: torch.Generator) -> Tensor:
    if not given.is_floating_point():
        return given
    noise = torch.randn(given.shape, generator=generator, dtype=torch.float64, device="cpu").to(given)
    scale = float(given.detach().square().mean().sqrt()) or 1.0
    return (given.detach() + _BESIDE * scale * noise).requires_grad_(given.requires_grad)


class _Slot(NamedTuple):
    """Stands for a tensor that is given, or made on the way."""

    at: int


class _Call(NamedTuple):
    """One operation."""

    operation: Any
    args: tuple[Any, ...]
    """With slots in the places of tensors, also within lists."""
    kwargs: dict[str, Any]
    made: list[int]
    several: bool
    """It returns a list."""

    @property
    def used(self) -> list[int]:
        """Slots that it reads."""
        return [x.at for arg in self.args for x in (arg if isinstance(arg, list) else [arg]) if isinstance(x, _Slot)]


class _Recorder(TorchDispatchMode):
    """Notes what torch runs while it is entered."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._inputs = list(inputs)
        self._slots = {id(t): k for k, t in enumerate(inputs)}
        self._held: list[Any] = []  # so that no other tensor gets the identity of one that is gone
        self._made = len(inputs)
        self._numbers = 0
        self._calls: list[_Call] = []
        self._possible = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler here, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._possible:
            self._possible = self._note(func, args, kwargs or {}, result)
            if not self._possible:
                self._held.clear()
        return result

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> bool:
        """Keep a call; tell whether that could be done."""
        if any(tag in func.tags for tag in _REFUSED) or any(isinstance(v, Tensor) for v in kwargs.values()):
            return False
        several = isinstance(result, (list, tuple))
        results = list(result) if several else [result]
        if not all(t is None or isinstance(t, Tensor) for t in results) or not self._writes_its_own(func, args):
            return False
        self._held.append((args, result))
        if func is torch.ops.aten.detach.default and id(args[0]) in self._slots:
            self._slots[id(result)] = self._slots[id(args[0])]
            return True
        call = _Call(func, tuple(self._stored(arg) for arg in args), kwargs, [self._slot(t) for t in results], several)
        self._calls.append(call)
        self._numbers += sum(t.numel() for t in results if t is not None)
        return self._numbers <= _MOST_NUMBERS and len(self._calls) <= _MOST_CALLS

    def _writes_its_own(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Whether what an operation writes to was made here: not data, a buffer of the model, or an input."""
        written = [
            arg
            for arg, said in zip(args, func._schema.arguments, strict=False)
            if said.alias_info is not None and said.alias_info.is_write
        ]
        return all(self._slots.get(id(t), 0) >= len(self._inputs) for t in written)

    def _slot(self, result: Tensor | None) -> int:
        """Number a result; a gradient that was not asked for is None."""
        if result is not None and id(result) in self._slots:
            return self._slots[id(result)]
        self._made += 1
        if result is not None:
            self._slots[id(result)] = self._made - 1
        return self._made - 1

    def _stored(self, arg: Any) -> Any:
        if isinstance(arg, Tensor):
            return _Slot(self._slots[id(arg)]) if id(arg) in self._slots else arg
        return [self._stored(x) for x in arg] if isinstance(arg, (list, tuple)) else arg

    def recording(self, outputs: Sequence[Tensor]) -> "_Recording | None":
        """Return what was noted; None where that could not be done, or an output came from elsewhere."""
        if not self._possible or not all(id(t) in self._slots for t in outputs):
            return None
        kept = [self._slots[id(t)] for t in outputs]
        return _Recording(_needed(self._calls, kept), len(self._inputs), kept, self._made)


def _needed(calls: Sequence[_Call], outputs: Sequence[int]) -> list[_Call]:
    """Leave out what no output depends on; what is written to stays."""
    needed, kept = set(outputs), []
    for call in reversed(calls):
        if needed.intersection(call.made) or call.operation._schema.is_mutable:
            needed.update(call.used)
            kept.append(call)
    return kept[::-1]


class _Recording:
    """Runs the operations again; a tensor is let go where nothing later needs it."""

    def __init__(self, calls: Sequence[_Call], inputs: int, outputs: Sequence[int], slots: int) -> None:
        self._outputs, self._slots = list(outputs), slots
        last = {slot: at for at, call in enumerate(calls) for slot in (*call.made, *call.used) if slot >= inputs}
        done: list[list[int]] = [[] for _ in calls]
        for slot, at in last.items():
            if slot not in outputs:
                done[at].append(slot)
        self._steps = [(call, *_holes(call), ends) for call, ends in zip(calls, done, strict=True)]

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values: list[Any] = [*(t.detach() for t in inputs), *[None] * (self._slots - len(inputs))]
        for call, holes, lists, ends in self._steps:
            args = list(call.args)
            for position, slot in holes:
                args[position] = values[slot]
            for position in lists:
                args[position] = [values[x.at] if isinstance(x, _Slot) else x for x in args[position]]
            result = call.operation(*args, **call.kwargs)
            if call.several:
                for slot, tensor in zip(call.made, result, strict=True):
                    values[slot] = tensor
            else:
                values[call.made[0]] = result
            del args, result  # whose memory the next operation may take
            for slot in ends:
                values[slot] = None
        return tuple(values[slot] for slot in self._outputs)


def _holes(call: _Call) -> tuple[list[tuple[int, int]], list[int]]:
    """Positions and slots of the arguments to fill in, and positions of lists that hold some."""
    holes = [(position, arg.at) for position, arg in enumerate(call.args) if isinstance(arg, _Slot)]
    lists = [p for p, arg in enumerate(call.args) if isinstance(arg, list) and any(isinstance(x, _Slot) for x in arg)]
    return holes, lists
