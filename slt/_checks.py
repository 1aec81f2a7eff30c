"""Checks of settings that several rooms share."""

from numbers import Integral
from typing import Any

from slt.errors import SettingsError


def require_integer(name: str, value: Any, least: int | None = None) -> int:
    """Return an integer of any kind as Python's own, which settings can be written with.

    Args:
        name: The setting, for the message.
        value: What was given.
        least: The smallest that is allowed; None allows all.

    Returns:
        The integer.

    Raises:
        SettingsError: If it is none, a Boolean, or below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        raise SettingsError(
            f"{name} must be an integer{'' if least is None else f' of at least {least}'}, got {value!r}."
        )
    return int(value)
