"""Which files are the checkpoints, and what each is called."""

import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slt.checkpoints.weights import PathLike
from slt.errors import CheckpointError


def named_checkpoints(checkpoints: str | Iterable[PathLike] | Mapping[str, PathLike]) -> dict[str, Path]:
    """Find the checkpoints and name them.

    Args:
        checkpoints: Paths, a glob, or a mapping from names to paths.

    Returns:
        Files by name: the stem, or more of the path where stems are not different.

    Raises:
        CheckpointError: If there is none, or a file is missing.
    """
    if isinstance(checkpoints, Mapping):
        paths = _paths(checkpoints.values())
        named = {str(name): Path(path) for name, path in zip(checkpoints, paths, strict=True)}
    else:
        if isinstance(checkpoints, (str, os.PathLike)):
            text = os.fspath(checkpoints)
            _refuse_folders([Path(text)])
            paths = [text] if os.path.isfile(text) else sorted(glob.glob(text), key=_natural)
            if not paths:
                raise CheckpointError(f"no checkpoint matches {text!r}.")
        else:
            paths = _paths(checkpoints)
        named = _name_files([Path(path) for path in paths])
    _refuse_folders(named.values())
    if not named:
        raise CheckpointError("checkpoints must name at least one file, got none.")
    missing = [str(path) for path in named.values() if not os.path.isfile(path)]
    if missing:
        raise CheckpointError(f"{len(missing)} of {len(named)} checkpoints do not exist: {', '.join(missing[:5])}.")
    return named


def _paths(given: Any) -> list[PathLike]:
    if not isinstance(given, Iterable):
        raise CheckpointError(f"checkpoints must be paths, a pattern or a mapping to paths, got {given!r}.")
    paths = list(given)
    for path in paths:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise CheckpointError(f"checkpoints must be paths, got {path!r} among them.")
    return paths


def _refuse_folders(paths: Iterable[Path]) -> None:
    for path in paths:
        if os.path.isdir(path):
            suffixes = sorted({file.suffix for file in path.iterdir() if file.is_file() and file.suffix})
            held = f"it holds files that end in {', '.join(suffixes)}" if suffixes else "it holds no files"
            pattern = path / f"*{suffixes[0] if len(suffixes) == 1 else '.pt'}"
            raise CheckpointError(
                f"checkpoints must be files or a pattern, got the folder {str(path)!r}; {held}. A pattern such as "
                f"{str(pattern)!r} names them."
            )


def _name_files(files: list[Path]) -> dict[str, Path]:
    """Name files by their stems, or by more of their paths where stems do not tell them apart."""
    files = list(dict.fromkeys(files))
    for name in (lambda file: file.stem, lambda file: _flat(file.with_suffix("")), _flat):
        named = {name(file): file for file in files}
        if len(named) == len(files):
            return named
    raise CheckpointError(f"checkpoints must have paths that differ in more than separators, got {files}.")


def _natural(path: str) -> list[Any]:
    """Sort step 9 before step 10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", path)]


def _flat(path: Path) -> str:
    return "_".join(part for part in path.parts if part != path.anchor)
