import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from slt.checkpoints import load_weights
from slt.errors import CheckpointError


def factory() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


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
        for content in (b"", b"\x00" * 5, b"junk<b>", b"]." * 9, b"\x80\x02."):
            path.write_bytes(content)
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


def test_what_unpacks_to_more_than_the_file_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    with pytest.raises(CheckpointError, match=r"packed\.pt does not hold plain weights .*unpack to 4\d{6} bytes"):
        load_weights(factory(), tmp_path / "packed.pt")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that everyone may open and nobody can read")
def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint /proc/self/mem does not hold plain weights .*Error"):
        load_weights(factory(), "/proc/self/mem")


def test_tensors_whose_names_are_no_text_are_refused(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pt")
    with pytest.raises(CheckpointError, match=r"name its tensors by text, got \[0\]"):
        load_weights(factory(), tmp_path / "numbers.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_random_changes_give_an_error_of_slt_or_weights(tmp_path: Path, suffix: str) -> None:
    """What flips, is cut off or is put in gives weights or a CheckpointError, and no other exception."""
    path, rng, source = tmp_path / f"weights{suffix}", np.random.default_rng(0), factory().state_dict()
    (save_file if suffix == ".safetensors" else torch.save)(source, path)
    whole, refused = np.fromfile(path, np.uint8), 0
    for i in range(120):
        changed = whole.copy()
        where = rng.integers(len(whole), size=1 + i % 8)
        changed[where] = rng.integers(256, size=len(where))
        path.write_bytes(changed[: rng.integers(len(whole)) if i % 5 == 0 else None].tobytes())
        try:
            load_weights(factory(), path)
        except CheckpointError:
            refused += 1
    assert refused > 20
