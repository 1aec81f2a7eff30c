"""Toys of products that are no chains of matrices: diagonal networks, squares, tensors, power sums."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from slt import analytic
from slt.analytic.checks import integer, integers
from slt.toys.products import squared_distance
from slt.toys.toy import Toy, rows


class Factorization(nn.Module):
    """Factors that multiply into one tensor, and the tensor that it should be.

    Attributes:
        factors: The parameters.
        truth: What `product()` should be.
    """

    truth: Tensor

    def __init__(self, factors: Sequence[Tensor], truth: Tensor) -> None:
        """Start at the given factors, copied."""
        super().__init__()
        self.factors = nn.ParameterList([nn.Parameter(factor.detach().clone()) for factor in factors])
        # not persistent: a checkpoint of a toy holds its weights and nothing else
        self.register_buffer("truth", truth.detach().clone(), persistent=False)

    def forward(self, *args: object) -> Tensor:
        """Return the product.

        Args:
            *args: A batch, ignored.
        """
        return self.product()

    def product(self) -> Tensor:
        """What the factors make, in the shape of `truth`."""
        raise NotImplementedError


class Diagonal(Factorization):
    """The factors u_1, ..., u_L, each of shape (d,): multiplied entry by entry, a linear map of d inputs."""

    def product(self) -> Tensor:
        """Return prod_l u_l, shape (d,)."""
        return reduce(torch.mul, self.factors)


class Square(Factorization):
    """One factor U of shape (n, p)."""

    def product(self) -> Tensor:
        """Return U U^T, shape (n, n)."""
        (u,) = self.factors
        return u @ u.mT


class RankOne(Factorization):
    """The factors v_1, ..., v_k, shapes (d_i,)."""

    def product(self) -> Tensor:
        """Return v_1 (x) ... (x) v_k, shape (d_1, ..., d_k)."""
        return reduce(lambda outer, v: outer[..., None] * v, self.factors)


class PowerSums(Factorization):
    """The factors a, shape (M, H), and b, shape (H,): signed units at M outputs.

    Attributes:
        step: Q.
    """

    step: int = 1

    def product(self) -> Tensor:
        """Return sum_h a_h b_h^(Q n + 1) for n = 0, ..., H - 1, shape (M, H)."""
        a, b = self.factors
        return a @ torch.stack([b ** (self.step * n + 1) for n in range(len(b))], -1)


def diagonal_linear(dimension: int, zeros: int = 0, layers: int = 2, *, n: int = 1000) -> Toy:
    """The toy with K(u) = sum_i (prod_l u_li - theta_i)^2, a diagonal linear network.

    The last `zeros` of the theta_i are 0, the others 1. At w* all u_li = theta_i: where theta_i is 0 all L factors
    cross, which is the most degenerate of its zeros, and so the local value is the global one.

    Args:
        dimension: d >= 1.
        zeros: z, from 0 to d.
        layers: L >= 1; each is a parameter of shape (d,).
        n: The number of data rows, >= 2.

    Returns:
        The toy, with the exact RLCT (d/2, 1 + z (L - 1)).

    Raises:
        InputError: If a number is no integer in its range.
        SettingsError: If n is not an integer >= 2.

    >>> diagonal_linear(5, zeros=2, layers=3)
    Toy(diagonal_linear(5, zeros=2, layers=3); 15 parameters, n=1000, exact rlct 5/2, multiplicity 5)
    """
    exact = analytic.diagonal_linear(dimension, zeros, layers)
    theta = torch.cat([torch.ones(dimension - zeros), torch.zeros(zeros)])
    name = f"diagonal_linear({dimension}, zeros={zeros}, layers={layers})"
    return Toy(Diagonal([theta] * layers, theta), rows(n), squared_distance, exact, name)


def symmetric_factorization(size: int, columns: int, rank: int = 0, *, n: int = 1000) -> Toy:
    """The toy with K(U) = ||U U^T - T||_F^2; T has ones in the first `rank` places of its diagonal, else zeros.

    At w* U has the same ones. Orthogonal matrices turn all zeros of K into each other, so any has the same value.

    Args:
        size: The rows of U, >= 1.
        columns: The columns of U, >= 1.
        rank: r, from 0 to the smaller of both.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with its exact RLCT.

    Raises:
        InputError: If a number is no integer in its range.
        SettingsError: If n is not an integer >= 2.

    >>> symmetric_factorization(2, 2, rank=1)
    Toy(symmetric_factorization(2, 2, rank=1); 4 parameters, n=1000, exact rlct 5/4, multiplicity 1)
    """
    exact = analytic.symmetric_factorization(size, columns, rank)
    u, truth = torch.zeros(size, columns), torch.zeros(size, size)
    u.diagonal()[:rank] = 1
    truth.diagonal()[:rank] = 1
    name = f"symmetric_factorization({size}, {columns}, rank={rank})"
    return Toy(Square([u], truth), rows(n), squared_distance, exact, name)


def rank_one_tensor(dimensions: Sequence[int], *, n: int = 1000) -> Toy:
    """The toy with K(v) = ||v_1 (x) ... (x) v_k||^2, a rank-one tensor at truth 0, and w* = 0.

    Args:
        dimensions: d_i >= 1 of the vectors v_i, shape (k,).
        n: The number of data rows, >= 2.

    Returns:
        The toy, with the exact RLCT min d_i / 2.

    Raises:
        InputError: If there is no dimension, or one is no integer >= 1.
        SettingsError: If n is not an integer >= 2.

    >>> rank_one_tensor((2, 2, 3))
    Toy(rank_one_tensor((2, 2, 3)); 7 parameters, n=1000, exact rlct 1, multiplicity 2)
    """
    sizes = integers("dimensions", dimensions, 1)
    model = RankOne([torch.zeros(size) for size in sizes], torch.zeros(sizes))
    return Toy(model, rows(n), squared_distance, analytic.rank_one_tensor(sizes), f"rank_one_tensor({sizes})")


def vandermonde(units: int, step: int = 1, outputs: int = 1, *, n: int = 1000) -> Toy:
    r"""The toy with :math:`K(a, b) = \sum_{n < H} \big|\sum_h a_h b_h^{Qn + 1}\big|^2` of H units, and w* = 0.

    The sum of the catalogue goes on for ever, and diverges for abs(b_h) > 1. Its first H terms have the same RLCT:
    the b_h^Q are the roots of a polynomial of degree H, so each later power sum is a combination of the H before it,
    with coefficients bounded near 0.

    Args:
        units: H >= 1.
        step: Q >= 1.
        outputs: M >= 1: a has shape (M, H), b shape (H,).
        n: The number of data rows, >= 2.

    Returns:
        The toy, with its exact RLCT (Aoyagi, 2009, 2010).

    Raises:
        InputError: If a number is no integer >= 1.
        SettingsError: If n is not an integer >= 2.

    >>> vandermonde(4, step=2)
    Toy(vandermonde(4, step=2, outputs=1); 8 parameters, n=1000, exact rlct 1, multiplicity 2)
    """
    exact = analytic.vandermonde(units, step, outputs)
    model = PowerSums([torch.zeros(outputs, units), torch.zeros(units)], torch.zeros(outputs, units))
    model.step = integer("step", step, 1)
    name = f"vandermonde({units}, step={step}, outputs={outputs})"
    return Toy(model, rows(n), squared_distance, exact, name)
