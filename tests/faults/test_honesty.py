"""Faults injected into whole runs: the verdict names each; see benchmarks/honesty.py, whose cases these are."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FAST = 2  # seeds of what runs with every change
LINEAR = "deep linear"  # the model whose runs are short


@pytest.fixture(scope="module")
def honesty() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("honesty")
    finally:
        sys.path.remove(str(BENCHMARKS))


def missed(honesty: ModuleType, seeds: range, cases: list) -> dict[tuple[str, str, int], set]:
    torch.set_num_threads(1)
    found = {}
    for case in cases:
        for seed in seeds:
            kinds = honesty.kinds(case, seed)
            if not case.expected & kinds:
                found[case.fault, case.model, seed] = kinds
    return found


def test_every_fault_has_two_models(honesty: ModuleType) -> None:
    models = {}
    for case in honesty.cases():
        models.setdefault(case.fault.split(",")[0], set()).add(case.model)
    assert len(models) == 6
    assert all(len(of) >= 2 for of in models.values())


def test_faults_are_named(honesty: ModuleType) -> None:
    of_each = {case.fault.split(",")[0]: case for case in honesty.cases() if case.model == LINEAR}
    assert len(of_each) == 6
    assert missed(honesty, range(FAST), list(of_each.values())) == {}


@pytest.mark.exact
def test_faults_are_named_in_every_seed(honesty: ModuleType) -> None:
    assert missed(honesty, range(honesty.SEEDS), honesty.cases()) == {}


def test_runs_without_a_fault_are_not_blamed(honesty: ModuleType) -> None:
    """What would be named in any run names no fault."""
    trace = honesty.sampled(honesty.linear(), honesty.slt.HMC(), 0, draws=400)
    assert honesty.slt.llc(trace).verdict.ok
