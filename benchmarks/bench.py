"""HMC at one fixed budget on every toy of the bench with at most 100 parameters, beside exact and reference values.

    python benchmarks/bench.py [--markdown] [--plot FILE]

Settings are the same for all: 32 chains, 300 steps of warmup, 1,000 draws, the defaults of `slt.HMC`, n = 1000,
nbeta = n / log n and the automatic localizer. What must hold: no estimate more than 5 standard errors off without a
verdict against it. It exits with 1 if one is.
"""

import argparse
import platform
import time
from datetime import date

import torch

import slt
from slt.diagnostics import Comparison, bench, compare

LARGEST = 100
SETTINGS = {"chains": 32, "warmup": 300, "draws": 1000, "seed": 0, "progress": False}


def markdown(found: Comparison) -> str:
    lines = [
        "| target | d | estimate | should be | | limit | z | error | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found.rows:
        limit = "?" if row.limit is None else f"{row.limit.value}, {row.limit.multiplicity}"
        kinds = ", ".join(str(finding.kind).replace("_", " ") for finding in row.estimate.verdict.problems)
        cells = (
            f"`{row.name}`",
            f"{row.estimate.trace.dimension}",
            f"{row.estimate.value:.4g} ± {row.estimate.mcse:.1g}",
            f"{row.known.value:.4g}",
            row.known.kind,
            limit,
            f"{row.z:+.1f}",
            f"{row.relative_error:+.1%}",
            kinds or "good",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--plot", metavar="FILE", help="draw the errors")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start, estimates, toys = time.perf_counter(), [], []
    for toy in bench():
        posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss)
        if posterior.dimension <= LARGEST:
            toys.append(toy)
            estimates.append(slt.llc(slt.sample(posterior, slt.HMC(), **SETTINGS)))
    found = compare(estimates, toys)
    print(f"{date.today()}, {platform.processor()}, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")
    print(markdown(found) if chosen.markdown else found)
    if chosen.plot:
        found.plot().figure.savefig(chosen.plot, dpi=120)
    hidden = [row.name for row in found.rows if abs(row.z) > 5 and row.estimate.verdict.ok]
    errors = sorted(abs(row.relative_error) for row in found.rows)
    print(
        f"median error {errors[len(errors) // 2]:.2%}, largest {errors[-1]:.1%}; "
        f"more than 5 errors off and called good: {hidden or 'none'}"
    )
    raise SystemExit(bool(hidden))


if __name__ == "__main__":
    main()
