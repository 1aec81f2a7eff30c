"""`slt.estimate_llc` with its defaults alone, on every toy of the bench, beside exact and reference values.

    python benchmarks/accuracy.py [--markdown] [--seed N] [--only TEXT]

Every toy has a seed of its own: chains of the same seed see the same noise, and errors would be alike from toy to toy.
What must hold: a median error of at most 1 %, a largest one of at most 5 %, at most a tenth of the values outside their
95 % intervals, and none beyond 4 standard errors that the verdict calls good. Times are by the clock, without imports.
"""

import time

import numpy as np
from _shared import chosen_defaults, dated_defaults, problems, written

import slt
from slt.diagnostics import Comparison, bench, compare
from slt.diagnostics.compare import Compared

LIMITS = ((3, 2.0), (100, 15.0), (1_000, 120.0))
"""Most parameters, and the seconds that they may take."""


def limit(dimension: int) -> float:
    return next(seconds for most, seconds in LIMITS if dimension <= most)


def inside(row: Compared) -> bool:
    low, high = row.estimate.interval()
    return row.known.value is not None and low <= row.known.value <= high


def line(row: Compared, seconds: float, markdown: bool) -> str:
    estimate, settings = row.estimate, row.estimate.settings
    cells = (
        f"`{row.name}`" if markdown else row.name,
        estimate.trace.dimension,
        f"{estimate.value:.4g} ± {estimate.mcse:.1g}",
        f"{row.known.value:.4g}",
        row.known.kind,
        f"{row.z:+.1f}",
        f"{row.relative_error:+.1%}",
        f"{settings['chains']} x {estimate.trace.draws}",
        f"{seconds:.1f}" + (" (slow)" if seconds > limit(estimate.trace.dimension) else ""),
        problems(estimate),
    )
    return written(cells, markdown)


def summary(found: Comparison, seconds: list[float]) -> str:
    errors = np.array([abs(row.relative_error) for row in found.rows])
    z = np.array([row.z for row in found.rows])
    good = np.array([row.estimate.verdict.ok for row in found.rows])
    slow = [row.name for row, s in zip(found.rows, seconds, strict=True) if s > limit(row.estimate.trace.dimension)]
    outside = sum(not inside(row) for row in found.rows)
    return (
        f"{len(z)} toys: median error {np.median(errors):.2%}, largest {errors.max():.1%}, of the reliable ones "
        f"{errors[good].max():.1%}\n{outside} outside their 95 % intervals; beyond 4 errors {int((abs(z) > 4).sum())}, "
        f"of these reliable {int(((abs(z) > 4) & good).sum())}; mean z {z.mean():+.2f}, sd {z.std():.2f}\n"
        f"within 4 errors {int((abs(z) <= 4).sum())}, of these not reliable {int(((abs(z) <= 4) & ~good).sum())}\n"
        f"over their time: {', '.join(slow) or 'none'}; all together {sum(seconds):.0f} s"
    )


def main() -> None:
    parser = chosen_defaults(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"{dated_defaults()}, seed {chosen.seed}", flush=True)
    if chosen.markdown:
        print("| target | d | estimate | should be | | z | error | chains x draws | seconds | verdict |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    rows, seconds = [], []
    slt.estimate_llc(*defaults(bench()[0]), progress=False, seed=1)  # imports what is imported late
    for number, toy in enumerate(bench()):
        if chosen.only not in toy.name:
            continue
        start = time.perf_counter()
        estimate = slt.estimate_llc(*defaults(toy), progress=False, seed=1000 * chosen.seed + number)
        seconds.append(time.perf_counter() - start)
        rows += compare([estimate], [toy]).rows
        print(line(rows[-1], seconds[-1], chosen.markdown), flush=True)
    print(summary(Comparison(tuple(rows)), seconds))


def defaults(toy: slt.toys.Toy) -> tuple:
    return toy.model, toy.data, toy.loss


if __name__ == "__main__":
    main()
