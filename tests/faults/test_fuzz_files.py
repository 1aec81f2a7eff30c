"""Traces, observables and manifests changed at random: an error of slt or the answer as it was, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.changed_files import KINDS, read_changed

ROOT = Path(__file__).parents[2]
SEALED = ("trace", "sweep")  # what carries a checksum cannot be read as something else
MEMORY = 64_000  # kilobytes; the files have a hundredth of it, and claim up to terabytes


@pytest.mark.parametrize(("kind", "count"), [("trace", 40), ("run", 15), ("sweep", 40)])
def test_changed_files_are_refused_or_read_as_they_were(tmp_path: Path, kind: str, count: int) -> None:
    told = read_changed(tmp_path, kind, count, seed=1)
    assert told["raised"] == []
    assert told["refused"] > 3
    assert kind not in SEALED or told["another"] == 0


@pytest.mark.exact
@pytest.mark.parametrize("kind", KINDS)
def test_many_changed_files_end_no_process_and_take_no_memory(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "tests.faults.changed_files", str(tmp_path), kind, "3000", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["raised"] == []
    assert kind not in SEALED or told["another"] == 0
    assert told["kilobytes"] < MEMORY
