import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import slt
from slt.cli import main

# A user's own module: a toy with an exact answer, and what goes wrong in users' modules.
MODULE = """
import torch
from torch import nn

import slt

CURVATURES = [4.0, 1.0, 1.0, 0.5]


def model():
    return slt.toys.quadratic(CURVATURES).model


def data():
    return slt.toys.quadratic(CURVATURES, n=1000).data


def loss(model, batch):
    return (model.curvatures * model.w.square()).sum(-1) / 2


def small():
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


def pairs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 3, generator=generator), torch.randint(2, (40,), generator=generator)


def no_model():
    return {"weights": 1}


def fails():
    raise ZeroDivisionError("mine")


number = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `own.py` and a checkpoint of its model, as the current folder; nothing of it imported yet."""
    (tmp_path / "own.py").write_text(MODULE)
    torch.save(slt.toys.quadratic([4.0, 1.0, 1.0, 0.5]).model.state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return tmp_path


@pytest.fixture
def slt_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as end:  # argparse
            code = int(str(end.code))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def strict_json(text: str) -> Any:
    """Read JSON as other programs do: NaN and Infinity, which Python would let pass, are errors."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)
