"""A saved run whose process may be told to die at a given evaluation of the loss.

    python saved_job.py FOLDER SAMPLER DIE_AT

prints the number of evaluations it made.
"""

import os
import signal
import sys
from typing import Any

import torch
from torch import Tensor, nn

import slt
from slt.running import saved
from tests.models import called_each_time

DRAWS, WARMUP, CHAINS = 60, 40, 3


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.7, -0.3]))


class Loss:
    def __init__(self, die_at: int) -> None:
        self.calls, self.die_at = 0, die_at

    def __call__(self, model: Two, batch: Any) -> Tensor:
        called_each_time()
        self.calls += 1
        if self.calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return (batch[0] * (model.w - 0.5) ** 2).sum(1) + (model.w.prod() + 0.21) ** 2


SAMPLERS = {"hmc": slt.HMC(leapfrogs=2), "sgld": slt.SGLD(), "diagonal": slt.HMC(leapfrogs=2, mass="diagonal")}


def run(folder: str, sampler: str, die_at: int, draws: int = DRAWS) -> tuple[slt.Trace, Loss]:
    saved._INTERVAL = 0.0  # as often as its share of the time allows
    generator = torch.Generator().manual_seed(0)
    data = (1 + torch.rand(50, 2, generator=generator),)
    loss = Loss(0)
    batch_size = 10 if sampler == "sgld" else None
    posterior = slt.LocalPosterior(Two(), data, loss, localization=1.0, batch_size=batch_size)
    loss.calls, loss.die_at = 0, die_at
    trace = slt.sample(
        posterior,
        SAMPLERS[sampler],
        chains=CHAINS,
        draws=draws,
        warmup=WARMUP,
        thin=2,
        seed=4,
        observe={"distance": slt.observables.distance(), "weights": slt.observables.weights()},
        progress=False,
        save_to=folder,
    )
    return trace, loss


if __name__ == "__main__":
    torch.set_num_threads(1)
    _, made = run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(made.calls)
