"""Files that are complete or absent, and fingerprints that show whether two inputs are the same."""

import hashlib
import json
import os
import stat
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

TRACE_FORMAT = 1
"""Format number of a saved trace; increased whenever older code can no longer read the file."""


def slt_version() -> str:
    """Version of the installed distribution, or ``"unknown"`` if slt is not installed."""
    try:
        return version("slt-torch")
    except PackageNotFoundError:
        return "unknown"


def atomic_write(path: str | os.PathLike[str], write: Callable[[Path], object] | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The content is written to a hidden file in the same folder, flushed to disk, and renamed, which the operating
    system does in one step. If anything fails before that, `path` is unchanged.

    Args:
        path: The file to create or replace. A symbolic link stays a link; its target is replaced.
        write: The content, or a function that writes it to a given path.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target} cannot be written: the folder {target.parent} does not exist.")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        if isinstance(write, bytes):
            beside.write_bytes(write)
        else:
            write(beside)
        _force_to_disk(beside)
        _keep_mode(target, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # on POSIX the rename itself must be flushed too
        _force_to_disk(target.parent)


def _keep_mode(target: Path, beside: Path) -> None:
    """Give a file the permissions of the one it replaces; a new one has the default permissions of the process."""
    if target.exists():
        beside.chmod(stat.S_IMODE(target.stat().st_mode))


def _force_to_disk(path: Path) -> None:
    # Windows flushes only files open for writing; POSIX opens folders only for reading
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """SHA-256 of plain data and arrays, in hexadecimal.

    Arrays are compared by type, shape and bytes, so a float32 copy differs from its float64 original. The order of
    mappings does not matter; tuples are the same as lists.

    Args:
        value: None, bools, numbers, text, numpy arrays, and lists and text-keyed mappings of these.

    Returns:
        64 hexadecimal digits. Anything else in `value` raises a TypeError that names its type.

    >>> fingerprint({"a": 1, "b": [2.0]}) == fingerprint({"b": (2.0,), "a": 1})
    True
    >>> fingerprint(np.zeros(2)) == fingerprint(np.zeros((2, 1)))
    False
    """
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()


def _feed(update: Callable[[bytes | memoryview], None], value: Any) -> None:
    # each piece starts with its kind and length, so that different values never give the same bytes
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
        update(f"array {value.dtype.str} {value.shape};".encode())
        if value.nbytes:  # an empty array cannot be viewed as bytes; a large one is not copied
            update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif value is None or isinstance(value, bool | int | float | str):
        text = json.dumps(value)
        update(f"plain {len(text)};{text}".encode())
    elif isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        update(f"mapping {len(value)};".encode())
        for key in sorted(value):
            _feed(update, key)
            _feed(update, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        update(f"list {len(value)};".encode())
        for element in value:
            _feed(update, element)
    else:
        raise TypeError(f"cannot compute a fingerprint of {type(value).__name__}: plain data and arrays only.")
