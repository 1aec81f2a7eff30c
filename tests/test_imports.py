"""Ctrl-C during a slow import: the import ends first, and the process can go on using the module."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from slt._imports import import_whole

SLOW = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the middle
for _ in range(1000):
    pass
whole = True
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_to_import", raising=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield "slow_to_import"
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_import_and_is_not_lost(slow: str) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        import_whole(slow)
    assert sys.modules[slow].whole
    assert signal.getsignal(signal.SIGINT) is handler
    assert import_whole(slow) is sys.modules[slow]


def test_a_plain_import_is_broken_off(slow: str) -> None:
    """The mutant: what the wait is good for."""
    with pytest.raises(KeyboardInterrupt):
        __import__(slow)
    assert slow not in sys.modules


def test_a_module_that_fails_gives_the_handler_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_to_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        import_whole("fails_to_import")
    assert signal.getsignal(signal.SIGINT) is handler


def test_another_thread_imports_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "calm_to_import.py").write_text("whole = True")
    monkeypatch.syspath_prepend(tmp_path)
    found: list[ModuleType] = []
    thread = threading.Thread(target=lambda: found.append(import_whole("calm_to_import")))
    thread.start()
    thread.join()
    assert found[0].whole
