"""Latent variables: monomial models by linear programs, divergences by their models, and what is not known."""

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.errors import InputError, NotAvailableError

quick = settings(derandomize=True, deadline=None, max_examples=40)
shapes = st.fractions(Fraction(1, 4), 3, max_denominator=4)


def excess(components: int, dimension: int, phi: Fraction) -> RLCT:
    """(sum_j a_j |d_j|^2)^2 for the extra components: as nothing cancels, a sum of squared monomials."""
    exponents = [[x for j in range(components) for x in ((2, 4) if i == j else (0, 0))] for i in range(components)]
    return analytic.newton(exponents, [phi - 1, dimension - 1] * components).rlct  # |d| has density r^(M - 1)


@quick
@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 5), shapes)
def test_gaussian_mixtures(true: int, extra: int, dimension: int, phi: Fraction):
    found = analytic.gaussian_mixture(true + extra, true, dimension, phi).rlct
    regular = RLCT(Fraction(true * dimension + true - 1, 2), 1)
    assert found == (regular + excess(extra, dimension, phi) if extra else regular)


@quick
@given(st.integers(1, 6), st.integers(0, 6), shapes)
def test_mixtures_in_one_dimension_are_alike(true: int, extra: int, phi: Fraction):
    normal = analytic.gaussian_mixture(true + extra, true, 1, phi).rlct
    assert analytic.poisson_mixture(true + extra, true, phi).rlct == normal
    assert analytic.binomial_mixture(true + extra, 2 * true, true, phi).rlct == normal
    uniform = analytic.poisson_mixture(true + extra, true).rlct
    assert uniform == RLCT(Fraction(3 * true + (true + extra) - 2, 4), 1)


def test_weights_are_not_negative():
    # with signed weights the extra components could cancel, and the values would be smaller, or of larger m
    for components in (3, 4):
        signed = RLCT(Fraction(1, 2), 1) + analytic.vandermonde(components - 1).rlct
        assert analytic.vandermonde(components).rlct < analytic.gaussian_mixture(components).rlct <= signed
    assert analytic.vandermonde(4).value == Fraction(7, 6)
    assert analytic.gaussian_mixture(4).value == Fraction(5, 4)


def test_a_normal_mixture_is_like_its_model():
    # KL(N(0, 1) || (1 - a) N(b, 1) + a N(c, 1)) over the model, on scales from 0.03 to 0.5: bounded both ways
    rng = np.random.default_rng(0)
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    a = rng.uniform(0.05, 1, 2000) ** 3
    b, c = (rng.choice([-1, 1], (2, 2000)) * np.exp(rng.uniform(np.log(0.03), np.log(0.5), (2, 2000)))).tolist()
    b, c = np.array(b), np.array(c)
    b[::2] = -a[::2] * c[::2] / (1 - a[::2] + 1e-12)  # half of them with mean 0, where only the second order is left
    keep = np.abs(b) < 0.6
    a, b, c = a[keep], b[keep], c[keep]
    tilt = [np.expm1(np.outer(m, x) - (m * m / 2)[:, None]) for m in (b, c)]
    ratio = (1 - a)[:, None] * tilt[0] + a[:, None] * tilt[1]
    divergence = ((ratio - np.log1p(ratio)) * weight).sum(1)  # the mean of the ratio is 0
    mean, second = (1 - a) * b + a * c, (1 - a) * b**2 + a * c**2
    model = mean**2 + second**2
    assert 0.1 < (divergence / model).min()
    assert (divergence / model).max() < 1
    # the regular part alone is no model, nor the second order to the first power
    assert (divergence / (mean**2 + 1e-300)).max() > 1e3
    assert (divergence / (mean**2 + second)).min() < 1e-2


def pairs(n: int, *, mixing: bool) -> RLCT:
    """t^2 sum u_i^2 u_j^2 beside n regular directions, as a Newton polyhedron; without t where it is fixed."""
    monomials = [[2 * (k in (i, j)) for k in range(n)] + [2 * mixing] for j in range(n) for i in range(j)]
    assert len(monomials) == comb(n, 2)
    return RLCT(Fraction(n, 2), 1) + analytic.newton(monomials).rlct


@pytest.mark.parametrize("n", range(2, 8))
def test_pairs_of_features(n: int):
    free = analytic.naive_bayes(n).rlct
    assert free == pairs(n, mixing=True)
    assert free == (RLCT(Fraction(n + 1, 2), 1) if n > 2 else RLCT(Fraction(3, 2), 3))
    interior = analytic.naive_bayes(n, mixing="interior").rlct
    factor = analytic.factor_analysis(n).rlct
    assert interior == factor == pairs(n, mixing=False)
    assert factor == RLCT(Fraction(3 * n, 4), 1 if n > 2 else 2)
    assert analytic.rbm(n).rlct == RLCT(Fraction(n, 4), 1 if n > 2 else 2)
    assert free < interior  # t = 0 and t = 1 are further zeros


def test_small_and_generic_latent_models():
    assert analytic.naive_bayes(1).rlct == analytic.factor_analysis(1).rlct == RLCT(Fraction(1, 2), 1)
    assert analytic.rbm(1).rlct == RLCT(0, 1)
    assert analytic.factor_analysis(3, free_mean=True).rlct == RLCT(Fraction(9, 4) + Fraction(3, 2), 1)
    # two variables: one dependence is all there can be, and the three moments are free
    assert analytic.naive_bayes(2, "pair").rlct == analytic.factor_analysis(2, "pair").rlct == RLCT(Fraction(3, 2), 1)
    assert analytic.factor_analysis(3, "generic").rlct == RLCT(3, 1)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_generic_naive_bayes_by_its_jacobian(n: int):
    rng = np.random.default_rng(n)
    theta = rng.uniform(0.2, 0.8, 1 + 2 * n)
    bits = np.array(np.meshgrid(*[[0, 1]] * n)).reshape(n, -1).T

    def law(z: np.ndarray) -> np.ndarray:
        p = z[1:].reshape(2, n)
        each = np.prod(np.where(bits[:, None], p, 1 - p), axis=2)
        return z[0] * each[:, 0] + (1 - z[0]) * each[:, 1]

    jacobian = [(law(theta + 1e-5 * e) - law(theta - 1e-5 * e)) / 2e-5 for e in np.eye(len(theta))]
    rank = int(np.linalg.matrix_rank(np.array(jacobian), tol=1e-6))
    assert analytic.naive_bayes(n, "generic").rlct == RLCT(Fraction(rank, 2), 1)


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), shapes, shapes)
def test_nmf_is_a_sum_of_products(rows: int, columns: int, hidden: int, x: Fraction, y: Fraction):
    # entries >= 0: ||X Y||^2 is like the sum of (sum_i X_ih)^2 (sum_j Y_hj)^2, each sum with a density of its own
    exponents = [[2 * (i // 2 == h) for i in range(2 * hidden)] for h in range(hidden)]
    prior = [rows * x - 1, columns * y - 1] * hidden
    assert analytic.nmf(rows, columns, hidden, shapes=(x, y)).rlct == analytic.newton(exponents, prior).rlct
    if x == y == 1:
        assert analytic.nmf(rows, columns, hidden).value >= analytic.deep_linear((columns, hidden, rows)).value


@quick
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7), st.data())
def test_lda_is_a_smaller_matrix_product(words: int, documents: int, topics: int, data: Any):
    r = data.draw(st.integers(0, min(words, documents, topics) - 1))
    found = analytic.lda(words, documents, topics, r).rlct
    if min(words, documents, topics) > 1:
        product = analytic.reduced_rank_regression(documents - 1, words - 1, topics - 1, r).rlct
        assert found == RLCT(Fraction(words - 1, 2), 1) + product
    else:
        assert found == RLCT(Fraction(words - 1, 2), 1)
    if (
        words + topics >= documents + r + 1
        and documents + topics >= words + r + 1
        and words + documents >= topics + r + 1
    ):
        whole = analytic.reduced_rank_regression(documents, words, topics, r + 1)
        assert (found.value, found.multiplicity) == (whole.value - Fraction(documents, 2), whole.multiplicity)


@quick
@given(st.integers(1, 8), st.integers(0, 7), shapes)
def test_zero_cells_are_linear(cells: int, zeros: int, phi: Fraction):
    zeros = min(zeros, cells - 1)
    exponents = [[(2 if i < cells - 1 - zeros else 1) * (i == j) for i in range(cells - 1)] for j in range(cells - 1)]
    prior = [*[0] * (cells - 1 - zeros), *[phi - 1] * zeros]
    found = analytic.multinomial_boundary(cells, zeros, phi).rlct
    assert found == (analytic.newton(exponents, prior).rlct if cells > 1 else RLCT(0, 1))


def test_hmm_whatever_the_length():
    # m^2 + (pi (1 - pi) d^2 rho)^2 at pi = d = rho = 0
    model = analytic.newton([(2, 0, 0, 0), (0, 2, 4, 2)]).rlct
    assert {analytic.hmm(length).rlct for length in (2, 3, 10)} == {model}


@pytest.mark.parametrize(
    "call",
    [
        lambda: analytic.binomial_mixture(3, 3, 2),
        lambda: analytic.nmf(2, 2, 2, rank=1),
        lambda: analytic.rbm(3, hidden=2),
        lambda: analytic.hmm(3, states=3),
    ],
)
def test_not_available(call: Any):
    with pytest.raises(NotAvailableError, match="known"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analytic.gaussian_mixture(2, 3), r"true_components must be at most the components \(2\), got 3"),
        (
            lambda: analytic.gaussian_mixture(2, concentration=0),
            "concentration must be an int or a Fraction > 0, got 0",
        ),
        (lambda: analytic.poisson_mixture(2, concentration=0.5), "must be an int or a Fraction > 0, got 0.5"),
        (lambda: analytic.binomial_mixture(2, 0), "trials must be an integer >= 1, got 0"),
        (lambda: analytic.naive_bayes(2, "generic"), "features must be an integer >= 3, got 2"),
        (lambda: analytic.naive_bayes(2, "none"), "truth must be one of independent, pair, generic, got 'none'"),
        (lambda: analytic.naive_bayes(2, mixing="fixed"), "mixing must be one of free, interior, got 'fixed'"),
        (lambda: analytic.factor_analysis(1, "pair"), "variables must be an integer >= 2, got 1"),
        (lambda: analytic.factor_analysis(3, "none"), "truth must be one of"),
        (lambda: analytic.rbm(0), "visible must be an integer >= 1, got 0"),
        (lambda: analytic.hmm(1), "length must be an integer >= 2, got 1"),
        (lambda: analytic.lda(3, 3, 2, 2), r"less 1 \(1\), got 2"),
        (lambda: analytic.nmf(2, 2, 2, shapes=(1,)), "shapes must be the two numbers"),
        (lambda: analytic.nmf(2, 2, 2, shapes=(1, 0)), r"shapes\[1\] must be an int or a Fraction > 0, got 0"),
        (lambda: analytic.multinomial_boundary(3, 3), r"zeros must be at most the cells less 1 \(2\), got 3"),
    ],
)
def test_refuses(call: Any, message: str):
    with pytest.raises(InputError, match=message):
        call()
