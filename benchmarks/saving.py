"""What `save_to` costs: the same run with and without it, in turn.

    python benchmarks/saving.py

Each ratio is of medians over the repetitions of one run. The processor's time is less moved by what else the machine
does than the clock's; the clock's holds the waiting for the disk too.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import slt

CHAINS, BATCH = 8, 64


class Case(NamedTuple):
    """A model, what is observed of it, and a number of draws that takes some seconds."""

    hidden: int
    probe: int
    draws: int


CASES = {
    "MLP 64-16-10": Case(16, 0, 6000),
    "MLP 64-16-10, 200 losses": Case(16, 200, 4000),
    "MLP 64-256-10": Case(256, 0, 2000),
    "MLP 64-256-10, 200 losses": Case(256, 200, 1500),
}


def runner(case: Case, share: float) -> Callable[[Path | None], object]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, case.hidden), nn.ReLU(), nn.Linear(case.hidden, 10))
    x, y = torch.randn(4096, 64), torch.randint(10, (4096,))
    posterior = slt.LocalPosterior(model, (x, y), "cross_entropy", batch_size=BATCH, localization=100.0)
    probe = (x[: case.probe], y[: case.probe])
    observe = {"losses": slt.observables.losses(probe, "cross_entropy")} if case.probe else None

    def run(folder: Path | None) -> object:
        return slt.sample(
            posterior,
            slt.SGLD(step_size=1e-6),
            chains=CHAINS,
            draws=max(20, round(case.draws * share)),
            warmup=0,
            observe=observe,
            progress=False,
            save_to=folder,
        )

    return run


def seconds(run: Callable[[Path | None], object], folder: Path | None) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    run(folder)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the draws")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{date.today()}, {platform.machine()}, torch {torch.__version__}, 1 thread, {CHAINS} chains, batch {BATCH}")
    print(f"{'model':26} {'seconds without':>16} {'clock':>8} {'processor':>10}")
    for name, case in CASES.items():
        run = runner(case, arguments.share)
        run(None)  # the first of anything is slow
        without, within = [], []
        for _ in range(arguments.pairs):
            without.append(seconds(run, None))
            with tempfile.TemporaryDirectory() as folder:
                within.append(seconds(run, Path(folder, "run")))
        medians = [[statistics.median(times) for times in zip(*runs, strict=True)] for runs in (without, within)]
        clock, processor = (b / a - 1 for a, b in zip(*medians, strict=True))
        print(f"{name:26} {medians[0][0]:16.1f} {clock:+8.1%} {processor:+10.1%}")


if __name__ == "__main__":
    main()
