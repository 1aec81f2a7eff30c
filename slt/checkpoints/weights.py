"""A checkpoint's weights, read as plain tensors and loaded whole."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from slt.errors import CheckpointError

PathLike = str | os.PathLike[str]

# where training scripts keep the weights in a checkpoint
_NESTED = ("state_dict", "model_state_dict", "model")


def load_weights(model: nn.Module, path: PathLike) -> None:
    """Load a checkpoint's weights into a model, every one of them.

    Args:
        model: The model; its weights and buffers are overwritten.
        path: A ``.safetensors`` file, or what `torch.save` wrote of a state dict.

    Raises:
        CheckpointError: If the file is missing, unreadable, not plain weights, or does not fit the model.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist.")
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not all(isinstance(name, str) for name in weights):
        raise CheckpointError(f"checkpoint {path} must name its tensors by text, got {[*weights][:5]}.")
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint {path} does not fit {type(model).__name__}: {error}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{path} needs the package safetensors: install slt-torch[safetensors].") from error
    try:
        return load_file(path)
    except Exception as error:  # as below
        raise CheckpointError(f"checkpoint {path} is not a readable safetensors file: {_reason(error)}.") from error


def _read_torch(path: Path) -> Mapping[str, Tensor]:
    try:
        _require_plain_archive(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    # bytes that are no pickle break the unpickler wherever they lead it; each way has its own exception
    except Exception as error:
        raise CheckpointError(
            f"checkpoint {path} does not hold plain weights ({_reason(error)}). Save model.state_dict()."
        ) from error
    for name in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"checkpoint {path} must hold a state dict of tensors, got {type(loaded).__name__}.")
    return loaded


def _require_plain_archive(path: Path) -> None:
    """Refuse an archive that would unpack to more than it is; `torch.save` does not compress."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"it would unpack to {unpacked} bytes")


def _reason(error: Exception) -> str:
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
