import csv
import io
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import slt
from slt.checkpoints import Sweep, load_weights
from slt.errors import CheckpointError, DataError, SettingsError

FAST = {"target_relative_error": 0.3, "budget": slt.Gradients(4_000), "chains": 2, "progress": False}


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


def test_a_failed_checkpoint_is_reported_and_the_rest_finished(folder: Path) -> None:
    torch.save(nn.Linear(7, 7).state_dict(), folder / "step-5.pt")
    broken = factory()
    with torch.no_grad():
        broken[0].weight.fill_(torch.nan)
    torch.save(broken.state_dict(), folder / "step-7.pt")
    found = slt.sweep(f"{folder}/step-*.pt", factory, data(), "cross_entropy", **FAST)
    assert list(found.estimates) == ["step-2", "step-10"]
    assert isinstance(found.failures["step-5"], CheckpointError)
    assert isinstance(found.failures["step-7"], DataError)
    assert not found.ok
    assert "does not fit Sequential" in str(found)
    assert "failed" in found._repr_html_()


def test_an_exception_in_the_loss_stands_in_its_row(folder: Path) -> None:
    def loss(model: nn.Module, batch: object) -> torch.Tensor:
        raise ZeroDivisionError("mine")

    found = slt.sweep([folder / "step-2.pt"], factory, data(), loss, **FAST)
    assert isinstance(found.failures["step-2"], ZeroDivisionError)


def test_interruption_is_not_a_failure(folder: Path) -> None:
    def loss(model: nn.Module, batch: object) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slt.sweep([folder / "step-2.pt"], factory, data(), loss, **FAST)


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
    torch.save(factory().state_dict(), folder / "a" / "step-2.pt")
    found = slt.sweep([folder / "step-2.pt", folder / "a" / "step-2.pt"], factory, data(), "cross_entropy", **FAST)
    assert len(found.estimates) == 2


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("executed",))


def test_a_pickle_that_is_not_plain_weights_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.pt"
    torch.save(Evil(), path)
    with pytest.raises(CheckpointError, match="does not hold plain weights"):
        load_weights(factory(), path)
    torch.save({"state_dict": [1, 2]}, path)
    with pytest.raises(CheckpointError, match="must hold a state dict of tensors"):
        load_weights(factory(), path)
    assert capsys.readouterr().out == ""


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for name in ("short.pt", "short.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"\x00" * 5)
        with pytest.raises(CheckpointError, match=name):
            load_weights(factory(), path)
    with pytest.raises(CheckpointError, match=r"missing\.pt does not exist"):
        load_weights(factory(), tmp_path / "missing.pt")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_training_checkpoint_are_found(tmp_path: Path, key: str) -> None:
    source = factory()
    torch.save({key: source.state_dict(), "epoch": 3}, tmp_path / "c.pt")
    model = factory()
    load_weights(model, tmp_path / "c.pt")
    assert torch.equal(model[0].weight, source[0].weight)


def test_steps_fall_back_to_order() -> None:
    row = slt.checkpoints.Row("best", Path("best.pt"), 0.0, None, ValueError("x"))
    assert Sweep((row, row)).steps() == [0, 1]


def test_plot_draws_what_was_estimated(folder: Path) -> None:
    torch.save(nn.Linear(7, 7).state_dict(), folder / "step-5.pt")
    found = slt.sweep(f"{folder}/step-*.pt", factory, data(), "cross_entropy", **FAST)
    ax = found.plot()
    assert ax.get_ylabel()
