from pathlib import Path

import pytest
import torch
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
