"""The linear program of a Newton polyhedron: solved in floats, proved in fractions."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from slt.analytic._exact import dot, rank, solution
from slt.analytic.rlct import RLCT
from slt.errors import NotAvailableError

_TIGHT = 1e-9
"""Below which a slack of the float solution is taken for 0; a wrong guess is found when the proof fails."""


def lightest_weight(alphas: Sequence[Sequence[int]], tau: Sequence[Fraction]) -> RLCT:
    """Solve min <tau, v> over v >= 0 with <alpha, v> >= 1 for all alpha, and find the dimension of its solutions.

    The dual is max sum(y) over y >= 0 with sum_alpha y_alpha alpha <= tau. A pair (v, y) of the same value proves
    both; if moreover exactly one of each slack and its multiplier is 0 (strict complementarity), the constraints
    with a positive multiplier are those that are tight at every solution, and span what is normal to them.

    Args:
        alphas: The exponents, shape (monomials, d), none all 0.
        tau: shape (d,), all > 0.

    Returns:
        The minimum, and 1 + the dimension of the set of solutions.

    Raises:
        NotAvailableError: If the float solution could not be turned into a proof.
    """
    v, y = _candidate(alphas, tau)
    loads = [dot([alpha[i] for alpha in alphas], y) for i in range(len(tau))]
    slacks = [*(dot(alpha, v) - 1 for alpha in alphas), *v]
    multipliers = [*y, *(t - load for t, load in zip(tau, loads, strict=True))]
    feasible = min(*slacks, *multipliers) >= 0
    strict = all(bool(s) != bool(u) for s, u in zip(slacks, multipliers, strict=True))
    if not (feasible and strict and dot(tau, v) == sum(y)):
        raise NotAvailableError("The linear program of this Newton polyhedron could not be solved in fractions.")
    units = [[int(i == j) for j in range(len(tau))] for i in range(len(tau))]
    tight = [row for row, u in zip([*alphas, *units], multipliers, strict=True) if u]
    return RLCT(dot(tau, v), 1 + len(tau) - rank(tight))


def _candidate(
    alphas: Sequence[Sequence[int]], tau: Sequence[Fraction]
) -> tuple[list[Fraction], list[Fraction]]:  # fmt: skip
    """A strictly complementary pair (v, y): the one that makes the smallest slack + multiplier largest."""
    from scipy.optimize import linprog

    # variables (v, y, t) >= 0; rows a x <= b
    n, d = len(alphas), len(tau)
    eye, a = np.eye(d, dtype=int), np.array(alphas, dtype=int)
    none = np.zeros((d, d), dtype=int)
    rows = np.block(
        [
            [-a, np.zeros((n, n), dtype=int), np.zeros((n, 1), dtype=int)],  # <alpha, v> >= 1
            [none, a.T, np.zeros((d, 1), dtype=int)],  # loads <= tau
            [-a, -np.eye(n, dtype=int), np.ones((n, 1), dtype=int)],  # t <= slack + multiplier of alpha
            [-eye, a.T, np.ones((d, 1), dtype=int)],  # t <= v_i + tau_i - load_i
        ]
    ).tolist()
    right = [*[Fraction(-1)] * n, *tau, *[Fraction(-1)] * n, *tau]
    rows.append([*tau, *[-1] * n, 0])  # <tau, v> <= sum(y)
    right.append(Fraction(0))
    found = linprog(
        [*[0] * (d + n), -1],
        A_ub=np.array(rows, dtype=float),
        b_ub=np.array(right, dtype=float),
        bounds=(0, None),
        method="highs-ds",
    )
    if found.x is None:
        raise NotAvailableError(f"The linear program of this Newton polyhedron was not solved: {found.message}")
    active = [(row, b) for row, b, slack in zip(rows, right, found.slack, strict=True) if slack < _TIGHT]
    active += [([int(i == j) for j in range(d + n + 1)], Fraction(0)) for i, x in enumerate(found.x) if x < _TIGHT]
    exact = solution([row for row, _ in active], [b for _, b in active])
    if exact is None:
        raise NotAvailableError("The linear program of this Newton polyhedron has no solution that fractions confirm.")
    return exact[:d], exact[d : d + n]
