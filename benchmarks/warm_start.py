"""How HMC best starts: gradients until the excess is right, from w* and from where minibatch steps have led.

    python benchmarks/warm_start.py [--quick]

Each start goes on with the rounds of warmup, so that the step is found on the way. "right at" is the number of
gradients on all the data of one chain, those of the start included, after which the mean over 16 chains and five
steps first lies within 5 % of the reference, a longer HMC run with another seed. The shares are what it is of the
reference after so many gradients.
"""

import time

import numpy as np
import torch
from _shared import NARROW, NoBar, arguments, dated, session, spent, trained_mlp

import slt
from slt._tree import Params
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.running.advance import Run
from slt.running.session import Session

CHAINS, BATCH, ROUNDS = 16, 64, 10  # rounds of warmup, as in slt.sample
MINIBATCH_STEPS = 300
AFTER = (50, 100, 200, 300)
WITHIN, MEAN_OF = 0.05, 5  # five steps: the noise of one would count as arrival


def minibatch_positions(posterior: LocalPosterior, seed: int) -> tuple[Params, float]:
    """Return where minibatch steps of second order lead from w*, and what they cost."""
    run = session(posterior.with_batch_size(BATCH), slt.SGLD(second_order=True), CHAINS, MINIBATCH_STEPS, seed)
    run.warm(NoBar())
    return run.runs[0].state.w, spent(run)


def put(run: Session, w: Params) -> None:
    """Start the sampler at w, its search for a step included."""
    (group,), (begun,) = run.groups, run.runs
    run.setup.bound.tally.rows = 0
    state, tuning, adaptation = run.setup.sampler.init(run.setup.bound, w, begun.nbeta, group.random)
    run.runs = [Run(0, begun.nbeta, state, tuning, adaptation, begun.dead)]


def follow(posterior: LocalPosterior, steps: int, seed: int, *, warm: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients spent before each step, and nbeta times the excess there, mean over the chains."""
    run, before = session(posterior, slt.HMC(), CHAINS, steps, seed), 0.0
    if warm:
        w, before = minibatch_positions(posterior, seed + 1)
        put(run, w)
    gradients, energy = [], []
    for rounds, count in enumerate(np.diff(np.linspace(0, steps, ROUNDS + 1).round().astype(int)), 1):
        for _ in range(count):
            gradients.append(before + spent(run))
            (block,) = run.advance(1, 1, recording=False)
            energy.append(float(posterior.nbeta * block["excess"].mean()))
        run._pool(rounds)
    return np.array(gradients), np.array(energy)


def row(name: str, start: str, run: tuple[np.ndarray, np.ndarray], reference: float) -> None:
    gradients, energy = run
    smooth = np.convolve(energy, np.ones(MEAN_OF) / MEAN_OF, mode="valid") / reference
    gradients = gradients[MEAN_OF - 1 :]
    arrived = np.flatnonzero(np.abs(smooth - 1) < WITHIN)
    when = f"{gradients[arrived[0]]:.0f}" if len(arrived) else f"> {gradients[-1]:.0f}"
    shares = [f"{s:7.2f}" for s in np.interp(AFTER, gradients, smooth, left=np.nan, right=np.nan)]
    print(f"{name:30} {start:20} {when:>8} " + " ".join(shares), flush=True)


def main() -> None:
    quick = arguments(__doc__).parse_args().quick
    start = time.process_time()
    print(f"{dated(quick)}; {CHAINS} chains, {MINIBATCH_STEPS} steps on minibatches of {BATCH}")
    model, data = trained_mlp(quick)
    print(f"{'digits MLP':30} {'start':20} {'right at':>8} " + " ".join(f"at {g:4}" for g in AFTER))
    for gamma in (1.0, 10.0, 100.0, "auto"):
        posterior = LocalPosterior(model, data, "cross_entropy", localization=gamma)
        with untouched(model):
            long = session(posterior, slt.HMC(leapfrogs=8, jitter=NARROW), CHAINS, 10 if quick else 75, seed=101)
            long.warm(NoBar())
            long.draw(10 if quick else 200, None, NoBar())
            reference = slt.llc(long.trace())
            name = f"localization {gamma}: {reference.value:.2f} +- {reference.mcse:.2f}"
            for seed in (1,) if quick else (1, 11):
                row(name, "w*", follow(posterior, 10 if quick else 60, seed, warm=False), reference.value)
                row(name, "minibatch steps", follow(posterior, 10 if quick else 60, seed, warm=True), reference.value)
    print(f"{time.process_time() - start:.0f} seconds of CPU")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
