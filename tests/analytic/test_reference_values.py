"""Every value of the reference collection, which was found by other routes than the formulas under test.

Each row is a loss with its lambda and m, and the calls that give it; the terms of a row are losses in disjoint
parameters, whose sum it is. All 277 rows are covered; a few that name no family of their own are members of another:
one component of a normal mixture known (a crossing), equal weights of two components (a quartic beside a regular
direction), softmax of biases alone (minimally singular).
"""

import json
from fractions import Fraction
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest

from slt import RLCT
from slt.analytic.families import FAMILIES

TABLE = json.loads((Path(__file__).parent / "data" / "rlct.json").read_text())


def argument(value: Any) -> Any:
    """From JSON: lists are tuples, and texts that begin like numbers are fractions."""
    if isinstance(value, list):
        return tuple(argument(x) for x in value)
    is_fraction = isinstance(value, str) and value.lstrip("-")[0].isdigit()
    return Fraction(value) if is_fraction else value


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["id"])
def test_value(row: dict[str, Any]):
    entries = [FAMILIES[name](**{key: argument(x) for key, x in arguments.items()}) for name, arguments in row["terms"]]
    assert {entry.bound for entry in entries} == {"exact"}
    assert reduce(add, [entry.rlct for entry in entries]) == RLCT(Fraction(row["value"]), row["multiplicity"])


def test_the_table_is_whole():
    assert len(TABLE) == 277
    called = {name for row in TABLE for name, _ in row["terms"]}
    # quadratic and lora are other names of what the table has; quadratic networks are tested by their Jacobians, plane
    # curves beside the other families
    assert set(FAMILIES) - called == {"quadratic", "lora", "quadratic_network", "plane_curve"}
