"""Six faults put into runs on purpose, and whether the verdict names each: 20 seeds, at least two models.

    python benchmarks/honesty.py [--quick] [--only TEXT]

What is expected stands with each case, and was written before the runs: the verdict must hold one of these problems
in every one of the seeds. Notes do not count.
"""

import copy
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from _shared import arguments, dated
from torch import Tensor, nn

import slt
from slt.errors import NoDrawsError
from slt.estimators import Problem
from slt.samplers import Sampler

SEEDS = 20
CHAINS = 8
UNEQUILIBRATED = {Problem.DRIFT, Problem.NOT_EQUILIBRATED, Problem.NOT_CONVERGED}
TOO_LARGE_FOR_SGLD = {Problem.STEP_BIAS, Problem.NON_FINITE_CHAIN}
TOO_LARGE_FOR_HMC = {Problem.FROZEN_CHAIN, Problem.DIVERGING}

Target = tuple[nn.Module, Any, Any]


@dataclass(frozen=True)
class Case:
    """A fault in runs of one model.

    Attributes:
        fault: What is wrong.
        model: Of what.
        expected: Problems of which the verdict must name one.
        run: Makes the trace of a seed.
    """

    fault: str
    model: str
    expected: set[Problem]
    run: Callable[[int], slt.Trace]


@cache
def trained(steps: int = 3000) -> Target:
    """A network of 121 parameters after so many steps of Adam on a regression, and with 3,000 at its minimum."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=rng)
    y = torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:] + 0.3 * torch.randn(300, 1, generator=rng)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / steps) ** 2 + 1e-5
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return model, (x, y), "gaussian:0.3"


@cache
def linear() -> Target:
    """A linear network of 50 parameters at rank 2."""
    toy = slt.toys.deep_linear((5, 5, 5), 2)
    return toy.model, toy.data, toy.loss


@cache
def off_its_minimum() -> Target:
    """The same, an eighth of the way to other weights."""
    model, data, loss = copy.deepcopy(linear())
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.125 * torch.randn_like(parameter)
    return model, data, loss


@cache
def stiff() -> Target:
    """A quadratic whose directions differ by a factor of 10,000."""
    toy = slt.toys.quadratic(np.logspace(-2, 2, 20).tolist())
    return toy.model, toy.data, toy.loss


def sampled(target: Target, sampler: Sampler, seed: int, localization: Any = 1.0, **settings: Any) -> slt.Trace:
    model, data, loss = target
    posterior = slt.LocalPosterior(
        model, data, loss, localization=localization, batch_size=settings.pop("batch_size", None)
    )
    chosen = {"chains": CHAINS, "draws": 150, "warmup": 60, "progress": False, **settings}
    return slt.sample(posterior, sampler, seed=seed, **chosen)


@cache
def good_tuning(of: Callable[[], Target], sampler: Sampler) -> dict[str, Any]:
    """What a warmup finds, with nothing wrong, but for the step size of every chain."""
    trace = sampled(of(), sampler, 0, draws=1, warmup=200)
    names = [name for name in trace.names("constant_data") if name.startswith("tuning_")]
    return {name.removeprefix("tuning_"): trace.get("constant_data", name).copy() for name in names}


def with_steps(of: Callable[[], Target], sampler: Sampler, factors: Any) -> dict[str, Any]:
    tuning = good_tuning(of, sampler)
    return {**tuning, "step_size": tuning["step_size"].mean() * np.ones(CHAINS) * factors}


def unequilibrated(of: Callable[[], Target], factor: float) -> Callable[[int], slt.Trace]:
    """Short chains from w* without a warmup, by steps so much smaller than those that a warmup finds."""
    return lambda seed: sampled(of(), slt.HMC(), seed, warmup=0, tuning=with_steps(of, slt.HMC(), factor))


def frozen(of: Callable[[], Target], sampler: Sampler, factor: float) -> Callable[[int], slt.Trace]:
    """The chain numbered as the seed gets a step of this factor, with which it does not move."""

    def run(seed: int) -> slt.Trace:
        factors = np.where(np.arange(CHAINS) == seed % CHAINS, factor, 1.0)
        return sampled(of(), sampler, seed, tuning=with_steps(of, sampler, factors))

    return run


class Poisoned:
    """A loss that is NaN at one call, which the seed chooses after the first few."""

    def __init__(self, loss: Any, seed: int) -> None:
        """Wrap `loss`, a function of model and batch."""
        self.loss, self.calls = loss, 0
        self.at = int(np.random.default_rng(seed).integers(60, 400))

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """The loss, in nats."""
        self.calls += 1
        return self.loss(model, batch) * (torch.nan if self.calls == self.at else 1.0)


def regression(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """The gaussian loss of scale 0.3, an example each."""
    return ((model(batch[0]) - batch[1]) ** 2).sum(1) / (2 * 0.3**2)


def poisoned(of: Callable[[], Target], step_size: float) -> Callable[[int], slt.Trace]:
    def run(seed: int) -> slt.Trace:
        model, data, loss = of()
        own = Poisoned(regression if isinstance(loss, str) else loss, seed)
        settings = {"draws": 60, "warmup": 0, "chain_method": "in_place"}
        return sampled((model, data, own), slt.SGLD(step_size=step_size), seed, **settings)

    return run


def too_large(of: Callable[[], Target], sampler: Sampler, **settings: Any) -> Callable[[int], slt.Trace]:
    """Ten times the step that a warmup finds."""
    return lambda seed: sampled(of(), sampler, seed, tuning=with_steps(of, sampler, 10.0), **settings)


def cases() -> list[Case]:
    early = {Problem.NOT_A_MINIMUM}
    decided = {Problem.LOCALIZATION_DECIDES}
    return [
        Case("unequilibrated", "MLP", UNEQUILIBRATED, unequilibrated(trained, 0.05)),
        Case("unequilibrated", "deep linear", UNEQUILIBRATED, unequilibrated(linear, 0.05)),
        Case("unequilibrated", "stiff quadratic", UNEQUILIBRATED, unequilibrated(stiff, 0.3)),
        Case("not a minimum", "MLP, 30 steps", early, lambda seed: sampled(trained(30), slt.HMC(), seed)),
        Case("not a minimum", "MLP, 100 steps", early, lambda seed: sampled(trained(100), slt.HMC(), seed)),
        Case("not a minimum", "deep linear", early, lambda seed: sampled(off_its_minimum(), slt.HMC(), seed)),
        Case("localization decides", "MLP", decided, lambda seed: sampled(trained(), slt.HMC(), seed, 1e4)),
        Case("localization decides", "deep linear", decided, lambda seed: sampled(linear(), slt.HMC(), seed, 1e4)),
        Case("frozen chain, long steps", "MLP", {Problem.FROZEN_CHAIN}, frozen(trained, slt.HMC(), 1e6)),
        Case("frozen chain, short steps", "MLP", {Problem.FROZEN_CHAIN}, frozen(trained, slt.HMC(), 1e-6)),
        Case("frozen chain, long steps", "deep linear", {Problem.FROZEN_CHAIN}, frozen(linear, slt.HMC(), 1e6)),
        Case("frozen chain, short steps", "deep linear", {Problem.FROZEN_CHAIN}, frozen(linear, slt.SGLD(), 1e-9)),
        Case("one NaN", "MLP", {Problem.NON_FINITE_CHAIN}, poisoned(trained, 1e-5)),
        Case("one NaN", "deep linear", {Problem.NON_FINITE_CHAIN}, poisoned(linear, 1e-4)),
        Case("steps x 10, SGLD", "MLP", TOO_LARGE_FOR_SGLD, too_large(trained, slt.SGLD())),
        Case("steps x 10, SGLD of 32", "MLP", TOO_LARGE_FOR_SGLD, too_large(trained, slt.SGLD(), batch_size=32)),
        Case("steps x 10, SGLD", "deep linear", TOO_LARGE_FOR_SGLD, too_large(linear, slt.SGLD())),
        Case("steps x 10, HMC", "MLP", TOO_LARGE_FOR_HMC, too_large(trained, slt.HMC())),
        Case("steps x 10, HMC", "deep linear", TOO_LARGE_FOR_HMC, too_large(linear, slt.HMC())),
    ]


def kinds(case: Case, seed: int) -> set[Problem]:
    """What the verdict names, or the error that says that no chain was left."""
    try:
        verdict = slt.llc(case.run(seed)).verdict
    except NoDrawsError:
        return {Problem.NON_FINITE_CHAIN}
    # a strong localization is no fault of the draws, so it is named as a note
    noted = {finding.kind for finding in verdict.notes} & {Problem.LOCALIZATION_DECIDES}
    return noted | {finding.kind for finding in verdict.problems}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="cases whose line holds this text")
    chosen = parser.parse_args()
    print(dated(chosen.quick), flush=True)
    start, missed, seeds = time.process_time(), 0, 2 if chosen.quick else SEEDS
    print("fault | model | named | of | problems, in how many seeds")
    for case in cases():
        if chosen.only not in f"{case.fault} {case.model}":
            continue
        found = [kinds(case, seed) for seed in range(seeds)]
        named = sum(bool(case.expected & one) for one in found)
        missed += seeds - named
        counts = Counter(kind.words for one in found for kind in one)
        seen = ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
        print(f"{case.fault} | {case.model} | {named} | {seeds} | {seen or 'none'}", flush=True)
    print(f"missed: {missed}")
    print(f"{time.process_time() - start:.0f} seconds of CPU")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
