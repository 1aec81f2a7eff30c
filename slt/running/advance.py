"""The only loop over steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params
from slt.posterior import Posterior
from slt.samplers import Info, Sampler

Draws = dict[str, Tensor]
"""Recorded draws by name, (chains, draws) each."""

_BEYOND = 1e3  # nats a parameter above anything a posterior holds: a chain there has blown up


class Run(NamedTuple):
    """Everything a group of chains needs to go on."""

    step: int
    nbeta: Tensor
    state: Any
    tuning: Any
    adaptation: Any | None
    dead: Tensor


def advance(
    run: Run,
    posterior: Posterior,
    sampler: Sampler,
    random: Random,
    draws: int,
    thin: int = 1,
    observe: Callable[[int, Params], None] | None = None,
) -> tuple[Run, Draws]:
    """Take `draws` times `thin` steps and record every `thin`-th position, as it enters its step.

    Excess is recorded on the rows of the very step that leaves a position: recorded afterwards on the same rows it
    would be correlated with the step. Beside it stand the means over the steps of a draw. While `run.adaptation`
    is there, every step adapts. `observe` sees each draw's number and position. A chain that blows up is marked dead
    for good; the others do not notice.

    Returns:
        The run after the last step, and the draws.
    """
    step, nbeta, state, tuning, adaptation, dead = run
    recorded: dict[str, list[Tensor]] = {}
    for draw in range(draws):
        row = _position(posterior, state.w)
        if observe is not None:
            observe(draw, state.w)
        infos = []
        for _ in range(thin):
            state, info = sampler.step(posterior, state, tuning, nbeta, random, step)
            if adaptation is not None:
                adaptation, tuning = sampler.adapt(posterior, adaptation, state, tuning, info, nbeta, random, step)
            infos.append(info)
            step += 1
        row.update(_summary(infos))
        if posterior.felt is not None:
            row["felt"] = _felt(infos)
        for name, value in row.items():
            recorded.setdefault(name, []).append(value)
    block = {name: torch.stack(values, dim=1).cpu() for name, values in recorded.items()}
    dead = dead | _blown_up(block, nbeta.cpu(), posterior.dimension)
    return Run(step, nbeta, state, tuning, adaptation, dead), block


def recorded_names(thin: int, *, felt: bool) -> tuple[str, ...]:
    """Names of what `advance` records of every draw, with or without directions in which the loss is felt."""
    means = ("excess_mean",) if thin > 1 else ()
    names = ("distance", "prior_energy", "excess", "diverging", "acceptance_rate", "virial", "surplus")
    return (*names, *(("felt",) if felt else ()), *means)


def _position(posterior: Posterior, w: Params) -> Draws:
    return {"distance": posterior.distance(w), "prior_energy": posterior.prior_energy(w)}


def _summary(infos: list[Info]) -> Draws:
    """Summarise the steps of one draw: the first excess, means of the rest."""
    if len(infos) == 1:
        excess, acceptance, diverging, virial, surplus, _ = infos[0]
        means = {"acceptance_rate": acceptance, "virial": virial, "surplus": surplus}
        return {"excess": excess, "diverging": diverging, **means}
    columns = zip(*(info[:-1] for info in infos), strict=True)
    mean = Info(*(torch.stack(list(column)).double().mean(0) for column in columns))
    return {
        "excess": infos[0].excess,
        "excess_mean": mean.excess,
        "acceptance_rate": mean.acceptance,
        "diverging": mean.diverging > 0,
        "virial": mean.virial,
        "surplus": mean.surplus,
    }


def _felt(infos: list[Info]) -> Tensor:
    """Mean of the virial of the directions in which the loss is felt; nan from a sampler that does not give it."""
    known = [info.felt for info in infos if info.felt is not None]
    if len(known) < len(infos):
        return torch.full_like(infos[0].excess, torch.nan)
    return torch.stack(known).mean(0)


def _blown_up(block: Draws, nbeta: Tensor, dimension: int) -> Tensor:
    # A large negative energy is a descent from a w* that is no minimum, which the verdict names.
    energies = torch.stack([nbeta.unsqueeze(1) * block["excess"], block["prior_energy"]])
    sane = torch.isfinite(energies) & (energies < _BEYOND * (dimension + 1000))
    return ~(sane.all(0) & torch.isfinite(block["distance"])).all(1)
