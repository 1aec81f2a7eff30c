"""The catalogue: every named instance of every family, evaluated and laid out as a table."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slt._text import columns
from slt.analytic.entry import Entry
from slt.analytic.families import FAMILIES
from slt.analytic.instances import instances
from slt.errors import InputError

if TYPE_CHECKING:
    import pandas

_COLUMNS = (
    *("function", "call", "family", "value", "multiplicity", "bound"),
    *("K", "domain", "prior", "source", "conditions"),
)


@dataclass(frozen=True)
class Row:
    """One instance.

    Attributes:
        function: The name of its family's function in `slt.analytic`.
        call: The call that gives it.
        entry: The answer.
    """

    function: str
    call: str
    entry: Entry

    def cells(self) -> dict[str, str | int]:
        """What the table says of it, by column."""
        own = {"function": self.function, "call": self.call, "value": str(self.entry.value)}
        return {name: own[name] if name in own else getattr(self.entry, name) for name in _COLUMNS}


@dataclass(frozen=True, repr=False)
class Catalogue:
    """Named instances with their answers, as a table that prints.

    Attributes:
        rows: The instances, family by family.
    """

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Go through the instances."""
        return iter(self.rows)

    def __repr__(self) -> str:
        """Lay out lambda, m and the call; an upper bound carries its sign."""
        cells = [("lambda", "m", "")]
        cells += [
            ("<=" * (row.entry.bound == "upper") + str(row.entry.value), str(row.entry.multiplicity), row.call)
            for row in self.rows
        ]
        return "\n".join(columns(cells, left=(2,)))

    def to_csv(self) -> str:
        """Return the table as CSV text, with everything that an entry says; lambda as a fraction, such as 3/2."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.cells() for row in self.rows)
        return text.getvalue()

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a pandas DataFrame, which needs pandas; the column `value` holds Fractions."""
        import pandas

        return pandas.DataFrame([row.cells() | {"value": row.entry.value} for row in self.rows], columns=_COLUMNS)


def catalogue(family: str | None = None) -> Catalogue:
    """Evaluate every named instance, or those of one family.

    Args:
        family: The name of a family's function in `slt.analytic`; None means all of them.

    Returns:
        The table, which prints; also ``.to_csv()`` and ``.to_pandas()``. All of it takes a few seconds.

    Raises:
        InputError: If there is no such family.

    >>> catalogue("vandermonde")
    lambda  m
       1/2  2  vandermonde(units=1, step=1)
       3/4  1  vandermonde(units=2, step=1)
    ...
    """
    if family is not None and family not in FAMILIES:
        raise InputError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}.")
    rows: list[Row] = []
    for name in FAMILIES if family is None else (family,):
        for arguments in instances(name):
            call = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
            rows.append(Row(name, call, FAMILIES[name](**arguments)))
    return Catalogue(tuple(rows))
