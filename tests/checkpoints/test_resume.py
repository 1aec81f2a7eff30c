import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import slt
from slt.checkpoints import Sweep
from slt.checkpoints.manifest import FORMAT
from slt.checkpoints.run import describe_run
from slt.errors import CheckpointError, DataError, ResumeError, SettingsError

SETTINGS = {"target_relative_error": 1e-9, "budget": slt.Gradients(200), "chains": 1, "progress": False}


def factory() -> nn.Module:
    return nn.Linear(3, 2)


def data(n: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=generator), torch.randint(2, (n,), generator=generator)


def write_checkpoint(path: Path, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.save(factory().state_dict(), path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in (1, 2):
        write_checkpoint(folder / f"step-{step}.pt", step)
    return folder


@pytest.fixture
def run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Sweep, int]]:
    """Sweep into a folder; return what was found and how many checkpoints were estimated."""
    estimated = []

    @functools.wraps(slt.estimate_llc)
    def counted(*args: Any, **options: Any) -> slt.Estimate:
        estimated.append(args)
        return slt.estimate_llc(*args, **options)

    module = sys.modules["slt.checkpoints.sweep"]
    monkeypatch.setattr(module, "estimate_llc", counted)
    # pictures take seconds; tests of their own look at them
    monkeypatch.setattr(module, "report_page", lambda rows: f"{len(rows)} checkpoints")

    def call(**other: Any) -> tuple[Sweep, int]:
        estimated.clear()
        given = {"checkpoints": f"{source}/*.pt", "model_factory": factory, "data": data(), "loss": "cross_entropy"}
        found = slt.sweep(**{**given, "save_to": tmp_path / "out", **SETTINGS, **other})
        return found, len(estimated)

    return call


def test_what_is_done_is_read_back(run: Any, tmp_path: Path) -> None:
    first, made = run()
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    second, again = run()
    assert (made, again) == (2, 0)
    assert str(second) == str(first)  # the seconds too
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert sorted(before) == ["report.html", "step-1.nc", "step-2.nc", "sweep.csv", "sweep.json"]


def test_a_default_that_is_spelled_out_is_the_same_run(run: Any) -> None:
    run()
    assert run(seed=0, localization="auto")[1] == 0


def test_new_and_changed_checkpoints_are_estimated(run: Any, source: Path) -> None:
    before, _ = run()
    write_checkpoint(source / "step-2.pt", 7)
    write_checkpoint(source / "step-3.pt", 3)
    after, made = run()
    assert made == 2
    values = [{name: e.value for name, e in found.estimates.items()} for found in (before, after)]
    assert values[0]["step-1"] == values[1]["step-1"]
    assert values[0]["step-2"] != values[1]["step-2"]
    assert run(checkpoints=[source / "step-3.pt"])[1] == 0
    assert run()[1] == 0  # a call for some of them forgets none


def test_a_trace_that_is_gone_or_damaged_is_made_again(run: Any, tmp_path: Path) -> None:
    run()
    trace = tmp_path / "out" / "step-2.nc"
    whole = trace.read_bytes()
    for damage in (trace.unlink, lambda: trace.write_bytes(whole[:-1])):
        damage()
        assert run()[1] == 1
        assert trace.read_bytes() == whole


def test_failures_are_tried_again(run: Any, source: Path, tmp_path: Path) -> None:
    good = (source / "step-2.pt").read_bytes()
    torch.save(nn.Linear(7, 7).state_dict(), source / "step-2.pt")
    found, made = run()
    assert (list(found.failures), made) == (["step-2"], 1)
    entry = json.loads((tmp_path / "out" / "sweep.json").read_text())["checkpoints"]["step-2"]
    assert entry["trace"] is None
    assert entry["error"].startswith("CheckpointError: ")
    (source / "step-2.pt").write_bytes(good)
    found, made = run()
    assert (found.failures, made) == ({}, 1)


def per_example(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def tripled(model: nn.Module, batch: Any) -> Tensor:
    return 3 * per_example(model, batch)


tripled.__qualname__ = "per_example"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"seed": 1}, r"out holds another sweep: seed was 0, is 1\. Save"),
        ({}, {"budget": slt.Gradients(201)}, r'budget was "Gradients\(n=200\)", is "Gradients\(n=201\)"'),
        (
            {"sampler": slt.SGLD()},
            {"sampler": slt.SGLD(step_size=1e-3)},
            "sampler was .*step_size=AUTO.*step_size=0.001",
        ),
        ({}, {"data": data(39)}, 'data was "40 examples, .*is "39 examples'),
        ({}, {"data": (data()[0], 1 - data()[1])}, 'data was "40 examples, .*is "40 examples'),
        ({}, {"loss": per_example}, "loss was .*cross-entropy of each example.*is .*returned by per_example"),
        ({"loss": per_example}, {"loss": tripled}, "loss at checkpoint step-1 was .* Another loss or another"),
        ({}, {"parameters": ["weight"], "seed": 1}, r'parameters was null, is \["weight"\]; seed was 0, is 1'),
        (
            {"localization": {"weight": torch.ones(2, 3), "bias": 1.0}},
            {"localization": {"weight": torch.full((2, 3), 2.0), "bias": 1.0}},
            r"localization was .*array \(2, 3\)",
        ),
    ],
)
def test_a_folder_of_another_run_is_refused_by_name(
    run: Any, tmp_path: Path, first: Any, second: Any, message: str
) -> None:
    run(**first)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(ResumeError, match=message):
        run(**second)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert run(**first)[1] == 0


def test_a_run_that_its_settings_stopped_leaves_the_folder_free(run: Any) -> None:
    with pytest.raises(SettingsError):
        run(batch_size=1000)
    assert run()[1] == 2


def test_traces_that_no_manifest_knows_are_not_written_over(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "step-2.nc").write_text("mine")
    with pytest.raises(ResumeError, match=r"holds step-2\.nc, and no sweep\.json"):
        run()
    assert (tmp_path / "out" / "step-2.nc").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the manifest of a sweep"),
        ("[]", "is not the manifest of a sweep"),
        (json.dumps({"format": FORMAT + 1, "slt_version": "9.9"}), f"format {FORMAT + 1}, written by slt 9.9"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(run: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text(text)
    with pytest.raises(ResumeError, match=message):
        run()


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    litter = tmp_path / "out" / f".step-1.nc.{'0a' * 16}.tmp"
    for file in (litter, tmp_path / "out" / ".mine.tmp"):
        file.touch()
    run()
    assert not litter.exists()
    assert (tmp_path / "out" / ".mine.tmp").exists()


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_names_must_serve_as_file_names(run: Any, source: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="must serve as a file name"):
        run(checkpoints={name: source / "step-1.pt"})


class Lazy(torch.utils.data.Dataset):
    """Ragged rows, which no tensor can hold."""

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def __len__(self) -> int:
        return 100

    def __getitem__(self, i: int) -> Tensor:
        return torch.arange(1 + i % 3) + self.shift * (i == 99)


def test_data_that_are_fetched_count_by_their_number_and_some_rows() -> None:
    def described(shift: float) -> Any:
        loader = torch.utils.data.DataLoader(Lazy(shift), batch_size=2, collate_fn=pad)
        return describe_run({}, loader, per_example)["data"]

    def pad(rows: list[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    assert described(0.0) == described(0.0)
    assert described(0.0) != described(1.0)


def test_settings_are_described_by_their_values() -> None:
    x = data()[0]
    same = [{"a": np.float64(2), "b": (1, "x")}, {"a": 2.0, "b": [1, "x"]}]
    assert describe_run(same[0], x, "mse") == describe_run(same[1], x, "mse")
    masks = [torch.tensor([True, False]), torch.tensor([True, True]), torch.ones(2, dtype=torch.bfloat16)]
    assert len({json.dumps(describe_run({"parameters": {"w": mask}}, x, "mse")) for mask in masks}) == 3
    with pytest.raises(SettingsError, match="which sampler of type object does not allow"):
        describe_run({"sampler": object()}, x, "mse")
    with pytest.raises(DataError):
        describe_run({}, torch.full((2, 2), torch.nan), "mse")
