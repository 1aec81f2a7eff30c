"""References for the bench, where no exact value exists: long runs that share no code with slt's samplers.

    python benchmarks/references.py                # makes what is missing
    python benchmarks/references.py --again NAME   # makes those anew whose name begins so

For linear networks block Gibbs from two starts, which must agree; for other toys elliptical slice sampling from two
starts and slt's HMC, which must agree, pooled. They stand in slt/diagnostics/references.json, each with its error, its
method and what was checked. The settings are those of `slt.estimate_llc` at n = 1000, nbeta = n / log n and the
automatic localizer, and those of `slt.diagnostics.standard_cases`.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import date
from math import hypot
from pathlib import Path
from typing import Any

import _gibbs
import _slices
import numpy as np
import torch

import slt
from slt.diagnostics import bench, known_of
from slt.diagnostics.cases import LOCALIZATION, N
from slt.toys import Toy
from slt.toys.linear_networks import DeepLinear, squared_distance

FILE = Path(__file__).parents[1] / "slt" / "diagnostics" / "references.json"
DRAWS = 4e5  # of all chains of a run; a reference is known to about sqrt(time / DRAWS)
ERROR = 0.003  # relative, at most
SLICES_ERROR = 0.01  # of what only has to agree


def missing() -> Iterator[tuple[Toy, slt.LocalPosterior]]:
    """Toys without an exact or stored value, with their posteriors."""
    for toy in bench():
        yield from _without_value(toy, slt.LocalPosterior(toy.model, toy.data, toy.loss))
    toy = slt.toys.deep_linear((5, 5, 5), rank=2, n=N)
    yield from _without_value(toy, slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=LOCALIZATION))


def _without_value(toy: Toy, posterior: slt.LocalPosterior) -> Iterator[tuple[Toy, slt.LocalPosterior]]:
    if known_of(toy, posterior).kind not in ("exact", "reference"):
        yield toy, posterior


def gibbs(model: DeepLinear, nbeta: float, localization: dict[str, float]) -> dict[str, Any]:
    """Two block Gibbs runs, longer until the error is small."""
    center = [layer.detach().double().numpy() for layer in model.layers]
    chains = 64 if sum(w.size for w in center) > 100 else 256
    draws = int(DRAWS / chains / (4 if chains == 64 else 1))
    while True:
        found = _gibbs.reference(
            center,
            model.truth.double().numpy(),
            nbeta,
            list(localization.values()),
            chains=chains,
            draws=draws,
            burn_in=draws // 4,
        )
        if found["error"] < ERROR / 2 * found["value"]:
            return found
        draws *= 3


def two_algorithms(toy: Toy, posterior: slt.LocalPosterior) -> dict[str, Any]:
    """Elliptical slices from two starts, and HMC, which is known better; pooled if they agree."""
    energies, distances, settings = slices(toy, posterior)
    means = [_gibbs.mean_and_error(energy) for energy in energies]
    draws = 400
    while True:
        hmc = slt.llc(slt.sample(posterior, slt.HMC(), chains=1024, draws=draws, warmup=300, seed=1, progress=False))
        if hmc.mcse < 0.9 * ERROR * hmc.value:
            break
        draws *= 2
    means.append((hmc.value, hmc.mcse))
    sliced, error = (means[0][0] + means[1][0]) / 2, hypot(means[0][1], means[1][1]) / 2
    checks = {
        "slices, starts": _gibbs.z_score(*energies),
        "slices, HMC": (sliced - hmc.value) / hypot(error, hmc.mcse),
        "distance, starts": _gibbs.z_score(*distances),
    }
    if max(map(abs, checks.values())) > _gibbs.DISAGREE:
        raise RuntimeError(f"the runs do not agree: {checks}, {means}")
    weights = [error**-2 for _, error in means]
    return {
        "value": sum(w * mean for w, (mean, _) in zip(weights, means, strict=True)) / sum(weights),
        "error": sum(weights) ** -0.5,
        "method": "elliptical slice sampling from w* and from points scattered around it, and HMC, pooled",
        "settings": {**settings, "hmc_draws": draws, "slices": sliced, "slices_error": error},
        "z": {name: round(z, 2) for name, z in checks.items()},
    }


def slices(toy: Toy, posterior: slt.LocalPosterior) -> tuple[Any, Any, dict[str, int]]:
    """Energies and squared distances of the two runs, longer until the error is small, and their settings."""
    segments = posterior.problem.segments
    precision = torch.cat([p.expand(s.size) for p, s in zip(posterior.precisions, segments, strict=True)])
    loss, center = _slices.flat_loss(toy.model, toy.data, toy.loss)
    draws = 150
    while True:
        settings = {"chains": 4096, "draws": draws, "burn_in": 100, "seed": 0}
        runs = [_slices.record(loss, center, posterior.nbeta, precision, **settings, hot=hot) for hot in (False, True)]
        energies, distances = zip(*runs, strict=True)
        mean, error = _gibbs.mean_and_error(np.concatenate(energies))
        if error < SLICES_ERROR * mean:
            return energies, distances, settings
        draws *= 3


def make(toy: Toy, posterior: slt.LocalPosterior) -> dict[str, Any]:
    """One reference."""
    each = posterior.mean_precisions
    start = time.perf_counter()
    linear = isinstance(toy.model, DeepLinear) and toy.loss is squared_distance
    found = gibbs(toy.model, posterior.nbeta, each) if linear else two_algorithms(toy, posterior)
    print(
        f"{toy.name}: {found['value']:.4f} +- {found['error']:.4f} ({found['error'] / found['value']:.2%}) "
        f"in {time.perf_counter() - start:.0f} s, {found['z']}",
        flush=True,
    )
    # one number where all tensors have the same
    isotropic = len(set(each.values())) == 1
    return {
        "toy": toy.name,
        "nbeta": posterior.nbeta,
        "localization": next(iter(each.values())) if isotropic else each,
        **found,
        "made": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--again", metavar="NAME", help="make those anew whose name begins so")
    again = parser.parse_args().again
    torch.set_num_threads(1)
    stored = json.loads(FILE.read_text())["references"]
    if again is not None:
        stored = [one for one in stored if not one["toy"].startswith(again)]
        FILE.write_text(json.dumps({"references": stored}, indent=1) + "\n")
    failed: list[str] = []
    for toy, posterior in missing():
        try:
            stored.append(make(toy, posterior))
        except RuntimeError as error:
            failed.append(f"{toy.name}: {error}")
            print(failed[-1], flush=True)
        FILE.write_text(json.dumps({"references": stored}, indent=1) + "\n")
    if failed:
        raise SystemExit(f"without a reference: {', '.join(failed)}")


if __name__ == "__main__":
    main()
