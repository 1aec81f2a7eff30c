"""What the LLC of one function is in other parametrizations: the automatic localizer beside an isotropic one.

    python benchmarks/invariance.py [--quick] [--markdown] [--seed N]

The network is 10-20-10 with ReLU, its weights N(0, 2 / inputs) and its biases N(0, 1/4); the 1,000 inputs are N(0, 1),
and the targets are its own outputs, so that it stands at an exact minimum. `slt.estimate_llc` runs with a budget of
100,000 gradients, which decides nothing by the clock, and another seed in each row. Rescaled by a: W1 and b1 times
a, W2 over a.

What must hold under the automatic localizer: half-widths of at most 3 %, no verdict against a row, and no row more than
4 joint standard errors off the first. It exits with 1 if one is. The isotropic rows are there to be compared.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from _shared import Data, arguments, dated, problems, written
from torch import nn

import slt

SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
ISOTROPIC = 1.0
GRADIENTS = 100_000
TARGET, WIDEST, ERRORS = 0.02, 0.03, 4.0
CONSTANT = 10.0  # nats


class Case(NamedTuple):
    """One parametrization of the same function on the same data."""

    name: str
    model: nn.Module
    data: Data
    loss: Any
    settings: dict[str, Any]


def teacher() -> nn.Sequential:
    """Draw the network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10))
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.normal_(0, (2 / layer.in_features) ** 0.5)
            layer.bias.normal_(0, 0.5)
    return model


def rescaled(scale: float) -> nn.Module:
    """The same function with other sizes of the layers."""
    model = teacher()
    with torch.no_grad():
        for p, factor in zip(model.parameters(), (scale, scale, 1 / scale, 1.0), strict=True):
            p.mul_(factor)
    return model


def permuted() -> nn.Module:
    """The same function with its hidden units in another order."""
    model = teacher()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[order])
        model[0].bias.copy_(model[0].bias[order])
        model[2].weight.copy_(model[2].weight[:, order])
    return model


def cases() -> list[Case]:
    """Every row: the network as drawn first, then what must not change its LLC, then the isotropic localizer."""
    x = torch.randn(1000, 10, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        data = (x, teacher()(x))
    nbeta = len(x) / float(np.log(len(x)))
    twice = tuple(torch.cat([t, t]) for t in data)

    def shifted(model: Callable[..., torch.Tensor], batch: Data) -> torch.Tensor:
        return 0.5 * (model(batch[0]) - batch[1]).square().sum(1) + CONSTANT

    ordered = sorted(SCALES, key=lambda scale: scale != 1)
    return [
        *(Case(f"layers scaled by {s:g}", rescaled(s), data, "gaussian", {}) for s in ordered),
        Case("hidden units permuted", permuted(), data, "gaussian", {}),
        Case(f"{CONSTANT:g} nats added to the loss", teacher(), data, shifted, {}),
        Case("data twice, nbeta kept", teacher(), twice, "gaussian", {"nbeta": nbeta}),
        *(Case(f"layers scaled by {s:g}", rescaled(s), data, "gaussian", {"localization": ISOTROPIC}) for s in ordered),
    ]


def half_width(estimate: slt.Estimate) -> float:
    """Half the 95 % interval over the value."""
    low, high = estimate.interval()
    return (high - low) / 2 / abs(estimate.value)


def row(case: Case, estimate: slt.Estimate, first: slt.Estimate, seconds: float, markdown: bool) -> str:
    """Write a line of the table."""
    off = (estimate.value - first.value) / float(np.hypot(estimate.mcse, first.mcse))
    cells = (
        case.name,
        case.settings.get("localization", "auto"),
        f"{estimate.value:.2f}",
        f"{half_width(estimate):.2%}",
        "" if estimate is first else f"{off:+.1f}",
        "?" if estimate.sensitivity is None else f"{estimate.sensitivity:+.2f}",
        problems(estimate),
        f"{seconds:.0f}",
    )
    return written(cells, markdown, "  ")


def wrong(estimate: slt.Estimate, first: slt.Estimate) -> bool:
    """Whether a row under the automatic localizer breaks what must hold."""
    off = abs(estimate.value - first.value) > ERRORS * np.hypot(estimate.mcse, first.mcse)
    return bool(off) or not half_width(estimate) <= WIDEST or not estimate.verdict.ok


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--seed", type=int, default=0, help="of the first row")
    chosen = parser.parse_args()
    print(dated(chosen.quick), flush=True)
    head = ("parametrization", "localization", "LLC", "half-width", "z", "sensitivity", "verdict", "seconds")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}" if chosen.markdown else "  ".join(head))
    budget = slt.Gradients(600 if chosen.quick else GRADIENTS)
    found: list[slt.Estimate] = []
    failed = []
    slt.estimate_llc(*_small(), budget=slt.Gradients(2_000), progress=False)  # imports what is imported late
    for seed, case in enumerate(cases(), start=chosen.seed):
        start = time.perf_counter()
        estimate = slt.estimate_llc(
            *case[1:4], target_relative_error=TARGET, budget=budget, seed=seed, progress=False, **case.settings
        )
        found.append(estimate)
        print(row(case, estimate, found[0], time.perf_counter() - start, chosen.markdown), flush=True)
        if not case.settings.get("localization") and wrong(estimate, found[0]):
            failed.append(case.name)
    print(f"not the same within {ERRORS:g} errors and {WIDEST:.0%}, or called bad: {', '.join(failed) or 'none'}")
    print(f"{time.process_time():.0f} seconds of CPU")
    raise SystemExit(bool(failed) and not chosen.quick)


def _small() -> tuple[nn.Module, Any, Any]:
    toy = slt.toys.quadratic(2)
    return toy.model, toy.data, toy.loss


if __name__ == "__main__":
    main()
