"""Calls of the user's code in the middle of work: what they change of the model or of torch's switches is undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from slt.errors import InputError
from slt.problem.kept import Kept, same_bits
from slt.problem.switches import OF_PROCESS, OF_THREAD, THREADS, crowd, put_back, settings

T = TypeVar("T")

_OF_RESULTS = (*OF_THREAD, *OF_PROCESS)  # what a later evaluation depends on; threads cost it time alone
_ALL = (THREADS, *_OF_RESULTS)
_LARGE = 2**16  # entries of a buffer that is compared by torch's count of writes to it
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Guard:
    """Undoes what calls of the user's code change of a model and of torch's switches; made inside `untouched`.

    It looks after each call at modes, flags, gradients, numbers of hooks, buffers and switches, which costs about ten
    microseconds, and puts the whole model back where one of them differs. Other attributes may differ until
    `untouched` ends.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        """Read everything once."""
        self._kept = Kept(model)
        self._modules, self._parameters = list(model.modules()), list(model.parameters())
        self._held = [vars(module)["_buffers"] for module in self._modules if "_buffers" in vars(module)]
        self._hooks = [vars(module)[name] for module in self._modules for name in _HOOKS if name in vars(module)]
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers() if buffer.numel() <= _LARGE]
        self._seen = self._look()
        self._switches = settings(_ALL)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the user's, and undo what it has changed.

        Returns:
            What it returns.
        """
        try:
            with torch.inference_mode(False):  # which ends an inference mode that the call leaves on, too
                return function(*arguments)
        finally:
            if settings(_ALL) != self._switches:
                put_back(_ALL, self._switches)
            if self._look() != self._seen or not all(_equal(*pair) for pair in self._buffers):
                self._kept.restore()
                self._seen = self._look()

    def _look(self) -> list[Any]:
        """Read what is quickly read."""
        return [
            [module.training for module in self._modules],
            [(p.requires_grad, p.grad is None) for p in self._parameters],
            [len(hooks) for hooks in self._hooks],
            [(name, id(buffer), writes(buffer)) for held in self._held for name, buffer in held.items()],
        ]


def writes(tensor: Tensor | None) -> int:
    """Return torch's count of writes to a tensor, where there is one."""
    # Kernels that keep running statistics do not count as torch does; the buffers they write to are small.
    return 0 if tensor is None or tensor.is_inference() else tensor._version


def _equal(buffer: Tensor, content: Tensor) -> bool:
    return torch.equal(buffer, content) or same_bits(buffer, content)  # the second knows NaN


@contextmanager
def undisturbed(what: str, error: type[InputError], model: nn.Module | None = None) -> Iterator[None]:
    """Refuse user's code after which torch's switches, on which later evaluations depend, stand elsewhere.

    Args:
        what: The code, for the message.
        error: What is raised.
        model: A model whose modes it must leave too.

    Raises:
        InputError: Of the kind given, if it changes one of them.
    """
    modes = [] if model is None else [(name, module, module.training) for name, module in model.named_modules()]
    others = crowd()
    before = settings(_OF_RESULTS)
    yield
    after = settings(_OF_RESULTS)
    # What another thread may have set in the meantime is not held against this one.
    watched = OF_THREAD if others[0] or crowd() != others else _OF_RESULTS
    changed = [f"the mode of module {name!r}" for name, module, was in modes if module.training != was]
    changed += [
        f"{switch.name} ({was} -> {now})"
        for switch, was, now in zip(watched, before, after, strict=False)
        if was != now
    ]
    if changed:
        raise error(f"{what} must leave torch and the model as they are, but it changed {', '.join(changed[:3])}.")
