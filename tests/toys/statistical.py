"""Toys that are statistical models."""

from collections.abc import Callable

from slt import toys

MAKERS: dict[str, Callable[..., toys.Toy]] = {}
