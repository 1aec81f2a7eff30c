"""Switches that slt or the user's code may set, put back by the last thread that is done with them.

Most belong to the whole process. Where several threads sample at once, the first one finds what is to be restored, and
only the last one can restore it: until then the others rely on what is set.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch

LOCK = threading.RLock()  # held for a few reads and writes; and around a fork, so that no child finds it taken


class Switch(NamedTuple):
    """One setting of torch."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _autocast(device: str) -> tuple[Switch, Switch]:
    return (
        Switch(
            f"torch.autocast on {device}",
            lambda: torch.is_autocast_enabled(device),
            lambda on: torch.set_autocast_enabled(device, on),
        ),
        Switch(
            f"the type of torch.autocast on {device}",
            lambda: torch.get_autocast_dtype(device),
            lambda dtype: torch.set_autocast_dtype(device, dtype),
        ),
    )


_cuda = torch.backends.cuda
FAST_ATTENTION = Switch(
    "torch.backends.mha.set_fastpath_enabled",
    torch.backends.mha.get_fastpath_enabled,
    torch.backends.mha.set_fastpath_enabled,
)
FLASH = Switch("torch.backends.cuda.enable_flash_sdp", _cuda.flash_sdp_enabled, _cuda.enable_flash_sdp)
PLAIN_ATTENTION = Switch("torch.backends.cuda.enable_math_sdp", _cuda.math_sdp_enabled, _cuda.enable_math_sdp)
ATTENTION = (
    FLASH,
    PLAIN_ATTENTION,
    Switch("torch.backends.cuda.enable_cudnn_sdp", _cuda.cudnn_sdp_enabled, _cuda.enable_cudnn_sdp),
    Switch(
        "torch.backends.cuda.enable_mem_efficient_sdp",
        _cuda.mem_efficient_sdp_enabled,
        _cuda.enable_mem_efficient_sdp,
    ),
)
ANOMALY = Switch(
    "torch.autograd.set_detect_anomaly",
    lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
    lambda both: torch.autograd.set_detect_anomaly(both[0], check_nan=both[1]),
)
DEFAULT_TYPE = Switch("torch.set_default_dtype", torch.get_default_dtype, torch.set_default_dtype)
THREADS = Switch("torch.set_num_threads", torch.get_num_threads, torch.set_num_threads)
OF_THREAD = (
    Switch("torch.set_grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled),
    Switch("the cache of torch.autocast", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    *_autocast("cpu"),
    *_autocast("cuda"),
)
OF_PROCESS = (
    FAST_ATTENTION,
    *ATTENTION,
    DEFAULT_TYPE,
    Switch(
        "torch.use_deterministic_algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
    ),
    Switch(
        "torch.set_float32_matmul_precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    ANOMALY,
    Switch(
        "torch.backends.mkldnn.set_flags",
        torch._C._get_mkldnn_enabled,  # pyright: ignore[reportAttributeAccessIssue]
        torch._C._set_mkldnn_enabled,  # pyright: ignore[reportAttributeAccessIssue]
    ),
)


def _write_filters(filters: tuple[Any, ...]) -> None:
    warnings.resetwarnings()  # so that Python forgets what it remembers by them
    cast("list[Any]", warnings.filters)[:] = filters


# Libraries set these when they are first called: put back, and never held against a loss.
_QUIETLY = (Switch("warnings.filters", lambda: tuple(warnings.filters), _write_filters),)


def settings(switches: Sequence[Switch]) -> list[Any]:
    """Read switches."""
    return [switch.read() for switch in switches]


def put_back(switches: Sequence[Switch], values: Sequence[Any]) -> None:
    """Set switches that stand at other values."""
    for switch, value in zip(switches, values, strict=True):
        if switch.read() != value:
            switch.write(value)


@dataclass(eq=False)
class _Entry:
    """One stay inside `switches_kept`, and what it is to put back."""

    thread: int
    threads: int
    of_thread: list[Any]
    of_process: list[Any]


_entries: list[_Entry] = []  # in the order in which they began
_stays = 0  # so far, ended ones too
_holders: dict[str, list[int]] = {}  # threads that hold a switch, by its name
_found: dict[str, Any] = {}  # what the first of them found


@contextmanager
def switches_kept() -> Iterator[None]:
    """Put all switches back: those of a thread at once, those of the process where no other thread is inside."""
    global _stays
    entry = _Entry(threading.get_ident(), THREADS.read(), settings(OF_THREAD), [])
    try:
        with LOCK:
            others = [each for each in _entries if each.thread != entry.thread]
            if others:  # torch gives a new thread the number that another run may have set for itself
                entry.threads = others[0].threads
            entry.of_process = settings((*OF_PROCESS, *_QUIETLY))
            _entries.append(entry)
            _stays += 1
        yield
    finally:
        put_back((THREADS, *OF_THREAD), (entry.threads, *entry.of_thread))
        with LOCK:
            _leave(entry)


def crowd() -> tuple[bool, int]:
    """Whether another thread is inside, which may set switches of the process at any time; and all stays so far."""
    me = threading.get_ident()
    with LOCK:
        return any(each.thread != me for each in _entries), _stays


def _leave(entry: _Entry) -> None:
    """Restore what belongs to the process, or leave that to the others inside."""
    if entry not in _entries:
        return
    at = _entries.index(entry)
    _entries.remove(entry)
    if all(each.thread == entry.thread for each in _entries):
        put_back((*OF_PROCESS, *_QUIETLY), entry.of_process)
    elif at < len(_entries):
        _entries[at].of_process = entry.of_process  # it may have found what this one had set


@contextmanager
def held(switch: Switch, value: Any) -> Iterator[None]:
    """Hold a switch of the process at a value that all its holders want; the last of them puts it back."""
    holders, thread = _holders.setdefault(switch.name, []), threading.get_ident()
    entered = False
    try:
        with LOCK:
            if not holders:
                _found[switch.name] = switch.read()
            entered = True
            holders.append(thread)
            switch.write(value)
        yield
    finally:
        with LOCK:
            if entered:
                holders.remove(thread)
                if not holders:
                    switch.write(_found[switch.name])


def _in_child() -> None:
    """Forget the other threads, which a fork leaves behind, and what they had set."""
    me = threading.get_ident()
    LOCK.release()
    for name, holders in _holders.items():
        if holders and me not in holders:
            next(s for s in OF_PROCESS if s.name == name).write(_found[name])
        holders[:] = [each for each in holders if each == me]
    for entry in [each for each in _entries if each.thread != me]:
        _leave(entry)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=_in_child)
