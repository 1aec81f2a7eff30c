"""One thread at a time on a model: a run moves its parameters and sets its mode."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from slt.errors import ModelInUseError
from slt.problem.switches import LOCK

_users: dict[int, int] = {}  # threads by the id of the module or parameter that they use


@contextmanager
def claimed(model: nn.Module) -> Iterator[None]:
    """Keep other threads from the model, its modules and its parameters; the same thread may enter again.

    Raises:
        ModelInUseError: If another thread uses one of them.
    """
    parts = [*model.modules(), *model.parameters()]
    me, mine = threading.get_ident(), []
    try:
        with LOCK:
            taken = next((part for part in parts if _users.get(id(part), me) != me), None)
            if taken is None:
                for part in parts:
                    if id(part) not in _users:
                        mine.append(id(part))
                        _users[id(part)] = me
        if taken is not None:
            _refuse(model, taken)
        yield
    finally:
        with LOCK:
            for part in mine:
                _users.pop(part, None)


def _refuse(model: nn.Module, taken: object) -> None:
    name = next(name for name, part in (*model.named_modules(), *model.named_parameters()) if part is taken)
    what = f"its part {name!r}" if name else "it"
    raise ModelInUseError(
        f"a model must be used by one run at a time, but another thread is using {what}. Give each thread its own "
        "copy.deepcopy(model), or let one run follow the other."
    )


def _in_child() -> None:
    """Forget the other threads, which a fork leaves behind."""
    me = threading.get_ident()
    for part, thread in list(_users.items()):
        if thread != me:
            del _users[part]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
