"""How large what modules take in and put out is at w*: a scale for tensors that have none of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from slt.problem.data import tensors_of
from slt.problem.parameters import Segment


class _Squares:
    """Sum of squares and number of entries, on the device where they arise."""

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, values: Any) -> None:
        """Add the first floating tensor in what a module was given or returned."""
        tensor = next((t for t in tensors_of(values) if t.is_floating_point() and t.numel()), None)
        if tensor is not None:
            self._sum = self._sum + torch.linalg.vector_norm(tensor.detach(), dtype=torch.float64).square()
            self._count += tensor.numel()

    def root_mean(self) -> float | None:
        """Root mean square; None if nothing finite came."""
        mean = float(self._sum) / self._count if self._count else float("nan")
        return mean**0.5 if 0 <= mean < float("inf") else None


class Sizes:
    """Root mean squares of the inputs and outputs of modules, over all that passes while it is entered.

    Nothing is kept but sums, and the hooks are gone afterwards. Over each row of the data once they are means over the
    data, which no order and no repetition of all the rows changes.

    Args:
        model: The model.
        segments: The moving tensors: the modules that own one are watched, and all that enclose these.
    """

    def __init__(self, model: nn.Module, segments: Sequence[Segment]) -> None:
        """Choose what to watch."""
        self.modules: Mapping[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
        owners = {segment.name.rpartition(".")[0] for segment in segments}
        self._watched = [name for name in self.modules if any(name in enclosing(owner) for owner in owners)]
        self._inputs = {name: _Squares() for name in self._watched}
        self._outputs = {name: _Squares() for name in self._watched}
        self._weights: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Sizes":
        """Begin to watch."""
        for name in self._watched:
            module = self.modules[name]
            # Read here, in eval mode: a weight that is computed may change buffers when it is read in training mode.
            weight = getattr(module, "in_proj_weight" if isinstance(module, nn.MultiheadAttention) else "weight", None)
            if isinstance(weight, Tensor):
                self._weights[name] = weight.detach()
            self._handles.append(module.register_forward_hook(self._hook(name), with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        """Take the hooks away."""
        while self._handles:
            self._handles.pop().remove()

    def _hook(self, name: str) -> Any:
        inputs, outputs = self._inputs[name], self._outputs[name]

        def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            inputs.add((args, kwargs))
            outputs.add(output)

        return hook

    def weight(self, name: str) -> Tensor | None:
        """The weight of a module, of attention that of its inner projection; None if it has none."""
        return self._weights.get(name)

    def input(self, name: str) -> float | None:
        """Root mean square of the first floating tensor that a module takes; None if it was not called."""
        return self._inputs[name].root_mean() if name in self._inputs else None

    def output(self, name: str) -> float | None:
        """Root mean square of the first floating tensor that a module returns; None if it was not called."""
        return self._outputs[name].root_mean() if name in self._outputs else None


def enclosing(name: str) -> list[str]:
    """List a module and those around it, by name.

    Args:
        name: Name of the module.

    Returns:
        Its name and theirs, from the inside out; the model, called "", is last.

    >>> enclosing("blocks.0.mix")
    ['blocks.0.mix', 'blocks.0', 'blocks', '']
    """
    parts = name.split(".") if name else []
    return [".".join(parts[:k]) for k in range(len(parts), -1, -1)]
