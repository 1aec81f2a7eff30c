"""Chain-steps per second of SGLD in slt, beside a bare PyTorch loop of one chain, in one run.

    python benchmarks/throughput.py

Ratios are to the bare loop: its own gradient, its own noise, no pairing, no statistics. Absolute times depend on the
machine and on what else it does; read the ratios.
"""

import itertools
import platform
import time
from collections.abc import Callable
from datetime import date

import torch
from torch import nn

import slt

BATCH, STEPS, CHAINS = 64, 300, (1, 16, 64, 256)


def mlp(widths: list[int]) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "MLP 4-16-16-2": (lambda: mlp([4, 16, 16, 2]), (4,), 2),
    "MLP 64-128-128-10": (lambda: mlp([64, 128, 128, 10]), (64,), 10),
    "CNN 8x8": (cnn, (1, 8, 8), 10),
}


def bare(model: nn.Module, x: torch.Tensor, y: torch.Tensor, step_size: float) -> float:
    parameters = list(model.parameters())
    start = time.perf_counter()
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        grads = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, grads, strict=True):
                p.add_(g, alpha=-step_size / 2).add_(torch.randn_like(p), alpha=step_size**0.5)
    return STEPS / (time.perf_counter() - start)


def ours(model: nn.Module, x: torch.Tensor, y: torch.Tensor, chains: int, method: str) -> float:
    posterior = slt.LocalPosterior(model, (x, y), "cross_entropy", batch_size=BATCH, localization=1.0)
    settings = {"chains": chains, "warmup": 0, "progress": False, "chain_method": method}
    slt.sample(posterior, slt.SGLD(step_size=1e-6), draws=5, **settings)
    start = time.perf_counter()
    slt.sample(posterior, slt.SGLD(step_size=1e-6), draws=STEPS, **settings)
    return chains * STEPS / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{date.today()}, {platform.machine()}, torch {torch.__version__}, 1 thread, batch {BATCH}")
    print(f"{'model':20} {'chains':>6} {'method':>11} {'steps/s':>10} {'of the bare loop':>17}")
    for name, (make, shape, classes) in CASES.items():
        torch.manual_seed(0)
        x, y = torch.randn(4096, *shape), torch.randint(classes, (4096,))
        reference = bare(make(), x, y, 1e-6)
        print(f"{name:20} {1:6} {'bare loop':>11} {reference:10.0f} {1:17.2f}")
        for method, chains in [("in_place", 1), *(("vectorized", c) for c in CHAINS)]:
            speed = ours(make(), x, y, chains, method)
            print(f"{name:20} {chains:6} {method:>11} {speed:10.0f} {speed / reference:17.2f}")


if __name__ == "__main__":
    main()
