"""What a finite step does to the LLC of a network: samplers on minibatches against HMC on the full data.

    python benchmarks/step_bias.py [--quick] [--plot docs/_static/step-bias.png]

The steps are f over the largest curvature of U on the full data, measured by power iteration where the chains are, in
the coordinates of each sampler's own metric; for the thermostat, whose step is a time, it is the square of the step.
A bias is in percent of the reference, and so is its error, the reference's included. "told" is what the trace itself
says of it, in percent of its value: half the surplus of the virial. The last lines are what AUTO chooses.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _shared import NARROW, NoBar, arguments, dated, session, spent, trained_mlp

import slt
from slt._tree import Params
from slt.posterior import LocalPosterior, Posterior
from slt.problem import untouched
from slt.running.session import Session
from slt.samplers._adaptation import Curvature

BATCH, CHAINS, LOCALIZATION = 64, 32, 10.0
DRAWS = {1.0: 800, 0.5: 1200, 0.25: 2000, 0.1: 3500}  # by f
WARMUP, OWN_DRAWS = 1500, 2500  # of the run with AUTO; a metric is learned in the first six tenths of its warmup
SETTLE = 0.2  # of the draws before the first, at a new step
ITERATIONS = 20  # of power iteration

SAMPLERS = {
    "SGLD": slt.SGLD(),
    "second order": slt.SGLD(second_order=True),
    "second order, control variate": slt.SGLD(second_order=True, control_variate=True),
    "RMSprop frozen, eps 1e-3": slt.SGLD(preconditioner=slt.RMSprop(epsilon=1e-3)),
    "RMSprop frozen, eps 0.1": slt.SGLD(preconditioner=slt.RMSprop(epsilon=0.1)),
    "RMSprop adaptive, eps 1e-3": slt.SGLD(preconditioner=slt.RMSprop(epsilon=1e-3, adaptive=True)),
    "diagonal": slt.SGLD(preconditioner="diagonal"),
    "SGNHT": slt.SGNHT(),
}


class Against(NamedTuple):
    """A bias and its error, in percent of the reference."""

    bias: float
    error: float


class Bench(NamedTuple):
    """What every sampler is measured on, and how long."""

    posterior: LocalPosterior
    reference: slt.Estimate
    share: float

    def of(self, steps: int) -> int:
        """Return a number of steps, fewer in a smoke."""
        return max(10, round(steps * self.share))

    def against(self, found: slt.Estimate) -> Against:
        """Compare with the reference."""
        ratio, scale = found.value / self.reference.value, 100 / self.reference.value
        return Against(100 * (ratio - 1), scale * float(np.hypot(found.mcse, ratio * self.reference.mcse)))


def largest_curvature(bound: Posterior, w: Params, metric: Params, nbeta: torch.Tensor) -> float:
    """Return the largest eigenvalue of the Hessian of U in the metric's coordinates, mean over the chains."""
    generator = torch.Generator().manual_seed(0)
    probe = {name: torch.randn(leaf.shape, generator=generator) for name, leaf in w.items()}
    length = sum(leaf.square().sum(1) for leaf in probe.values()).sqrt().unsqueeze(1)
    found = Curvature({name: leaf / length for name, leaf in probe.items()}, torch.zeros_like(nbeta))
    for _ in range(ITERATIONS):
        found = found.update(
            lambda at: bound.force(at, bound.evaluate(at).grad, nbeta), w, metric, torch.full_like(nbeta, 1e-3)
        )
    return float(found.largest.mean())


def metric_of(run: Session) -> Params:
    """Return the metric that the next step is measured in."""
    state, tuning = run.runs[0].state, run.runs[0].tuning
    second = getattr(state, "second", None)
    own = getattr(tuning, "metric", None)
    if own is None and second is not None:
        return run.setup.sampler.preconditioner.metric(second)
    return run.setup.bound.metric if own is None else own


def measure(bench: Bench, sampler: Any) -> tuple[dict[float, Any], tuple[float, Any]]:
    """Run with AUTO, then from where that ended at each f; return the traces by f, and AUTO's own f and trace."""
    auto = session(bench.posterior, sampler, CHAINS, bench.of(WARMUP), seed=7)
    auto.warm(NoBar())
    auto.draw(bench.of(OWN_DRAWS), None, NoBar())
    ended = auto.runs[0]
    curvature = largest_curvature(auto.setup.bound, ended.state.w, metric_of(auto), ended.nbeta)
    power = 2 if isinstance(sampler, slt.SGNHT) else 1
    traces = {}
    for f, draws in DRAWS.items():
        step_size = (f / curvature) ** (1 / power)
        fixed = session(bench.posterior, replace(sampler, step_size=step_size), CHAINS, 0, seed=8)
        tuning = ended.tuning._replace(step_size=torch.full_like(ended.nbeta, step_size))
        copied = {field: cloned(value) for field, value in ended.state._asdict().items()}
        fixed.runs = [ended._replace(state=type(ended.state)(**copied), tuning=tuning, adaptation=None)]
        fixed.advance(round(SETTLE * bench.of(draws)), 1, recording=False)
        fixed.draw(bench.of(draws), None, NoBar())
        traces[f] = fixed.trace()
    own = float(ended.tuning.step_size[0]) ** power * curvature
    return traces, (own, auto.trace())


def cloned(value: Any) -> Any:
    """Copy a state's field: a step writes into it."""
    if isinstance(value, dict):
        return {name: leaf.clone() for name, leaf in value.items()}
    return value if value is None else value.clone()


def row(bench: Bench, name: str, f: float, trace: slt.Trace, note: str = "") -> Against | None:
    """Print a line of the table."""
    if not trace.alive.any():
        print(f"{name:30} {f:5.2f}  every chain blew up", flush=True)
        return None
    found = slt.llc(trace)
    bias = bench.against(found)
    surplus = trace.get("sample_stats", "surplus")[trace.alive].mean()
    told = "" if np.isnan(surplus) else f"{100 * surplus / 2 / found.value:+.1f}"
    lost = "" if trace.alive.all() else f"  {1 - trace.alive.mean():.0%} of the chains blew up"
    print(f"{name:30} {f:5.2f} {bias.bias:+7.1f} {bias.error:6.1f} {told:>7} {found.rhat:6.3f}{lost}{note}", flush=True)
    return bias


def draw(table: dict[tuple[str, float], Against], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    ax.axhspan(-2, 2, color="0.92", zorder=0)
    ax.axhline(0, color="0.4", linewidth=0.8)
    steps = sorted({f for _, f in table})
    for i, name in enumerate(SAMPLERS):
        points = [(f, *table[name, f]) for f in steps if (name, f) in table]
        if not points:
            continue
        f, bias, error = (np.array(column) for column in zip(*points, strict=True))
        aside = 1.02 ** (i - len(SAMPLERS) / 2)  # so that error bars do not hide each other
        ax.errorbar(f * aside, bias, error, label=name, marker="osD^v<P*"[i], markersize=5, linewidth=1.2, capsize=2)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=5, linscale=0.8)
    ax.set_ylim(bottom=min(-5.0, *(found.bias for found in table.values())))
    low, high = ax.get_ylim()
    ticks = [t for t in (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50, 100, 200, 500) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:+d}" if t else "0" for t in ticks])
    ax.set_xticks(steps, [f"{f:g}" for f in steps])
    ax.minorticks_off()
    ax.set_xlabel("f: step times the largest curvature")
    ax.set_ylabel("bias of the LLC, % of HMC on the full data")
    ax.set_title(f"digits MLP, minibatches of {BATCH}, localization {LOCALIZATION:g}", fontsize=11)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--plot", type=Path, help="where to draw the table")
    chosen = parser.parse_args()
    start = time.process_time()
    print(f"{dated(chosen.quick)}; digits MLP, batch {BATCH}, localization {LOCALIZATION:g}, {CHAINS} chains")
    model, data = trained_mlp(chosen.quick)
    posterior = LocalPosterior(model, data, "cross_entropy", localization=LOCALIZATION)
    with untouched(model):
        hmc = session(posterior, slt.HMC(leapfrogs=6, jitter=NARROW), 16, 20 if chosen.quick else 80, seed=1)
        hmc.warm(NoBar())
        hmc.draw(20 if chosen.quick else 400, None, NoBar())
        reference = slt.llc(hmc.trace())
        print(
            f"reference: {reference.value:.3f} +- {reference.mcse:.3f}, R-hat {reference.rhat:.3f}, "
            f"HMC on the full data, {spent(hmc):.0f} gradients of each of 16 chains"
        )
        print(f"{'sampler':30} {'f':>5} {'bias %':>7} {'error':>6} {'told %':>7} {'R-hat':>6}")
        bench = Bench(posterior.with_batch_size(BATCH), reference, 0.01 if chosen.quick else 1.0)
        table, autos = {}, {}
        for name, sampler in SAMPLERS.items():
            traces, autos[name] = measure(bench, sampler)
            for f, trace in traces.items():
                bias = row(bench, name, f, trace)
                if bias is not None:
                    table[name, f] = bias
    for name, (f, trace) in autos.items():
        row(bench, name, f, trace, "  AUTO")
    if chosen.plot is not None:
        draw(table, chosen.plot)
    print(f"{time.process_time() - start:.0f} seconds of CPU")


if __name__ == "__main__":
    main()
