"""What a mass buys: effective samples of the excess per 1,000 gradients, and whether what they are samples of is right.

    python benchmarks/preconditioners.py [--quick] [--only "localization auto"] [--seed 1]

A gradient is one of one chain on all the data; a minibatch counts its share. Those of warmup (searches and probes too)
stand in a column of their own. Effective samples are the variance of nbeta times the excess over the squared standard
error of the LLC, the variance that of the reference: a long HMC run with another seed, or the exact law. "halves" is
the share by which the counts of two halves of the chains differ, over two: how well the column is known. "off" is the
distance from the reference in joint errors. A row more than 3 of them off is marked biased; one with an R-hat above
1.05 not mixed, and its count a guess.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from _shared import NARROW, NoBar, arguments, dated, session, spent, trained_mlp

import slt
from slt.analytic.finite import quadratic_energy
from slt.estimators.llc import standard_error
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.samplers import Sampler

CHAINS, THIN, BATCH = 8, 10, 64
FULL: dict[str, Sampler] = {
    "HMC": slt.HMC(),
    "HMC, diagonal": slt.HMC(mass="diagonal"),
    "HMC, low rank": slt.HMC(mass="low_rank"),
    "HMC, narrow jitter": slt.HMC(jitter=NARROW),
    "MALA": slt.MALA(),
}
MINIBATCH: dict[str, Sampler] = {"SGLD, second order": slt.SGLD(second_order=True)}


class Reference(NamedTuple):
    """The LLC, its error, and the variance of nbeta times the excess."""

    value: float
    error: float
    variance: float
    kind: str


class Target(NamedTuple):
    """What is sampled: so many gradients a chain for the draws, and before them."""

    name: str
    posterior: LocalPosterior
    gradients: int
    warmup: int
    exact: Reference | None
    minibatches: bool


class Row(NamedTuple):
    """A line of the table."""

    name: str
    rate: float
    halves: float
    warmup: float
    value: float
    error: float
    off: float
    rhat: float
    acceptance: float

    @property
    def mark(self) -> str:
        """What is wrong with it."""
        return "  biased" if abs(self.off) > 3 else "  not mixed" if self.rhat > 1.05 else ""


def reference(target: Target) -> Reference:
    """Run HMC twice as long, on twice the chains, with another seed."""
    run = session(target.posterior, slt.HMC(leapfrogs=8, jitter=NARROW), 2 * CHAINS, target.warmup // 8, seed=101)
    run.warm(NoBar())
    run.draw(2 * target.gradients // 8, None, NoBar())
    found = slt.llc(run.trace())
    variance = float(energies(run.trace()).var())
    return Reference(found.value, found.mcse, variance, f"reference, R-hat {found.rhat:.3f}")


def energies(trace: slt.Trace) -> np.ndarray:
    """Return nbeta times the excess, (living chains, draws), of thinned draws the mean between two."""
    thinned = "excess_mean" in trace.names("sample_stats")
    excess = trace.get("sample_stats", "excess_mean") if thinned else trace.get("posterior", "excess")
    return trace.nbeta * excess[trace.alive].astype(float)


def measure(target: Target, name: str, sampler: Sampler, right: Reference, seed: int) -> Row:
    """Run a sampler for the target's gradients."""
    share = 1.0 if sampler.full_data else BATCH / target.posterior.n
    posterior = target.posterior if sampler.full_data else target.posterior.with_batch_size(BATCH)
    each = getattr(sampler, "leapfrogs", 1) * share
    thin = 1 if sampler.full_data else THIN
    run = session(posterior, sampler, CHAINS, round(target.warmup / each), seed, thin=thin)
    run.warm(NoBar())
    warmup = spent(run)
    while spent(run) - warmup < target.gradients:  # a trajectory may be shorter than its longest
        run.draw(run.drawn + 20, None, NoBar())
    drawn = spent(run) - warmup
    trace = run.trace()
    found = slt.llc(trace)
    energy = energies(trace)
    errors = [standard_error(energy[i : i + CHAINS // 2], sampler.full_data) for i in (0, CHAINS // 2)]
    halves = abs(errors[0] ** 2 - errors[1] ** 2) / (errors[0] ** 2 + errors[1] ** 2)
    return Row(
        name,
        rate=right.variance / found.mcse**2 / (drawn * CHAINS) * 1000,
        halves=halves,
        warmup=warmup,
        value=found.value,
        error=found.mcse,
        off=(found.value - right.value) / float(np.hypot(found.mcse, right.error)),
        rhat=found.rhat,
        acceptance=float(trace.get("sample_stats", "acceptance_rate").mean()),
    )


def table(target: Target, seed: int) -> None:
    """Print what every sampler does on a target."""
    with untouched(target.posterior.problem.model):
        right = target.exact or reference(target)
        print(f"\n{target.name}: LLC {right.value:.3f} +- {right.error:.3f} ({right.kind})")
        head = f"{'sampler':20} {'ESS/1,000':>9} {'halves':>6} {'of default':>10} {'warmup':>7}"
        print(head + f" {'LLC':>8} {'error':>7} {'off':>5} {'R-hat':>6} {'acc.':>5}")
        samplers = {**FULL, **MINIBATCH} if target.minibatches else FULL
        rows: list[Row] = []
        for name, sampler in samplers.items():
            row = measure(target, name, sampler, right, seed)
            rows.append(row)
            print(
                f"{name:20} {row.rate:9.1f} {row.halves:6.0%} {row.rate / rows[0].rate:10.2f} {row.warmup:7.0f} "
                f"{row.value:8.2f} {row.error:7.2f} {row.off:+5.1f} {row.rhat:6.3f} {row.acceptance:5.2f}{row.mark}",
                flush=True,
            )
        print(told(rows))


def told(rows: Sequence[Row]) -> str:
    """Say how the default stands beside the best that is neither biased nor unmixed."""
    good = [row for row in rows if not row.mark]
    if not good:
        return "none of them is right"
    best = max(good, key=lambda row: row.rate)
    return f"best: {best.name}; the default has {rows[0].rate / best.rate:.0%} of its effective samples"


def mlp_targets(quick: bool) -> list[Target]:
    model, data = trained_mlp(quick)
    gradients, warmup = (60, 100) if quick else (1000, 600)
    return [
        Target(
            f"digits MLP, localization {gamma}",
            LocalPosterior(model, data, "cross_entropy", localization=gamma),
            gradients,
            warmup,
            None,
            minibatches=True,
        )
        for gamma in (1.0, 10.0, 100.0, "auto")
    ]


def deep_targets(quick: bool) -> list[Target]:
    toy = slt.toys.deep_linear((16, 16, 16, 16, 16), rank=4)  # 1,024 parameters
    gradients, warmup = (60, 100) if quick else (3000, 1200)
    return [
        Target(
            f"deep linear, localization {gamma:g}",
            LocalPosterior(toy.model, toy.data, toy.loss, localization=gamma),
            gradients,
            warmup,
            None,
            minibatches=False,
        )
        for gamma in (10.0, 100.0)
    ]


def quadratic_target(quick: bool) -> Target:
    """Make 500 directions, nbeta h from 1 to 1e4, that are no axes."""
    nbeta = 1000 / np.log(1000)
    curvatures = np.geomspace(1.0, 1e4, 500) / nbeta
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(500, 500, dtype=torch.float64, generator=generator)).Q
    into = (turn * torch.from_numpy(np.sqrt(curvatures))).float()
    toy = slt.toys.from_potential(lambda w: (w @ into).square().sum(-1) / 2, torch.zeros(500))
    posterior = LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    shares = nbeta * curvatures / (nbeta * curvatures + 1.0)
    exact = Reference(quadratic_energy(curvatures.tolist(), nbeta, 1.0), 0.0, float((shares**2).sum() / 2), "exact")
    gradients, warmup = (60, 100) if quick else (6000, 1200)
    return Target("quadratic of condition 1e4", posterior, gradients, warmup, exact, minibatches=False)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="of the targets those with this in their names")
    parser.add_argument("--seed", type=int, default=1, help="of the rows; that of the references stays")
    chosen = parser.parse_args()
    quick = chosen.quick
    start = time.process_time()
    print(f"{dated(quick)}; {CHAINS} chains, seed {chosen.seed}")
    for target in [*mlp_targets(quick), *deep_targets(quick), quadratic_target(quick)]:
        if chosen.only in target.name:
            table(target, chosen.seed)
    print(f"\n{time.process_time() - start:.0f} seconds of CPU")


if __name__ == "__main__":
    main()
