"""Arrays in .npy files, read without trust in what their opening claims."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_OPENING_BYTES = 2**16
# Openings as numpy writes them. numpy's own reader would evaluate the text.
_OPENING = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<>|][biufU]\d{1,9})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\)(?:, )?\} *\n",
    re.DOTALL,
)


class Opening(NamedTuple):
    """What a .npy file says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    start: int
    """Where the numbers begin, in bytes."""

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return self.dtype.itemsize * count(self.shape)


def count(shape: tuple[int, ...]) -> int:
    """Return how many numbers a shape holds, however many that is."""
    total = 1
    for length in shape:
        total *= length
    return total


def read_opening(start: bytes) -> Opening:
    """Read the opening of a .npy file of numbers or text.

    Args:
        start: The first bytes of the file.

    Returns:
        What it says; its sizes may be false.

    Raises:
        ValueError: If these bytes open no such file.
    """
    found = _OPENING.match(start)
    if found is None or int.from_bytes(found[1], "little") != found.end() - 10:
        raise ValueError("it does not begin as a .npy file of numbers does")
    try:
        dtype = np.dtype(found[2].decode())
    except TypeError as error:
        raise ValueError(f"it holds numbers of no known type, {found[2].decode()}") from error
    shape = tuple(int(length) for length in found[4].replace(b" ", b"").split(b",") if length)
    return Opening(dtype, shape, found[3] == b"True", found.end())


def open_npy(path: Path) -> NDArray[Any]:
    """Map the array of a .npy file into memory, read-only; its numbers are read as they are asked for.

    Args:
        path: The file.

    Returns:
        The array.

    Raises:
        ValueError: If the file is none, or shorter than its opening claims.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        opening = read_opening(file.read(_OPENING_BYTES))
    there = path.stat().st_size - opening.start
    if there < opening.size:
        raise ValueError(f"it was cut short: it holds {there} of {opening.size} bytes of numbers")
    order = "F" if opening.fortran else "C"
    if not opening.size:
        return np.empty(opening.shape, opening.dtype, order=order)
    return np.memmap(path, opening.dtype, "r", offset=opening.start, shape=opening.shape, order=order)
