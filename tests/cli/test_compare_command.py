"""slt compare: runs its set, prints a table or JSON, draws, and says by its exit code whether a good verdict lied."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from slt import toys

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _two_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [toys.quadratic(2), toys.normal_crossing((2, 2))]
    monkeypatch.setattr("slt.cli.compare.standard_toys", lambda: two)


def test_the_table_and_the_picture(slt_command: Run, tmp_path: Path) -> None:
    picture = tmp_path / "compare.png"
    code, out, err = slt_command("compare", "--target", "0.3", "--budget", "2", "--plot", str(picture))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["target", "estimate", "should", "be", "limit", "z", "error", "verdict"]
    assert lines[1].startswith("quadratic(2)")
    assert " = " in lines[2]
    assert "[2/2] normal_crossing((2, 2))" in err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json(slt_command: Run) -> None:
    code, out, err = slt_command("compare", "--target", "0.3", "--budget", "2", "--quiet", "--json")
    rows = json.loads(out)
    assert code == 0
    assert err == ""
    assert [row["kind"] for row in rows] == ["exact", "exact"]
    assert all(abs(row["z"]) < 5 for row in rows)


def test_a_picture_that_cannot_be_written(slt_command: Run) -> None:
    code, _, err = slt_command(
        "compare", "--target", "0.9", "--budget", "0.5", "--quiet", "--plot", "no/such/folder.png"
    )
    assert code == 2
    assert "--plot no/such/folder.png cannot be written" in err
