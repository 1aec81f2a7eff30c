"""What a run was given, and what of it stands in its trace."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._store import slt_version
from slt.posterior import LocalPosterior
from slt.problem.evaluate import InPlace
from slt.running._groups import join_tuning
from slt.running.advance import Run
from slt.running.counted import Counted
from slt.running.hot_start import hot_chains
from slt.running.tuning import to_arrays
from slt.samplers import Sampler
from slt.trace import Trace

_MEAN_LOSS = (
    "the loss is a mean over the batch: minibatches are paired by evaluating w* on the same rows, one more forward "
    "pass a step"
)


@dataclass(frozen=True)
class Setup:
    """What was chosen for a run.

    Attributes:
        posterior: What is sampled.
        bound: The same, laid out for the run's evaluator; it counts its gradients.
        sampler: How.
        chains: Number of chains.
        warmup: Steps before the first draw.
        thin: Steps from one draw to the next.
        seed: Seed of all randomness.
        notes: What the reader of the estimate should know of the run.
        hot_start: Whether every second chain begins hot.
    """

    posterior: LocalPosterior
    bound: Counted
    sampler: Sampler
    chains: int
    warmup: int
    thin: int
    seed: int
    notes: tuple[str, ...] = ()
    hot_start: bool = False

    @property
    def full_data(self) -> bool:
        """Whether every draw's loss is over all the data."""
        return self.sampler.full_data or self.posterior.batch_size is None


def build_trace(
    setup: Setup, runs: Sequence[Run], arrays: Mapping[str, NDArray[Any]], observed: Mapping[str, NDArray[Any]]
) -> Trace:
    """Put a run's draws and everything about them into a trace."""
    posterior, problem = setup.posterior, setup.posterior.problem
    draws = {"excess": arrays["excess"], "loss": arrays["excess"] + problem.loss_center, "distance": arrays["distance"]}
    sizes = [segment.size for segment in problem.segments]
    tuning = to_arrays(join_tuning([run.tuning for run in runs]), setup.bound.evaluator, sizes)
    constant: dict[str, Any] = {
        "n": posterior.n,
        "nbeta": posterior.nbeta,
        "dimension": posterior.dimension,
        "loss_center": problem.loss_center,
        "alive": (("chain",), ~torch.cat([run.dead for run in runs]).numpy()),
    }
    if setup.hot_start:
        constant["hot"] = (("chain",), hot_chains(range(setup.chains)).numpy())
    if setup.bound.felt is not None:
        constant["felt_expected"] = setup.bound.felt.trace
    for name, value in tuning.items():
        chainwise = isinstance(getattr(runs[0].tuning, name), Tensor)
        entries = (f"{name}_row", f"{name}_entry")[-value.ndim :]
        constant[f"tuning_{name}"] = (("chain",) if chainwise else entries, value)
    return Trace.from_arrays(
        posterior=draws,
        sample_stats={name: value for name, value in arrays.items() if name not in draws},
        constant_data=constant,
        settings=_settings(setup, arrays["excess"].shape[1]),
        observables=observed or None,
    )


def environment(device: torch.device) -> dict[str, Any]:
    """What may change under a run that is resumed; its draws are then the same to rounding only."""
    return {
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        **versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what computes the draws."""
    return {
        "slt": slt_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": sys.platform,
    }


def _settings(setup: Setup, draws: int) -> dict[str, Any]:
    posterior, problem = setup.posterior, setup.posterior.problem
    notes = [*posterior.notes, *setup.notes]
    if not (setup.full_data or problem.per_example):
        notes.append(_MEAN_LOSS)
    return {
        "sampler": repr(setup.sampler),
        "method": type(setup.sampler).__name__,
        "unadjusted": setup.sampler.unadjusted,
        "full_data": setup.full_data,
        "batch_size": posterior.batch_size,
        "chains": setup.chains,
        "draws": draws,
        "warmup": setup.warmup,
        "hot_start": setup.hot_start,
        "thin": setup.thin,
        "seed": setup.seed,
        "gradients": setup.bound.spent,
        "n": posterior.n,
        "nbeta": posterior.nbeta,
        "sizes": {segment.name: segment.size for segment in problem.segments},
        **_describe_localization(posterior),
        "loss": problem.loss.convention,
        "chain_method": "in_place" if isinstance(setup.bound.evaluator, InPlace) else "vectorized",
        "dtype": ", ".join(sorted({_type_name(segment.parameter.dtype) for segment in problem.segments})),
        "state_dtype": _type_name(problem.dtype),
        "device": str(problem.device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "notes": notes,
    }


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _describe_localization(posterior: LocalPosterior) -> dict[str, Any]:
    given = posterior.localization
    isotropic = isinstance(given, (int, float))
    return {
        "localization": float(given) if isinstance(given, (int, float)) else posterior.mean_precisions,
        "localization_rule": "isotropic" if isotropic else given if isinstance(given, str) else "mapping",
        "localization_uniform": all(bool((p == p.reshape(-1)[:1]).all()) for p in posterior.precisions),
        "localization_zero": not any(bool((p > 0).any()) for p in posterior.precisions),
    }
