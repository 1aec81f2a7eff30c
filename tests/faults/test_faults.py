"""What goes wrong in a long run, injected: each does what docs/how-to/long-runs.md says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import slt
from slt.errors import NoDrawsError, SaveError
from slt.estimators import Problem
from tests import mounts

ROOT = Path(__file__).parents[2]


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))


def sampled(loss: object, data: object = (torch.zeros(20, 1),), **settings: object) -> slt.Trace:
    posterior = slt.LocalPosterior(Two(), data, loss, nbeta=50.0, localization=1.0)
    chosen = {"chains": 4, "draws": 300, "warmup": 50, "chain_method": "in_place", "progress": False, **settings}
    return slt.sample(posterior, slt.SGLD(step_size=0.01), **chosen)


class Poisoned:
    """A quadratic loss that gives NaN once, at a call drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.calls, self.at = 0, int(np.random.default_rng(seed).integers(200, 1300))

    def __call__(self, model: Two, batch: tuple[Tensor]) -> Tensor:
        self.calls += 1
        return (model.w**2).sum() * (torch.nan if self.calls == self.at else 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_one_nan_kills_one_chain_whole_and_the_others_do_not_notice(seed: int) -> None:
    trace = sampled(Poisoned(seed))
    assert trace.alive.sum() == 3
    clean = sampled(lambda model, batch: (model.w**2).sum())
    for chain in np.flatnonzero(trace.alive):
        expected = clean.get("posterior", "excess")[chain]
        np.testing.assert_array_equal(trace.get("posterior", "excess")[chain], expected)
    estimate = slt.llc(trace)
    assert Problem.NON_FINITE_CHAIN in {finding.kind for finding in estimate.verdict.problems}
    assert estimate.value == pytest.approx(50 * clean.get("posterior", "excess")[trace.alive].mean(), rel=1e-12)


def test_all_chains_dead_is_an_error_of_its_own() -> None:
    calls = 0

    def dead(model: Two, batch: object) -> Tensor:
        nonlocal calls
        calls += 1
        return (model.w**2).sum() * (torch.nan if calls > 300 else 1.0)

    trace = sampled(dead)
    assert not trace.alive.any()
    with pytest.raises(NoDrawsError, match="stayed finite"):
        slt.llc(trace)


class Failing(Dataset):
    """Too ragged to hold in memory, so that every batch is fetched; one fetch fails."""

    def __init__(self) -> None:
        self.reads, self.fail_at = 0, 10**9

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        self.reads += 1
        if self.reads == self.fail_at:
            raise OSError("the share is gone")
        return torch.full((1,), float(i)), "text keeps it from being held"


def test_an_exception_in_the_data_propagates_and_a_saved_run_resumes(tmp_path: Path) -> None:
    def loss(model: Two, batch: tuple[Tensor, object]) -> Tensor:
        return (model.w**2).sum() + 0 * batch[0].sum(1)

    def run(data: Failing, folder: Path) -> slt.Trace:
        posterior = slt.LocalPosterior(Two(), data, loss, nbeta=50.0, localization=1.0, batch_size=4)
        data.reads = 0
        settings = {"chains": 2, "draws": 100, "warmup": 20, "progress": False, "save_to": folder}
        return slt.sample(posterior, slt.SGLD(step_size=0.01), **settings)

    broken = Failing()
    broken.fail_at = 700
    with pytest.raises(OSError, match="the share is gone"):
        run(broken, tmp_path / "a")
    resumed, calm = run(Failing(), tmp_path / "a"), run(Failing(), tmp_path / "b")
    np.testing.assert_array_equal(resumed.get("posterior", "excess"), calm.get("posterior", "excess"))


@pytest.mark.exact
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 1)])
def test_signals_end_the_process_and_the_run_resumes(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    script = (
        "import sys, slt\n"
        "toy = slt.toys.quadratic(2)\n"
        "posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)\n"
        "slt.sample(posterior, slt.HMC(), chains=2, draws=int(sys.argv[2]), warmup=20, progress=False,"
        " save_to=sys.argv[1])\n"
    )
    folder = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), "100000"], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    while not (folder / "state.npz").exists():
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.05)
    child.send_signal(sent)
    error = child.communicate()[1]
    assert child.returncode in (code, -sent)
    if sent == signal.SIGINT:
        assert "the same call resumes from" in error
    drawn = len(np.load(folder / "draws" / "excess.npy")) if (folder / "draws" / "excess.npy").exists() else 0
    more = str(drawn + 100)
    subprocess.run([sys.executable, "-c", script, str(folder), more], check=True, cwd=ROOT)
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "calm"), more], check=True, cwd=ROOT)
    assert (folder / "trace.nc").read_bytes() == (tmp_path / "calm" / "trace.nc").read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte, where this process may make one."""
    with mounts.small_disk(tmp_path / "disk") as place:
        yield place


def test_a_disk_that_fills_up_loses_nothing_that_was_saved(small_disk: Path, tmp_path: Path) -> None:
    def run(folder: Path, draws: int) -> slt.Trace:
        toy = slt.toys.quadratic(2)
        posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
        observe = {"wide": lambda model: model.w.sum().expand(500)}
        settings = {"chains": 2, "warmup": 20, "progress": False, "observe": observe}
        return slt.sample(posterior, slt.SGLD(step_size=1e-3), draws=draws, save_to=folder, **settings)

    run(small_disk / "run", 20)
    with pytest.raises(SaveError, match=r"cannot be written: .*No space left") as full:
        run(small_disk / "run", 2000)
    assert full.value.trace.draws > 20
    os.makedirs(tmp_path / "moved")
    subprocess.run(["cp", "-r", str(small_disk / "run"), str(tmp_path / "moved")], check=True)
    resumed, calm = run(tmp_path / "moved" / "run", 300), run(tmp_path / "calm", 300)
    np.testing.assert_array_equal(resumed.get("posterior", "excess")[:, :300], calm.get("posterior", "excess"))
