"""How often the 95 % interval of `slt.estimate_llc` holds the exact value, under its own stopping rule.

    python benchmarks/coverage.py [--repeats N] [--only TEXT]

Defaults alone, a seed a repetition. Beside the share of the intervals that hold the value stand the share called bad,
the half-width as a share of the value, and over 1.96 standard deviations of the estimates over repetitions: an interval
that is too wide covers too. What must hold at 200 repetitions: coverage of 90 to 99 %, half-widths of at most 5 %, and
of at most 1.3 times what the spread asks for. It exits with 1 if a target fails.
"""

import time

import numpy as np
from _shared import chosen_defaults, dated_defaults, written

import slt
from slt import toys
from slt.diagnostics.known import known_of
from slt.toys import Toy

LEAST, MOST = 0.90, 0.99
WIDEST, LOOSEST = 0.05, 1.3


def targets() -> list[Toy]:
    return [
        toys.quadratic(1),
        toys.quadratic(np.logspace(0, -3, 10).tolist()),
        toys.quadratic(100),
        toys.quadratic([1.0] * 15 + [0.0] * 25),
        toys.normal_crossing((4,)),
        toys.normal_crossing((2, 2)),
        toys.normal_crossing((2, 2, 2)),
        toys.newton(((2, 0), (0, 4))),
        toys.newton(((2, 2), (6, 0), (0, 6))),
        toys.plane_curve("(x^2 - y^3)^2"),
        toys.deep_linear((2, 2, 2), rank=0),
        toys.deep_linear((3, 3, 3), rank=0),
    ]


def row(toy: Toy, repeats: int) -> tuple[str, bool]:
    start = time.perf_counter()
    estimates = [
        slt.estimate_llc(toy.model, toy.data, toy.loss, seed=seed, progress=False) for seed in range(1, repeats + 1)
    ]
    seconds = (time.perf_counter() - start) / repeats
    exact = known_of(toy, slt.LocalPosterior(toy.model, toy.data, toy.loss))
    assert exact.kind == "exact", f"{toy.name} has no exact value here"
    values = np.array([estimate.value for estimate in estimates])
    low, high = np.array([estimate.interval() for estimate in estimates]).T
    covered = ((low <= exact.value) & (exact.value <= high)).mean()
    bad = np.mean([not estimate.verdict.ok for estimate in estimates])
    half = np.median(high - low) / 2
    spread = values.std(ddof=1)
    kept = LEAST <= covered <= MOST and half <= WIDEST * exact.value and half <= LOOSEST * 1.96 * spread
    cells = (
        f"`{toy.name}`",
        f"{exact.value:.4g}",
        f"{covered:.1%}",
        f"{bad:.1%}",
        f"{half / exact.value:.2%}",
        f"{half / (1.96 * spread):.2f}",
        f"{(values.mean() - exact.value) / exact.value:+.2%} ± {spread / repeats**0.5 / exact.value:.2%}",
        f"{seconds:.1f}",
        "yes" if kept else "**no**",
    )
    return written(cells, markdown=True), kept


def main() -> None:
    parser = chosen_defaults(__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    chosen = parser.parse_args()
    print(f"{dated_defaults()}; {chosen.repeats} repetitions\n")
    print("| target | exact | covered | bad | half-width | over 1.96 sd | bias | seconds each | holds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    failed = False
    for toy in targets():
        if chosen.only in toy.name:
            text, kept = row(toy, chosen.repeats)
            print(text, flush=True)
            failed |= not kept
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
