"""Estimates compared with known values: a table and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite, nan
from typing import Any

from slt._text import columns
from slt.analytic import Entry
from slt.diagnostics.known import Known, known
from slt.diagnostics.order import order_preserved
from slt.errors import InputError
from slt.estimators import Estimate
from slt.toys import Toy

_SHORT = {"exact": "=", "reference": "ref", "asymptotic": "lim", "unknown": ""}
_HEAD = ("target", "estimate", "should be", "", "limit", "z", "error", "verdict")
_NAME, _VERDICT = 27, 14
"""Longest name and verdict in the table, in characters, so that it is at most 100 columns wide."""
_LABEL = 40


@dataclass(frozen=True)
class Compared:
    """One estimate and its known value.

    Attributes:
        name: The target.
        estimate: The estimate.
        known: The known value at the estimate's nbeta and localization.
        limit: The exact answer in the limit of large n; None if it is not known.
    """

    name: str
    estimate: Estimate
    known: Known
    limit: Entry | None

    @property
    def relative_error(self) -> float:
        """The estimate over the known value, less 1; nan where none is known."""
        return nan if not self.known.value else self.estimate.value / self.known.value - 1

    @property
    def z(self) -> float:
        """The difference in joint standard errors; nan where only the limit is known."""
        if self.known.value is None or self.known.error is None:
            return nan
        return (self.estimate.value - self.known.value) / hypot(self.estimate.mcse, self.known.error)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Estimates compared with known values; prints as a table, and ``.plot()`` draws it.

    Attributes:
        rows: One per estimate.
    """

    rows: tuple[Compared, ...]

    @property
    def order_preserved(self) -> float:
        """Share of the pairs of targets whose estimates are in the order of the known values; nan without a pair."""
        values = [(row.known.value, row.estimate.value) for row in self.rows if row.known.value is not None]
        return order_preserved(*zip(*values, strict=True)) if values else nan

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the rows as numbers and strings."""
        return [
            {
                "name": row.name,
                "llc": row.estimate.value,
                "mcse": row.estimate.mcse,
                "known": row.known.value,
                "known_error": row.known.error,
                "kind": row.known.kind,
                "rlct": None if row.limit is None else str(row.limit.value),
                "multiplicity": None if row.limit is None else row.limit.multiplicity,
                "rlct_is": None if row.limit is None else row.limit.bound,
                "z": row.z,
                "relative_error": row.relative_error,
                "ok": row.estimate.verdict.ok,
                "problems": [str(finding.kind) for finding in row.estimate.verdict.problems],
            }
            for row in self.rows
        ]

    def plot(self, *, ax: Any = None) -> Any:
        """Plot the relative error of each estimate with its 95 % interval, and the limit.

        Args:
            ax: Where to draw; None makes a new figure.

        Returns:
            `ax`; see `slt.plots.comparison`.

        Raises:
            InputError: If no target's value is known.
        """
        from slt.plots import comparison

        rows = [row for row in self.rows if row.known.value]
        if not rows:
            raise InputError("a picture needs a target with a known value, got none.")
        return comparison(
            [_shorten(row.name, _LABEL) for row in rows],
            [row.relative_error for row in rows],
            [[bound / row.known.value - 1 for bound in row.estimate.interval()] for row in rows if row.known.value],
            good=[row.estimate.verdict.ok for row in rows],
            limits=[_limit_error(row) for row in rows],
            ax=ax,
        )

    def __str__(self) -> str:
        """Return a table of at most 100 columns."""
        lines = columns([_HEAD, *(_cells(row) for row in self.rows)], left=(0, 3, len(_HEAD) - 1))
        reliable = sum(row.estimate.verdict.ok for row in self.rows)
        far = sum(abs(row.z) > 4 and row.estimate.verdict.ok for row in self.rows if isfinite(row.z))
        lines.append(
            f"{len(self.rows)} targets, {reliable} reliable estimates, {far} of them more than 4 standard errors off"
        )
        if isfinite(self.order_preserved):
            lines.append(f"{self.order_preserved:.1%} of the pairs of targets are in the right order")
        return "\n".join(lines)

    __repr__ = __str__


def compare(
    estimates: Sequence[Estimate], entries: Sequence[Entry | Toy], *, names: Sequence[str] | None = None
) -> Comparison:
    """Compare estimates with known values, each at the estimate's nbeta and localization.

    The known value is the exact energy where the entry has a law; else, for a toy, a stored reference; else the limit
    lambda - (m - 1)/log(nbeta), whose error is unknown, so that there is no z-score. The exact limit (lambda, m) is
    listed too.

    Args:
        estimates: LLC estimates.
        entries: For each estimate the entry of `slt.analytic` for its loss, or the toy.
        names: Names in the table; None uses the toy's name or the entry's family.

    Returns:
        The comparison; it prints as a table, and ``.plot()`` draws it.

    Raises:
        InputError: If the numbers of estimates, entries and names differ, one has the wrong type, a localizer
            varies within a tensor, or an entry and its estimate have different numbers of parameters.

    >>> import slt
    >>> toy = slt.toys.normal_crossing((2, 2))
    >>> estimate = slt.estimate_llc(toy.model, toy.data, toy.loss, budget=slt.Gradients(40_000), progress=False)
    >>> result = compare([estimate], [toy])
    >>> result.rows[0].known.kind, abs(result.rows[0].z) < 4
    ('exact', True)
    """
    for what, given, kinds, wanted in (
        ("estimates", estimates, Estimate, "an slt.Estimate"),
        ("entries", entries, Entry | Toy, "an entry of slt.analytic or a toy"),
    ):
        for k, one in enumerate(given):
            if not isinstance(one, kinds):
                raise InputError(f"{what}[{k}] must be {wanted}, got {type(one).__name__}.")
    labels = [_name(entry) for entry in entries] if names is None else list(names)
    if not len(estimates) == len(entries) == len(labels):
        raise InputError(
            "estimates, entries and names must be equal in number, "
            f"got {len(estimates)}, {len(entries)} and {len(labels)}."
        )
    return Comparison(
        tuple(
            Compared(label, estimate, _known(estimate, entry), entry.exact if isinstance(entry, Toy) else entry)
            for label, estimate, entry in zip(labels, estimates, entries, strict=True)
        )
    )


def _known(estimate: Estimate, entry: Entry | Toy) -> Known:
    settings = estimate.settings
    missing = {"sizes", "localization_uniform"} - settings.keys()
    if missing:
        raise InputError(f"an estimate must have its localizer, got a trace without {sorted(missing)} in its settings.")
    if not settings["localization_uniform"]:
        raise InputError("a comparison needs one precision per tensor, got a localizer that varies within a tensor.")
    return known(entry, estimate.trace.nbeta, settings["localization"], settings["sizes"])


def _name(entry: Entry | Toy) -> str:
    return entry.name if isinstance(entry, Toy) else entry.family


def _limit_error(row: Compared) -> float | None:
    """Where the limit lies, relative to the known value; None where it is not known."""
    if row.limit is None or row.limit.bound != "exact" or not row.known.value:
        return None
    return float(row.limit.value) / row.known.value - 1


def _cells(row: Compared) -> tuple[str, ...]:
    limit = "?"
    if row.limit is not None:
        limit = f"{'<=' * (row.limit.bound == 'upper')}{row.limit.value}"
        limit += f" m{row.limit.multiplicity}" * (row.limit.multiplicity > 1)
    error = row.relative_error
    kinds = [finding.kind.words for finding in row.estimate.verdict.problems]
    return (
        _shorten(row.name, _NAME),
        f"{row.estimate.value:.4g}+-{row.estimate.mcse:.1g}",
        "?" if row.known.value is None else f"{row.known.value:.4g}",
        _SHORT[row.known.kind],
        limit,
        "-" if not isfinite(row.z) else f"{row.z:+.1f}" if abs(row.z) < 100 else ">100",
        "-" if not isfinite(error) else f"{error:+.1%}" if abs(error) < 10 else ">1000%",
        "reliable"
        if not kinds
        else _cut(kinds[0], _VERDICT - 3 * (len(kinds) > 1)) + f" +{len(kinds) - 1}" * (len(kinds) > 1),
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 2]}.."


def _shorten(text: str, letters: int) -> str:
    """Remove the middle, since names of one family differ at their ends."""
    tail = letters // 2 - 1
    return text if len(text) <= letters else f"{text[: letters - tail - 2]}..{text[-tail:]}"
