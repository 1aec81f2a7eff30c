"""Every benchmark runs to its end, on a smoke of its work where it has one, and dates its tables."""

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ["invariance", "localization", "preconditioners", "step_bias", "warm_start"]


@pytest.mark.smoke
@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_to_its_end(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    options = ["--plot", str(picture)] if name == "step_bias" else []
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith(str(date.today()))
    assert "--quick: these figures mean nothing" in first
    assert re.fullmatch(r"\d+ seconds of CPU", rest[-1])
    assert picture.exists() == bool(options)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "options", "row"),
    [
        ("accuracy", ["--only", "quadratic(2)"], "quadratic(2) | 2 | "),
        ("coverage", ["--only", "quadratic(1)", "--repeats", "2"], "| `quadratic(1)` | 0.4966 | "),
        ("few_parameters", ["--only", "x + y", "--seeds", "1"], "x² (x + y)² | (0, 0) | 1000 | 1 | 0.3815 | 0 | "),
        ("nested_powers", ["--only", "r = 2, 1 copy"], "r = 2, 1 copy | (3/4, 1) | "),
    ],
)
def test_a_table_of_estimates_holds_its_row(name: str, options: list[str], row: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *options], capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, 1), done.stderr  # two repetitions cannot cover as often as is asked
    assert done.stdout.startswith(str(date.today()))
    assert row in done.stdout


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_says_how_it_is_called(name: str) -> None:
    doc = (ROOT / "benchmarks" / f"{name}.py").read_text().split('"""')[1]
    assert f"python benchmarks/{name}.py [--quick]" in doc
