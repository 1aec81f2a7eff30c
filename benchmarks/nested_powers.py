"""`slt.estimate_llc` with its defaults alone on the family of nested powers, beside the exact values at finite n.

    python benchmarks/nested_powers.py [--markdown] [--seed N] [--only TEXT]

A member is the sum of the squares of all coefficients of z -> W s(W s(... W z)), with s(z) = z^r in each component and
W = [[x + y, x^2], [x^2, y^2]]. The largest, of degree 84, vanishes at w* to order 42. What must hold: each value within
5 % of the exact one. Times are by the clock, without imports.
"""

import time
from fractions import Fraction
from functools import reduce

import numpy as np
from _shared import chosen_defaults, dated_defaults, problems, written

import slt
from slt.analytic.plane_curves import Polynomial
from slt.diagnostics import compare

MEMBERS = {
    (2, 1): "3/4",
    (2, 2): "1/4",
    (2, 3): "3/28",
    (2, 4): "1/20",
    (3, 1): "3/4",
    (3, 2): "3/16",
    (3, 3): "3/52",
    (4, 1): "3/4",
    (4, 2): "3/20",
    (4, 3): "1/28",
}
"""The RLCT by (r, copies of W)."""
LARGEST_ERROR = 0.05
W = ("x + y", "x^2"), ("x^2", "y^2")


def nested(r: int, copies: int) -> list[Polynomial]:
    """The coefficients as polynomials in the weights x and y."""
    one = {"x + y": {(0, 1, 0): 1, (0, 0, 1): 1}, "x^2": {(0, 2, 0): 1}, "y^2": {(0, 0, 2): 1}}
    matrix = [[array(one[entry]) for entry in row] for row in W]
    # axes: the power of the first input, of x, of y; the second input's is what is left to the whole degree
    f = [plus(shifted(row[0]), row[1]) for row in matrix]
    for _ in range(copies - 1):
        powers = [reduce(times, [g] * r) for g in f]
        f = [plus(times(row[0], powers[0]), times(row[1], powers[1])) for row in matrix]
    coefficients = (c for g in f for c in g if c.any())
    return [{(int(i), int(j)): int(c[i, j]) for i, j in np.argwhere(c)} for c in coefficients]


def array(terms: dict[tuple[int, int, int], int]) -> np.ndarray:
    out = np.zeros([1 + max(axis) for axis in zip(*terms, strict=True)], object)
    for place, c in terms.items():
        out[place] = c
    return out


def shifted(p: np.ndarray) -> np.ndarray:
    """The same, times the first input."""
    return np.concatenate([np.zeros_like(p), p])


def plus(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    out = np.zeros(np.maximum(p.shape, q.shape), object)
    for one in (p, q):
        out[tuple(map(slice, one.shape))] += one
    return out


def times(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    out = np.zeros(np.add(p.shape, q.shape) - 1, object)
    for place in np.argwhere(p):
        at = tuple(slice(i, i + size) for i, size in zip(place, q.shape, strict=True))
        out[at] += p[tuple(place)] * q
    return out


def main() -> None:
    parser = chosen_defaults(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"{dated_defaults()}, seed {chosen.seed}", flush=True)
    head = ("member", "(λ, m)", "estimate", "exact at this n", "error", "z", "chains x draws", "seconds", "verdict")
    print(written(head, chosen.markdown))
    if chosen.markdown:
        print("|" + "---|" * len(head))
    quadratic = slt.toys.quadratic(2)
    slt.estimate_llc(quadratic.model, quadratic.data, quadratic.loss, progress=False)  # imports what is imported late
    short = []
    for (r, copies), rlct in MEMBERS.items():
        name = f"r = {r}, {copies} {'copy' if copies == 1 else 'copies'}"
        if chosen.only not in name:
            continue
        toy = slt.toys.plane_curve(nested(r, copies), name=name)
        assert toy.exact is not None
        assert toy.exact.value == Fraction(rlct), toy
        start = time.perf_counter()
        estimate = slt.estimate_llc(toy.model, toy.data, toy.loss, progress=False, seed=chosen.seed)
        seconds = time.perf_counter() - start
        (row,) = compare([estimate], [toy]).rows
        assert row.known.kind == "exact", row.known
        if not abs(row.relative_error) <= LARGEST_ERROR:
            short.append(name)
        cells = (
            name,
            f"({toy.exact.value}, {toy.exact.multiplicity})",
            f"{estimate.value:.4g} ± {estimate.mcse:.1g}",
            f"{row.known.value:.4g}",
            f"{row.relative_error:+.1%}",
            f"{row.z:+.1f}",
            f"{estimate.settings['chains']} x {estimate.trace.draws}",
            f"{seconds:.1f}",
            problems(estimate),
        )
        print(written(cells, chosen.markdown), flush=True)
    print(f"off by more than {LARGEST_ERROR:.0%}: {'; '.join(short) or 'none'}")
    raise SystemExit(bool(short))


if __name__ == "__main__":
    main()
