"""A saved run that takes a tenth of a second, and ways to change what is on the disk."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import slt
from slt.running.documents import to_text


def posterior() -> slt.LocalPosterior:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 3, generator=generator)
    model = torch.nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5, -0.3, 0.8]]))
        model.bias.fill_(0.1)
        y = model(x) + 0.1 * torch.randn(20, 1, generator=generator)
    return slt.LocalPosterior(model, (x, y), "mse", localization=1.0)


def sample(folder: Path, draws: int = 6, **settings: Any) -> slt.Trace:
    chosen = {
        **{"chains": 2, "draws": draws, "warmup": 4, "chain_method": "in_place", "progress": False},
        **{"observe": {"norm": lambda model: model.weight.norm()}, "save_to": folder, **settings},
    }
    return slt.sample(posterior(), slt.HMC(leapfrogs=1), **chosen)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rewrite_state(
    folder: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None], compressed: bool = False
) -> None:
    """Change the tree and the arrays of a state, with a checksum that fits."""
    with np.load(folder / "state.npz") as held:
        arrays = {name: held[name] for name in held.files}
    tree = json.loads(str(arrays.pop("tree")))
    tree.pop("checksum", None)
    change(tree, arrays)
    form = tree.pop("format", None)
    text = json.dumps(tree) if form is None else to_text(form, tree)
    (np.savez_compressed if compressed else np.savez)(folder / "state.npz", tree=np.array(text), **arrays)


def replace_member(folder: Path, name: str, content: bytes) -> None:
    """Replace one member of a state, bytes for bytes."""
    with zipfile.ZipFile(folder / "state.npz") as held:
        members = {member: held.read(member) for member in held.namelist()}
    members[name] = content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for member, each in members.items():
            made.writestr(member, each)
    (folder / "state.npz").write_bytes(buffer.getvalue())


class Scaled:
    """A loss whose name does not say its scale."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.scale * (model(batch[0]) - batch[1]).square().sum(1)
