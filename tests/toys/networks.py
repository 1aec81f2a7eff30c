"""Toys that are networks."""

from collections.abc import Callable

from slt import toys

MAKERS: dict[str, Callable[..., toys.Toy]] = {
    "deep linear": lambda **kw: toys.deep_linear((4, 3, 5), rank=2, **kw),
    "deep linear, four layers": lambda **kw: toys.deep_linear((4, 3, 5, 3, 2), rank=1, **kw),
    "deep linear, rank 0": lambda **kw: toys.deep_linear((2, 3, 2), **kw),
}
