"""Reads arrays from .npy files without trusting the sizes in their headers."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_OPENING_BYTES = 2**16
# Headers as numpy writes them. numpy's own reader would evaluate the text.
_OPENING = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<>|][biufU]\d{1,9})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\)(?:, )?\} *\n",
    re.DOTALL,
)


class Opening(NamedTuple):
    """The header of a .npy file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    start: int
    """Offset of the numbers, in bytes."""

    @property
    def size(self) -> int:
        """Size of the numbers, in bytes."""
        return self.dtype.itemsize * count(self.shape)


def count(shape: tuple[int, ...]) -> int:
    """Return the number of entries of a shape, without overflow."""
    total = 1
    for length in shape:
        total *= length
    return total


def read_opening(start: bytes) -> Opening:
    """Read the header of a .npy file of numbers or text.

    Args:
        start: The first bytes of the file.

    Returns:
        The header; its sizes may be wrong.

    Raises:
        ValueError: If these bytes are not such a header.
    """
    found = _OPENING.match(start)
    if found is None or int.from_bytes(found[1], "little") != found.end() - 10:
        raise ValueError("it does not start like a .npy file of numbers")
    try:
        dtype = np.dtype(found[2].decode())
    except TypeError as error:
        raise ValueError(f"its numbers have an unknown type, {found[2].decode()}") from error
    shape = tuple(int(length) for length in found[4].replace(b" ", b"").split(b",") if length)
    return Opening(dtype, shape, found[3] == b"True", found.end())


def open_npy(path: Path) -> NDArray[Any]:
    """Map the array of a .npy file into memory, read-only; its numbers are read when they are used.

    Args:
        path: The file.

    Returns:
        The array.

    Raises:
        ValueError: If the file is not a .npy file, or is shorter than its header says.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        opening = read_opening(file.read(_OPENING_BYTES))
    there = path.stat().st_size - opening.start
    if there < opening.size:
        raise ValueError(f"it was cut short: it has {there} of {opening.size} bytes of numbers")
    order = "F" if opening.fortran else "C"
    if not opening.size:
        return np.empty(opening.shape, opening.dtype, order=order)
    return np.memmap(path, opening.dtype, "r", offset=opening.start, shape=opening.shape, order=order)
