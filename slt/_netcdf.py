"""Converts an xarray tree to the bytes of a netCDF file with a checksum at its end, and back, without trusting them."""

import hashlib
import io
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from slt._imports import import_whole

MAGIC = b"\x89HDF\r\n\x1a\n"
"""The first bytes of a netCDF-4 file."""

# Appended after the data of HDF5, which has its own length; an attribute of the root names the checksum, so that a
# file without its end is recognized.
_CHECKSUM = "slt-sha256"
_END = re.compile(rf"{_CHECKSUM}:([0-9a-f]{{64}})\Z".encode())
_END_BYTES = len(_CHECKSUM) + 1 + 64
# How netCDF-4 marks a dimension without coordinate values; no reader needs its numbers.
_LENGTH_ALONE = b"This is a netCDF dimension but not a netCDF variable"


def to_bytes(tree: xr.DataTree) -> memoryview:
    """Return a tree as netCDF-4, made in memory, because HDF5 may end the process if a write to disk fails.

    Args:
        tree: The tree.

    Returns:
        The content of the file, the same for the same tree, with a checksum at its end.
    """
    h5netcdf, stores = import_whole("h5netcdf"), import_whole("xarray.backends")
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for node in tree.subtree:
            dataset = node.to_dataset(inherit=False).drop_encoding()
            dataset.dump_to_store(stores.H5NetCDFStore(file, group=node.path, mode="a"))
        file.attrs["checksum"] = _CHECKSUM
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(f"{_CHECKSUM}:{digest}".encode())
    return buffer.getbuffer()


def from_bytes(content: bytes, accept: Callable[[Mapping[str, Any]], None]) -> dict[str, xr.Dataset]:
    """Read the bytes written by `to_bytes`, or an older file without a checksum.

    Args:
        content: The whole file. Changed bytes are detected before HDF5 reads any of them.
        accept: Called with the attributes of the root before anything else is read; raises if the file should not be
            read.

    Returns:
        The groups by path, the root being "/", all in memory.

    Raises:
        ValueError: If the content was changed, or is not something that `to_bytes` writes.
        Exception: Whatever HDF5 and xarray raise for a damaged file without a checksum.
    """
    _require_checksum(content)
    h5py = import_whole("h5py")
    with h5py.File(io.BytesIO(content), "r") as file:
        accept({name: _single(value) for name, value in file.attrs.items()})
        _require_plain(h5py, file, len(content))
    with xr.open_datatree(io.BytesIO(content), engine="h5netcdf", decode_times=False) as tree:
        nodes = {node.path: node.to_dataset(inherit=False).load().drop_encoding() for node in tree.subtree}
    nodes["/"].attrs.pop("checksum", None)
    return nodes


def _require_checksum(content: bytes) -> None:
    end = _END.search(content, max(len(content) - _END_BYTES, 0))
    if end is None:
        if _CHECKSUM.encode() in content:
            raise ValueError("its end is missing")
        return
    if hashlib.sha256(memoryview(content)[: end.start()]).hexdigest().encode() != end[1]:
        raise ValueError("its bytes were changed after it was written")


def _single(value: Any) -> Any:
    # netCDF writes a number as an array of one
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def _require_plain(h5py: Any, file: Any, size: int) -> None:
    """Refuse links out of the file, and sizes beyond the file's, before anything is read."""
    total = 0
    for group_name in file:
        group = _member(h5py, file, group_name, h5py.Group)
        for name in group:
            array = _member(h5py, group, name, h5py.Dataset)
            if array.external or array.is_virtual:
                raise ValueError(f"{group_name}/{name} lies in another file")
            mark = array.attrs.get("NAME")
            if not (isinstance(mark, bytes) and mark.startswith(_LENGTH_ALONE)):
                total += math.prod(array.shape or ()) * array.id.get_type().get_size()
    if total > size:
        raise ValueError(f"it claims to hold {total} bytes of numbers")


def _member(h5py: Any, group: Any, name: str, kind: type) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link")
    member = group[name]
    if not isinstance(member, kind):
        raise ValueError(f"{name} is a {type(member).__name__} and not a {kind.__name__}")
    return member
