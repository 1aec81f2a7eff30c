"""One process at a time in a folder: a lock that the operating system releases when the process ends in any way."""

import errno
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from slt.errors import ResumeError

LOCK_FILE = ".lock"
"""The file in a folder while a process uses it; a kill leaves the file, but not the lock."""

_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_BYTE = 4096  # Windows locks a range of bytes, which no other process can read; this one is after the holder's name
_NAME_BYTES = 200


@dataclass(frozen=True)
class Lock:
    """Whether a folder is locked, and if not, why.

    Attributes:
        held: Whether no other process can take the lock.
        writable: Whether the lock's file could be opened in the folder for writing.
        reason: Why the lock is not held; empty if it is.
    """

    held: bool
    writable: bool
    reason: str = ""


@dataclass
class _Held:
    lock: Lock
    thread: int
    handle: int | None
    times: int


_HELD: dict[Path, _Held] = {}
_GUARD = threading.Lock()


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[Lock]:
    """Keep other processes, and other threads of this one, out of a folder.

    The operating system locks the file ``.lock`` in the folder until the process ends, for whatever reason. The same
    thread may take the lock again inside. A read-only folder and a file system without locks are not errors here: the
    yielded `Lock` reports them, and the caller decides.

    Args:
        folder: An existing folder. The file ``.lock`` is created in it, and removed at the end.

    Yields:
        The lock.

    Raises:
        ResumeError: If another process or thread holds the lock.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(folder) as lock, locked(folder) as again:
    ...     lock.held, again is lock
    (True, True)
    """
    key = Path(folder).resolve()
    with _GUARD:
        held = _HELD.get(key)
        if held is None:
            handle, lock = _take(key)
            held = _HELD[key] = _Held(lock, threading.get_ident(), handle, 0)
        elif held.thread != threading.get_ident():
            raise ResumeError(
                f"another thread of this process is using {folder}. Wait for it, or choose another folder."
            )
        held.times += 1
    try:
        yield held.lock
    finally:
        with _GUARD:
            held.times -= 1
            # A process that was forked meanwhile no longer has the lock.
            if not held.times and _HELD.get(key) is held:
                del _HELD[key]
                _release(key / LOCK_FILE, held.handle)


def _take(folder: Path) -> tuple[int | None, Lock]:
    """Open the lock's file and lock it; return its handle, or None if there is nothing to close."""
    path = folder / LOCK_FILE
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            return None, Lock(False, False, str(error))
        try:
            _lock(handle)
        except OSError as error:
            who = _holder(handle)
            os.close(handle)
            if error.errno in _TAKEN:
                raise ResumeError(f"{who} is using {folder}. Wait for it, or choose another folder.") from error
            return None, Lock(False, True, f"the file system of {folder} does not lock files: {error}")
        if _is_at(path, handle):
            with suppress(OSError):  # on a full disk; the name is only used in a message
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()} {platform.node()}".encode())
            return handle, Lock(True, True)
        # Another process ended and removed the file between our opening and locking it.
        os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    """Name the process that holds the lock, if it is known."""
    os.lseek(handle, 0, os.SEEK_SET)
    named = re.fullmatch(rb"(\d{1,12}) ([\w.-]{1,100})", os.read(handle, _NAME_BYTES))
    if named is None:
        return "another process"
    return f"process {named[1].decode()} on {named[2].decode()}"


def _release(path: Path, handle: int | None) -> None:
    if handle is None:
        return
    if sys.platform == "win32":  # where an open file cannot be removed
        os.close(handle)
        with suppress(PermissionError):  # another process has taken the lock meanwhile
            path.unlink(missing_ok=True)
    else:
        # Before the lock is released: the next process finds that the file is gone, and creates another.
        if _is_at(path, handle):
            with suppress(OSError):  # the folder may be read-only by now; an unlocked file does no harm
                path.unlink(missing_ok=True)
        os.close(handle)


def _forget() -> None:
    """Close the inherited handles in a forked process: otherwise the lock would last as long as that process."""
    global _GUARD
    _GUARD = threading.Lock()
    for held in _HELD.values():
        if held.handle is not None:
            os.close(held.handle)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
