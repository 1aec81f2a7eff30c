"""JSON texts of a run: each carries the number of its format and a checksum, and is read as data, never run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slt._store import atomic_write, fingerprint, slt_version
from slt.errors import ResumeError


def to_text(form: int, held: Mapping[str, Any]) -> str:
    """Write a mapping as JSON, with the number of its format and a checksum."""
    numbered = {"format": form, "slt": slt_version(), **held}
    return json.dumps({**numbered, "checksum": _checksum(numbered)}, indent=1)


def write_document(path: Path, form: int, held: Mapping[str, Any]) -> None:
    """Write a mapping to a JSON file, whole or not at all."""
    atomic_write(path, to_text(form, held).encode())


def read_document(path: Path, newest: int) -> dict[str, Any]:
    """Read what `write_document` wrote.

    Args:
        path: The file.
        newest: The highest format that the caller reads; a text without a number is of format 1.

    Returns:
        The mapping.

    Raises:
        ResumeError: If the file cannot be read, is damaged, or is of a newer format.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise ResumeError(damage(path, str(error))) from error
    return from_text(text, path, newest)


def from_text(text: str, path: Path, newest: int) -> dict[str, Any]:
    """Read what `to_text` wrote; `path` is the file that it came from, see `read_document`.

    Returns:
        The mapping.

    Raises:
        ResumeError: See `read_document`.
    """
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResumeError(damage(path, f"it is no JSON: {error}")) from error
    if not isinstance(held, dict):
        raise ResumeError(damage(path, f"it holds a {type(held).__name__}, and no mapping"))
    form = held.get("format", 1)
    if not is_count(form) or form < 1:
        raise ResumeError(damage(path, f"its format is {form!r}, and no number from 1 on"))
    if form > newest:
        raise ResumeError(
            f"{path} has format {form}, written by slt {str(held.get('slt'))[:40]}; this slt {slt_version()} reads "
            f"formats up to {newest}. Resume it with that version, or name another folder."
        )
    checksum = held.pop("checksum", None)
    if checksum is not None and checksum != _checksum(held):
        raise ResumeError(damage(path, "it does not have the content that its checksum is of"))
    return held


def _checksum(held: Mapping[str, Any]) -> str | None:
    try:
        return fingerprint(held)
    except RecursionError:  # deeper than anything that was written
        return None


def is_count(value: Any) -> bool:
    """Whether a value is an integer >= 0, of 63 bits as any count is."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def damage(path: Path, why: str) -> str:
    """Say that a file cannot be used; nothing that can still be read is to be thrown away."""
    first = why.splitlines()[0].rstrip(".") if why else "it cannot be read"
    return (
        f"{path} is damaged: {first}. Nothing was changed. Copy it again from where it was made, or name another "
        "folder; numpy reads the draws/*.npy that are whole."
    )
