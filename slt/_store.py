"""Files that are whole or absent, and fingerprints that tell whether two inputs are the same."""

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
"""Number of the layout of a saved trace; one higher each time older code can no longer read the file."""


def slt_version() -> str:
    """Version of the installed distribution, or ``"unknown"`` where slt runs without being installed."""
    try:
        return version("slt-torch")
    except PackageNotFoundError:
        return "unknown"


def atomic_write(path: str | os.PathLike[str], write: Callable[[Path], object] | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The content goes to a hidden file in the same folder, is forced to the disk, and takes the name by a
    rename, which the operating system does in one step. Whatever happens before that leaves `path` as it was.

    Args:
        path: The file to make or replace. A symbolic link stays a link; what it points to is replaced.
        write: The content, or a function that writes it to the path it is given.

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
    if hasattr(os, "O_DIRECTORY"):  # POSIX alone: the rename itself must reach the disk too
        _force_to_disk(target.parent)


def _keep_mode(target: Path, beside: Path) -> None:
    """Give a file the permissions of the one it replaces; a new one has those that the process gives."""
    if target.exists():
        beside.chmod(stat.S_IMODE(target.stat().st_mode))


def _force_to_disk(path: Path) -> None:
    # Windows flushes only what is open for writing; POSIX opens folders only for reading
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal: the same for a copy, another for any change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """SHA-256 of plain data and arrays, in hexadecimal.

    Arrays count by type, shape and bytes, so a float32 copy differs from its float64 original. Mappings count
    whatever their order; tuples count as lists.

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
    # each piece opens with its kind and its length, so that no two different values give the same bytes
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
        update(f"array {value.dtype.str} {value.shape};".encode())
        if value.nbytes:  # where there is nothing, it cannot be read as bytes; and a large array is not copied
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
        raise TypeError(f"cannot take a fingerprint of {type(value).__name__}: plain data and arrays only.")
