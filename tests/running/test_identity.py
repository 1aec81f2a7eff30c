"""Whose run a folder holds: data, loss and the model's code count, also where every loss at w* is 0."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import slt
from slt.errors import ResumeError
from slt.problem.data import TensorExamples
from slt.problem.fingerprints import data_fingerprint
from slt.running.documents import read_document, write_document
from tests.running.small_runs import Scaled, files, sample

ROOT = Path(__file__).parents[2]


class Cut(nn.Module):
    """A linear model whose code has a setting that no weight holds."""

    def __init__(self, above: float) -> None:
        super().__init__()
        self.linear, self.above = nn.Linear(3, 1), above
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.5, -0.3, 0.8]]))
            self.linear.bias.fill_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        there = self.linear(x)
        # the same at w* and for small steps beside it
        return there + (self.linear.weight.norm() - 0.99).relu() * self.above


class Fetched(Dataset):
    """Read at every use; text keeps it from being held."""

    def __init__(self, changed: int | None) -> None:
        self.changed = changed

    def __len__(self) -> int:
        return 200

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, str]:
        x = torch.tensor([1.0, i / 100, 0.0]) * (2.0 if i == self.changed else 1.0)
        return x, torch.zeros(1), "text"


def exactly_fitted(scale: float = 1.0, loss: float = 1.0, above: float = 0.0) -> tuple[nn.Module, Any, Any]:
    model = Cut(above)
    x = scale * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    return model, (x, model(x).detach()), Scaled(50 * loss)


CHANGES = {"data": {"scale": 0.02}, "loss": {"loss": 0.25}, "gradient of the loss": {"above": 1.0}}


@pytest.mark.parametrize("named", CHANGES)
def test_exactly_fitted_problems_are_told_apart(tmp_path: Path, named: str) -> None:
    settings = {"localization": 1.0, "budget": slt.Gradients(1500), "chains": 2, "progress": False}
    slt.estimate_llc(*exactly_fitted(), save_to=tmp_path / "run", **settings)
    before = files(tmp_path / "run")
    with pytest.raises(ResumeError, match=f"holds a run with other .*{named}"):
        slt.estimate_llc(*exactly_fitted(**CHANGES[named]), save_to=tmp_path / "run", **settings)
    assert files(tmp_path / "run") == before


def test_data_that_are_fetched_count_by_every_row(tmp_path: Path) -> None:
    def run(changed: int | None) -> None:
        model = Cut(0.0)
        posterior = slt.LocalPosterior(
            model, Fetched(changed), lambda m, b: 0 * m(b[0]).square().sum(1), localization=1.0, nbeta=10.0
        )
        settings = {"chains": 1, "draws": 2, "warmup": 0, "progress": False, "save_to": tmp_path / "run"}
        slt.sample(posterior, slt.SGLD(step_size=0.01), **settings)

    run(None)
    run(None)
    with pytest.raises(ResumeError, match="other data"):
        run(173)  # of no chunk's first rows, and of no 32 that are spread


def test_observables_that_agree_at_the_center_are_told_apart(tmp_path: Path) -> None:
    def moved(scale: float) -> Callable[[nn.Module], Tensor]:
        return lambda model: scale * (model.bias - 0.1).sum()

    sample(tmp_path / "run", observe={"moved": moved(1.0)})
    with pytest.raises(ResumeError, match="other observables: moved"):
        sample(tmp_path / "run", observe={"moved": moved(2.0)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.int64])
def test_data_of_any_type_have_a_fingerprint_that_sees_order_and_values(dtype: torch.dtype) -> None:
    x = torch.arange(6.0).reshape(3, 2).to(dtype)
    changed = x.clone()
    changed[2, 1] = 9
    prints = [data_fingerprint(TensorExamples((each,))) for each in (x, x.clone(), x.flip(0), changed)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def shifted(folder: Path, by: float) -> None:
    held = read_document(folder / "run.json", 2)
    held["numbers"] = {name: [x * (1 + by) for x in each] for name, each in held["numbers"].items()}
    held["environment"]["processor"] = "AVX9"
    write_document(folder / "run.json", 2, held)


def test_another_rounding_is_the_same_run_with_a_note(tmp_path: Path) -> None:
    sample(tmp_path / "run")
    shifted(tmp_path / "run", 1e-5)
    trace = sample(tmp_path / "run", draws=8)
    assert any("processor AVX9 -> " in note for note in trace.settings["notes"])
    shifted(tmp_path / "run", 1e-3)
    with pytest.raises(ResumeError, match="other gradient of the loss, loss, observables: norm"):
        sample(tmp_path / "run")


JOB = """
import sys, torch, slt
from tests.running.saved_job import run
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10))
data = torch.rand(500, 64), torch.randint(10, (500,))  # not normal: another processor draws other bits
posterior = slt.LocalPosterior(model, data, "cross_entropy")
observe = {"gradients": slt.observables.gradient_norms()}
trace = slt.sample(posterior, slt.HMC(), chains=2, draws=int(sys.argv[2]), warmup=20, observe=observe, progress=False,
                   save_to=sys.argv[1])
print(*trace.settings["notes"])
"""


def test_data_that_are_made_anew_on_another_processor_are_told_of(tmp_path: Path) -> None:
    settings = {"localization": 1.0, "budget": slt.Gradients(700), "chains": 1, "progress": False}
    slt.estimate_llc(*exactly_fitted(), save_to=tmp_path / "run", **settings)
    shifted(tmp_path / "run", 0.0)
    with pytest.raises(ResumeError, match=r"other data.*processor AVX9 -> .*keep them in files"):
        slt.estimate_llc(*exactly_fitted(scale=1 + 1e-7), save_to=tmp_path / "run", **settings)


@pytest.mark.exact
def test_another_processor_resumes(tmp_path: Path) -> None:
    """The localizer is measured, and rounds differently too."""
    told = []
    for draws, capability in (("20", "default"), ("40", "avx2")):
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
        command = [sys.executable, "-c", JOB, str(tmp_path / "run"), draws]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    if np.load(tmp_path / "run" / "draws" / "excess.npy").shape[0] != 40:
        pytest.fail("the run did not go on")
    assert "processor DEFAULT -> " in told[1]
