"""Checks of settings, used in several places."""

from numbers import Integral
from typing import Any

from slt.errors import SettingsError


def require_integer(name: str, value: Any, least: int | None = None) -> int:
    """Return an integer of any type as a Python int, which JSON can store.

    Args:
        name: The setting, for the message.
        value: The value that was given.
        least: The smallest allowed value; None allows all.

    Returns:
        The integer.

    Raises:
        SettingsError: If it is not an integer, is a Boolean, or is below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        raise SettingsError(
            f"{name} must be an integer{'' if least is None else f' of at least {least}'}, got {value!r}."
        )
    return int(value)
