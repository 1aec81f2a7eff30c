"""The table of situations: each comes to what was to be expected, and the table would see if it did not."""

import itertools
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import slt
from tests.faults import situations_world
from tests.faults.situations import (
    AXES,
    CONTEXTS,
    FAILED,
    FILES,
    MODELS,
    OWN,
    PLAIN,
    REFUSED,
    RIGHT,
    Situation,
    outcome,
    outcomes,
    situations,
    small_sample,
)
from tests.faults.situations_axes import LOCALIZATION, File, X, Y
from tests.faults.situations_models import linear

EVERY = situations()


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """What is imported at the first call is no change of the world."""
    torch.set_num_threads(1)
    outcomes([Situation()])


@pytest.fixture(scope="module")
def _explained() -> None:
    """The same of what only an explanation imports, which takes longer."""
    outcomes([Situation(call="explain")])


def unexpected(chosen: list[Situation]) -> list[str]:
    return [one.line for one in outcomes(chosen) if not one.good]


def test_there_are_hundreds_on_every_axis() -> None:
    assert len(EVERY) >= 600
    assert len(set(EVERY)) == len(EVERY)
    for axis, entries in AXES.items():
        assert {getattr(one, axis) for one in EVERY} == set(entries)
    for one, two in itertools.combinations(AXES, 2):
        assert sum(one_.axes == f"{one} x {two}" for one_ in EVERY) >= 30


def test_plain_entries_are_not_refused() -> None:
    assert all(entries[PLAIN[axis]].expected == RIGHT for axis, entries in AXES.items())


def test_a_sample_comes_to_what_was_to_be_expected() -> None:
    assert unexpected(small_sample(EVERY)) == []


@pytest.mark.exact
@pytest.mark.usefixtures("_explained")
def test_all_come_to_what_was_to_be_expected() -> None:
    assert unexpected(EVERY) == []


# What the table would see: each is a fault put into slt, or into what a user hands over.


def test_a_wrong_value_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = slt.llc
    monkeypatch.setattr(slt, "llc", lambda trace: _scaled(honest(trace), 1.2))
    found = outcome(Situation(), tmp_path)
    assert found.kind == FAILED
    assert found.told.startswith("wrong value")


def _scaled(estimate: slt.Estimate, factor: float) -> slt.Estimate:
    return replace(estimate, value=factor * estimate.value)


def test_an_error_too_wide_to_tell_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = slt.llc
    monkeypatch.setattr(slt, "llc", lambda trace: replace(honest(trace), mcse=1.0))
    assert outcome(Situation(), tmp_path).told.startswith("nothing to tell by")


@contextmanager
def nothing_restored(*_: Any, **__: Any) -> Iterator[None]:
    """Stands for `untouched`, and restores nothing."""
    with torch.enable_grad():
        yield


@pytest.mark.parametrize("name", ["counts in a buffer", "seeds in its forward"])
def test_a_touched_world_is_seen(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert outcome(Situation(model=name), tmp_path).kind in (RIGHT, REFUSED)
    for room in ("slt.problem.problem", "slt.running.sample"):
        monkeypatch.setattr(sys.modules[room], "untouched", nothing_restored)
    found = outcome(Situation(model=name), tmp_path)
    assert found.kind == FAILED
    assert "world: " in found.told


def test_a_raw_exception_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bind(*_: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(slt.LocalPosterior, "bind", bind)
    found = outcome(Situation(), tmp_path)
    assert (found.kind, found.told) == (FAILED, "raw RuntimeError: inside")


def test_a_refusal_after_work_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def llc(trace: slt.Trace) -> None:
        raise slt.errors.InputError("too late")

    monkeypatch.setattr(slt, "llc", llc)
    found = outcome(Situation(), tmp_path)
    assert found.kind == FAILED
    assert found.told.startswith("refused after ")


def test_a_refusal_of_what_is_plain_is_no_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def posterior(*_: Any, **__: Any) -> None:
        raise slt.errors.DataError("not these")

    monkeypatch.setattr(slt, "LocalPosterior", posterior)
    found = outcome(Situation(), tmp_path)
    assert found.kind == REFUSED
    assert not found.good


def test_a_file_touched_by_a_refusal_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def sample(*_: Any, save_to: Path, **__: Any) -> None:
        (save_to / "run.json").write_text("{}")
        raise slt.errors.ResumeError("no")

    def prepare(place: Path, run: Any) -> Path:
        run(place / "run")
        monkeypatch.setattr(slt, "sample", sample)
        return place / "run"

    monkeypatch.setitem(FILES, "written to", File(prepare, REFUSED))
    found = outcome(Situation(file="written to"), tmp_path)
    assert "file run/run.json is otherwise" in found.told


def test_a_leaked_switch_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = slt.llc

    def llc(trace: slt.Trace) -> slt.Estimate:
        torch.set_default_dtype(torch.float64)
        return honest(trace)

    monkeypatch.setattr(slt, "llc", llc)
    found = outcome(Situation(), tmp_path)
    assert "default dtype is otherwise" in found.told
    assert torch.get_default_dtype() is torch.float32  # the next situation does not meet it


def test_storages_can_be_resized_after_a_call() -> None:
    """Torch never resizes a storage again that NumPy has shared: what frees weights and gets them back then fails."""
    model = linear(MODELS[PLAIN["model"]].best())
    slt.LocalPosterior(model, (torch.from_numpy(X).float(), torch.from_numpy(Y).float()), "gaussian", localization=1.0)
    assert model.weight.untyped_storage().resizable()


def replace_parameter(model: torch.nn.Linear) -> None:
    model.weight = torch.nn.Parameter(model.weight.detach().clone())


def add_hook(model: torch.nn.Linear) -> None:
    model.register_forward_hook(lambda module, args, output: 1.5 * output)


@pytest.mark.parametrize("change", [replace_parameter, add_hook])
def test_a_model_that_is_another_since_is_refused(change: Any) -> None:
    """It would be sampled as what it was, or as something between the two."""
    model = linear(MODELS[PLAIN["model"]].best())
    data = torch.from_numpy(X).float(), torch.from_numpy(Y).float()
    posterior = slt.LocalPosterior(model, data, "gaussian", localization=LOCALIZATION)
    change(model)
    with pytest.raises(slt.errors.InputError):
        slt.sample(posterior, slt.HMC(), chains=2, draws=10, warmup=10, progress=False)


def test_the_users_own_exception_is_told_apart(tmp_path: Path) -> None:
    assert outcome(Situation(model="raises"), tmp_path).kind == OWN


def test_every_model_is_at_its_minimum() -> None:
    """The exact value is of a minimum: its gradient, by differences in float64, is zero."""
    for name, entry in MODELS.items():
        z, best = entry.columns(X), entry.best().numpy()
        residual = z @ best[:, None] + entry.offset(X) - Y
        assert abs(z.T @ residual).max() < 1e-8 * len(z), name


def test_contexts_leave_nothing() -> None:
    """A context that leaked would be blamed on the next situation."""
    for name, context in CONTEXTS.items():
        with situations_world.put_back():
            warnings.simplefilter("ignore")
            before = situations_world.of_process()
            context.around(lambda: None)
            assert situations_world.differences(before, situations_world.of_process()) == [], name
