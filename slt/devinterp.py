"""Translates calls of devinterp to slt; devinterp itself is not needed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slt.errors import SettingsError
from slt.samplers import SGLD, SGNHT, RMSprop, Sampler

_HAND_OVER = ("model", "loader", "dataset", "evaluate", "loss_fn", "observables")
_IGNORED = {  # argument -> what slt does instead
    "cores": "chains run together in one process",
    "device": "the model stays on the device where it is",
    "gpu_idxs": "the model stays on the device where it is",
    "verbose": "progress= of slt.sample",
    "online": "the trace contains every draw",
    "init_loss": "the loss at w* is measured on all the data, and every minibatch is paired with it",
    "num_init_loss_batches": "the loss at w* is measured on all the data, and every minibatch is paired with it",
    "shuffle": "rows are drawn with replacement",
    "match_sampling_input_ids_across_chains": "every chain draws its own rows",
    "batches_per_draw": "observe= of slt.sample",
    "obs_seed": "observe= of slt.sample",
    "save_metrics": "the trace contains acceptance, virial and step bias",
    "output_path": "save_to= of slt.sample",
    "optimize_over": "parameters= of slt.LocalPosterior takes masks by name",
}
_REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {  # argument -> when it has no effect, else why it is refused
    "noise_level": (lambda value: value == 1, "another noise samples another temperature; set nbeta instead"),
    "weight_decay": (lambda value: value == 0, "a second Gaussian, at 0, is not part of the posterior"),
    "llc_weight_decay": (lambda value: value == 0, "a second Gaussian, at 0, is not part of the posterior"),
    "bounding_box_size": (lambda value: not value, "slt has no box; the localization confines the chains"),
    "use_amp": (lambda value: not value, "sampling is in float32 at least"),
    "add_grad_correction": (lambda value: not value, "devinterp does not implement it either"),
    "callbacks": (lambda value: not value, "observe= of slt.sample records functions of every draw"),
    "metrics": (lambda value: not value, "observe= of slt.sample records functions of every draw"),
    "init_noise": (lambda value: not value, "chains start at w*"),
}
_NEW = ("n_beta", "init_seed", "llc_weight_decay", "param_masks")  # only version 2 has these


@dataclass(frozen=True)
class Translation:
    """A call of devinterp translated to slt.

    Attributes:
        posterior: Keyword arguments of `slt.LocalPosterior` besides model, data and loss.
        sampler: The sampler.
        sample: Keyword arguments of `slt.sample`.
        notes: The remaining differences.
    """

    posterior: dict[str, Any]
    sampler: Sampler
    sample: dict[str, Any]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Return the calls as code, with the notes below."""
        lines = [
            f"posterior = slt.LocalPosterior(model, data, loss{_spelled(self.posterior)})",
            f"trace = slt.sample(posterior, slt.{self.sampler!r}{_spelled(self.sample)})",
            "estimate = slt.llc(trace)",
            *(f"# {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def from_devinterp(**arguments: Any) -> Translation:
    """Translate the arguments of devinterp's estimators into those of slt.

    Both versions are supported: ``estimate_learning_coeff(..., optimizer_kwargs=..., sampling_method=...)`` of
    version 1 and ``sample(..., lr=..., n_beta=...)`` of version 2. Arguments that are not given have devinterp's
    defaults, including a localization of 0. Model, data and loss are not translated: pass them to
    `slt.LocalPosterior`.

    Args:
        arguments: Keyword arguments of devinterp.

    Returns:
        The translation, which prints as code.

    Raises:
        SettingsError: If an argument is unknown, or requests something that slt does not do.

    >>> print(from_devinterp(optimizer_kwargs={"lr": 1e-4, "nbeta": 50.0, "localization": 100.0}, num_chains=4))
    posterior = slt.LocalPosterior(model, data, loss, nbeta=50.0, localization=100.0)
    trace = slt.sample(posterior, slt.SGLD(step_size=0.0001, bias=0.02, ...), chains=4, draws=100, warmup=0, thin=1)
    estimate = slt.llc(trace)
    # batch_size is set by the loader: pass batch_size= to slt.LocalPosterior, or every step uses all the data
    # the draws start at w*: warmup=0 is devinterp's default, so the approach from w* is averaged in
    ...
    """
    given = _flattened(arguments)
    second = any(name in given for name in _NEW)
    notes: list[str] = []
    method = _method(given.pop("sampling_method", "sgld"))
    accumulated = _whole(given, ("grad_accum_steps", "gradient_accumulation_steps"), 1)
    if accumulated > 1 and not second:
        notes.append("version 1 counts each accumulated batch as a step; here one step uses all of them")
    posterior = _posterior(given, accumulated, 32 if second else None, notes)
    sample = {
        "chains": _whole(given, ("num_chains",), 4 if second else 10),
        "draws": _whole(given, ("num_draws",), 200 if second else 100),
        "warmup": _whole(given, ("num_burnin_steps",), 0),
        "thin": _whole(given, ("num_steps_bw_draws",), 1),
    }
    if (seed := _first(given, ("seed", "init_seed"), None)) is not None:
        sample["seed"] = _whole({"seed": seed}, ("seed",), 0)
    sampler = _sampler(method, given, notes)
    _refuse(given)
    notes += [f"{name} is left out: {_IGNORED[name]}" for name in given if name in _IGNORED]
    notes += _differences(sample["warmup"], posterior, second)
    return Translation(posterior, sampler, sample, tuple(notes))


def _flattened(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested keyword arguments."""
    given: dict[str, Any] = dict(arguments)
    for nest in ("optimizer_kwargs", "sampling_method_kwargs"):
        inside = given.pop(nest, None) or {}
        if twice := sorted(set(inside) & set(given)):
            raise SettingsError(f"{twice} must be given once, got them inside and outside {nest}.")
        given |= inside
    if handed := [name for name in _HAND_OVER if name in given]:
        raise SettingsError(f"model, data and loss are for slt.LocalPosterior: leave out {handed}.")
    return given


def _posterior(given: dict[str, Any], accumulated: int, batch_size: int | None, notes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    nbeta = _first(given, ("n_beta", "nbeta", "temperature"), None)
    if nbeta is None:
        notes.append(
            "nbeta is slt's default n / log n, with n the size of the data; devinterp's default is computed from the "
            "batch size, so pass the nbeta of the original call to repeat it"
        )
    else:
        found["nbeta"] = float(nbeta)
    found["localization"] = float(_first(given, ("localization", "elasticity"), 0.0))
    masks = _first(given, ("param_masks", "optimize_over_per_model_param"), None)
    if masks is not None:
        found["parameters"] = {name: True if mask is None else mask.bool() for name, mask in masks.items()}
    rows = _whole(given, ("batch_size",), batch_size)
    if rows is None:
        notes.append(
            "batch_size is set by the loader: pass batch_size= to slt.LocalPosterior, or every step uses all the data"
        )
    else:
        found["batch_size"] = rows * accumulated
    return found


def _sampler(method: str, given: dict[str, Any], notes: list[str]) -> Sampler:
    lr = float(given.pop("lr", 0.01))
    alpha = _first(given, ("rmsprop_alpha", "alpha"), None)
    epsilon = _first(given, ("rmsprop_eps", "eps"), None)
    diffusion = given.pop("diffusion_factor", None)
    if (alpha, epsilon) != (None, None) and method != "rmsprop_sgld":
        raise SettingsError(f"alpha and eps belong to rmsprop_sgld, got them with {method}.")
    if diffusion is not None and method not in ("SGNHT", "sgnht"):
        raise SettingsError(f"diffusion_factor belongs to SGNHT, got it with {method}.")
    if method == "sgld":
        return SGLD(step_size=lr)
    if method == "rmsprop_sgld":
        notes.append(
            "the running second moment starts at 1, while devinterp starts it at 0; adaptive=True is devinterp's "
            "scheme, which has a bias at every step size, and adaptive=False freezes the moment after warmup"
        )
        decay, floor = 0.99 if alpha is None else float(alpha), 0.1 if epsilon is None else float(epsilon)
        return SGLD(step_size=lr, preconditioner=RMSprop(decay, floor, adaptive=True))
    if method == "SGNHT":
        notes.append("the thermostat has its own time scale; devinterp's changes by mean(p^2) - lr per step")
        factor = 0.01 if diffusion is None else float(diffusion)
        return SGNHT(step_size=math.sqrt(lr), diffusion=factor / math.sqrt(lr))
    notes.append(
        "SGMCMC.sgnht computes a friction but does not use it, so it samples at temperature 2 diffusion_factor; the "
        "translation is an actual SGNHT, whose step size is found by warmup and needs warmup steps"
    )
    return SGNHT()


def _method(given: Any) -> str:
    name = given if isinstance(given, str) else getattr(given, "__name__", repr(given))
    known = {"SGLD": "sgld", "sgld": "sgld", "sgmcmc_sgld": "sgld"} | {
        same: same for same in ("rmsprop_sgld", "SGNHT", "sgnht")
    }
    if name not in known:
        raise SettingsError(f"sampling_method must be one of {sorted(known)}, got {name}.")
    return known[name]


def _refuse(given: dict[str, Any]) -> None:
    """Refuse arguments that are unknown or not supported; drop those without effect."""
    for name, (idle, why) in _REFUSED.items():
        if name in given and not idle(value := given.pop(name)):
            raise SettingsError(f"{name}={value!r} has no counterpart: {why}.")
    if unknown := sorted(set(given) - set(_IGNORED)):
        raise SettingsError(f"arguments must be devinterp's, got unknown {unknown}.")


def _differences(warmup: int, posterior: Mapping[str, Any], second: bool) -> list[str]:
    found = []
    if not warmup:
        found.append("the draws start at w*: warmup=0 is devinterp's default, so the approach from w* is averaged in")
    elif second:
        found.append("warmup is left out of the estimate; the llc of devinterp 2 includes its burn-in")
    if not posterior["localization"]:
        found.append(
            "localization=0 is devinterp's default: nothing confines the chains, and the verdict will report it"
        )
    found.append("the baseline is the loss at w* on the same rows, not on a few other batches")
    found.append("the model is in eval mode; devinterp uses train mode")
    return found


def _first(given: dict[str, Any], names: tuple[str, ...], default: Any) -> Any:
    """Return the argument with one of these names."""
    there = [name for name in names if name in given]
    if len(there) > 1:
        raise SettingsError(f"{there} are the same argument and must be given once.")
    return given.pop(there[0]) if there else default


def _whole(given: dict[str, Any], names: tuple[str, ...], default: Any) -> Any:
    value = _first(given, names, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise SettingsError(f"{names[0]} must be an integer, got {value!r}.")
    return value


def _spelled(arguments: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in arguments.items())
