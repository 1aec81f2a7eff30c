"""Errors of every sampler beside known values, against the gradients that it took, failed runs counted.

    python benchmarks/samplers.py

Four toys of `slt.diagnostics.standard_cases`: their loss is the same on every row, so that every gradient is one of all
the data and none has noise; a control variate would change nothing. What is compared is how fast chains forget, and how
much a step biases. With devinterp 1 installed, its SGLD and its RMSprop-SGLD are measured too. The step size, which it
leaves to its user, is then the one that the warmup of slt's SGLD finds, and a tenth of it for RMSprop, whose metric is
about 10 where gradients vanish; finding it is not counted.
"""

import argparse
import importlib
import importlib.util
import platform
import warnings
from collections.abc import Sequence
from datetime import date
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import slt
from slt.diagnostics import Benchmark, Case, Program, benchmark_sampler, standard_cases

CHAINS, BURN_IN = 16, 0.2

SAMPLERS: dict[str, slt.SGLD | slt.SGNHT | slt.MALA | slt.HMC] = {
    "SGLD": slt.SGLD(),
    "SGLD, second order": slt.SGLD(second_order=True),
    "SGLD, diagonal": slt.SGLD(preconditioner="diagonal"),
    "SGLD, RMSprop": slt.SGLD(preconditioner=slt.RMSprop()),
    "SGLD, RMSprop adaptive": slt.SGLD(preconditioner=slt.RMSprop(adaptive=True)),
    "SGNHT": slt.SGNHT(),
    "MALA": slt.MALA(),
    "MALA, diagonal": slt.MALA(preconditioner="diagonal"),
    "HMC": slt.HMC(),
    "HMC, diagonal": slt.HMC(mass="diagonal"),
    "HMC, low rank": slt.HMC(mass="low_rank"),
}


def warmed_step(case: Case) -> float:
    """The step size that slt's SGLD finds."""
    trace = slt.sample(case.posterior, slt.SGLD(), chains=CHAINS, draws=4, warmup=200, progress=False)
    return float(trace.get("constant_data", "tuning_step_size").mean())


def devinterp(method: str, share: float) -> Program:
    """A sampler of devinterp as `benchmark_sampler` takes it, at `share` of the step of slt's SGLD."""
    sampler, optim = (importlib.import_module(f"devinterp.{name}") for name in ("slt.sampler", "optim"))
    steps: dict[str, float] = {}

    def run(case: Case, gradients: float, seed: int) -> tuple[float, float]:
        if case.name not in steps:
            steps[case.name] = share * warmed_step(case)
        posterior, loss = case.posterior, case.toy.loss
        burn_in = int(BURN_IN * gradients)
        loader = DataLoader(TensorDataset(*(x[:8] for x in tensors(case))), batch_size=8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each call; failures it raises
            found = sampler.estimate_learning_coeff(
                case.toy.model,
                loader,
                evaluate=lambda model, batch: loss(model, tuple(batch)).mean(),
                sampling_method=getattr(optim.SGMCMC, method),
                optimizer_kwargs={
                    "lr": steps[case.name],
                    "nbeta": posterior.nbeta,
                    "localization": float(case.settings["localization"]),
                },
                num_draws=int(gradients) - burn_in,
                num_burnin_steps=burn_in,
                num_chains=CHAINS,
                seed=[1000 * seed + chain for chain in range(CHAINS)],
                verbose=False,
            )
        return float(found), int(gradients)

    return run


def tensors(case: Case) -> tuple[torch.Tensor, ...]:
    data: Any = case.toy.data
    return data if isinstance(data, tuple) else (data,)


def programs() -> dict[str, Any]:
    """Everything that is measured, by name."""
    if importlib.util.find_spec("devinterp") is None:
        print("devinterp is not installed: only slt is measured.")
        return dict(SAMPLERS)
    others = {
        "devinterp SGLD": devinterp("sgld", 1.0),
        "devinterp RMSprop-SGLD": devinterp("rmsprop_sgld", 0.1),
    }
    return dict(SAMPLERS) | others


def line(result: Benchmark, cases: Sequence[Case]) -> list[str]:
    """One line of the table: errors on each target as the budget grows, and how many runs completed."""
    errors = [" → ".join(f"{row.error:.1%}" for row in result.rows if row.name == case.name) for case in cases]
    completed = sum(row.completed for row in result.rows), sum(len(row.runs) for row in result.rows)
    said = [row.reliable for row in result.rows if row.reliable is not None]
    return [result.name, *errors, "{} of {}".format(*completed), str(sum(said)) if said else "-"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, nargs="+", default=[100, 1000], help="gradients of each chain")
    parser.add_argument("--seeds", type=int, default=4, help="runs of each")
    parser.add_argument("--only", nargs="+", help="names of samplers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{date.today()}, {platform.machine()}, torch {torch.__version__}, 1 thread, {CHAINS} chains")
    cases = standard_cases()
    results = []
    for name, sampler in programs().items():
        if given.only is None or name in given.only:
            results.append(benchmark_sampler(sampler, cases, given.budget, seeds=given.seeds, chains=CHAINS, name=name))
            print(f"\n{results[-1]}", flush=True)
    heads = [
        "sampler",
        *(f"{case.name}: {case.value:.4g}, {case.kind}" for case in cases),
        "completed",
        "good verdicts",
    ]
    print(f"\nRoot mean square errors at {' → '.join(f'{b:g}' for b in given.budget)} gradients of each chain\n")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for result in results:
        print(f"| {' | '.join(line(result, cases))} |")


if __name__ == "__main__":
    main()
