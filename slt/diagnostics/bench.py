"""The bench: the toys whose value at finite n is known, at the settings that `slt.estimate_llc` takes by itself."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from slt import toys
from slt.toys import Toy

_STANDARD = (
    "quadratic(10)",
    "quadratic(10 curvatures)",
    "normal_crossing((2, 2))",
    "normal_crossing((4,))",
    "normal_crossing((2, 2, 2))",
    "newton(((2, 2), (6, 0), (0, 6)))",
    "plane_curve((x^2 - y^3)^2)",
    "plane_curve((x^2 + y^2)^2)",
    "deep_linear((2, 2, 2), rank=0)",
    "deep_linear((3, 3, 3), rank=0)",
    "deep_linear((5, 5, 5), rank=2)",
    "deep_linear((4, 4, 4, 4), rank=2)",
)


def bench(n: int = 1000) -> list[Toy]:
    """Every toy of the bench: polynomials, linear networks, networks with one hidden layer, statistical models.

    Args:
        n: The number of data rows of each, >= 2.

    Returns:
        The toys, the smaller of each kind first.

    >>> len({toy.name for toy in bench()}) == len(bench())
    True
    """
    kinds = (_quadratics, _crossings, _polynomials, _linear_networks, _factorizations, _hidden_layers, _statistical)
    return [toy for kind in kinds for toy in kind(n)]


def standard_toys(n: int = 1000) -> list[Toy]:
    """A dozen toys of the bench, those that ``slt compare`` runs.

    Args:
        n: The number of data rows of each, >= 2.

    Returns:
        The toys.

    >>> [toy.name for toy in standard_toys()][2]
    'normal_crossing((2, 2))'
    """
    by_name = {toy.name: toy for toy in bench(n)}
    return [by_name[name] for name in _STANDARD]


def _quadratics(n: int) -> list[Toy]:
    round_ = [toys.quadratic(d, n=n) for d in (1, 2, 5, 10, 30, 100, 300, 1000)]
    stiff = [
        toys.quadratic(np.logspace(0, -decades, d).tolist(), n=n)
        for d, decades in ((5, 2), (10, 3), (20, 2), (50, 4), (150, 2), (500, 4))
    ]
    flat = [
        toys.quadratic([1.0] * rank + [0.0] * (d - rank), n=n) for d, rank in ((3, 1), (6, 2), (40, 15), (400, 100))
    ]
    return [*round_, *stiff, *flat]


def _crossings(n: int) -> list[Toy]:
    exponents = [
        (4,),
        (6,),
        (2, 2),
        (2, 4),
        (2, 6),
        (4, 4),
        (4, 0),
        (2, 2, 2),
        (2, 2, 4),
        (4, 2, 6),
        (1, 1),
        (2, 2, 2, 2),
    ]
    return [toys.normal_crossing(k, n=n) for k in exponents]


def _polynomials(n: int) -> list[Toy]:
    positive: Sequence[Sequence[Sequence[int]]] = [
        ((2, 0), (0, 4)),
        ((4, 0), (0, 4)),
        ((2, 0), (0, 6)),
        ((4, 0), (0, 6)),
        ((2, 2), (6, 0), (0, 6)),
        ((4, 0), (2, 2)),
        ((4, 2), (2, 4)),
        ((4, 2), (2, 6)),
        ((6, 2), (2, 6)),
        ((8, 0), (2, 2), (0, 8)),
        ((6, 0), (4, 2), (0, 8)),
    ]
    curves = [
        "(x^2 + y^2)^2",
        "(x^2 - 2*y^2)^2",
        "(x - y^2)^2",
        "(x^2 - y^3)^2",
        "(y - x^2)^2 + x^6",
        "((y - x^2)^2 - x^5)^2",
        "(x + y)^2 + 2*x^4 + y^4",
        "(x*y*(x - y))^2",
    ]
    signed = toys.newton(((2, 0), (1, 1), (0, 2)), coefficients=(1, -1, 1), n=n)
    return [*(toys.newton(k, n=n) for k in positive), signed, *(toys.plane_curve(curve, n=n) for curve in curves)]


def _linear_networks(n: int) -> list[Toy]:
    one_hidden = [
        ((1, 1, 1), (0, 1)),
        ((2, 1, 2), (0, 1)),
        ((2, 2, 2), (0, 1, 2)),
        ((3, 2, 4), (0, 1, 2)),
        ((3, 3, 3), (0, 1, 2, 3)),
        ((2, 4, 2), (0, 1)),
        ((5, 5, 5), (1, 2, 3, 5)),
        ((10, 4, 6), (1, 3)),
        ((10, 10, 10), (2, 5)),
        ((20, 10, 15), (3,)),
        ((30, 12, 10), (4,)),
    ]
    deep = [
        ((2, 2, 2, 2), (1, 2)),
        ((3, 3, 3, 3), (1, 3)),
        ((4, 4, 4, 4), (2,)),
        ((5, 3, 4, 2, 5), (1, 2)),
        ((5, 5, 5, 5, 5), (3,)),
        ((8, 6, 7, 9), (3,)),
        ((10, 10, 10, 10), (4,)),
        ((15, 15, 15, 15), (5,)),
    ]
    return [toys.deep_linear(widths, rank, n=n) for widths, ranks in [*one_hidden, *deep] for rank in ranks]


def _factorizations(n: int) -> list[Toy]:
    return [
        toys.reduced_rank_regression(2, 2, 2, factor_ranks=(2, 0), n=n),
        toys.deep_linear((4, 3, 5), rank=1, factor_ranks=(2, 2), n=n),
        toys.diagonal_linear(3, zeros=2, n=n),
        toys.diagonal_linear(2, zeros=2, layers=3, n=n),
        toys.symmetric_factorization(1, 3, n=n),
        toys.symmetric_factorization(3, 2, 1, n=n),
        toys.rank_one_tensor((2, 2, 3), n=n),
        toys.lora(2, 3, 2, n=n),
        toys.vandermonde(2, step=2, outputs=2, n=n),
    ]


def _hidden_layers(n: int) -> list[Toy]:
    return [
        toys.tanh_network(1, n=n),
        toys.tanh_network(2, outputs=2, n=n),
        toys.tanh_network(2, true_units=1, n=n),
        toys.relu_network(1, 2, n=n),
        toys.toy_superposition(3, 3, n=n),
    ]


def _statistical(n: int) -> list[Toy]:
    half = Fraction(1, 2)
    return [
        toys.gaussian_mixture(2, n=n),
        toys.gaussian_mixture(3, 2, concentration=half, n=n),
        toys.poisson_mixture(2, concentration=half, n=n),
        toys.binomial_mixture(2, trials=3, n=n),
        toys.naive_bayes(4, n=n),
        toys.factor_analysis(3, n=n),
        toys.rbm(4, n=n),
        toys.hmm(3, n=n),
        toys.nmf(2, 2, 2, n=n),
        toys.multinomial_boundary(4, zeros=2, n=n),
    ]
