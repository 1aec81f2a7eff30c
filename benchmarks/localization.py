"""The LLC of three trained networks against the localization, isotropic and in the automatic units.

    python benchmarks/localization.py [--quick] [--markdown] [--only TEXT]

An MLP on 1,000 of scikit-learn's digits, a small convolutional network on 300 of them, and a network with an embedding
and two norms on 300 sums modulo 11; of the last two a tenth of the labels is drawn at random, so that they cannot be
fitted exactly. "auto x c" multiplies every automatic precision by c. `slt.estimate_llc` runs with a budget of 60,000
gradients for the first and 30,000 for the others, and a target error of 2 %; what it could not settle in that its
verdict says.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from _shared import Data, arguments, dated, problems, trained_mlp, written
from torch import Tensor, nn

import slt

ISOTROPIC, FACTORS = (0.1, 1.0, 10.0, 100.0), (0.1, 1.0, 10.0)
TARGET = 0.02
BASE, ROWS, WRONG = 11, 300, 0.1


class Sums(nn.Module):
    """Reads two numbers by an embedding and tells their sum modulo 11."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.first = nn.Embedding(BASE, 12), nn.LayerNorm(12)
        self.mix, self.second, self.read = nn.Linear(12, 24), nn.LayerNorm(24), nn.Linear(24, BASE)

    def forward(self, pairs: Tensor) -> Tensor:
        return self.read(self.second(self.mix(self.first(self.numbers(pairs).sum(1))).relu()))


def some_wrong(labels: Tensor, classes: int) -> Tensor:
    """Draw a share of the labels at random."""
    return torch.where(torch.rand(len(labels)) < WRONG, torch.randint(classes, (len(labels),)), labels)


def train(model: nn.Module, data: Data, steps: int) -> nn.Module:
    """Descend on all the data, with a step that falls to zero: it ends near a minimum."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def convolutional(quick: bool) -> tuple[nn.Module, Data]:
    """Train a network of a convolution and a linear layer on the same digits."""
    _, (x, y) = trained_mlp(True)
    torch.manual_seed(2)
    data = x[:ROWS].reshape(-1, 1, 8, 8), some_wrong(y[:ROWS], 10)
    model = nn.Sequential(nn.Conv2d(1, 4, 4, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10))
    return train(model, data, 20 if quick else 1500), data


def sums(quick: bool) -> tuple[nn.Module, Data]:
    """Train the network of sums."""
    torch.manual_seed(3)
    pairs = torch.randint(BASE, (ROWS, 2))
    labels = some_wrong(pairs.sum(1) % BASE, BASE)
    return train(Sums(), (pairs, labels), 20 if quick else 3000), (pairs, labels)


NETWORKS: dict[str, Callable[[bool], tuple[nn.Module, Data]]] = {
    "MLP on digits": trained_mlp,
    "convolution on digits": convolutional,
    "embedding and norms on sums": sums,
}

GRADIENTS = dict(zip(NETWORKS, (60_000, 30_000, 30_000), strict=True))


def localizations(model: nn.Module, data: Data) -> dict[str, Any]:
    """Every localization of the table, by name."""
    gammas = slt.LocalPosterior(model, data, "cross_entropy").mean_precisions
    scaled = {f"auto x {c:g}": {name: c * gamma for name, gamma in gammas.items()} for c in FACTORS}
    return {**{f"{gamma:g}": gamma for gamma in ISOTROPIC}, **scaled}


def row(name: str, localization: str, estimate: slt.Estimate, markdown: bool) -> str:
    """Write a line of the table."""
    low, high = estimate.interval()
    sensitivity, error = estimate.sensitivity, estimate.sensitivity_mcse
    told = "?" if sensitivity is None or error is None else f"{sensitivity:+.2f} ± {error:.2f}"
    cells = (name, localization, f"{estimate.value:.1f} ({low:.1f} to {high:.1f})", told, problems(estimate))
    return written(cells, markdown, "  ")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    chosen = parser.parse_args()
    print(dated(chosen.quick), flush=True)
    head = ("network", "localization", "LLC (95 %)", "sensitivity", "verdict")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}" if chosen.markdown else "  ".join(head))
    for name, make in NETWORKS.items():
        if chosen.only not in name:
            continue
        budget = slt.Gradients(600 if chosen.quick else GRADIENTS[name])
        start = time.perf_counter()
        model, data = make(chosen.quick)
        trained = time.perf_counter() - start
        for label, localization in localizations(model, data).items():
            estimate = slt.estimate_llc(
                model,
                data,
                "cross_entropy",
                localization=localization,
                target_relative_error=TARGET,
                budget=budget,
                progress=False,
            )
            print(row(name, label, estimate, chosen.markdown), flush=True)
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(model(data[0]), data[1]))
        size = sum(p.numel() for p in model.parameters())
        print(f"{name}: {size} parameters, trained in {trained:.0f} s to a loss of {loss:.4f} nats")
    print(f"{time.process_time():.0f} seconds of CPU")


if __name__ == "__main__":
    main()
