"""Slow imports, made at first use and never interrupted."""

import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Any


def import_whole(name: str) -> Any:
    """Import a module; Ctrl-C waits until it is loaded.

    An interrupted import leaves partly loaded modules behind, which no later import in the process repairs.

    Args:
        name: Full name of the module.

    Returns:
        The module.
    """
    if name in sys.modules or threading.current_thread() is not threading.main_thread():
        return import_module(name)  # Python delivers Ctrl-C to the main thread, which alone may put it off
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        return import_module(name)
    waiting: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: waiting.append(frame))
    try:
        module = import_module(name)
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        before(signal.SIGINT, waiting[0])
    return module
