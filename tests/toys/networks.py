"""Toys that are networks."""

from collections.abc import Callable

from slt import toys

MAKERS: dict[str, Callable[..., toys.Toy]] = {
    "deep linear": lambda **kw: toys.deep_linear((4, 3, 5), rank=2, **kw),
    "deep linear, four layers": lambda **kw: toys.deep_linear((4, 3, 5, 3, 2), rank=1, **kw),
    "deep linear, rank 0": lambda **kw: toys.deep_linear((2, 3, 2), **kw),
    "deep linear, off balance": lambda **kw: toys.deep_linear((4, 3, 5), rank=1, factor_ranks=(2, 2), **kw),
    "deep linear, unknown": lambda **kw: toys.deep_linear((2, 3, 3, 2), rank=1, factor_ranks=(2, 1, 2), **kw),
    "deep linear, units": lambda **kw: toys.deep_linear((1, 1, 1, 1), factor_ranks=(0, 1, 0), **kw),
    "reduced rank": lambda **kw: toys.reduced_rank_regression(4, 3, 2, 1, **kw),
    "reduced rank, off balance": lambda **kw: toys.reduced_rank_regression(2, 2, 2, factor_ranks=(2, 0), **kw),
    "adapter": lambda **kw: toys.lora(4, 3, 2, 1, **kw),
    "adapter, no update": lambda **kw: toys.lora(2, 3, 2, **kw),
    "diagonal": lambda **kw: toys.diagonal_linear(3, zeros=2, **kw),
    "diagonal, three layers": lambda **kw: toys.diagonal_linear(2, zeros=2, layers=3, **kw),
    "square": lambda **kw: toys.symmetric_factorization(3, 2, 1, **kw),
    "square, rank 0": lambda **kw: toys.symmetric_factorization(1, 3, **kw),
    "rank-one tensor": lambda **kw: toys.rank_one_tensor((2, 2, 3), **kw),
    "power sums": lambda **kw: toys.vandermonde(2, step=2, outputs=2, **kw),
    "power sums, one unit": lambda **kw: toys.vandermonde(1, **kw),
}
