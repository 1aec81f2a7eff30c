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
    "tanh": lambda **kw: toys.tanh_network(3, **kw),
    "tanh, two outputs": lambda **kw: toys.tanh_network(2, outputs=2, **kw),
    "tanh, inputs and biases": lambda **kw: toys.tanh_network(1, 2, 2, bias=True, **kw),
    "tanh, one of two units": lambda **kw: toys.tanh_network(2, true_units=1, **kw),
    "tanh, regular": lambda **kw: toys.tanh_network(2, 2, 2, true_units=2, **kw),
    "tanh, unknown": lambda **kw: toys.tanh_network(3, 2, bias=True, true_units=2, **kw),
    "relu": lambda **kw: toys.relu_network(1, **kw),
    "relu, two inputs": lambda **kw: toys.relu_network(1, 2, **kw),
    "relu, three units": lambda **kw: toys.relu_network(3, **kw),
    "relu, true unit": lambda **kw: toys.relu_network(1, 3, true_units=1, **kw),
    "relu, dead": lambda **kw: toys.relu_network(2, 2, bias=True, **kw),
    "relu, unknown": lambda **kw: toys.relu_network(3, 2, bias=True, true_units=2, **kw),
    "monomial": lambda **kw: toys.monomial_activation(2, 2, **kw),
    "monomial, one unit": lambda **kw: toys.monomial_activation(1, 3, 2, 2, **kw),
    "monomial, unknown": lambda **kw: toys.monomial_activation(2, 2, 2, **kw),
    "squared units": lambda **kw: toys.quadratic_network(3, 2, 2, **kw),
    "squared units, pairs": lambda **kw: toys.quadratic_network(4, 2, 3, data="pairs", **kw),
}
