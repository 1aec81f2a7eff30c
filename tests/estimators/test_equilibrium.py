"""The virial's judge: what is held against a run, and what is not."""

import math

import numpy as np
import pytest

import slt
from slt.estimators import Problem
from slt.estimators.judges import judge_equilibrium


@pytest.mark.parametrize(
    ("virial", "mcse", "expected", "value", "held"),
    [
        (40.0, 0.5, 40.0, 9.0, False),
        (31.0, 0.8, 40.0, 9.0, True),  # certain, 22 % of the law, half of it 50 % of the value
        (31.0, 4.0, 40.0, 9.0, False),  # not certain
        (47.0, 0.6, 50.0, 11.3, False),  # 6 % of the law: a note
        (1190.0, 2.0, 1210.0, 22.0, False),  # certain, but under 5 % of the law
        (49.0, 0.8, 40.0, 9.0, True),
        (math.nan, math.nan, 40.0, 9.0, False),
    ],
)
def test_what_is_held_against_a_run(virial: float, mcse: float, expected: float, value: float, held: bool) -> None:
    kinds = [finding.kind for finding in judge_equilibrium(virial, mcse, expected, value).problems]
    assert kinds == [Problem.NOT_EQUILIBRATED] * held


@pytest.mark.exact
def test_chains_that_still_spread_are_named_and_long_ones_are_not() -> None:
    """Curvatures over six decades: slow directions are far from equilibrium while the energy looks level."""
    toy = slt.toys.quadratic(np.logspace(-2, 4, 40).tolist())
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    short = slt.llc(slt.sample(posterior, slt.HMC(), chains=8, draws=150, warmup=100, progress=False))
    assert Problem.NOT_EQUILIBRATED in {finding.kind for finding in short.verdict.problems}
    easy = slt.toys.quadratic(np.logspace(0, 2, 40).tolist())
    posterior = slt.LocalPosterior(easy.model, easy.data, easy.loss, localization=1.0)
    for seed in range(5):
        run = slt.sample(posterior, slt.HMC(), chains=8, draws=300, warmup=100, seed=seed, progress=False)
        assert Problem.NOT_EQUILIBRATED not in {finding.kind for finding in slt.llc(run).verdict.problems}
