"""What the benchmarks share: a small network trained on digits, runs by hand, and the line that dates them."""

import argparse
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import slt
from slt.posterior import LocalPosterior
from slt.running.counted import Counted
from slt.running.observed import Observed
from slt.running.provenance import Setup
from slt.running.session import Session
from slt.samplers import Sampler

Data = tuple[torch.Tensor, torch.Tensor]
NARROW = 0.25  # a jitter that hardly shortens the steps


def trained_mlp(quick: bool) -> tuple[nn.Module, Data]:
    """Train the 64-16-10 network (1,210 parameters) on 1,000 images as `slt demo` does; return it with its data."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))[:1000]
    x = torch.from_numpy((pixels[order] / 16).astype(np.float32))
    y = torch.from_numpy(labels[order]).long()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20 if quick else 200):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model, (x, y)


class NoBar:
    def update(self, n: int) -> None:
        """Show nothing."""


def session(posterior: LocalPosterior, sampler: Sampler, chains: int, warmup: int, seed: int, thin: int = 1) -> Session:
    """Put chains at w*, to be run by hand; `spent` tells their gradients."""
    bound = Counted.of(posterior.bind("vectorized", chains), posterior.n)
    made = Session(
        Setup(posterior, bound, sampler, chains, warmup, thin, seed), Observed({}, bound.center, chains), None
    )
    made.start(None)
    return made


def spent(run: Session) -> float:
    """Gradients on all the data of one chain so far."""
    return run.setup.bound.spent / run.setup.chains


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Begin the options of a script."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute's smoke: too short to say anything")
    return parser


def chosen_defaults(doc: str | None) -> argparse.ArgumentParser:
    """Begin the options of a script that runs `slt.estimate_llc` with its defaults on a list of targets."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="targets whose name holds this text")
    return parser


def dated_defaults() -> str:
    """Say the same where `slt.estimate_llc` chooses the number of threads itself, and leave it the choice."""
    threads = torch.get_num_threads()
    line = f"{dated(False)}; estimate_llc chooses from {threads}"
    torch.set_num_threads(threads)
    return line


def problems(estimate: slt.Estimate) -> str:
    """Name what the verdict holds against an estimate."""
    return ", ".join(finding.kind.words for finding in estimate.verdict.problems) or "good"


def written(cells: Sequence[object], markdown: bool, plain: str = " | ") -> str:
    """Write a line of a table: for a page, or with something plain between its cells."""
    return f"| {' | '.join(map(str, cells))} |" if markdown else plain.join(map(str, cells))


def dated(quick: bool) -> str:
    """Say when and on what a table was made, and with which processor: nothing that names the machine."""
    torch.set_num_threads(1)
    short = "; --quick: these figures mean nothing" if quick else ""
    return f"{date.today()}, {processor()}, torch {torch.__version__}, 1 thread{short}"


def processor() -> str:
    """Name the processor as well as the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
