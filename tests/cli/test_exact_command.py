"""``slt exact`` takes what the functions take, says what the entries say, and refuses with their words."""

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from slt import analytic
from slt.analytic.families import FAMILIES
from slt.analytic.instances import instances
from slt.cli import main
from slt.cli.arguments import build_parser
from slt.cli.families import chosen_arguments


def words(family: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command line of a call."""
    line = ["exact", family.replace("_", "-")]
    for name, value in arguments.items():
        line.append(f"--{'no-' if value is False else ''}{name.replace('_', '-')}")
        if isinstance(value, tuple):
            line += [",".join(map(str, x)) if isinstance(x, tuple) else str(x) for x in value]
        elif not isinstance(value, bool):
            line.append(str(value))
    return line


@pytest.mark.parametrize("family", FAMILIES)
def test_every_instance_is_read_as_the_call_it_is(family: str):
    parser = build_parser()
    for arguments in instances(family):
        chosen = parser.parse_args(words(family, arguments))
        assert chosen.family == family
        assert chosen_arguments(chosen, FAMILIES[family]) == arguments


def test_prints_the_answer(capsys: pytest.CaptureFixture[str]):
    assert main(["exact", "deep-linear", "--widths", "5", "5", "5", "--rank", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lambda = 23/2, m = 2"
    assert any("Aoyagi" in line for line in lines)


def test_json_says_what_the_entry_says(capsys: pytest.CaptureFixture[str]):
    assert main(["exact", "normal-crossing", "--exponents", "2", "2", "--prior-exponents", "-1/2", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    entry = analytic.normal_crossing((2, 2), (Fraction(-1, 2), 0))
    assert (said["value"], said["value_float"], said["multiplicity"]) == ("1/4", 0.25, 1)
    assert said["parameters"] == {"exponents": [2, 2], "prior_exponents": ["-1/2", 0]}
    names = ("K", "domain", "prior", "conditions", "source", "family", "bound")
    assert {name: said[name] for name in names} == {name: getattr(entry, name) for name in names}


def test_an_upper_bound_says_so(capsys: pytest.CaptureFixture[str]):
    line = "exact newton --exponents 2,0 1,1 0,2 --coefficients 1 -2 1"
    assert main(line.split()) == 0
    assert capsys.readouterr().out.startswith("lambda <= 1, m = 1\nThis is an upper bound")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("exact nmf --rows 2 --columns 2 --hidden -1", "slt exact: hidden must be an integer >= 1, got -1."),
        ("exact deep-linear --widths 2 2 2 2 --factor-ranks 1 0 1", "is known only where"),
    ],
)
def test_refusals_are_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]):
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    ["exact", "exact no-such-family", "exact deep-linear", "exact deep-linear --widths 2 x", "exact rbm --visible 1/2"],
)
def test_usage_errors(line: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert end.value.code == 2
    assert "usage: slt exact" in capsys.readouterr().err


@pytest.mark.parametrize("family", FAMILIES)
def test_help_is_without_markup(family: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["exact", family.replace("_", "-"), "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert not {"\\", "`"} & set(printed)
    assert ":math:" not in printed
