"""``slt exact``: the exact answer for one loss of `slt.analytic`."""

import argparse
import json
from fractions import Fraction
from typing import Any

from slt.analytic import Entry
from slt.analytic.families import FAMILIES
from slt.cli.families import chosen_arguments


def run(chosen: argparse.Namespace) -> int:
    """Evaluate and print.

    Args:
        chosen: The command's arguments, as `slt.cli.arguments` declares them.

    Returns:
        The exit code 0.
    """
    function = FAMILIES[chosen.family]
    entry = function(**chosen_arguments(chosen, function))
    print(json.dumps(entry_record(entry), indent=2, allow_nan=False) if chosen.json else entry_text(entry))
    return 0


def entry_record(entry: Entry) -> dict[str, Any]:
    """Return an entry as types of JSON; fractions are strings such as 3/2.

    Args:
        entry: The entry.

    Returns:
        A dict; `value` is exact, `value_float` rounded.
    """
    return {
        "value": str(entry.value),
        "value_float": float(entry.value),
        "multiplicity": entry.multiplicity,
        "bound": entry.bound,
        "family": entry.family,
        "parameters": {name: _plain(value) for name, value in entry.parameters.items()},
        "K": entry.K,
        "domain": entry.domain,
        "prior": entry.prior,
        "conditions": entry.conditions,
        "source": entry.source,
    }


def entry_text(entry: Entry) -> str:
    """Return an entry as text, the answer first.

    Args:
        entry: The entry.

    Returns:
        Lines of text.
    """
    relation = "<=" if entry.bound == "upper" else "="
    lines = [f"lambda {relation} {entry.value}, m = {entry.multiplicity}"]
    if entry.bound == "upper":
        lines.append("This is an upper bound: the true lambda may be smaller, or equal with a larger m.")
    lines += [
        f"{name:<12}{getattr(entry, name)}" for name in ("family", "K", "domain", "prior", "conditions", "source")
    ]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Fraction) else value
