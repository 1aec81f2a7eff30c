"""What warmup finds stays usable where there is little to find it from."""

import numpy as np
import torch

import slt
from slt.estimators import Problem


def test_sgld_with_one_step_a_round_at_a_point_without_gradients() -> None:
    toy = slt.toys.quadratic(4)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    trace = slt.sample(posterior, slt.SGLD(), chains=4, draws=50, warmup=10, progress=False)
    assert trace.alive.all()
    assert np.isfinite(trace.get("constant_data", "tuning_step_size")).all()


def test_a_descent_is_not_a_blow_up() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator)
    model = torch.nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.zero_()
    posterior = slt.LocalPosterior(model, (x, -x.sum(1, keepdim=True)), "gaussian:0.01")
    trace = slt.sample(posterior, slt.HMC(), chains=4, draws=100, warmup=100, progress=False)
    assert trace.alive.all()
    kinds = {finding.kind for finding in slt.llc(trace).verdict.problems}
    assert Problem.NOT_A_MINIMUM in kinds
    assert Problem.NON_FINITE_CHAIN not in kinds
