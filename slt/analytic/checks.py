"""Checks of the numbers that say which loss is meant; each error says what must hold and what was got."""

from collections.abc import Iterable
from math import inf
from numbers import Integral

from slt.errors import InputError, SettingsError


def integer(name: str, value: object, minimum: int, error: type[InputError] = InputError) -> int:
    """Return `value` as an int, or raise `error`; a bool is not an integer here."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise error(f"{name} must be an integer >= {minimum}, got {value!r}.")
    return int(value)


def integers(name: str, values: object, minimum: int, at_least: int = 1) -> tuple[int, ...]:
    """Return `values` as a tuple of ints.

    Raises:
        InputError: If it is no sequence, shorter than `at_least`, or an element is no integer >= `minimum`.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a sequence of integers >= {minimum}, got {values!r}.")
    listed = tuple(values)
    if len(listed) < at_least:
        raise InputError(f"{name} must have at least {at_least} elements, got {listed!r}.")
    return tuple(integer(f"{name}[{i}]", value, minimum) for i, value in enumerate(listed))


def positive(name: str, value: float) -> float:
    """Return `value` as a float.

    Raises:
        SettingsError: If it is not a finite number > 0.
    """
    if not 0 < value < inf:
        raise SettingsError(f"{name} must be positive and finite, got {value}.")
    return float(value)
