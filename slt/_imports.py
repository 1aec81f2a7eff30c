"""Imports that take seconds, made at first use and whole."""

import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Any


def import_whole(name: str) -> Any:
    """Import a module; Ctrl-C waits until it is there.

    An import that is broken off leaves some of its parts behind, loaded by half, and no later import in the process
    mends them.

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
