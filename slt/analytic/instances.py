"""The named instances of each family: which members the catalogue shows."""

from fractions import Fraction
from typing import Any

from slt.analytic.edge_ideals import complete


def _braid(dimension: int) -> tuple[tuple[int, ...], ...]:
    """The forms w_i - w_j."""
    return tuple(tuple((k == i) - (k == j) for k in range(dimension)) for i, j in complete(dimension))


# fmt: off
_INSTANCES: dict[str, tuple[dict[str, Any], ...]] = {
    "regular": (
        dict(dimension=1), dict(dimension=3), dict(dimension=5), dict(dimension=2, curvatures=(4.0, 0.5)),
    ),
    "minimally_singular": (
        dict(dimension=3, rank=1), dict(dimension=5, rank=2), dict(dimension=4, rank=3),
    ),
    "quadratic": (
        dict(curvatures=(4.0, 1.0, 0.5, 0.0)),
    ),
    "normal_crossing": (
        dict(exponents=(4,)), dict(exponents=(6,)), dict(exponents=(10,)), dict(exponents=(2, 4)),
        dict(exponents=(4, 4)), dict(exponents=(4, 2, 6)), dict(exponents=(2, 6)), dict(exponents=(6, 6)),
        dict(exponents=(2, 2), prior_exponents=(1, 0)), dict(exponents=(2, 4), prior_exponents=(0, 1)),
        dict(exponents=(4, 4), prior_exponents=(1, 0)), dict(exponents=(2, 2, 2), prior_exponents=(0, 1, 0)),
        dict(exponents=(2, 2), prior_exponents=(Fraction(-1, 2), 0)),
        dict(exponents=(2, 4), prior_exponents=(Fraction(-1, 2), 1)), dict(exponents=(1, 1, 1)),
        dict(exponents=(3, 1)), dict(exponents=(2, 2, 2, 2)), dict(exponents=(2, 2, 2, 2, 2)),
        dict(exponents=(2, 2, 2, 2, 2, 2, 2, 2)), dict(exponents=(1,)), dict(exponents=(2,)), dict(exponents=(2, 0)),
        dict(exponents=(0, 4)), dict(exponents=(2, 2)),
    ),
    "weighted_homogeneous": (
        dict(weights=(2, 1), degree=4), dict(weights=(3, 1), degree=6), dict(weights=(3, 2), degree=12),
        dict(weights=(6, 3, 2), degree=12), dict(weights=(1, 1, 1, 1), degree=4),
        dict(weights=(1, 1, 1, 1, 1), degree=4), dict(weights=(1, 1, 1, 1), degree=6), dict(weights=(1,), degree=4),
        dict(weights=(2, 1), degree=4, exponents=((2, 0), (0, 4))),
    ),
    "quasi_homogeneous_squared": (
        dict(weights=(1, 1)), dict(weights=(5, 2), degree=10), dict(weights=(4, 3), degree=12),
        dict(weights=(5, 3), degree=15), dict(weights=(2, 1), degree=4, real_zeros=False),
        dict(weights=(1, 1), degree=2), dict(weights=(1, 1), degree=2, real_zeros=False),
        dict(weights=(2, 1), degree=2), dict(weights=(1, 1, 1), degree=2),
    ),
    "hyperplane_arrangement": (
        dict(forms=((1, 0), (0, 1), (1, -1))), dict(forms=((1, 0), (0, 1), (1, -1)), exponents=(2, 4, 2)),
        dict(forms=((1, 0), (0, 1), (1, -1)), exponents=(2, 6, 2)), dict(forms=((1, -1, 0), (1, 0, -1), (0, 1, -1))),
        dict(forms=_braid(4)), dict(forms=_braid(6)), dict(forms=((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))),
    ),
    "newton": (
        dict(exponents=((1, 0, 0), (0, 1, 0), (0, 0, 1))), dict(exponents=((2, 0), (0, 2))),
        dict(exponents=((2, 0), (0, 4))), dict(exponents=((2, 0), (0, 6))), dict(exponents=((4, 0), (0, 4))),
        dict(exponents=((4, 0), (0, 6))), dict(exponents=((2, 2), (6, 0), (0, 6))), dict(exponents=((4, 0), (2, 2))),
        dict(exponents=((4, 2), (2, 4))), dict(exponents=((4, 2), (2, 6))), dict(exponents=((6, 2), (2, 6))),
        dict(exponents=((8, 0), (2, 2), (0, 8))), dict(exponents=((6, 0), (4, 2), (0, 8))),
        dict(exponents=((2, 2, 0), (0, 2, 2), (2, 0, 2))), dict(exponents=((2, 0, 0), (0, 4, 0), (0, 0, 4))),
        dict(exponents=((2, 2, 0), (0, 0, 2))),
        dict(exponents=((2, 2, 0), (0, 2, 2), (2, 0, 2)), prior_exponents=(1, 0, 0)),
        dict(exponents=((4, 0, 0), (0, 4, 0), (0, 0, 4), (2, 2, 2))), dict(exponents=((4, 2, 0), (0, 2, 4))),
        dict(exponents=((2, 2, 0), (2, 0, 4))), dict(exponents=((2, 2, 2), (4, 0, 0), (0, 4, 0))),
        dict(exponents=((2, 0), (1, 1), (0, 2)), coefficients=(1, -1, 1)),
        dict(exponents=((2, 0), (1, 1), (0, 2)), coefficients=(1, -2, 1)),
        dict(exponents=((2, 0, 0), (1, 2, 0), (0, 4, 0), (0, 0, 2)), coefficients=(1, 2, 1, 1)),
    ),
    "plane_curve": (
        dict(polynomial="(x^2 + y^2)^2"), dict(polynomial="(x^2 - 2*y^2)^2"), dict(polynomial="(x - y^2)^2"),
        dict(polynomial="(x^2 - y^3)^2"), dict(polynomial="(y - x^2)^2 + x^6"),
        dict(polynomial="((y - x^2)^2 - x^5)^2"), dict(polynomial="(x + y)^2 + 2*x^4 + y^4"),
    ),
    "edge_ideal": (
        dict(edges=((0, 1), (1, 2), (2, 3), (3, 0))), dict(edges=((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))),
        dict(edges=tuple(complete(4))), dict(edges=tuple(complete(5))), dict(edges=((0, 1), (0, 2), (0, 3))),
    ),
    "determinantal": (
        dict(rows=2, columns=3, size=2), dict(rows=3, columns=3, size=3), dict(rows=3, columns=3, size=2),
        dict(rows=3, columns=4, size=2), dict(rows=4, columns=4, size=2), dict(rows=2, columns=5, size=1),
        dict(rows=2, columns=2, size=2, symmetric=True), dict(rows=4, columns=4, size=3, symmetric=True),
    ),
    "reduced_rank_regression": (
        dict(inputs=1, outputs=1, hidden=1, rank=0), dict(inputs=1, outputs=2, hidden=1, rank=0),
        dict(inputs=2, outputs=2, hidden=1, rank=0), dict(inputs=1, outputs=3, hidden=1, rank=0),
        dict(inputs=2, outputs=2, hidden=2, rank=0), dict(inputs=2, outputs=1, hidden=2, rank=0),
        dict(inputs=2, outputs=3, hidden=2, rank=0), dict(inputs=2, outputs=5, hidden=2, rank=0),
        dict(inputs=2, outputs=2, hidden=3, rank=0), dict(inputs=2, outputs=2, hidden=4, rank=0),
        dict(inputs=3, outputs=3, hidden=2, rank=0), dict(inputs=3, outputs=4, hidden=2, rank=0),
        dict(inputs=3, outputs=3, hidden=3, rank=0), dict(inputs=3, outputs=4, hidden=3, rank=0),
        dict(inputs=3, outputs=2, hidden=3, rank=0), dict(inputs=3, outputs=6, hidden=3, rank=0),
        dict(inputs=3, outputs=7, hidden=3, rank=0), dict(inputs=3, outputs=3, hidden=4, rank=0),
        dict(inputs=3, outputs=3, hidden=7, rank=0), dict(inputs=2, outputs=2, hidden=2, rank=1),
        dict(inputs=2, outputs=3, hidden=2, rank=1), dict(inputs=2, outputs=4, hidden=2, rank=1),
        dict(inputs=2, outputs=2, hidden=3, rank=1), dict(inputs=2, outputs=3, hidden=3, rank=1),
        dict(inputs=2, outputs=1, hidden=2, rank=1), dict(inputs=4, outputs=5, hidden=3, rank=1),
        dict(inputs=4, outputs=6, hidden=3, rank=2), dict(inputs=4, outputs=4, hidden=4, rank=2),
        dict(inputs=5, outputs=5, hidden=2, rank=1), dict(inputs=3, outputs=10, hidden=2, rank=1),
        dict(inputs=8, outputs=8, hidden=4, rank=2), dict(inputs=10, outputs=3, hidden=3, rank=2),
        dict(inputs=30, outputs=20, hidden=5, rank=3), dict(inputs=10, outputs=10, hidden=10, rank=0),
        dict(inputs=2, outputs=2, hidden=2, rank=0, factor_ranks=(1, 0)),
        dict(inputs=2, outputs=2, hidden=2, rank=0, factor_ranks=(1, 1)),
        dict(inputs=2, outputs=2, hidden=2, rank=0, factor_ranks=(2, 0)),
        dict(inputs=2, outputs=2, hidden=2, rank=1, factor_ranks=(2, 1)),
        dict(inputs=2, outputs=2, hidden=2, rank=2, factor_ranks=(2, 2)),
        dict(inputs=3, outputs=3, hidden=3, rank=1, factor_ranks=(1, 1)),
        dict(inputs=3, outputs=3, hidden=3, rank=1, factor_ranks=(2, 2)),
        dict(inputs=3, outputs=3, hidden=3, rank=0, factor_ranks=(1, 1)), dict(inputs=5, outputs=5, hidden=5, rank=1),
        dict(inputs=5, outputs=5, hidden=5, rank=2), dict(inputs=5, outputs=5, hidden=5, rank=3),
    ),
    "deep_linear": (
        dict(widths=(1, 1, 1), rank=0), dict(widths=(1, 1, 1, 1, 1, 1), rank=0),
        dict(widths=(1, 1, 1, 1, 1, 1, 1), rank=0), dict(widths=(1, 1, 1, 1), rank=1), dict(widths=(2, 1, 1), rank=0),
        dict(widths=(2, 2, 2), rank=0), dict(widths=(2, 2, 2), rank=1), dict(widths=(2, 2, 2), rank=2),
        dict(widths=(2, 2, 2, 2), rank=2), dict(widths=(2, 2, 2, 2, 2), rank=0),
        dict(widths=(2, 2, 2, 2, 2, 2, 2), rank=0), dict(widths=(2, 2, 2, 3), rank=0),
        dict(widths=(2, 3, 2, 2), rank=0), dict(widths=(2, 1, 2), rank=0), dict(widths=(3, 2, 1, 2), rank=0),
        dict(widths=(2, 1, 3, 1, 2), rank=0), dict(widths=(1, 2, 1), rank=0), dict(widths=(3, 3, 3), rank=0),
        dict(widths=(3, 3, 3), rank=1), dict(widths=(3, 3, 3, 3), rank=0), dict(widths=(3, 3, 3, 3), rank=1),
        dict(widths=(3, 3, 3, 3, 3), rank=1), dict(widths=(3, 2, 3), rank=0), dict(widths=(3, 2, 3, 2, 3), rank=1),
        dict(widths=(4, 3, 2, 3), rank=0), dict(widths=(4, 4, 4, 4), rank=0), dict(widths=(4, 4, 4, 4), rank=1),
        dict(widths=(4, 4, 4, 4), rank=2), dict(widths=(5, 3, 4, 2, 5), rank=1), dict(widths=(5, 3, 4, 2, 5), rank=2),
        dict(widths=(4, 4, 4, 4, 4), rank=0), dict(widths=(5, 5, 5, 5, 5, 5), rank=2),
        dict(widths=(10, 5, 5, 10), rank=2), dict(widths=(10, 10, 10, 10), rank=3), dict(widths=(8, 6, 7, 9), rank=3),
        dict(widths=(6, 4, 5, 4, 6, 7), rank=1), dict(widths=(3, 3, 3, 3, 3, 3, 3), rank=0),
        dict(widths=(4, 4, 4, 4, 4, 4, 4), rank=1), dict(widths=(3, 10, 10, 3), rank=0),
        dict(widths=(10, 3, 3, 10), rank=0), dict(widths=(784, 128, 64, 10), rank=5),
        dict(widths=(1, 1, 1, 1), factor_ranks=(0, 0, 1)), dict(widths=(3, 2, 4), rank=1, softmax=True),
        dict(widths=(5, 5, 5), rank=2, biases=True), dict(widths=(10, 5, 5), rank=2, input_rank=4),
    ),
    "lora": (
        dict(inputs=768, outputs=768, adapter=8, rank=0), dict(inputs=768, outputs=768, adapter=8, rank=8),
        dict(inputs=4096, outputs=1024, adapter=16, rank=4),
    ),
    "diagonal_linear": (
        dict(dimension=3, zeros=1, layers=2), dict(dimension=3, zeros=3, layers=2),
        dict(dimension=5, zeros=2, layers=3), dict(dimension=4, zeros=4, layers=4), dict(dimension=1, zeros=1),
    ),
    "symmetric_factorization": (
        dict(size=1, columns=1, rank=0), dict(size=2, columns=1, rank=0), dict(size=2, columns=2, rank=0),
        dict(size=3, columns=2, rank=0), dict(size=2, columns=2, rank=1), dict(size=2, columns=3, rank=1),
        dict(size=2, columns=4, rank=1), dict(size=3, columns=2, rank=2), dict(size=3, columns=3, rank=1),
        dict(size=4, columns=4, rank=2),
    ),
    "rank_one_tensor": (
        dict(dimensions=(1, 1, 1)), dict(dimensions=(2, 3)), dict(dimensions=(2, 2, 2)), dict(dimensions=(2, 2, 3)),
        dict(dimensions=(3, 3, 3)),
    ),
    "vandermonde": (
        dict(units=1, step=1), dict(units=2, step=1), dict(units=4, step=1), dict(units=5, step=1),
        dict(units=6, step=1), dict(units=1, step=3), dict(units=3, step=3), dict(units=5, step=3),
        dict(units=2, step=4), dict(units=6, step=4),
    ),
    "tanh_network": (
        dict(units=1), dict(units=2), dict(units=3), dict(units=4), dict(units=5), dict(units=6), dict(units=7),
        dict(units=8), dict(units=9), dict(units=1, outputs=3), dict(units=2, outputs=2), dict(units=2, outputs=3),
        dict(units=3, outputs=2), dict(units=4, outputs=2), dict(units=4, outputs=4), dict(units=1, bias=True),
        dict(units=1, inputs=3), dict(units=2, true_units=1), dict(units=3, true_units=3),
        dict(units=1, inputs=2, outputs=3, bias=True),
    ),
    "relu_network": (
        dict(units=2), dict(units=3), dict(units=1, bias=True), dict(units=1, true_units=1),
    ),
    "monomial_activation": (
        dict(units=3, degree=2), dict(units=1, degree=3), dict(units=3, degree=3), dict(units=4, degree=3),
        dict(units=2, degree=1), dict(units=1, degree=2, inputs=4, outputs=2),
    ),
    "quadratic_network": (
        dict(inputs=6, outputs=3, units=8), dict(inputs=4, outputs=2, units=3),
        dict(inputs=226, outputs=113, units=128, data="pairs"),
    ),
    "toy_superposition": (
        dict(features=6, polygon=5, plus=1), dict(features=6, polygon=6), dict(features=5, polygon=5),
        dict(features=8, polygon=8), dict(features=4, polygon=4), dict(features=6, polygon=4, plus=1),
        dict(features=6, polygon=4, plus=2), dict(features=3, polygon=3), dict(features=6, polygon=5),
        dict(features=7, polygon=7), dict(features=6, polygon=4),
    ),
    "gaussian_mixture": (
        dict(components=2, true_components=1, dimension=1), dict(components=3, true_components=1, dimension=1),
        dict(components=4, true_components=1, dimension=1), dict(components=3, true_components=2, dimension=1),
        dict(components=3, true_components=1, dimension=2), dict(components=2, true_components=1, dimension=3),
        dict(components=3, true_components=1, dimension=3), dict(components=2, true_components=1, dimension=5),
        dict(components=2, true_components=1, dimension=1, concentration=Fraction(1, 2)),
    ),
    "poisson_mixture": (
        dict(components=2, true_components=1), dict(components=3, true_components=1),
        dict(components=3, true_components=2),
    ),
    "binomial_mixture": (
        dict(components=2, trials=2), dict(components=2, trials=4), dict(components=3, trials=2),
        dict(components=3, trials=1),
    ),
    "naive_bayes": (
        dict(features=2, truth="independent"), dict(features=3, truth="independent"),
        dict(features=6, truth="independent"), dict(features=3, truth="generic"), dict(features=4, truth="pair"),
        dict(features=3, mixing="interior"),
    ),
    "factor_analysis": (
        dict(variables=2, truth="independent"), dict(variables=3, truth="independent"),
        dict(variables=4, truth="independent"), dict(variables=4, truth="generic"), dict(variables=3, truth="pair"),
    ),
    "rbm": (
        dict(visible=2), dict(visible=3),
    ),
    "hmm": (
        dict(length=3),
    ),
    "lda": (
        dict(vocabulary=2, documents=2, topics=2, rank=0), dict(vocabulary=3, documents=2, topics=2, rank=0),
        dict(vocabulary=3, documents=3, topics=2, rank=0), dict(vocabulary=3, documents=3, topics=2, rank=1),
        dict(vocabulary=5, documents=4, topics=3, rank=0),
    ),
    "nmf": (
        dict(rows=1, columns=1, hidden=2), dict(rows=2, columns=3, hidden=2), dict(rows=3, columns=3, hidden=3),
        dict(rows=2, columns=4, hidden=2, shapes=(1, Fraction(1, 2))),
    ),
    "multinomial_boundary": (
        dict(cells=2, zeros=1), dict(cells=2, zeros=1, concentration=Fraction(1, 2)), dict(cells=4, zeros=1),
    ),
}
# fmt: on


def instances(family: str) -> tuple[dict[str, Any], ...]:
    """The arguments of each named instance of a family.

    Args:
        family: Its name, as in `slt.analytic`.

    Returns:
        Keyword arguments, one dict an instance.
    """
    return _INSTANCES[family]
