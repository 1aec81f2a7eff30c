"""The folder of a sweep: several processes in it, unfit names and files, and content that nobody vouches for."""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import slt
from slt._locks import locked
from slt.checkpoints import Row, Sweep, folder
from slt.checkpoints.folder import Folder
from slt.checkpoints.report import report_page
from slt.errors import CheckpointError, ResumeError, SaveError, SettingsError

FAST = {"target_relative_error": 1e-9, "budget": slt.Gradients(200), "chains": 1, "progress": False}
RUN = {"seed": 0, "loss": "mse"}


def estimate(value: float = 0.01) -> slt.Estimate:
    excess = np.random.default_rng(0).gamma(2.0, value, (2, 50))
    return slt.llc(
        slt.Trace.from_arrays(
            posterior={"excess": excess},
            sample_stats={},
            constant_data={"n": 9, "nbeta": 3.0, "dimension": 2, "loss_center": 0.1, "alive": np.ones(2, bool)},
            settings={"unadjusted": False, "full_data": True, "localization": 1.0, "localization_zero": False},
        )
    )


def entries(place: Path) -> dict[str, Any]:
    return json.loads((place / "sweep.json").read_text())["checkpoints"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = tmp_path / "checkpoints"
    place.mkdir()
    torch.manual_seed(0)
    for step in (1, 2):
        torch.save(nn.Linear(3, 2).state_dict(), place / f"step-{step}.pt")
    return place


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    # pictures take seconds; tests of their own look at them
    monkeypatch.setattr(sys.modules["slt.checkpoints.sweep"], "report_page", lambda rows: f"{len(rows)} checkpoints")
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 3, generator=generator), torch.randint(2, (40,), generator=generator)

    def call(checkpoints: Any, save_to: Path, **settings: Any) -> Sweep:
        return slt.sweep(
            checkpoints, lambda: nn.Linear(3, 2), data, "cross_entropy", save_to=save_to, **FAST, **settings
        )

    return call


def test_two_sweeps_into_one_folder_keep_the_entries_of_both(tmp_path: Path) -> None:
    one, other = (Folder(tmp_path, RUN, [name]) for name in ("a", "b"))
    one.keep("a", "fingerprint", estimate(), None, 1.0)
    other.keep("b", "fingerprint", estimate(), None, 2.0)
    one.keep("c", "fingerprint", None, ValueError("no"), 3.0)
    assert sorted(entries(tmp_path)) == ["a", "b", "c"]


def test_a_failure_does_not_replace_what_another_process_has_made(tmp_path: Path) -> None:
    one, other = (Folder(tmp_path, RUN, ["a"]) for _ in range(2))
    one.keep("a", "fingerprint", estimate(), None, 1.0)
    other.keep("a", "fingerprint", None, ResumeError("another process works there"), 2.0)
    assert entries(tmp_path)["a"]["trace"] is not None
    other.keep("a", "another fingerprint", None, ValueError("no"), 2.0)
    assert entries(tmp_path)["a"]["error"] == "ValueError: no"


def test_what_another_process_finishes_meanwhile_is_read_back(
    sweep: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, first = sys.modules["slt.checkpoints.sweep"], []
    estimated = module._estimate

    def both(name: str, *given: Any) -> Row:
        row = estimated(name, *given)
        if not first:
            first.append(name)
            sweep([source / "step-2.pt"], tmp_path / "out")
        else:
            first.append(name)
        return row

    monkeypatch.setattr(module, "_estimate", both)
    found = sweep(f"{source}/*.pt", tmp_path / "out")
    assert list(found.estimates) == ["step-1", "step-2"]
    assert first == ["step-1", "step-2"]  # the second is the other call's
    assert sorted(entries(tmp_path / "out")) == ["step-1", "step-2"]


def in_another_thread(run: Callable[[], object]) -> list[Exception]:
    """A thread is kept out as another process is; return what it raised."""
    raised: list[Exception] = []

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    return raised


def test_the_file_that_another_process_is_writing_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_PATIENCE", 0.0)
    being_written = tmp_path / f".a.nc.{'0a' * 16}.tmp"
    being_written.touch()
    with locked(tmp_path):
        (raised,) = in_another_thread(lambda: Folder(tmp_path, RUN, ["a"]))
    assert isinstance(raised, ResumeError)
    assert being_written.exists()
    Folder(tmp_path, RUN, ["a"])
    assert not being_written.exists()


def test_the_run_that_another_process_is_at_is_left_alone(tmp_path: Path) -> None:
    one = Folder(tmp_path, RUN, ["a"])
    running = one.running("0123")
    running.mkdir()
    (running / "run.json").touch()
    with locked(running):
        assert in_another_thread(lambda: one.clear("0123")) == []
        (raised,) = in_another_thread(lambda: Folder(tmp_path, {**RUN, "seed": 1}, ["a"]))
    assert isinstance(raised, ResumeError)
    assert (running / "run.json").exists()
    one.clear("0123")
    assert not running.exists()


def test_another_sweep_that_was_begun_meanwhile_is_not_mixed_in(tmp_path: Path) -> None:
    one, other = Folder(tmp_path, RUN, ["a"]), Folder(tmp_path, {**RUN, "seed": 1}, ["b"])
    other.keep("b", "fingerprint", estimate(), None, 1.0)
    with pytest.raises(ResumeError, match="holds another sweep: seed was 1, is 0"):
        one.keep("a", "fingerprint", estimate(), None, 1.0)
    assert list(entries(tmp_path)) == ["b"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that everyone may open and nobody can read")
def test_a_checkpoint_that_cannot_be_read_is_a_failed_row(sweep: Any, source: Path, tmp_path: Path) -> None:
    checkpoints = {"unreadable": "/proc/self/mem", "step-1": source / "step-1.pt"}
    for _ in range(2):  # the second call reads back what the first has made
        found = sweep(checkpoints, tmp_path / "out")
        assert list(found.estimates) == ["step-1"]
        assert isinstance(found.failures["unreadable"], CheckpointError)
    assert entries(tmp_path / "out")["unreadable"]["checkpoint"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_no_utf_8_is_kept_and_shown(sweep: Any, source: Path, tmp_path: Path) -> None:
    strange = source / os.fsdecode(b"step-\xff7.pt")
    (source / "step-2.pt").rename(strange)
    for _ in range(2):
        found = sweep(f"{source}/*.pt", tmp_path / "out")
        assert list(found.estimates) == ["step-1", "step-\udcff7"]
    for text in (str(found), repr(found.rows[1]), found._repr_html_(), (tmp_path / "out" / "sweep.csv").read_text()):
        assert r"step-\udcff7" in text
        assert text.encode()
    assert (tmp_path / "out" / os.fsdecode(b"step-\xff7.nc")).exists()
    page = report_page([Row(strange.stem, strange, 1.0, None, ValueError(strange.name))])
    assert r"ValueError: step-\udcff7" in page
    assert page.encode()


def test_a_name_that_is_too_long_for_a_file_is_refused_before_any_work(
    sweep: Any, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"a file name of at most 2\d\d bytes"):
        sweep({"x" * 240: source / "step-1.pt"}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [3, None, [3], {"a": None}, [b"step-1.pt"]])
def test_what_is_no_path_is_refused(sweep: Any, tmp_path: Path, given: Any) -> None:
    with pytest.raises(CheckpointError, match="checkpoints must be paths"):
        sweep(given, tmp_path / "out")


def test_a_folder_that_is_none_or_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="got the file"):
        Folder(tmp_path / "file", RUN, ["a"])
    with pytest.raises(SaveError, match="cannot be written"):
        Folder(tmp_path / "file" / "below", RUN, ["a"])
    place = Folder(tmp_path / "out", RUN, ["a"])

    def full(path: Path, content: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(folder, "atomic_write", full)
    made = estimate()
    with pytest.raises(SaveError, match="No space left") as refused:
        place.keep("a", "fingerprint", made, None, 1.0)
    assert refused.value.trace is made.trace


@pytest.mark.parametrize("name", ["a.nc", "sweep.json", "sweep.csv"])
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_text("mine")
    place = Folder(tmp_path / "out", RUN, ["a"])
    (tmp_path / "out" / name).unlink(missing_ok=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / "mine")
    with pytest.raises(ResumeError, match=f"{name} is a link"):
        place.write(name, "text") if name == "sweep.csv" else place.keep("a", "f", estimate(), None, 1.0)
    assert (tmp_path / "mine").read_text() == "mine"


def changed(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda held: {**held, **changes}


def of_the_entry(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda held: {**held, "checkpoints": {"a": {**held["checkpoints"]["a"], **changes}}}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda held: {key: value for key, value in held.items() if key != name}


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("checkpoints"), "it holds"),
        (without("run"), "it holds"),
        (without("format"), "its format is None"),
        (changed(format="1"), "its format is '1'"),
        (changed(run=[]), "it holds"),
        (changed(checkpoints=["a"]), "it holds"),
        (changed(checkpoints={"a": 3}), "it says 3 of checkpoint 'a'|its content is not"),
        (changed(surplus=1), "it holds"),
        (of_the_entry(trace=3), "it says .* of checkpoint 'a'|its content is not"),
        (of_the_entry(seconds="long"), "are no number|its content is not"),
        (of_the_entry(surplus=1), "it says .* of checkpoint 'a'|its content is not"),
        (lambda held: [held], "it holds a list"),
    ],
)
def test_a_damaged_manifest_is_refused_and_kept(tmp_path: Path, change: Any, message: str, checksum: bool) -> None:
    Folder(tmp_path, RUN, ["a"]).keep("a", "fingerprint", estimate(), None, 1.0)
    file = tmp_path / "sweep.json"
    held = json.loads(file.read_text())
    if not checksum:
        del held["checksum"]  # as the version before wrote it
    file.write_text(json.dumps(change(held)))
    before = file.read_bytes()
    with pytest.raises(ResumeError, match=message):
        Folder(tmp_path, RUN, ["a"])
    assert file.read_bytes() == before


def test_a_manifest_of_the_version_before_is_read_and_a_changed_digit_in_a_new_one_noticed(tmp_path: Path) -> None:
    Folder(tmp_path, RUN, ["a"]).keep("a", "fingerprint", estimate(), None, 1.5)
    file = tmp_path / "sweep.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps(without("checksum")(held)))
    assert Folder(tmp_path, RUN, ["a"]).entries["a"].seconds == 1.5
    file.write_text(file.read_text().replace("1.5", "9.5"))
    with pytest.raises(ResumeError, match="its content is not the one that was written"):
        Folder(tmp_path, RUN, ["a"])


def test_a_page_that_cannot_be_written_is_an_error_of_slt(tmp_path: Path) -> None:
    failed = Sweep((Row("a", Path("a.pt"), 0.0, None, ValueError("x")),))
    with pytest.raises(SaveError, match="nowhere does not exist"):
        failed.report(tmp_path / "nowhere" / "report.html")
