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
import torch

import slt
from slt.diagnostics import bench, known_of
from slt.diagnostics.cases import LOCALIZATION, N
from slt.toys import DeepLinear, Toy

FILE = Path(__file__).parents[1] / "slt" / "diagnostics" / "references.json"
DRAWS = 4e5  # of all chains of a run; a reference is known to about sqrt(time / DRAWS)
ERROR = 0.003  # relative, at most


def targets() -> Iterator[tuple[Toy, dict[str, Any]]]:
    """Toys without an exact value, with the settings of their posterior."""
    for toy in bench():
        if known_of(toy, slt.LocalPosterior(toy.model, toy.data, toy.loss)).kind != "exact":
            yield toy, {}
    yield slt.toys.deep_linear((5, 5, 5), rank=2, n=N), {"localization": LOCALIZATION}


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
    """Elliptical slices from two starts, and HMC; pooled if they agree."""
    segments = posterior.problem.segments
    precision = torch.cat([p.expand(s.size) for p, s in zip(posterior.precisions, segments, strict=True)])
    loss, center = _slices.flat_loss(toy.model, toy.data, toy.loss)
    chains, draws = 512, int(DRAWS / 512)
    while True:
        runs = [
            _slices.record(
                loss, center, posterior.nbeta, precision,
                chains=chains, draws=draws, burn_in=draws // 4, seed=0, hot=hot,
            )
            for hot in (False, True)
        ]  # fmt: skip
        slices = [_gibbs.mean_and_error(energy) for energy, _ in runs]
        hmc = slt.llc(slt.sample(posterior, slt.HMC(), chains=64, draws=4 * draws, warmup=1000, seed=1, progress=False))
        means = [*slices, (hmc.value, hmc.mcse)]
        weights = [error**-2 for _, error in means]
        value = sum(w * mean for w, (mean, _) in zip(weights, means, strict=True)) / sum(weights)
        error = sum(weights) ** -0.5
        if error < ERROR / 2 * value:
            break
        draws *= 3
    pair = slices[0][0] + slices[1][0], hypot(slices[0][1], slices[1][1])
    checks = {
        "slices, starts": (slices[0][0] - slices[1][0]) / pair[1],
        "slices, HMC": (pair[0] / 2 - hmc.value) / hypot(pair[1] / 2, hmc.mcse),
        "distance, starts": _gibbs.z_score(runs[0][1], runs[1][1]),
    }
    if max(map(abs, checks.values())) > _gibbs.DISAGREE:
        raise RuntimeError(f"{toy.name}: the runs do not agree: {checks}, {means}")
    return {
        "value": value,
        "error": error,
        "method": "elliptical slice sampling from w* and from points scattered around it, and HMC, pooled",
        "settings": {"chains": chains, "draws": draws, "burn_in": draws // 4, "seed": 0},
        "z": {name: round(z, 2) for name, z in checks.items()},
    }


def make(toy: Toy, settings: dict[str, Any]) -> dict[str, Any]:
    """One reference."""
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, **settings)
    names = [segment.name for segment in posterior.problem.segments]
    each = {name: float(p.double().mean()) for name, p in zip(names, posterior.precisions, strict=True)}
    start = time.perf_counter()
    found = (
        gibbs(toy.model, posterior.nbeta, each) if isinstance(toy.model, DeepLinear) else two_algorithms(toy, posterior)
    )
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
    have = {(one["toy"], round(one["nbeta"], 6)) for one in stored}
    for toy, settings in targets():
        nbeta = slt.LocalPosterior(toy.model, toy.data, toy.loss).nbeta
        if (toy.name, round(nbeta, 6)) in have:
            continue
        stored.append(make(toy, settings))
        FILE.write_text(json.dumps({"references": stored}, indent=1) + "\n")


if __name__ == "__main__":
    main()
