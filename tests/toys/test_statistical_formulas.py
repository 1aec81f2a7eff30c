"""Toys of statistical models: K against textbook formulas."""

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, softmax

from slt import toys
from tests.toys.statistical import HALF, QUARTER, moved


def divergence(q: np.ndarray, p: np.ndarray) -> float:
    return float((q * (np.log(q) - np.log(p))).sum())


def logits(w: np.ndarray) -> np.ndarray:
    """Probabilities, the first logit being 0."""
    return softmax(np.concatenate([np.zeros_like(w[:1]), w]), axis=0)


def normal_mixture(w: dict[str, np.ndarray]) -> float:
    """Of three components, where the truth has two."""
    law = stats.norm(loc=w["locations"][:, 0])
    true = stats.norm(loc=[0.0, 3.0])

    def integrand(x: float) -> float:
        p, q = logits(w["weights"]) @ law.pdf(x), true.pdf(x).mean()
        return q * (np.log(q) - np.log(p)) + p - q

    return integrate.quad(integrand, -9, 12, epsrel=1e-10, limit=200)[0]


def poisson_mixture(w: dict[str, np.ndarray]) -> float:
    x = np.arange(200)[:, None]
    p = stats.poisson(np.exp(w["locations"])).pmf(x) @ logits(w["weights"])
    return divergence(stats.poisson([1, 4]).pmf(x).mean(1), p)


def binomial_mixture(w: dict[str, np.ndarray]) -> float:
    """The truth has thirds; the extra component has the weight theta^4."""
    odds = np.array([1, np.exp(w["weights"][0]), w["weights"][1] ** 4])
    x = np.arange(6)[:, None]
    p = stats.binom(5, expit(w["locations"])).pmf(x) @ (odds / odds.sum())
    return divergence(stats.binom(5, [1 / 3, 2 / 3]).pmf(x).mean(1), p)


def naive_bayes(w: dict[str, np.ndarray]) -> float:
    def law(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
        states = product((0, 1), repeat=3)
        return np.array([weights @ np.where(x, expit(table), expit(-table)).prod(1) for x in states])

    true = np.array([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]])
    return divergence(law(np.array([0.5, 0.5]), true), law(logits(w["weight"]), w["table"]))


def boltzmann(w: dict[str, np.ndarray]) -> float:
    unscaled = np.array([np.cosh(w["couplings"] @ np.array(x)) for x in product((-1, 1), repeat=4)])
    return divergence(np.full(16, 1 / 16), unscaled / unscaled.sum())


def hidden_markov(w: dict[str, np.ndarray]) -> float:
    leave, show = expit(w["leaving"]), expit(w["emissions"])
    step = np.array([[1 - leave[0], leave[0]], [leave[1], 1 - leave[1]]])
    start = np.linalg.matrix_power(step, 10_000)[0]

    def probability(x: tuple[int, ...], z: tuple[int, ...]) -> float:
        hidden = start[z[0]] * np.prod([step[a, b] for a, b in pairwise(z)])
        return hidden * np.prod([show[b] if a else 1 - show[b] for a, b in zip(x, z, strict=True)])

    sequences = list(product((0, 1), repeat=3))
    p = np.array([sum(probability(x, z) for z in sequences) for x in sequences])
    return divergence(np.full(8, 1 / 8), p)


def factor_analysis(w: dict[str, np.ndarray]) -> float:
    b, mean = w["loadings"], w.get("mean", np.zeros(len(w["loadings"])))
    truth = np.eye(4) + np.outer([1, 1, 0, 0], [1, 1, 0, 0])
    model = np.diag(np.exp(w["log_uniqueness"])) + np.outer(b, b)
    precision = np.linalg.inv(model)
    logs = np.linalg.slogdet(model)[1] - np.linalg.slogdet(truth)[1]
    return float(np.trace(precision @ truth) - 4 + logs + mean @ precision @ mean) / 2


def topics(w: dict[str, np.ndarray]) -> float:
    """Of rank 1: the first topic differs from the other two, and its share in the first document."""
    words = np.array([[2, 1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 2]]) / 5
    shares = np.array([[2, 1, 1], [1, 1, 1], [1, 2, 2]]) / 4
    p = logits(w["words"]) @ logits(w["topics"])
    return divergence(words @ shares, p) / 3


def non_negative(w: dict[str, np.ndarray]) -> float:
    return float(((w["left"] ** 2 @ w["right"] ** 4) ** 2).sum())


def multinomial(w: dict[str, np.ndarray]) -> float:
    unscaled = np.array([1, np.exp(w["cells"][0]), w["cells"][1] ** 4])
    return divergence(np.array([0.5, 0.5]), (unscaled / unscaled.sum())[:2])


FORMULAS = [
    ("gaussian mixture", lambda: toys.gaussian_mixture(3, 2), normal_mixture, 2e-4),
    ("poisson mixture", lambda: toys.poisson_mixture(3, 2), poisson_mixture, 1e-4),
    ("binomial mixture", lambda: toys.binomial_mixture(3, 5, 2, QUARTER), binomial_mixture, 1e-9),
    ("naive bayes", lambda: toys.naive_bayes(3, "pair"), naive_bayes, 1e-9),
    ("boltzmann", lambda: toys.rbm(4), boltzmann, 1e-9),
    ("hidden markov", lambda: toys.hmm(3), hidden_markov, 1e-9),
    ("factor analysis", lambda: toys.factor_analysis(4, "pair"), factor_analysis, 1e-9),
    ("factor analysis, mean", lambda: toys.factor_analysis(4, "pair", free_mean=True), factor_analysis, 1e-9),
    ("topics", lambda: toys.lda(4, 3, 3, rank=1), topics, 1e-9),
    ("non-negative", lambda: toys.nmf(2, 3, 2, shapes=(HALF, QUARTER)), non_negative, 1e-12),
    ("multinomial", lambda: toys.multinomial_boundary(3, 1, QUARTER), multinomial, 1e-9),
]


@pytest.mark.parametrize(("make", "formula", "rel"), [case[1:] for case in FORMULAS], ids=[c[0] for c in FORMULAS])
@pytest.mark.usefixtures("float64")
def test_formula(make: Callable[[], toys.Toy], formula: Callable[[dict[str, np.ndarray]], float], rel: float):
    for seed in range(3):
        toy = make()
        w = moved(toy, 0.5, seed)
        assert toy.loss(toy.model, toy.data).item() == pytest.approx(formula(w), rel=rel)
