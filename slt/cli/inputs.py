"""Converts command-line arguments to arguments of the library: factories by name, losses, settings, folders."""

import argparse
import os
import sys
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from slt.api import DEFAULT_SECONDS
from slt.errors import InputError, SettingsError
from slt.problem.losses import Loss, resolve_loss
from slt.samplers import HMC, SGLD

_SAMPLERS = {"auto": "auto", "hmc": HMC(), "sgld": SGLD()}


def named_function(option: str, text: str) -> Callable[..., Any]:
    """Import the function named ``package.module:function``; the current folder is searched first.

    Args:
        option: The option that it is the value of, for messages.
        text: The name.

    Returns:
        The function, not called.

    Raises:
        InputError: If the text is not such a name, the module cannot be imported, or has no such function. An
            exception other than ImportError in the module's own code propagates.
    """
    module, _, name = text.partition(":")
    if not module or not name or module.startswith("."):
        raise InputError(f"{option} must be package.module:function, got {text!r}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = import_module(module)
    except ImportError as error:
        raise InputError(f"{option} {text}: {module} cannot be imported from {os.getcwd()}: {error}.") from error
    try:
        function = reduce(getattr, name.split("."), found)
    except AttributeError as error:
        raise InputError(f"{option} {text}: {error}.") from error
    if not callable(function):
        raise InputError(f"{option} {text} must be a function, got {type(function).__name__}.")
    return function


def model_factory(text: str) -> Callable[[], nn.Module]:
    """Import the factory of ``--model``; a call that returns anything but a module raises a SettingsError."""
    factory = named_function("--model", text)

    def make() -> nn.Module:
        model = factory()
        if not isinstance(model, nn.Module):
            raise SettingsError(f"--model {text} must return a torch.nn.Module, got {type(model).__name__}.")
        return model

    return make


def loss_by_name(text: str) -> Loss:
    """Find the loss of ``--loss``: a built-in one, or the user's ``package.module:function``."""
    by_import = ":" in text and not text.startswith("gaussian:")
    return resolve_loss(named_function("--loss", text) if by_import else text)


def settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """Collect the keyword arguments of `slt.estimate_llc`."""
    return {
        "target_relative_error": chosen.target,
        "budget": DEFAULT_SECONDS if chosen.budget is None else chosen.budget,
        "sampler": _SAMPLERS[chosen.sampler],
        "n": chosen.n,
        "nbeta": chosen.nbeta,
        "localization": chosen.localization,
        "chains": chosen.chains,
        "batch_size": chosen.batch_size,
        "seed": chosen.seed,
        "progress": not chosen.quiet,
    }


def made_folder(path: str | None) -> Path | None:
    """Make the folder of ``--save-to`` before any other work.

    Args:
        path: The option's value, or None.

    Returns:
        The folder, or None.

    Raises:
        SettingsError: If it cannot be made.
    """
    if path is None:
        return None
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--save-to {path} cannot be created as a folder: {error.strerror}.") from error
    return folder
