"""``slt demo``: the LLC over the training of two small networks on real images."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slt.checkpoints import Sweep, sweep

# Seeds and schedule were fixed before any LLC was computed.
_SPLIT_SEED, _TRAIN_ROWS = 0, 1000
_EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200)
_BATCH, _RATE, _MOMENTUM = 64, 0.05, 0.9
_CHAINS, _SECONDS = 4, 15.0  # per checkpoint


@dataclass(frozen=True)
class _Case:
    name: str
    make: Callable[[], nn.Module]
    seed: int
    target: float


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


CASES = (_Case("mlp", _mlp, seed=1, target=0.03), _Case("cnn", _cnn, seed=2, target=0.05))


@dataclass(frozen=True)
class _Digits:
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def run(chosen: argparse.Namespace) -> int:
    """Run the demonstration; return the exit code."""
    return run_demo(chosen.out, progress=not chosen.quiet)


def run_demo(out: str, *, progress: bool = True) -> int:
    """Train, estimate, print and draw; return the exit code.

    Args:
        out: Folder for checkpoints, traces, tables and the picture.
        progress: Whether to show progress bars.

    Returns:
        0; that early checkpoints, which are not minima, are not reliable is part of the demonstration.
    """
    start = time.monotonic()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these networks are too small to benefit from more
    try:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        digits = _load_digits()
        results = {}
        for case in CASES:
            print(f"\n{case.name}: training to epoch {_EPOCHS[-1]} ({len(digits.train[0])} images)")
            losses = _train(case, digits, folder / case.name)
            with torch.random.fork_rng(devices=[]):  # constructing a network draws its initial weights
                found = sweep(
                    sorted((folder / case.name).glob("epoch-*.pt")),
                    case.make,
                    digits.train,
                    "cross_entropy",
                    save_to=folder / case.name,
                    target_relative_error=case.target,
                    chains=_CHAINS,
                    budget=_SECONDS,
                    progress=progress,
                )
            print(found)
            results[case.name] = (found, losses)
        picture = folder / "llc-over-training.png"
        _draw(results, picture)
    finally:
        torch.set_num_threads(threads)
    print(f"\npicture: {picture}\ntraces and tables: {folder}/\n{time.monotonic() - start:.0f} seconds")
    return 0


def _load_digits() -> _Digits:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise SystemExit("slt demo needs scikit-learn for its images: install slt-torch[dev].") from error
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(pixels))
    x = torch.from_numpy((pixels[order] / 16).astype(np.float32))
    y = torch.from_numpy(labels[order]).long()
    return _Digits((x[:_TRAIN_ROWS], y[:_TRAIN_ROWS]), (x[_TRAIN_ROWS:], y[_TRAIN_ROWS:]))


def _train(case: _Case, digits: _Digits, folder: Path) -> dict[str, list[float]]:
    """Train with SGD; save a checkpoint at every epoch of the schedule; return the losses there."""
    folder.mkdir(parents=True, exist_ok=True)
    losses: dict[str, list[float]] = {"training loss": [], "test loss": []}
    x, y = digits.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        model = case.make()
        optimizer = torch.optim.SGD(model.parameters(), lr=_RATE, momentum=_MOMENTUM)
        for epoch in range(1, _EPOCHS[-1] + 1):
            for rows in torch.randperm(len(x)).split(_BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
            if epoch in _EPOCHS:
                torch.save(model.state_dict(), folder / f"epoch-{epoch:04d}.pt")
                with torch.no_grad():
                    for name, (a, b) in (("training loss", digits.train), ("test loss", digits.test)):
                        losses[name].append(nn.functional.cross_entropy(model(a), b).item())
    return losses


def _draw(results: dict[str, tuple[Sweep, dict[str, list[float]]]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(results), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (name, (found, losses)) in enumerate(results.items()):
        ax = figure.add_subplot(1, len(results), i + 1)
        found.plot(losses={key: np.array(values) for key, values in losses.items()}, ax=ax)
        ax.set_xscale("log")
        ax.set_xlabel(f"epoch ({name} on digits)")
    figure.savefig(path, dpi=150)
