"""Who may work in a run folder, what may lie there before, and what a disk that refuses comes to."""

import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import slt
from slt import _locks
from slt.errors import ResumeError, SaveError, SettingsError
from slt.running.documents import read_document, write_document
from tests import mounts
from tests.running.small_runs import files, posterior, sample


def estimate(folder: Any, **settings: Any) -> slt.Estimate:
    problem = posterior().problem
    chosen = {"localization": 1.0, "budget": slt.Gradients(1500), "chains": 2, "progress": False, **settings}
    data = problem.batch(torch.arange(20))
    return slt.estimate_llc(problem.model, data, "mse", save_to=folder, **chosen)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """Hold the lock as another process does: through an opening of the file of one's own."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"4321 elsewhere")
        file.flush()
        yield


@pytest.mark.parametrize("call", [sample, estimate])
@pytest.mark.parametrize("begun", [True, False])
def test_a_second_process_is_refused_and_changes_nothing(tmp_path: Path, call: Any, begun: bool) -> None:
    folder = tmp_path / "run"
    if begun:
        call(folder)
    with taken(folder):
        before = files(folder)
        with pytest.raises(ResumeError, match="process 4321 on elsewhere is using"):
            call(folder)
        assert files(folder) == before
    call(folder)
    assert not (folder / ".lock").exists()


def test_a_second_thread_is_refused(tmp_path: Path) -> None:
    found = []

    def other(trace: slt.Trace) -> bool:
        def call() -> None:
            try:
                sample(tmp_path / "run")
            except ResumeError as error:
                found.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return True

    sample(tmp_path / "run", 21, until=other)
    assert "another thread of this process is using" in found[0]


def test_a_file_system_without_locks_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_locks, "_lock", refuse)
    trace = sample(tmp_path / "run")
    assert any("does not lock files" in note for note in trace.settings["notes"])


@pytest.mark.parametrize("given", ["", b"run", 3, "a\0b"])
@pytest.mark.parametrize("call", [sample, estimate])
def test_what_is_no_folder_is_refused_and_nothing_is_written(
    tmp_path: Path, given: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="save_to must be"):
        call(given)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", [sample, estimate])
@pytest.mark.parametrize("there", ["thesis.tex", "draws/thesis.npy"])
def test_a_foreign_folder_is_left_as_it_is(tmp_path: Path, call: Any, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    with pytest.raises(ResumeError, match="is not empty and holds no run"):
        call(tmp_path)
    assert files(tmp_path) == {there: b"mine"}
    with pytest.raises(SettingsError, match="got the file"):
        call(tmp_path / there)


def test_a_plan_is_not_written_into_a_run_that_has_none(tmp_path: Path) -> None:
    sample(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ResumeError, match="holds a run with other"):
        estimate(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("call", [sample, estimate])
def test_a_disk_that_is_full_at_the_first_write_may_be_tried_again(tmp_path: Path, call: Any) -> None:
    with mounts.small_disk(tmp_path / "disk") as disk:
        fill(disk / "filler")
        with pytest.raises(SaveError, match=r"cannot be written: .*No space left") as full:
            call(disk / "run")
        assert full.value.trace is None
        (disk / "filler").unlink()
        call(disk / "run")
        assert not list((disk / "run").rglob("*.tmp"))


def test_a_disk_that_is_full_at_the_trace_carries_the_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: slt.Trace, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(slt.Trace, "save", full)
        with pytest.raises(SaveError, match="No space left") as refused:
            sample(tmp_path / "run")
    assert refused.value.trace.draws == 6
    assert sample(tmp_path / "run").draws == 6


def test_a_finished_run_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    there = sample(folder)
    (folder / ".trace.nc.0123456789abcdef0123456789abcdef.tmp").write_bytes(b"left by a kill")
    path = folder / "draws" / "excess.npy"
    path.write_bytes(path.read_bytes() + b"left by a kill")
    before = files(folder)
    with mounts.read_only(folder):
        found = sample(folder)
        with pytest.raises(SaveError, match="cannot be written, and no finished run is in it"):
            sample(folder, 7)
        assert files(folder) == before
    for group in ("posterior", "sample_stats", "observables"):
        for name in there.names(group):
            np.testing.assert_array_equal(found.get(group, name), there.get(group, name))


def test_a_finished_estimate_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    there = estimate(tmp_path / "run", target_relative_error=0.9)
    with mounts.read_only(tmp_path / "run"):
        assert estimate(tmp_path / "run", target_relative_error=0.9).value == there.value


@pytest.mark.parametrize("call", [sample, estimate])
def test_a_folder_that_may_not_be_written_is_refused_before_the_work(tmp_path: Path, call: Any) -> None:
    (tmp_path / "closed" / "run").mkdir(parents=True)
    with mounts.read_only(tmp_path / "closed"):
        for folder in (tmp_path / "closed" / "run", tmp_path / "closed" / "new"):
            with pytest.raises(SaveError, match="cannot be written"):
                call(folder)


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    sample(tmp_path)
    (tmp_path / ".state.npz.0123456789abcdef0123456789abcdef.tmp").write_bytes(bytes(10))
    (tmp_path / ".lock").write_bytes(b"1 here")
    sample(tmp_path, 8)
    assert not list(tmp_path.glob(".*"))


def test_another_sampler_or_batch_than_the_plan_is_refused_by_name(tmp_path: Path) -> None:
    estimate(tmp_path, sampler=slt.MALA())
    before = files(tmp_path)
    changes = [({}, r"sampler \(MALA, not auto\)"), ({"sampler": slt.HMC()}, r"sampler \(MALA, not HMC\)")]
    changes += [({"sampler": slt.MALA(), "batch_size": 10}, r"batch_size \(None, not 10\)")]
    changes += [({"sampler": slt.MALA(), "chains": 3}, r"chains \(2, not 3\)")]
    changes += [({"sampler": slt.MALA(target_acceptance=0.7)}, "sampler")]
    for change, named in changes:
        with pytest.raises(ResumeError, match=f"holds a run with other {named}"):
            estimate(tmp_path, **change)
    assert files(tmp_path) == before
    estimate(tmp_path, sampler=slt.MALA())


def test_plans_of_other_formats(tmp_path: Path) -> None:
    value = estimate(tmp_path).value
    path = tmp_path / "plan.json"
    plan = read_document(path, 2)
    fields = {k: v for k, v in plan.items() if k not in ("format", "slt")}
    path.write_text(json.dumps(fields))  # as it was before it had a number
    assert estimate(tmp_path).value == value
    path.write_text(json.dumps({k: v for k, v in fields.items() if k not in ("threads", "thin")}))
    with pytest.raises(ResumeError, match=r"lacks thin, which this version of slt needs. Resume the run with") as error:
        estimate(tmp_path)
    assert "remove" not in str(error.value)
    write_document(path, 99, fields)
    with pytest.raises(ResumeError, match="format 99"):
        estimate(tmp_path)
    for name, value in {"chains": "8", "thin": 0, "draws": 1.5, "chain_method": [], "draw_gradients": True}.items():
        path.write_text(json.dumps({**fields, name: value}))
        with pytest.raises(ResumeError, match=f"plan.json is damaged: its {name} is"):
            estimate(tmp_path)


@pytest.mark.parametrize("name", ["state.npz", "trace.nc", "run.json", "draws/excess.npy", "draws"])
def test_a_link_in_the_folder_is_refused_and_not_written_through(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    sample(folder)
    elsewhere = tmp_path / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    before = files(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
    with pytest.raises(ResumeError, match=f"{Path(name).name} is a link"):
        sample(folder, draws=1000)
    assert (files(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()) == before


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "scratch")
    sample(tmp_path / "run")
    assert (tmp_path / "scratch" / "state.npz").exists()
