""".npy files that grow by draws: read without trust in what their opening claims, checked, appended to."""

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slt._npy import Opening, count, read_opening
from slt.errors import ResumeError
from slt.running.documents import damage

HEADER_BYTES = 256  # of each file: room for any number of draws, so that it can be rewritten in place
_PIECE = 2**22  # bytes read at a time


class Column(NamedTuple):
    """What is counted of a file: a checksum of its draws, and what each of them holds."""

    dtype: str
    row: tuple[int, ...]
    crc32: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one draw."""
        return np.dtype(self.dtype).itemsize * count(self.row)


def from_bytes(content: bytes) -> NDArray[Any]:
    """Return the array that a whole .npy file holds.

    Raises:
        ValueError: If it is none, or its opening claims another size than it has.
    """
    opening = read_opening(content[: 2**16])
    if len(content) - opening.start != opening.size:
        raise ValueError(f"it holds {len(content) - opening.start} bytes of numbers, and claims {opening.size}")
    flat = np.frombuffer(content, opening.dtype, offset=opening.start)
    return flat.reshape(opening.shape, order="F" if opening.fortran else "C").copy()


def check(path: Path, drawn: int, row: tuple[int, ...], dtype: np.dtype[Any] | None, known: Column | None) -> Column:
    """Check that a file holds so many draws, and return what is counted of it.

    Args:
        path: The file.
        drawn: Draws that count; more may lie behind them.
        row: Shape of one draw.
        dtype: Type of the numbers; None allows any.
        known: What was counted of it when it was saved; None where that was not noted.

    Returns:
        The same, found anew.

    Raises:
        ResumeError: If it is missing, cut short, of another type or shape, or other bytes than were saved.
    """
    try:
        with path.open("rb") as file:
            opening = read_opening(file.read(HEADER_BYTES))
            _require(opening, drawn, row, dtype)
            size = opening.dtype.itemsize * count(row) * drawn
            there = os.fstat(file.fileno()).st_size - HEADER_BYTES
            _require_bytes(there, size, drawn)
            found = Column(opening.dtype.str, row, _crc32(file, size))
    except (OSError, ValueError, EOFError) as error:
        raise ResumeError(damage(path, str(error))) from error
    if known is not None and known != found:
        raise ResumeError(damage(path, f"its first {drawn} draws are not those that were saved"))
    return found


def _require(opening: Opening, drawn: int, row: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
    fits = opening.start == HEADER_BYTES and not opening.fortran and opening.shape[1:] == row
    if not fits or opening.dtype.kind not in "biuf" or opening.dtype != (dtype or opening.dtype):
        what = f"{dtype or 'numbers'} of shape (draws, {', '.join(map(str, row))})"
        raise ValueError(f"it holds {opening.dtype} of shape {opening.shape} where the run has {what}")
    if opening.shape[0] < drawn:
        raise ValueError(f"it holds {opening.shape[0]} draws where {drawn} were saved")


def _require_bytes(there: int, size: int, drawn: int) -> None:
    if there < size:
        raise ValueError(f"it holds {there} bytes of draws where {drawn} draws need {size}: it was cut short")


def _crc32(file: Any, size: int) -> int:
    crc = 0
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise EOFError("it was cut short while it was read")
        crc, size = zlib.crc32(piece, crc), size - len(piece)
    return crc


def append(path: Path, array: NDArray[Any], total: int, known: Column | None) -> Column:
    """Add draws to a file.

    Args:
        path: The file.
        array: The draws, (draws, chains, ...).
        total: How many draws count then.
        known: What was counted before; None begins the file anew.

    Returns:
        What is counted of it.
    """
    row, content = array.shape[1:], np.ascontiguousarray(array).data
    # What a kill left behind the counted draws was cut off when the run was loaded.
    with path.open("w+b" if known is None else "r+b") as file:
        file.seek(HEADER_BYTES + (total - len(array)) * (array.nbytes // len(array)))
        file.write(content)
        file.seek(0)
        file.write(_header(array.dtype, (total, *row)))
        file.flush()
        os.fsync(file.fileno())
    return Column(array.dtype.str, row, zlib.crc32(content, 0 if known is None else known.crc32))


def cut(path: Path, drawn: int, column: Column) -> None:
    """Cut off what lies behind the draws that count, if there is anything."""
    size, header = HEADER_BYTES + drawn * column.row_bytes, _header(np.dtype(column.dtype), (drawn, *column.row))
    with path.open("rb") as file:
        if path.stat().st_size == size and file.read(HEADER_BYTES) == header:
            return
    with path.open("r+b") as file:
        file.write(header)
        file.truncate(size)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Write the opening of a .npy file (format 1.0), padded to a fixed length."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    length = HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"
