import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import slt
from slt.checkpoints import Row, Sweep, load_weights
from slt.checkpoints.names import named_checkpoints
from slt.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    LossError,
    NoDrawsError,
    ResumeError,
    SettingsError,
)
from slt.running.plan import Way
from tests.models import called_each_time

FAST = {"target_relative_error": 0.3, "budget": slt.Gradients(1_000), "chains": 2, "progress": False}


def factory() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 3, generator=generator), torch.randint(2, (40,), generator=generator)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    for step in (2, 10):
        torch.save(factory().state_dict(), tmp_path / f"step-{step}.pt")
    save_file(factory().state_dict(), tmp_path / "step-100.safetensors")
    return tmp_path


def test_one_estimate_a_checkpoint_in_the_order_of_steps(folder: Path, tmp_path: Path) -> None:
    found = slt.sweep(f"{folder}/step-*", factory, data(), "cross_entropy", save_to=tmp_path / "out", **FAST)
    assert list(found.estimates) == ["step-2", "step-10", "step-100"]
    assert found.steps() == [2, 10, 100]
    assert not found.failures
    for name, estimate in found.estimates.items():
        loaded = slt.Trace.load(tmp_path / "out" / f"{name}.nc")
        assert slt.llc(loaded).value == estimate.value
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "sweep.csv").read_text())))
    assert [float(row["llc"]) for row in rows] == [e.value for e in found.estimates.values()]


def test_a_checkpoint_is_estimated_at_its_own_weights(folder: Path) -> None:
    found = slt.sweep(f"{folder}/step-*", factory, data(), "cross_entropy", **FAST)
    for row in found.rows:
        model = factory()
        load_weights(model, row.path)
        expected = nn.functional.cross_entropy(model(data()[0]), data()[1]).item()
        assert row.estimate is not None
        assert row.estimate.trace.loss_center == pytest.approx(expected, rel=1e-6)


def test_the_global_random_state_is_left_alone(folder: Path) -> None:
    before = torch.get_rng_state()
    slt.sweep([folder / "step-2.pt"], factory, data(), "cross_entropy", **FAST)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_failed_checkpoint_is_reported_and_the_rest_finished(folder: Path) -> None:
    torch.save(nn.Linear(7, 7).state_dict(), folder / "step-5.pt")
    broken = factory()
    with torch.no_grad():
        broken[0].weight.fill_(torch.nan)
    torch.save(broken.state_dict(), folder / "step-7.pt")
    found = slt.sweep(f"{folder}/step-*.pt", factory, data(), "cross_entropy", **FAST)
    assert list(found.estimates) == ["step-2", "step-10"]
    assert isinstance(found.failures["step-5"], CheckpointError)
    assert isinstance(found.failures["step-7"], CheckpointError)
    assert "holds NaN or infinity in 1 parameters, such as '0.weight'" in str(found.failures["step-7"])
    assert not found.ok
    assert "does not fit Sequential" in str(found)
    assert "failed" in found._repr_html_()


def test_an_exception_at_the_first_checkpoint_ends_the_sweep(folder: Path) -> None:
    def loss(model: nn.Module, batch: object) -> torch.Tensor:
        raise ZeroDivisionError("mine")

    torch.save(nn.Linear(7, 7).state_dict(), folder / "step-1.pt")  # an unfit file tells nothing of the others
    with pytest.raises(ZeroDivisionError, match="mine"):
        slt.sweep(f"{folder}/step-*.pt", factory, data(), loss, **FAST)


def test_an_exception_at_a_later_checkpoint_stands_in_its_row(folder: Path) -> None:
    sums = set()

    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        sums.add(id(model))
        if len(sums) > 1:
            raise ZeroDivisionError("mine")
        return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

    made = []  # keeps every model alive, so that each has an id of its own

    def kept() -> nn.Module:
        made.append(factory())
        return made[-1]

    found = slt.sweep([folder / "step-2.pt", folder / "step-10.pt"], kept, data(), loss, **FAST)
    assert isinstance(found.failures["step-10"], ZeroDivisionError)
    assert list(found.estimates) == ["step-2"]


def test_under_a_budget_of_seconds_all_checkpoints_have_the_sampler_of_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([1e-5, 1e-5, 1.0, 1.0])  # of a pass: the second checkpoint meets a slow machine

    def slower(posterior: slt.LocalPosterior, chains: int | None, budget: float) -> tuple[Way, float]:
        return Way("auto", chains or 8, None), next(seconds)

    monkeypatch.setattr("slt.running.plan.fastest", slower)
    settings = {**FAST, "budget": 1.0}
    found = slt.sweep([folder / "step-2.pt", folder / "step-10.pt"], factory, data(), "cross_entropy", **settings)
    samplers = [estimate.settings["method"] for estimate in found.estimates.values()]
    assert samplers == ["ScaleMoves", "ScaleMoves"]


def test_under_a_budget_of_seconds_all_checkpoints_have_the_chains_of_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([16, 8])  # the second checkpoint meets another machine

    def other(posterior: slt.LocalPosterior, chains: int | None, budget: float) -> tuple[Way, float]:
        return Way("auto", chains or next(counts), None), 1e-4

    monkeypatch.setattr("slt.running.plan.fastest", other)
    settings = {**FAST, "budget": 0.5, "chains": None}
    found = slt.sweep([folder / "step-2.pt", folder / "step-10.pt"], factory, data(), "cross_entropy", **settings)
    assert [estimate.trace.chains for estimate in found.estimates.values()] == [16, 16]


def test_interruption_is_not_a_failure(folder: Path) -> None:
    def loss(model: nn.Module, batch: object) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slt.sweep([folder / "step-2.pt"], factory, data(), loss, **FAST)


def test_interruption_of_sampling_is_not_a_failure_either(folder: Path) -> None:
    calls = 0

    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        called_each_time()
        calls += 1
        if calls > 200:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

    with pytest.raises(Interrupted):
        slt.sweep([folder / "step-2.pt", folder / "step-10.pt"], factory, data(), loss, **FAST)


def test_settings_are_checked_before_any_checkpoint(folder: Path) -> None:
    with pytest.raises(SettingsError, match="nbeta must be positive"):
        slt.sweep([folder / "step-2.pt"], factory, data(), "cross_entropy", nbeta=-1.0)
    with pytest.raises(TypeError, match="localisation"):
        slt.sweep([folder / "step-2.pt"], factory, data(), "cross_entropy", localisation=1.0)


@pytest.mark.parametrize("checkpoints", [[], {}, "nowhere/*.pt"])
def test_no_checkpoint_is_an_error(checkpoints: object) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint matches|at least one file"):
        slt.sweep(checkpoints, factory, data(), "cross_entropy")


def test_missing_files_are_named_before_any_work(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"1 of 2 checkpoints do not exist: .*gone\.pt"):
        slt.sweep([folder / "step-2.pt", folder / "gone.pt"], factory, data(), "cross_entropy")


def test_same_stems_are_told_apart(folder: Path) -> None:
    (folder / "a").mkdir()
    for other in ("a/step-2.pt", "step-2.safetensors"):
        (folder / other).touch()
        files = [folder / "step-2.pt", folder / other]
        assert list(named_checkpoints(files).values()) == files


def test_data_that_can_be_read_only_once_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="read"):
        slt.sweep([folder / "step-2.pt"], factory, iter([data()]), "cross_entropy", **FAST)


def test_steps_fall_back_to_order() -> None:
    row = Row("best", Path("best.pt"), 0.0, None, ValueError("x"))
    assert Sweep((row, row)).steps() == [0, 1]


def test_plot_draws_what_was_estimated(folder: Path) -> None:
    torch.save(nn.Linear(7, 7).state_dict(), folder / "step-5.pt")
    found = slt.sweep(f"{folder}/step-*.pt", factory, data(), "cross_entropy", **FAST)
    ax = found.plot()
    assert ax.get_ylabel()


def failed(*errors: Exception) -> Sweep:
    return Sweep(tuple(Row(f"step-{i}", Path(f"step-{i}.pt"), 0.0, None, error) for i, error in enumerate(errors)))


def test_an_error_of_many_lines_takes_one_line_of_the_table() -> None:
    found = failed(CheckpointError("does not fit:\n\tMissing keys\n" + "layer.weight, " * 100), ValueError("short"))
    lines = str(found).splitlines()
    assert len(lines) == 3
    assert "does not fit: Missing keys layer.weight" in lines[1]
    assert len(lines[1]) < 220
    assert str(found.failures["step-0"]).count("layer.weight") == 100


def test_the_repr_counts_and_the_print_is_the_table() -> None:
    found = failed(ValueError("x"), ValueError("y"))
    assert repr(found) == "Sweep of 2 checkpoints: 0 reliable, 0 not reliable, 2 failed; print it for the table"
    assert repr(found.rows[0]) == "Row('step-0': no estimate, failed: ValueError: x)"


def test_a_sweep_without_an_estimate_cannot_be_drawn() -> None:
    error = ValueError("mine")
    with pytest.raises(
        NoDrawsError, match=r"no estimate to draw \(2 checkpoints: .* 2 failed\); .*ValueError: mine"
    ) as e:
        failed(error, ValueError("y")).plot()
    assert e.value.__cause__ is error
    with pytest.raises(NoDrawsError, match="no estimate to draw"):
        Sweep(()).plot()


def test_steps_that_are_not_one_a_checkpoint_are_refused() -> None:
    with pytest.raises(SettingsError, match="one number for each of the 1 checkpoints, got 2"):
        failed(ValueError("x")).plot(steps=[1, 2])


@pytest.mark.parametrize("given", [str, Path, lambda folder: [folder], lambda folder: {"a": folder}])
def test_a_folder_is_refused_with_the_pattern_to_give(folder: Path, given: Callable[[Path], Any]) -> None:
    with pytest.raises(
        CheckpointError, match=r"got the folder .*; it holds files that end in \.pt, \.safetensors\. .*\*\.pt"
    ):
        slt.sweep(given(folder), factory, data(), "cross_entropy", **FAST)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("cross_entrpoy", "must be one of cross_entropy, .* got 'cross_entrpoy'"),
        (nn.MSELoss(), "takes outputs and targets"),
    ],
)
def test_a_loss_that_is_none_stops_the_sweep_before_any_row(folder: Path, loss: Any, message: str) -> None:
    def make() -> nn.Module:
        raise AssertionError("a checkpoint was begun")

    with pytest.raises(LossError, match=message):
        slt.sweep(f"{folder}/*.pt", make, data(), loss, **FAST)


@pytest.mark.parametrize(
    ("make", "message"), [(factory(), "got Sequential; lambda"), ("model", "got str"), (lambda: 3, "return .*got int")]
)
def test_a_factory_that_is_none_stops_the_sweep(folder: Path, make: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=f"model_factory must .*{message}"):
        slt.sweep(f"{folder}/*.pt", make, data(), "cross_entropy", **FAST)


def test_data_that_do_not_tell_their_size_are_read_by_n(folder: Path, tmp_path: Path) -> None:
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            return zip(*data(), strict=True)

    settings = {**FAST, "save_to": tmp_path / "out"}
    for _ in range(2):  # the second call reads back what the first has made
        found = slt.sweep([folder / "step-2.pt"], factory, Stream(), "cross_entropy", n=30, **settings)
        assert found.estimates["step-2"].trace.n == 30
    with pytest.raises(ResumeError, match="n was 30, is 20"):
        slt.sweep([folder / "step-2.pt"], factory, Stream(), "cross_entropy", n=20, **settings)
