"""Progress is shown where it can be, and the work goes on where it cannot."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import slt
from slt._progress import progress_bar, say
from slt.cli.main import BAD_INPUT, main


class Failing(io.StringIO):
    """A stream that takes some writes and then fails for good."""

    def __init__(self, error: Exception, writes: int = 0) -> None:
        super().__init__()
        self.error, self.left = error, writes

    def write(self, text: str) -> int:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().write(text)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS: dict[str, Callable[[], Any]] = {
    "none, as under pythonw": lambda: None,
    "closed": closed,
    "a pipe without a reader": lambda: Failing(BrokenPipeError(errno.EPIPE, "Broken pipe")),
    "a pipe whose reader leaves": lambda: Failing(BrokenPipeError(errno.EPIPE, "Broken pipe"), writes=3),
    "a full disk": lambda: Failing(OSError(errno.ENOSPC, "No space left on device")),
    "a file that is closed meanwhile": lambda: Failing(ValueError("I/O operation on closed file."), writes=3),
    "a window that is gone": lambda: Failing(RuntimeError("wrapped C/C++ object has been deleted"), writes=2),
}


@pytest.fixture(params=STREAMS)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", STREAMS[request.param]())


@pytest.fixture
def toy() -> slt.toys.Toy:
    return slt.toys.quadratic(2)


@pytest.mark.usefixtures("broken")
def test_sampling_goes_on(toy: slt.toys.Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("slt.running.sample"), "_LONG_SECONDS", 0.0)  # says how long it takes too
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    settings: dict[str, Any] = {"chains": 2, "draws": 300, "warmup": 20}
    trace = slt.sample(posterior, slt.HMC(leapfrogs=2), progress=True, **settings)
    silent = slt.sample(posterior, slt.HMC(leapfrogs=2), progress=False, **settings)
    assert (trace.get("posterior", "excess") == silent.get("posterior", "excess")).all()


def test_a_sweep_goes_on(toy: slt.toys.Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", STREAMS["a pipe whose reader leaves"]())
    for step in (1, 2):
        torch.save(toy.model.state_dict(), tmp_path / f"step-{step}.pt")
    settings: dict[str, Any] = {"localization": 1.0, "budget": slt.Gradients(3_000), "chains": 1}
    found = slt.sweep(f"{tmp_path}/*.pt", lambda: toy.model, toy.data, toy.loss, **settings)
    assert len(found.estimates) == 2


@pytest.mark.usefixtures("broken")
def test_the_command_line_ends_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert main("exact nmf --rows 2 --columns 2 --hidden -1".split()) == BAD_INPUT
    assert capfd.readouterr().out == ""


def test_what_works_is_written_to_and_shares_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(3, shown=True, desc="outer", mininterval=0) as outer:
        with progress_bar(3, shown=True, desc="inner", mininterval=0) as inner:
            say("a line")
            inner.update(3)
        outer.update(3)
    shown = stream.getvalue()
    assert "outer: 100%" in shown
    assert "inner: 100%" in shown
    assert "a line\n" in shown
    with progress_bar(3, shown=False):
        assert stream.getvalue() == shown


def test_a_stream_that_failed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Failing(BrokenPipeError(errno.EPIPE, "Broken pipe"), writes=3)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(100, shown=True, mininterval=0) as bar:
        for _ in range(50):
            bar.update()
        shown, stream.left = stream.getvalue(), 1
        bar.update(50)
    assert stream.getvalue() == shown
    assert bar.n == 100


PIPED = """
import slt
toy = slt.toys.quadratic(2)
posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
print(slt.sample(posterior, slt.HMC(), chains=2, draws=200, warmup=20).draws)
"""


def test_a_process_whose_pipe_is_closed_ends_well() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-c", PIPED]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, "200\n")
