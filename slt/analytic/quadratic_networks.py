"""Networks of squared units at generic weights, where the RLCT is half the rank of a Jacobian."""

from fractions import Fraction
from math import comb
from typing import Literal, get_args

import numpy as np

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError

Data = Literal["general", "pairs"]
Weights = Literal["generic", "fourier", "zero"]

_PRIME = 2**31 - 1
"""A rank modulo this prime is at most the rank, and less only with a probability of about 1e-6."""


def quadratic_network(
    inputs: int, outputs: int, units: int, *, data: Data = "general", weights: Weights = "generic"
) -> Entry:
    r"""The network :math:`f(x) = W (A x)^2`, squared entry by entry, where the truth has generic weights.

    With d inputs, q outputs and K units the zeros near generic w* form a smooth manifold, so lambda is half the
    rank of the Jacobian J of f at w*:

    .. math:: \lambda = \frac{\operatorname{rank} J}{2}, \qquad m = 1

    On general inputs f is q quadratic forms, and the rank is min(K (d + q - 1), q d (d + 1) / 2) but for
    exceptional sizes; it is computed, at random weights modulo a prime, so that these are right too. On all p^2
    pairs of one-hot inputs (modular addition, d = 2p and q = p) it is min(K (3p - 2), p^3).

    Args:
        inputs: d >= 1.
        outputs: q >= 1.
        units: K >= 1.
        data: "general": inputs on which no quadratic form vanishes; "pairs": all pairs of one-hot vectors.
        weights: "generic"; nothing is known at "fourier" weights, as training on modular addition finds them, nor at
            truth "zero".

    Returns:
        The exact lambda and m. Takes a time like min(K (d + q), q d (d + 1) / 2)^2 times the larger of the two.

    Raises:
        InputError: If a number is no integer >= 1, an option is unknown, or d is not 2q for pairs.
        NotAvailableError: If the weights are not generic.

    >>> quadratic_network(6, 3, 8).rlct  # the count of parameters says 63 / 2
    RLCT(31, 1)
    """
    d, q, k = integer("inputs", inputs, 1), integer("outputs", outputs, 1), integer("units", units, 1)
    for name, given, known in (("data", data, get_args(Data)), ("weights", weights, get_args(Weights))):
        if given not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, got {given!r}.")
    if data == "pairs" and d != 2 * q:
        raise InputError(f"inputs must be twice the outputs ({2 * q}) for pairs of one-hot vectors, got {d}.")
    if weights != "generic":
        raise NotAvailableError(
            f"The value of a quadratic network at {weights} weights is not known, only at generic ones."
        )
    rank = min(k * (3 * q - 2), q**3) if data == "pairs" else _generic_rank(d, q, k)
    return Entry(
        rlct=RLCT(Fraction(rank, 2), 1),
        family="quadratic network",
        parameters={"inputs": d, "outputs": q, "units": k, "data": data},
        K="E |W (A x)^2 - W* (A* x)^2|^2",
        domain="a neighbourhood of w*",
        prior="positive and continuous at w*",
        source="derived: the rank of the Jacobian at generic weights",
        conditions="w* generic, and the truth is the network at w*; "
        + ("inputs: all pairs of one-hot vectors" if data == "pairs" else "no quadratic form vanishes on the inputs"),
    )


def _generic_rank(d: int, q: int, k: int) -> int:
    """The rank of (W, A) -> sum_k w_k (x) a_k a_k^T at random weights, modulo a prime."""
    rng = np.random.default_rng(0)
    # more units than needed to fill the space add nothing
    k = min(k, q * comb(d + 1, 2))
    w, a = rng.integers(1, _PRIME, (k, q)), rng.integers(1, _PRIME, (k, d))
    upper = np.triu_indices(d)
    eye_d, eye_q = np.eye(d, dtype=np.int64), np.eye(q, dtype=np.int64)
    rows = []
    for w_k, a_k in zip(w, a, strict=True):
        square = a_k[upper[0]] * a_k[upper[1]] % _PRIME
        rows += [np.kron(unit, square) for unit in eye_q]
        for unit in eye_d:
            turned = (unit[upper[0]] * a_k[upper[1]] + a_k[upper[0]] * unit[upper[1]]) % _PRIME
            rows.append((w_k[:, None] * turned % _PRIME).ravel())
    return rank_modulo(np.array(rows))


def rank_modulo(matrix: np.ndarray, prime: int = _PRIME) -> int:
    """The rank of an integer matrix modulo a prime below 2^31, by elimination."""
    rest = matrix.astype(np.int64) % prime
    if rest.shape[0] > rest.shape[1]:
        rest = np.ascontiguousarray(rest.T)
    rank = 0
    while rest.size and rest.any():
        pivot = int(np.argmax(rest.any(axis=1)))
        column = int(np.flatnonzero(rest[pivot])[0])
        row = rest[pivot] * pow(int(rest[pivot, column]), -1, prime) % prime
        rest = np.delete(rest, pivot, axis=0)
        rest = (rest - rest[:, column, None] * row % prime) % prime
        rank += 1
    return rank
