"""What the catalogue says of itself: for each family its formula, its source and conditions, and some values."""

import re
from collections.abc import Callable, Iterable
from inspect import getdoc

from short_names import escape

from slt.analytic import Catalogue, Entry, catalogue
from slt.analytic.families import GROUPS
from slt.analytic.table import Row

_EXAMPLES = 6


def known(_: str) -> str:
    """A heading for each group, and under it a section for each family."""
    table = catalogue()
    sections = []
    for heading, group in GROUPS.items():
        sections.append(f"## {heading}")
        sections += [_family(function, table) for function in group]
    return "\n\n".join(sections)


def functions(_: str) -> str:
    """The reference of every family's function, under the headings of the groups."""
    sections = []
    for heading, group in GROUPS.items():
        lines = [f".. autofunction:: slt.analytic.{function.__name__}" for function in group]
        sections.append("\n".join([f"## {heading}", "", "```{eval-rst}", *lines, "```"]))
    return "\n\n".join(sections)


def _family(function: Callable[..., Entry], table: Catalogue) -> str:
    name = function.__name__
    rows = [row for row in table if row.function == name]
    entries = [row.entry for row in rows]
    text = getdoc(function) or ""
    facts = [
        ("Loss", [f"`{each}`" for each in _distinct(entry.K for entry in entries)]),
        ("Domain", _distinct(_plain(entry.domain) for entry in entries)),
        ("Prior", _distinct(_plain(entry.prior) for entry in entries)),
        ("Conditions", _distinct(_plain(entry.conditions) for entry in entries)),
        ("Source", _distinct(_plain(entry.source) for entry in entries)),
        ("Not available", [_plain(missing)] if (missing := _not_available(text)) else []),
    ]
    lines = [f"### `{name}`", "", "```{eval-rst}", *_formula(text), "```", ""]
    lines += [f"*{label}:* {'; or: '.join(values)}\n" for label, values in facts if values]
    lines += ["| call | λ | m |", "|---|---|---|"]
    lines += [f"| `{row.call}` | {_value(row.entry)} | {row.entry.multiplicity} |" for row in _spread(rows, _EXAMPLES)]
    return "\n".join(lines)


def _formula(text: str) -> list[str]:
    """The docstring before its sections."""
    lines = text.partition("\nArgs:\n")[0].splitlines()
    escape(None, "function", "", None, None, lines)  # pyright: ignore[reportArgumentType]
    return lines


def _not_available(text: str) -> str:
    found = re.search(r"^    NotAvailableError: (.*?)(?=^    \w|\n\n|\Z)", text, flags=re.M | re.S)
    return " ".join(found[1].split()).removeprefix("If ") if found else ""


def _value(entry: Entry) -> str:
    return f"≤ {entry.value}" if entry.bound == "upper" else str(entry.value)


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _spread(rows: list[Row], most: int) -> list[Row]:
    """At most so many of them, from first to last."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _plain(text: str) -> str:
    """Let signs that Markdown would take for markup stand for themselves."""
    return re.sub(r"([*_|^<>])", r"\\\1", text)
