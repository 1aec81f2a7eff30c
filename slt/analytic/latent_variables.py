"""Models with one hidden variable: classes, a factor, a binary unit, a chain of states."""

from fractions import Fraction
from typing import Literal, get_args

from slt.analytic.checks import integer
from slt.analytic.edge_ideals import complete, pairwise_products
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError

Truth = Literal["independent", "pair", "generic"]
Mixing = Literal["free", "interior"]

_LINE = RLCT(Fraction(1, 2), 1)


def naive_bayes(features: int, truth: Truth = "independent", *, mixing: Mixing = "free") -> Entry:
    r"""A binary naive Bayes model with two hidden classes and n binary features.

    Where the features are independent under the truth, with u_i the effect of the class on feature i and t the
    mixing weight:

    .. math:: K \asymp |v|^2 + t^2 (1 - t)^2 \sum_{i < j} u_i^2 u_j^2, \qquad v \in \mathbb{R}^n

    so (n + 1)/2 and m = 1 for n >= 3, (3/2, 3) for n = 2 and (1/2, 1) for n = 1. With t kept off 0 and 1 it is 3n/4
    for n >= 3. One dependent pair has (2n - 1)/2, a generic truth (2n + 1)/2, a regular model.

    Args:
        features: n >= 1.
        truth: "independent"; "pair": exactly two features depend on each other; "generic": three or more do.
        mixing: "free": t in [0, 1]; "interior": t in a compact part of (0, 1).

    Returns:
        The exact lambda and m (Rusakov & Geiger, 2005).

    Raises:
        InputError: If n is no integer >= 1 or too small for the truth, or an option is unknown.

    >>> naive_bayes(2).rlct
    RLCT(3/2, 3)
    """
    n = integer("features", features, {"pair": 2, "generic": 3}.get(truth, 1))
    _require("truth", truth, get_args(Truth))
    _require("mixing", mixing, get_args(Mixing))
    return Entry(
        rlct=_naive_bayes(n, truth, mixing),
        family="naive Bayes",
        parameters={"features": n, "truth": truth, "mixing": mixing},
        K="KL(truth || two classes with n binary features)",
        domain="conditional probabilities in (0, 1), mixing weight in " + ("[0, 1]" if mixing == "free" else "(0, 1)"),
        prior="positive and continuous",
        source="Rusakov & Geiger (2005), Asymptotic model selection for naive Bayesian networks, JMLR 6",
        conditions="true probabilities in (0, 1)",
    )


def _naive_bayes(n: int, truth: Truth, mixing: Mixing) -> RLCT:
    if truth == "pair":
        return RLCT(Fraction(2 * n - 1, 2), 1)
    if truth == "generic":
        return RLCT(Fraction(2 * n + 1, 2), 1)
    pairs = pairwise_products(complete(n))
    return RLCT(Fraction(n, 2), 1) + (pairs * _LINE if mixing == "free" and n > 1 else pairs)


def factor_analysis(variables: int, truth: Truth = "independent", *, free_mean: bool = False) -> Entry:
    r"""One-factor analysis: :math:`N(0, \Psi + b b^\top)` in p variables, Psi diagonal.

    .. math:: K \asymp |v|^2 + \sum_{i < j} b_i^2 b_j^2, \qquad v \in \mathbb{R}^p

    where the true variables are independent: 3p/4 and m = 1 for p >= 3, (3/2, 2) for p = 2, (1/2, 1) for p = 1. One
    correlated pair has (2p - 1)/2, a generic truth p, a regular model.

    Args:
        variables: p >= 1.
        truth: "independent"; "pair": exactly one correlation is not 0; "generic": three loadings or more are not.
        free_mean: Whether the mean is a parameter too, which adds p/2.

    Returns:
        The exact lambda and m (Drton, Lin, Weihs & Zwiernik, 2017).

    Raises:
        InputError: If p is no integer >= 1 or too small for the truth, or an option is unknown.

    >>> factor_analysis(3).rlct
    RLCT(9/4, 1)
    """
    p = integer("variables", variables, {"pair": 2, "generic": 3}.get(truth, 1))
    _require("truth", truth, get_args(Truth))
    independent = RLCT(Fraction(p, 2), 1) + pairwise_products(complete(p))
    value = {"independent": independent, "pair": RLCT(Fraction(2 * p - 1, 2), 1), "generic": RLCT(Fraction(p), 1)}
    return Entry(
        rlct=value[truth] + RLCT(Fraction(p if free_mean else 0, 2), 1),
        family="one-factor analysis",
        parameters={"variables": p, "truth": truth, "free_mean": bool(free_mean)},
        K="KL(truth || N(mu, Psi + b b^T))",
        domain="Psi positive, b in R^p" + (", mu in R^p" if free_mean else ", mu known"),
        prior="positive and continuous",
        source="Drton, Lin, Weihs & Zwiernik (2017), Marginal likelihood and model selection for Gaussian latent tree "
        "and forest models, Bernoulli 23",
        conditions="the true covariance is positive definite",
    )


def rbm(visible: int, hidden: int = 1) -> Entry:
    r"""A restricted Boltzmann machine without biases, one hidden unit, where the truth is uniform.

    .. math:: p(x) \propto \cosh\Big(\sum_i a_i x_i\Big),\ x_i = \pm 1, \qquad K \asymp \sum_{i < j} a_i^2 a_j^2

    so n/4 and m = 1 for n >= 3, (1/2, 2) for n = 2, and 0 for n = 1, where K = 0.

    Args:
        visible: n >= 1.
        hidden: 1.

    Returns:
        The exact lambda and m: an `edge_ideal` of all pairs.

    Raises:
        InputError: If a number is no integer >= 1.
        NotAvailableError: If there is more than one hidden unit.

    >>> rbm(3).rlct
    RLCT(3/4, 1)
    """
    n, h = integer("visible", visible, 1), integer("hidden", hidden, 1)
    if h > 1:
        raise NotAvailableError(f"The value of a restricted Boltzmann machine is known for 1 hidden unit, got {h}.")
    return Entry(
        rlct=pairwise_products(complete(n)),
        family="restricted Boltzmann machine",
        parameters={"visible": n, "hidden": h},
        K="KL(uniform || p(x) ~ cosh(a . x))",
        domain="a neighbourhood of a = 0",
        prior="positive and continuous at 0",
        source="derived: the edge ideal of all pairs",
        conditions="no biases, uniform truth",
    )


def hmm(length: int, states: int = 2) -> Entry:
    r"""A stationary hidden Markov model with two states and binary outputs, where the truth is a fair coin.

    With m the mean, d the gap between the two emission probabilities, pi the stationary probability and rho the
    second eigenvalue of the transitions:

    .. math:: K \asymp m^2 + \big(\pi (1 - \pi)\,d^2 \rho\big)^2

    so 3/4 and m = 1, whatever the length.

    Args:
        length: T >= 2 observations in a sequence.
        states: 2.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a number is out of range.
        NotAvailableError: If there are more than two states.

    >>> hmm(3).rlct
    RLCT(3/4, 1)
    """
    t, s = integer("length", length, 2), integer("states", states, 2)
    if s > 2:
        raise NotAvailableError(f"The value of a hidden Markov model is known for 2 states, got {s}.")
    mean, gap, mixing, eigenvalue = _LINE, RLCT(Fraction(1, 4), 1), _LINE, _LINE
    return Entry(
        rlct=mean + gap * mixing * eigenvalue,
        family="hidden Markov model",
        parameters={"length": t, "states": s},
        K="KL(fair coin || two states with binary outputs)",
        domain="(pi, rho) and the emission probabilities",
        prior="positive and continuous in pi and rho",
        source="derived: a regular mean, and a product in separate parameters",
        conditions="the chain starts in its stationary law; uniform independent truth",
    )


def _require(name: str, given: object, known: tuple[str, ...]) -> None:
    if given not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}, got {given!r}.")
