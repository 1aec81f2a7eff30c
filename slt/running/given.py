"""What a run was given, checked before anything is done with it."""

from typing import Any

from torch import nn

from slt.errors import SettingsError
from slt.posterior import LocalPosterior

_SAMPLER = ("init", "step", "adapt", "pool", "full_data", "uniforms", "unadjusted")


def require_posterior(posterior: Any) -> None:
    """Refuse anything but a `LocalPosterior`.

    Raises:
        SettingsError: If it is something else, such as the model itself.
    """
    if isinstance(posterior, LocalPosterior):
        return
    got = f"the model {type(posterior).__name__}" if isinstance(posterior, nn.Module) else _named(posterior)
    raise SettingsError(f"posterior must be a slt.LocalPosterior(model, data, loss), got {got}; build one first.")


def require_sampler(sampler: Any) -> None:
    """Refuse anything but a sampler, such as its class or its name.

    Raises:
        SettingsError: If it is something else.
    """
    if isinstance(sampler, type) and all(hasattr(sampler, name) for name in _SAMPLER):
        raise SettingsError(
            f"sampler must be a sampler with its settings, got the class {sampler.__name__}; "
            f"call it: {sampler.__name__}()."
        )
    if not all(hasattr(sampler, name) for name in _SAMPLER):
        raise SettingsError(f"sampler must be a sampler such as slt.HMC() or slt.SGLD(), got {_named(sampler)}.")


def _named(value: Any) -> str:
    if isinstance(value, str):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
