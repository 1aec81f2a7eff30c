"""One estimate for each checkpoint of a training run, kept and gone on with in a folder."""

import functools
import inspect
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from slt._progress import progress_bar
from slt._store import atomic_write
from slt.api import estimate_llc
from slt.checkpoints.folder import REPORT, TABLE, Folder, content_of
from slt.checkpoints.names import named_checkpoints
from slt.checkpoints.report import report_page
from slt.checkpoints.rows import Row, csv_table, draw_rows, html_table, steps_of, summary, text_table
from slt.checkpoints.run import describe_run
from slt.checkpoints.weights import PathLike, load_weights
from slt.errors import CheckpointError, DataError, NoDrawsError, ResumeError, SaveError, SettingsError
from slt.estimators import Estimate, llc
from slt.problem import Problem, untouched
from slt.problem.losses import resolve_loss
from slt.running.plan import AUTOMATIC, Gradients

# Losses at w* of one loss on one model and one set of data, evaluated by other programs or on another device.
_SAME_LOSS = 1e-3
_SAME_SMALL_LOSS = 1e-6  # nats: where a loss has nearly vanished, rounding is all of it
# What is handed to `estimate_llc` and has no bearing on its numbers, or is described by other means.
_OF_THE_CHECKPOINT = (CheckpointError, NoDrawsError)  # errors that say nothing of the other checkpoints
_PAGE_SHARE = 0.1  # of the time so far that drawing the page may take, before the end
_NOT_SETTINGS = ("model", "data", "loss", "progress", "save_to")


@dataclass(frozen=True, repr=False)
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
        return steps_of(self.rows)

    def __str__(self) -> str:
        """Lay the rows out as a table."""
        return text_table(self.rows)

    def __repr__(self) -> str:
        """Count the checkpoints; `print` gives the table."""
        return f"Sweep of {summary(self.rows)}; print it for the table"

    def _repr_html_(self) -> str:
        return html_table(self.rows)

    def to_csv(self) -> str:
        """Write the table as CSV, numbers in full; without the seconds, which differ from run to run."""
        return csv_table(self.rows)

    def report(self, path: PathLike) -> None:
        """Write an HTML page: the table, the LLC over training, and verdict and traces of each checkpoint.

        The page needs nothing beside itself, neither a server nor a network.

        Args:
            path: The file to make or replace, customarily ``.html``; its folder must exist.

        Raises:
            SaveError: If the folder is missing or the disk refuses.
        """
        page = report_page(self.rows).encode()
        try:
            atomic_write(path, page)
        except OSError as error:
            raise SaveError(f"{os.fspath(path)} cannot be written: {error}.", None) from error

    def plot(self, *, steps: Sequence[float] | None = None, ax: Any = None, **options: Any) -> Any:
        """Draw the LLC over training; see `slt.plots.over_training` for the options.

        Args:
            steps: Where each checkpoint stands; default `steps()`.
            ax: Axes to draw on.
            **options: Passed on.

        Returns:
            The axes; a NoDrawsError where every checkpoint failed, and a SettingsError for other numbers of steps.
        """
        return draw_rows(self.rows, self.steps() if steps is None else steps, ax, **options)


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

    The first checkpoint stands for what all have in common: an exception there that is not about its file or its
    weights ends the sweep, and the sampler and the number of chains that it was estimated with are those of all, so
    that values under a budget of seconds can be compared.

    With `save_to` each estimate is kept as soon as it is made, and the same call goes on where an earlier one ended,
    however it ended: what is done is read back, while checkpoints that are new, that failed, or whose content has
    changed are estimated. Several processes may sweep into one folder, each some of the checkpoints. With a budget of
    `slt.Gradients` the files do not depend on how often the sweep was stopped (as long as ``chain_method`` in a trace's
    settings is the same: it is chosen by the clock where both can run); the seconds alone do, which are kept in
    ``sweep.json`` for this reason.

    Args:
        checkpoints: Paths, a glob, or a mapping from names to paths; ``.safetensors``, or what `torch.save` wrote
            of a state dict (read with ``weights_only=True``).
        model_factory: Makes the model that the weights are loaded into, anew for each checkpoint.
        data: See `slt.LocalPosterior`; read once for each checkpoint.
        loss: See `slt.LocalPosterior`.
        save_to: Folder for one trace a checkpoint, ``NAME.nc``, the table, ``sweep.csv``, the page, ``report.html``,
            and what they were made from, ``sweep.json``; made if it is not there. Table and traces are brought up to
            date after each checkpoint, the page too unless drawing it takes more than a tenth of the time.
        progress: Whether to show progress bars.
        **settings: Passed on to `slt.estimate_llc`, such as `n` for data that do not tell their size.

    Returns:
        The table.

    Raises:
        CheckpointError: If there is no checkpoint, a file is missing, or a name is no file name.
        DataError: If the data can be read only once; with `save_to` also if they cannot be read.
        ResumeError: If the folder holds a sweep with other settings, data or loss, or another process is at work on the
            first checkpoint.
        SaveError: If the disk refuses; holds the draws of the estimate that could not be kept in ``.trace``.
        LossError: If the loss is none that slt can call.
        SettingsError: If a setting is outside its range, or `model_factory` makes no model.
        Exception: What the model, the data or the loss raise at the first checkpoint.

    >>> import tempfile, torch, slt
    >>> from pathlib import Path
    >>> toy = slt.toys.quadratic(2)
    >>> quick = {"localization": 1.0, "budget": slt.Gradients(4_000), "target_relative_error": 0.2, "chains": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(toy.model.state_dict(), Path(folder, "step-10.pt"))
    ...     found = slt.sweep(f"{folder}/*.pt", lambda: toy.model, toy.data, toy.loss, progress=False, **quick)
    >>> bool(abs(found.estimates["step-10"].value - toy.exact.value) < 0.5)
    True
    """
    resolve_loss(loss)  # what would stop every checkpoint is said once
    _require_factory(model_factory)
    # a TypeError for a setting that there is not
    bound = inspect.signature(estimate_llc).bind(None, data, loss, progress=progress, **settings)
    bound.apply_defaults()
    named = named_checkpoints(checkpoints)
    if isinstance(data, Iterator):
        raise DataError(f"data must be readable once for each checkpoint, got the one-way {type(data).__name__}.")
    folder, rows = None, {}
    if save_to is not None:
        told = {name: value for name, value in bound.arguments.items() if name not in _NOT_SETTINGS}
        folder = Folder(save_to, describe_run(told, data, loss, bound.arguments["n"]), list(named))
        rows = _finished(folder, named)
        for row in list(rows.values())[:1]:
            _require_same_loss(row, model_factory, data, loss, bound.arguments)
    one = functools.partial(estimate_llc, data=data, loss=loss, progress=progress, **settings)
    missing = {name: path for name, path in named.items() if name not in rows}
    pages = _Pages()
    bar = progress_bar(len(named), shown=progress, iterable=missing.items(), initial=len(rows), unit="checkpoint")
    for name, path in bar:
        done = _done_meanwhile(folder, name, path)
        if done is not None:
            rows[name] = done
            continue
        # before it is read: a file that changes meanwhile is estimated again by the next call
        content = None if folder is None else content_of(path)
        # A run is saved as it goes, under the content it belongs to: after a kill it goes on in the middle.
        running = None if folder is None or content is None else folder.running(content)
        decided = _decided(rows.values(), bound.arguments)
        row = _estimate(name, path, model_factory, functools.partial(one, save_to=running, **decided))
        if row.error is not None and _stops_all(row.error, rows.values()):
            raise row.error
        rows[name] = row
        if folder is not None:
            folder.keep(name, content, row.estimate, row.error, row.seconds)
            if content is not None:
                folder.clear(content)
            pages.write(folder, Sweep(tuple(rows[each] for each in named if each in rows)))
    found = Sweep(tuple(rows[name] for name in named))
    if folder is not None:
        pages.write(folder, found, last=True)
    return found


class _Pages:
    """Table and page of a sweep that goes on; the page is drawn while that takes a small share of the time."""

    def __init__(self) -> None:
        """Start the clock."""
        self._start, self._spent = time.monotonic(), 0.0

    def write(self, folder: Folder, found: Sweep, *, last: bool = False) -> None:
        """Write the table, and the page if this is the last time or it costs little."""
        folder.write(TABLE, found.to_csv())
        before = time.monotonic()
        if last or self._spent <= _PAGE_SHARE * (before - self._start):
            folder.write(REPORT, report_page(found.rows))
            self._spent += time.monotonic() - before


def _decided(rows: Iterable[Row], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What "auto" came to for the first estimate, so that under a budget of seconds all are made alike."""
    made = next((row.estimate for row in rows if row.estimate is not None), None)
    if made is None or isinstance(settings["budget"], Gradients):
        return {}
    alike: dict[str, Any] = {"chains": made.settings["chains"]}
    if isinstance(settings["sampler"], str):
        name = str(made.settings["sampler"]).partition("(")[0]
        if name not in AUTOMATIC:
            raise ResumeError(
                f'the folder holds estimates by {name}, which "auto" never takes. Save to another folder.'
            )
        alike |= {"sampler": AUTOMATIC[name](), "batch_size": made.settings["batch_size"]}
    return alike


def _estimate(
    name: str, path: Path, model_factory: Callable[[], nn.Module], estimate: Callable[[nn.Module], Estimate]
) -> Row:
    start = time.monotonic()
    made, error = None, None
    try:
        made = estimate(_model(model_factory, path))
    except Exception as failure:  # whatever stopped this one stands in its row
        error = failure
    return Row(name, path, time.monotonic() - start, made, error)


def _stops_all(error: Exception, rows: Iterable[Row]) -> bool:
    """Whether an error is about what all checkpoints have in common, as far as one can tell."""
    if isinstance(error, SettingsError):
        return True
    return not isinstance(error, _OF_THE_CHECKPOINT) and all(row.estimate is None for row in rows)


def _require_factory(model_factory: Any) -> None:
    if isinstance(model_factory, nn.Module) or not callable(model_factory):
        raise SettingsError(
            "model_factory must be a function without arguments that makes the model, got "
            f"{type(model_factory).__name__}; lambda: copy.deepcopy(model) is one."
        )


def _model(model_factory: Callable[[], nn.Module], path: Path) -> nn.Module:
    # weights that are about to be overwritten take no random numbers from the program around
    with untouched(nn.Identity()):
        model = model_factory()
    if not isinstance(model, nn.Module):
        raise SettingsError(f"model_factory must return a torch.nn.Module, got {type(model).__name__}.")
    load_weights(model, path)
    broken = [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]
    if broken:
        raise CheckpointError(f"{path} holds NaN or infinity in {len(broken)} parameters, such as {broken[0]!r}.")
    return model


def _finished(folder: Folder, named: Mapping[str, Path]) -> dict[str, Row]:
    found = {name: _read_back(folder, name, path) for name, path in named.items()}
    return {name: row for name, row in found.items() if row is not None}


def _read_back(folder: Folder, name: str, path: Path) -> Row | None:
    trace = folder.finished(name, path)
    if trace is None:
        return None
    # a kill between the manifest and the end of the clearing up leaves it behind
    folder.clear(folder.entries[name].checkpoint or "")
    return Row(name, path, folder.entries[name].seconds, llc(trace), None)


def _done_meanwhile(folder: Folder | None, name: str, path: Path) -> Row | None:
    """What another process that sweeps into the same folder has made of a checkpoint since this one began."""
    if folder is None:
        return None
    folder.read()
    return _read_back(folder, name, path)


def _require_same_loss(
    row: Row, model_factory: Callable[[], nn.Module], data: Any, loss: Any, settings: Mapping[str, Any]
) -> None:
    """Refuse a folder whose losses are not these: a function's name does not tell what it computes."""
    if row.estimate is None:
        return
    model = _model(model_factory, row.path)
    chosen = {name: settings[name] for name in ("n", "parameters", "batch_size")}
    then, now = row.estimate.trace.loss_center, Problem(model, data, loss, **chosen).loss_center
    if not math.isclose(now, then, rel_tol=_SAME_LOSS, abs_tol=_SAME_SMALL_LOSS):
        raise ResumeError(
            f"the folder holds another sweep: the loss at checkpoint {row.name} was {then:.6g} nats, is {now:.6g}. "
            "Another loss or another model_factory was used; save to another folder."
        )
