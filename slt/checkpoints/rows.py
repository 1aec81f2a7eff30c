"""The results of a sweep, one row per checkpoint, as a table and as a picture."""

import csv
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slt._text import columns, printable
from slt.errors import NoDrawsError, SettingsError
from slt.estimators import Estimate

HEAD = ["checkpoint", "LLC", "95 % interval", "ESS", "verdict"]


_SHOWN = 160  # characters of an error shown in a table; the row has the whole message


@dataclass(frozen=True, repr=False)
class Row:
    """The result for one checkpoint: an estimate, or the error that stopped it.

    Attributes:
        name: The checkpoint's name.
        path: Its file.
        seconds: How long the estimate took when it was made.
        estimate: The estimate, or None.
        error: The error, or None.
    """

    name: str
    path: Path
    seconds: float
    estimate: Estimate | None
    error: Exception | None

    @property
    def step(self) -> int | None:
        """The last number in the file's name, usually the training step."""
        numbers = re.findall(r"\d+", self.name)
        return int(numbers[-1]) if numbers else None

    @property
    def verdict(self) -> str:
        """The verdict in a few words."""
        if self.estimate is None:
            text = printable(" ".join(f"failed: {type(self.error).__name__}: {self.error}".split()))
            return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        return "reliable" if self.estimate.verdict.ok else "; ".join(_kinds(self.estimate)).replace("_", " ")

    def __repr__(self) -> str:
        """Return the row in short."""
        llc = "no estimate" if self.estimate is None else f"LLC {self.estimate.value:.4g}"
        return f"Row({self.name!r}: {llc}, {self.verdict})"


def summary(rows: Sequence[Row]) -> str:
    """Count the results."""
    made = [row.estimate for row in rows if row.estimate is not None]
    good = sum(estimate.verdict.ok for estimate in made)
    noun = "checkpoint" if len(rows) == 1 else "checkpoints"
    return f"{len(rows)} {noun}: {good} reliable, {len(made) - good} not reliable, {len(rows) - len(made)} failed"


def cells(row: Row) -> list[str]:
    """Return a row's entries under `HEAD`."""
    name = printable(row.name)
    if row.estimate is None:
        return [name, "-", "-", "-", row.verdict]
    low, high = row.estimate.interval()
    return [name, f"{row.estimate.value:.4g}", f"{low:.4g} to {high:.4g}", f"{row.estimate.ess:.0f}", row.verdict]


def text_table(rows: Sequence[Row]) -> str:
    """Return the rows as a text table, with the seconds that each took."""
    table = [[*HEAD[:-1], "seconds", HEAD[-1]]]
    for row in rows:
        *first, verdict = cells(row)
        table.append([*first, f"{row.seconds:.1f}", verdict])
    return "\n".join(columns(table, left=(0, len(HEAD))))


def html_table(rows: Sequence[Row], links: Sequence[str] | None = None) -> str:
    """Return the rows as an HTML table, with everything escaped.

    Args:
        rows: The rows.
        links: Link target for each name; None makes no links.

    Returns:
        A table element.
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEAD)
    body = []
    for i, row in enumerate(rows):
        name, *others = map(html.escape, cells(row))
        if links is not None:
            name = f'<a href="{html.escape(links[i])}">{name}</a>'
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in (name, *others)) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def csv_table(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with full precision, and without seconds, so that the same run gives the same text."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "path", "llc", "mcse", "low", "high", "ok", "problems", "error"])
    for row in rows:
        e = row.estimate
        numbers = [""] * 6 if e is None else [e.value, e.mcse, *e.interval(), e.verdict.ok, "; ".join(_kinds(e))]
        error = "" if row.error is None else f"{type(row.error).__name__}: {row.error}"
        writer.writerow([row.name, row.path, *numbers, error])
    return printable(text.getvalue())


def steps_of(rows: Sequence[Row]) -> list[int]:
    """Training steps read from the names, or 0, 1, 2, ... if these are not all different."""
    numbers = [step for step in (row.step for row in rows) if step is not None]
    return numbers if len(set(numbers)) == len(rows) else list(range(len(rows)))


def draw_rows(rows: Sequence[Row], steps: Sequence[float], ax: Any, **options: Any) -> Any:
    """Draw the estimates over training steps with `slt.plots.over_training`; failed rows are left out.

    Returns:
        The axes.

    Raises:
        NoDrawsError: If every row failed.
        SettingsError: If the number of steps is not the number of rows.
    """
    from slt.plots import over_training

    if len(steps) != len(rows):
        raise SettingsError(f"steps must hold one number for each of the {len(rows)} checkpoints, got {len(steps)}.")
    if all(row.estimate is None for row in rows):
        first = rows[0].verdict if rows else "there is none"
        raise NoDrawsError(f"there is no estimate to draw ({summary(rows)}); the first {first}") from (
            rows[0].error if rows else None
        )
    made = [(at, row.estimate) for at, row in zip(steps, rows, strict=True)]
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


def _kinds(estimate: Estimate) -> list[str]:
    return [str(finding.kind) for finding in estimate.verdict.problems]
