from pathlib import Path

import pytest
import torch

import slt
from slt.cli import demo


@pytest.mark.smoke
def test_the_demo_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo with two checkpoints a network and little time for each."""
    monkeypatch.setattr(demo, "_EPOCHS", (1, 4))
    monkeypatch.setattr(demo, "_SECONDS", 2.0)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert demo.run_demo(str(tmp_path / "out"), progress=False) == 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    printed = capsys.readouterr().out
    assert "epoch-0004" in printed
    assert (tmp_path / "out" / "llc-over-training.png").stat().st_size > 10_000
    for name in ("mlp", "cnn"):
        trace = slt.Trace.load(tmp_path / "out" / name / "epoch-0004.nc")
        assert trace.n == 1000
