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


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_says_how_it_is_called(name: str) -> None:
    doc = (ROOT / "benchmarks" / f"{name}.py").read_text().split('"""')[1]
    assert f"python benchmarks/{name}.py [--quick]" in doc
