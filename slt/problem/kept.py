"""A model as it was found: the attributes of its modules, what these contain, and the numbers among it."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from slt.problem.fingerprints import pieces

_CONTAINERS = {list, dict, set, deque, OrderedDict, defaultdict, Counter}  # subclasses may do more than contain
_ATOMS = {type(None), bool, int, float, str}  # most of what there is, met first to save time
_SAME_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Kept:
    """What a model holds, to be put back after code that may have changed any of it.

    Attributes and containers are put back by identity, in place: what a forward pass has added is gone, what it has
    replaced is there again. A tensor gets back its own storage, its gradient and its flag. The content of parameters
    is not copied, since nothing may write to them; that of all other tensors and arrays is, and
    the state of generators.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        """Follow attributes and containers from module to module."""
        self._scripts: list[tuple[nn.Module, bool]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: list[_KeptTensor] = []
        self._arrays: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self._generators: list[tuple[torch.Generator, Tensor]] = []
        seen: set[int] = set()
        left: list[Any] = list(model.modules())
        while left:
            value = left.pop()
            if type(value) in _ATOMS or id(value) in seen:
                continue
            if type(value) in _CONTAINERS:
                self._containers.append((value, value.copy()))
                if value:
                    left.extend(value.values() if isinstance(value, dict) else value)
            elif type(value) is tuple:
                left.extend(value)
            elif isinstance(value, nn.Module):
                left.append(vars(value))
                if isinstance(value, torch.jit.ScriptModule):  # which keeps mode and tensors elsewhere
                    self._scripts.append((value, value.training))
                    left.extend((*value.parameters(recurse=False), *value.buffers(recurse=False)))
            elif isinstance(value, Tensor):
                if _has_content(value):
                    self._tensors.append(_KeptTensor(value))
                left.append(vars(value))
            elif type(value) is np.ndarray and value.dtype != object:
                self._arrays.append((value, value.copy()))
            elif isinstance(value, torch.Generator):
                self._generators.append((value, value.get_state()))
            else:
                continue
            seen.add(id(value))

    def drop_gradients(self) -> None:
        """Take all ``.grad`` away, so that a loss that calls backward() does not add to the user's."""
        for tensor in self._tensors:
            tensor.drop_gradient()

    def restore(self) -> None:
        """Put everything back."""
        for container, content in self._containers:
            if not _same_members(container, content):
                container.clear()
                container.extend(content) if isinstance(container, (list, deque)) else container.update(content)
        for module, mode in self._scripts:
            module.training = mode
        for tensor in self._tensors:
            tensor.restore()
        for array, content in self._arrays:
            if array.tobytes() != content.tobytes():
                array[...] = content
        for generator, state in self._generators:
            generator.set_state(state)


class _KeptTensor:
    """A tensor's storage, gradient and flag, and a copy of its content where something might write to it."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._place = tensor, tensor.data
        self._grad = tensor.grad if tensor.is_leaf else None  # torch warns of any other
        self._requires_grad = tensor.requires_grad
        self._content = None if isinstance(tensor, nn.Parameter) else tensor.detach().clone()

    def drop_gradient(self) -> None:
        if self._grad is not None:
            self._tensor.grad = None

    def restore(self) -> None:
        tensor = self._tensor
        if _moved(tensor, self._place):
            tensor.data = self._place
        if tensor.is_leaf:
            if tensor.grad is not self._grad:
                tensor.grad = self._grad
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
        if self._content is not None and not same_bits(tensor, self._content):
            tensor.detach().copy_(self._content)


def _has_content(tensor: Tensor) -> bool:
    # A tensor from inside a vmap that has ended, left on a module by an earlier call of it, can only be dropped.
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # pyright: ignore[reportAttributeAccessIssue]
    return not (wrapped or tensor.is_meta or tensor.is_nested or is_lazy(tensor))


def _same_members(container: Any, content: Any) -> bool:
    if len(container) != len(content):
        return False
    if not content:
        return True
    if isinstance(container, set):
        return container == content
    same = _identical(container, content)
    return same and (not isinstance(container, dict) or _identical(container.values(), content.values()))


def _identical(some: Iterable[Any], others: Iterable[Any]) -> bool:
    return all(map(is_, some, others))


def _moved(tensor: Tensor, place: Tensor) -> bool:
    """Whether a tensor lies elsewhere than it did, or has another shape or type there."""
    if (tensor.dtype, tensor.shape, tensor.layout) != (place.dtype, place.shape, place.layout):
        return True
    found = zip(pieces(tensor), pieces(place), strict=True)
    return any(a.data_ptr() != b.data_ptr() or a.stride() != b.stride() for a, b in found)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same bits."""
    return all(torch.equal(_bits(c), _bits(d)) for c, d in zip(pieces(a), pieces(b), strict=True))


def _bits(tensor: Tensor) -> Tensor:
    """Return integers that are equal where the bits are, be they those of NaN or of -0.0."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    return plain.view(_SAME_SIZE[plain.element_size()]) if plain.is_floating_point() else plain
