"""What a call of devinterp becomes: its rules of motion, its defaults, and refusals by name."""

import math
from typing import Any

import pytest
import torch

import slt
from slt.devinterp import Translation
from slt.errors import SettingsError
from slt.problem import untouched
from slt.testing.walk import Walk, cloned
from tests.models import drawn, mlp, per_example

NBETA, GAMMA, LR = 20.0, 30.0, 1e-3
V1 = {"optimizer_kwargs": {"lr": LR, "nbeta": NBETA, "localization": GAMMA}}
V2 = {"lr": LR, "n_beta": NBETA, "localization": GAMMA}


def posterior_of(found: Translation) -> slt.LocalPosterior:
    return slt.LocalPosterior(
        mlp(4, 5, 3), (drawn(40, 4, seed=1), drawn(40, 3, seed=2)), per_example, **found.posterior
    )


# --- the same motion -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sgld", "rmsprop_sgld"])
def test_a_step_is_the_one_that_devinterp_documents(method: str) -> None:
    """Its rule written out: w' = w - lr/2 G (nbeta g + gamma (w - w*)) + sqrt(lr G) xi."""
    found = slt.from_devinterp(**V1, sampling_method=method)
    posterior = posterior_of(found)
    with untouched(posterior.problem.model):
        walk = Walk(posterior, found.sampler, range(2), "vectorized")
        walk.state = walk.state._replace(w={name: leaf + 0.1 for name, leaf in walk.state.w.items()})
        w = cloned(walk.state.w)
        gradient = walk.bound.evaluate(w).grad
        walk.step(4)
    for name, leaf in w.items():
        g, xi = gradient[name], walk.random.normal(4, name)
        scale = 1.0 if method == "sgld" else 1 / ((0.99 + 0.01 * g**2).sqrt() + 0.1)
        force = NBETA * g + GAMMA * (leaf - walk.bound.center[name])
        expected = leaf - LR / 2 * scale * force + (LR * torch.as_tensor(scale)).sqrt() * xi
        torch.testing.assert_close(walk.state.w[name], expected, rtol=1e-6, atol=1e-9)


def test_a_thermostat_is_given_in_time() -> None:
    """Its p is sqrt(lr) times a standard one, and its friction is counted a step."""
    found = slt.from_devinterp(optimizer_kwargs={"lr": 1e-4, "diffusion_factor": 0.02}, sampling_method=slt.SGNHT)
    assert isinstance(found.sampler, slt.SGNHT)
    assert found.sampler.step_size == pytest.approx(1e-2)
    assert found.sampler.diffusion == pytest.approx(0.02 / 1e-2)


def test_the_thermostat_without_friction_is_not_imitated() -> None:
    found = slt.from_devinterp(sampling_method="sgnht")
    assert found.sampler == slt.SGNHT()
    assert any("does not use it" in note for note in found.notes)


# --- names and defaults --------------------------------------------------------------------------------------


def test_version_1_and_its_defaults() -> None:
    found = slt.from_devinterp(**V1)
    assert found.sampler == slt.SGLD(step_size=LR)
    assert found.posterior == {"nbeta": NBETA, "localization": GAMMA}
    assert found.sample == {"chains": 10, "draws": 100, "warmup": 0, "thin": 1}
    bare = slt.from_devinterp()
    assert bare.sampler == slt.SGLD(step_size=0.01)
    assert bare.posterior == {"localization": 0.0}
    assert any("n / log n" in note for note in bare.notes)
    assert any("nothing confines the chains" in note for note in bare.notes)


def test_version_2_and_its_defaults() -> None:
    found = slt.from_devinterp(**V2)
    assert found.posterior == {"nbeta": NBETA, "localization": GAMMA, "batch_size": 32}
    assert found.sample == {"chains": 4, "draws": 200, "warmup": 0, "thin": 1}
    longer = slt.from_devinterp(**V2, num_burnin_steps=50, init_seed=7, rmsprop_eps=0.2, sampling_method="rmsprop_sgld")
    assert longer.sample["warmup"] == 50
    assert longer.sample["seed"] == 7
    assert isinstance(longer.sampler, slt.SGLD)
    assert longer.sampler.preconditioner == slt.RMSprop(0.99, 0.2, adaptive=True)
    assert any("includes its burn-in" in note for note in longer.notes)
    assert not any("includes its burn-in" in note for note in slt.from_devinterp(**V1, num_burnin_steps=50).notes)


@pytest.mark.parametrize(
    ("given", "where", "name", "value"),
    [
        ({"num_chains": 3}, "sample", "chains", 3),
        ({"num_draws": 5}, "sample", "draws", 5),
        ({"num_burnin_steps": 6}, "sample", "warmup", 6),
        ({"num_steps_bw_draws": 7}, "sample", "thin", 7),
        ({"seed": 8}, "sample", "seed", 8),
        ({"elasticity": 9.0}, "posterior", "localization", 9.0),
        ({"temperature": 10.0}, "posterior", "nbeta", 10.0),
        ({"batch_size": 16, "grad_accum_steps": 2}, "posterior", "batch_size", 32),
    ],
)
def test_each_name_has_its_counterpart(given: dict[str, Any], where: str, name: str, value: Any) -> None:
    assert getattr(slt.from_devinterp(**given), where)[name] == value


def test_steps_of_accumulated_batches_are_counted_otherwise() -> None:
    def said(**given: Any) -> bool:
        return any("as a step" in note for note in slt.from_devinterp(**given).notes)

    assert said(grad_accum_steps=2)
    assert not said()
    assert not said(gradient_accumulation_steps=2, n_beta=NBETA)


def test_masks_choose_what_moves() -> None:
    mask = torch.tensor([[1.0, 0.0]])
    found = slt.from_devinterp(optimize_over_per_model_param={"a": mask, "b": None})
    assert found.posterior["parameters"]["b"] is True
    assert found.posterior["parameters"]["a"].tolist() == [[True, False]]


def test_the_translation_runs_and_prints_code() -> None:
    found = slt.from_devinterp(**V1, num_chains=2, num_draws=5, num_burnin_steps=5, batch_size=8)
    trace = slt.sample(posterior_of(found), found.sampler, progress=False, **found.sample)
    assert (trace.chains, trace.draws, trace.nbeta) == (2, 5, NBETA)
    text = str(found)
    assert "slt.LocalPosterior(model, data, loss, nbeta=20.0, localization=30.0, batch_size=8)" in text
    assert "slt.sample(posterior, slt.SGLD(step_size=0.001" in text
    assert "# the baseline is the loss at w* on the same rows" in text
    compile(text, "translation", "exec")


def test_the_arguments_are_not_changed() -> None:
    given = {"lr": LR, "nbeta": NBETA}
    slt.from_devinterp(optimizer_kwargs=given)
    assert given == {"lr": LR, "nbeta": NBETA}


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bounding_box_size": 0.5}, "bounding_box_size=0.5 has no counterpart: slt has no box"),
        ({"noise_level": 0.1}, "noise_level=0.1 has no counterpart: another noise samples another temperature"),
        ({"optimizer_kwargs": {"weight_decay": 0.1}}, "weight_decay=0.1 has no counterpart"),
        ({"init_noise": 0.1}, "init_noise=0.1 has no counterpart: chains start at w"),
        ({"callbacks": [print]}, "callbacks=.* has no counterpart: observe="),
        ({"use_amp": True}, "use_amp=True has no counterpart"),
        ({"lrr": 0.1, "chains": 2}, r"got unknown \['chains', 'lrr'\]"),
        ({"nbeta": 1.0, "temperature": 1.0}, "are the same argument and must be given once"),
        ({"lr": 1.0, "optimizer_kwargs": {"lr": 1.0}}, r"\['lr'\] must be given once"),
        ({"model": None, "loader": None}, r"leave out \['model', 'loader'\]"),
        ({"sampling_method": "sghmc"}, "sampling_method must be one of .*, got sghmc"),
        ({"sampling_method": "sgld", "eps": 0.1}, "alpha and eps belong to rmsprop_sgld"),
        ({"diffusion_factor": 0.1}, "diffusion_factor belongs to SGNHT"),
        ({"num_chains": 2.5}, "num_chains must be an integer, got 2.5"),
        ({"seed": [1, 2]}, r"seed must be an integer, got \[1, 2\]"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        slt.from_devinterp(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"bounding_box_size": None},
        {"noise_level": 1.0},
        {"weight_decay": 0.0},
        {"callbacks": []},
        {"device": "cpu", "cores": 2, "verbose": False, "init_loss": 0.0},
    ],
)
def test_what_asks_for_nothing_is_let_through(given: dict[str, Any]) -> None:
    found = slt.from_devinterp(**given)
    assert math.isclose(found.sampler.step_size, 0.01)  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("device", "cores", "init_loss"):
        assert any(note.startswith(f"{name} is left out") for note in found.notes) == (name in given)
