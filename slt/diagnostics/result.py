"""What a benchmark found: a table, and a picture."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slt._text import columns
from slt.diagnostics.order import ordered_pairs

_HEAD = ("target", "value", "gradients", "rms error", "mean error", "completed", "reliable", "seconds")


class Run(NamedTuple):
    """One run of a benchmark."""

    value: float
    gradients: float
    """Taken by each chain, in passes over all the data."""
    reliable: bool | None
    """Whether the verdict is good; None where there is none."""
    failure: str | None = None
    """What stopped it, or None."""
    seconds: float = np.nan


@dataclass(frozen=True)
class Row:
    """All seeds of one target at one budget.

    Attributes:
        name: The target.
        kind: "exact", "reference" or "asymptotic": what its value is.
        value: The value that a run should find.
        value_error: Standard error of that value; 0 where it is exact.
        budget: Gradients a chain that were allowed.
        runs: The runs, one a seed, failed ones included.
    """

    name: str
    kind: str
    value: float
    value_error: float
    budget: float
    runs: tuple[Run, ...]

    @property
    def errors(self) -> NDArray[np.float64]:
        """Relative errors of the runs that completed."""
        return np.array([run.value / self.value - 1 for run in self.runs if run.failure is None])

    @property
    def error(self) -> float:
        """Root mean square relative error of the runs that completed; nan if none did."""
        return float(np.sqrt(np.mean(self.errors**2))) if len(self.errors) else np.nan

    @property
    def bias(self) -> tuple[float, float]:
        """Mean relative error of the runs that completed, and its standard error."""
        count = len(self.errors)
        spread = float(self.errors.std(ddof=1)) / np.sqrt(count) if count > 1 else np.nan
        return (float(self.errors.mean()) if count else np.nan), spread

    @property
    def gradients(self) -> float:
        """Gradients a chain, in the mean over the runs that completed."""
        taken = [run.gradients for run in self.runs if run.failure is None]
        return float(np.mean(taken)) if taken else np.nan

    @property
    def completed(self) -> int:
        """Number of runs that did not fail."""
        return len(self.errors)

    @property
    def reliable(self) -> int | None:
        """Number of runs whose verdict is good; None where there are no verdicts."""
        said = [run.reliable for run in self.runs if run.reliable is not None]
        return sum(said) if said else None


@dataclass(frozen=True, repr=False)
class Benchmark:
    """What a benchmark found.

    Attributes:
        name: What was measured.
        rows: One row a target and budget.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def completion_rate(self) -> float:
        """Share of all runs that did not fail."""
        return sum(row.completed for row in self.rows) / sum(len(row.runs) for row in self.rows)

    @property
    def failures(self) -> list[str]:
        """What stopped each run that failed."""
        return [
            f"{row.name}, {row.budget:g} gradients, seed {seed}: {run.failure}"
            for row in self.rows
            for seed, run in enumerate(row.runs)
            if run.failure is not None
        ]

    def order_preserved(self, budget: float) -> float:
        """Share of the pairs of targets with different values that runs of one seed put in the same order.

        Args:
            budget: Gradients a chain that were allowed.

        Returns:
            Over all seeds and pairs whose runs completed; nan without such a pair.
        """
        rows = [row for row in self.rows if row.budget == budget]
        kept, pairs = 0, 0
        for runs in zip(*(row.runs for row in rows), strict=True):
            whole = [(row.value, run.value) for row, run in zip(rows, runs, strict=True) if run.failure is None]
            right, count = ordered_pairs(whole)
            kept, pairs = kept + right, pairs + count
        return kept / pairs if pairs else np.nan

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the root mean square error of each target against gradients, both axes logarithmic.

        Args:
            ax: Where to draw; None makes a new figure.

        Returns:
            `ax`; see `slt.plots.errors`.
        """
        from slt.plots import errors

        names = dict.fromkeys(row.name for row in self.rows)
        return errors(
            {
                name: [(row.gradients, row.error) for row in self.rows if row.name == name and row.completed]
                for name in names
            },
            title=self.name,
            ax=ax,
        )

    def __str__(self) -> str:
        """Lay the rows out as a table, failures below."""
        table = [_HEAD, *(_cells(row) for row in self.rows)]
        lines = [f"{self.name}: {self.completion_rate:.0%} of the runs completed", *columns(table, indent="  ")]
        for budget in dict.fromkeys(row.budget for row in self.rows):
            share = self.order_preserved(budget)
            if np.isfinite(share):
                lines.append(f"  order of the targets kept in {share:.1%} of the pairs at {budget:g} gradients")
        return "\n".join([*lines, *(f"  failed: {failure}" for failure in self.failures)])

    __repr__ = __str__


def _cells(row: Row) -> tuple[str, ...]:
    mean, error = row.bias
    seconds = float(np.mean([run.seconds for run in row.runs]))
    return (
        row.name,
        f"{row.value:.5g} ({row.kind})",
        f"{row.gradients:.4g}",
        f"{row.error:.2%}",
        f"{mean:+.2%} +- {error:.2%}",
        f"{row.completed}/{len(row.runs)}",
        "-" if row.reliable is None else f"{row.reliable}/{len(row.runs)}",
        f"{seconds:.1f}",
    )
