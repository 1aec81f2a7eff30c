"""One estimate for each checkpoint of a training run."""

import csv
import glob
import html
import inspect
import io
import os
import pickle
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from slt._store import atomic_write
from slt.api import estimate_llc
from slt.errors import CheckpointError, SettingsError
from slt.estimators import Estimate

PathLike = str | os.PathLike[str]
_NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
)  # where training scripts keep the weights in a checkpoint


@dataclass(frozen=True)
class Row:
    """What became of one checkpoint: an estimate, or the error that stopped it."""

    name: str
    path: Path
    seconds: float
    estimate: Estimate | None
    error: Exception | None

    @property
    def step(self) -> int | None:
        """The last number in the file's name, customarily the training step."""
        numbers = re.findall(r"\d+", self.name)
        return int(numbers[-1]) if numbers else None


@dataclass(frozen=True)
class Sweep:
    """The estimates of several checkpoints, in the order they were given; failures among them.

    Attributes:
        rows: One for each checkpoint.
    """

    rows: tuple[Row, ...]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The estimates that were made, by name."""
        return {row.name: row.estimate for row in self.rows if row.estimate is not None}

    @property
    def failures(self) -> dict[str, Exception]:
        """What stopped the others, by name."""
        return {row.name: row.error for row in self.rows if row.error is not None}

    @property
    def ok(self) -> bool:
        """Whether every checkpoint has an estimate, and every verdict is good."""
        return not self.failures and all(estimate.verdict.ok for estimate in self.estimates.values())

    def steps(self) -> list[int]:
        """Training steps read from the names, or 0, 1, 2, ... if they do not all tell different ones."""
        found = [row.step for row in self.rows]
        numbers = [step for step in found if step is not None]
        return numbers if len(set(numbers)) == len(self.rows) else list(range(len(self.rows)))

    def __str__(self) -> str:
        """Lay the rows out as a table."""
        cells = [_HEAD, *(_cells(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_HEAD))]
        lines = [
            "  ".join(
                c.ljust(w) if i in (0, 5) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(c)}</th>" for c in _HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in _cells(row)) + "</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_csv(self) -> str:
        """Write the table as CSV, numbers in full."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["name", "path", "llc", "mcse", "low", "high", "ok", "problems", "seconds", "error"])
        for row in self.rows:
            e = row.estimate
            numbers = ["", "", "", "", "", ""]
            if e is not None:
                kinds = "; ".join(str(finding.kind) for finding in e.verdict.problems)
                numbers = [e.value, e.mcse, *e.interval(), e.verdict.ok, kinds]
            error = "" if row.error is None else f"{type(row.error).__name__}: {row.error}"
            writer.writerow([row.name, row.path, *numbers, f"{row.seconds:.3f}", error])
        return text.getvalue()

    def plot(self, *, steps: Sequence[float] | None = None, ax: Any = None, **options: Any) -> Any:
        """Draw the LLC over training; see `slt.plots.over_training` for the options.

        Args:
            steps: Where each checkpoint stands; default `steps()`.
            ax: Axes to draw on.
            **options: Passed on.

        Returns:
            The axes.
        """
        from slt.plots import over_training

        made = [(at, row.estimate) for at, row in zip(steps or self.steps(), self.rows, strict=True)]
        there = [(at, e) for at, e in made if e is not None]
        intervals = np.array([e.interval() for _, e in there]).reshape(-1, 2)
        return over_training(
            np.array([at for at, _ in there]),
            np.array([e.value for _, e in there]),
            intervals[:, 0],
            intervals[:, 1],
            ok=np.array([e.verdict.ok for _, e in there]),
            ax=ax,
            **options,
        )


_HEAD = ["checkpoint", "LLC", "95 % interval", "ESS", "seconds", "verdict"]


def _cells(row: Row) -> list[str]:
    if row.estimate is None:
        return [
            row.name,
            "-",
            "-",
            "-",
            f"{row.seconds:.1f}",
            f"failed: {type(row.error).__name__}: {row.error}",
        ]
    e = row.estimate
    low, high = e.interval()
    verdict = "good" if e.verdict.ok else "; ".join(str(finding.kind) for finding in e.verdict.problems)
    return [
        row.name,
        f"{e.value:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{e.ess:.0f}",
        f"{row.seconds:.1f}",
        verdict,
    ]


def sweep(
    checkpoints: str | Iterable[PathLike] | Mapping[str, PathLike],
    model_factory: Callable[[], nn.Module],
    data: Any,
    loss: Any,
    *,
    save_to: PathLike | None = None,
    progress: bool = True,
    **settings: Any,
) -> Sweep:
    """Estimate the LLC of every checkpoint; one that fails is reported and the rest finished.

    Args:
        checkpoints: Paths, a glob, or a mapping from names to paths; ``.safetensors``, or what `torch.save` wrote
            of a state dict (read with ``weights_only=True``).
        model_factory: Makes the model that the weights are loaded into, anew for each checkpoint.
        data: See `slt.LocalPosterior`.
        loss: See `slt.LocalPosterior`.
        save_to: Folder for one trace a checkpoint, ``NAME.nc``, and the table, ``sweep.csv``; made if it is not
            there.
        progress: Whether to show progress bars.
        **settings: Passed on to `slt.estimate_llc`.

    Returns:
        The table.

    Raises:
        CheckpointError: If there is no checkpoint, or a file is missing.
        SettingsError: If a setting is outside its range.
    """
    inspect.signature(estimate_llc).bind(None, data, loss, progress=progress, **settings)  # TypeError if unknown
    named = _named(checkpoints)
    folder = None if save_to is None else Path(save_to)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name, path in tqdm(named.items(), disable=not progress, unit="checkpoint"):
        start = time.monotonic()
        estimate, error = None, None
        try:
            model = model_factory()
            load_weights(model, path)
            estimate = estimate_llc(model, data, loss, progress=progress, **settings)
        except SettingsError:
            raise  # would stop every one
        except Exception as failure:  # whatever stopped this one stands in its row
            error = failure
        rows.append(Row(name, path, time.monotonic() - start, estimate, error))
        if folder is not None:
            if estimate is not None:
                estimate.trace.save(folder / f"{name}.nc")
            text = Sweep(tuple(rows)).to_csv()
            atomic_write(folder / "sweep.csv", lambda beside, text=text: beside.write_text(text))
    return Sweep(tuple(rows))


def load_weights(model: nn.Module, path: PathLike) -> None:
    """Load a checkpoint's weights into a model, every one of them.

    Args:
        model: The model; its weights and buffers are overwritten.
        path: A ``.safetensors`` file, or what `torch.save` wrote of a state dict.

    Raises:
        CheckpointError: If the file is missing, unreadable, not plain weights, or does not fit the model.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist.")
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint {path} does not fit {type(model).__name__}: {error}") from error


def _named(checkpoints: str | Iterable[PathLike] | Mapping[str, PathLike]) -> dict[str, Path]:
    if isinstance(checkpoints, Mapping):
        named = {str(name): Path(path) for name, path in checkpoints.items()}
    else:
        if isinstance(checkpoints, (str, os.PathLike)):
            text = os.fspath(checkpoints)
            paths = [text] if Path(text).is_file() else sorted(glob.glob(text), key=_natural)
            if not paths:
                raise CheckpointError(f"no checkpoint matches {text!r}.")
        else:
            paths = list(checkpoints)
        files = [Path(path) for path in paths]
        # Names are the files' stems, or whole paths where two folders hold the same.
        stems = [file.stem for file in files]
        named = dict(zip(stems if len(set(stems)) == len(stems) else map(_flat, files), files, strict=True))
    if not named:
        raise CheckpointError("checkpoints must name at least one file, got none.")
    missing = [str(path) for path in named.values() if not path.is_file()]
    if missing:
        raise CheckpointError(f"{len(missing)} of {len(named)} checkpoints do not exist: {', '.join(missing[:5])}.")
    return named


def _natural(path: str) -> list[Any]:
    """Sort step 9 before step 10."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", path)]


def _flat(path: Path) -> str:
    return "_".join(part for part in path.with_suffix("").parts if part != path.anchor)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{path} needs the package safetensors: install slt-torch[safetensors].") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path} is not a readable safetensors file: {error}.") from error


def _read_torch(path: Path) -> Mapping[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {path} does not hold plain weights: {str(error).splitlines()[0]} Save model.state_dict()."
        ) from error
    for name in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"checkpoint {path} must hold a state dict of tensors, got {type(loaded).__name__}.")
    return loaded
