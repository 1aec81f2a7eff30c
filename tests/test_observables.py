"""Observables against a recomputation from saved weights, in both evaluators."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import slt
from slt import observables
from slt.errors import DataError, SettingsError
from slt.problem.evaluate import ChainMethod

CHAINS, DRAWS = 4, 500


def model() -> nn.Sequential:
    generator = torch.Generator().manual_seed(3)
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return made


def data(seed: int, rows: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=generator), torch.randint(2, (rows,), generator=generator)


def posterior(**settings: object) -> slt.LocalPosterior:
    return slt.LocalPosterior(model(), data(0, 60), "cross_entropy", **settings)


def with_weights(flat: np.ndarray) -> nn.Sequential:
    made = model()
    nn.utils.vector_to_parameters(torch.from_numpy(flat), made.parameters())
    return made


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_losses_on_two_probe_sets_equal_a_recomputation_from_weights(method: ChainMethod) -> None:
    probes = {"near": data(1, 7), "far": (3 * data(2, 5)[0], data(2, 5)[1])}
    observe = {name: observables.losses(probe, "cross_entropy") for name, probe in probes.items()}
    observe["weights"] = observables.weights()
    settings = {"chains": CHAINS, "draws": DRAWS if method == "vectorized" else 50, "warmup": 5, "progress": False}
    trace = slt.sample(
        posterior(localization=1.0), slt.HMC(leapfrogs=2), observe=observe, chain_method=method, **settings
    )
    flat = np.array(trace.get("observables", "weights"))
    for name, (x, y) in probes.items():
        recorded = trace.get("observables", name)
        assert recorded.shape == (CHAINS, trace.draws, len(x))
        for chain in range(CHAINS):
            for draw in range(trace.draws):
                with torch.no_grad():
                    logits = with_weights(flat[chain, draw])(x)
                expected = nn.functional.cross_entropy(logits, y, reduction="none").numpy()
                np.testing.assert_allclose(recorded[chain, draw], expected, rtol=2e-5, atol=2e-6)


def test_excess_is_recorded_at_the_position_that_is_observed() -> None:
    observe = {"train": observables.losses(data(0, 60), "cross_entropy")}
    trace = slt.sample(
        posterior(localization=1.0), slt.HMC(), observe=observe, chains=2, draws=40, warmup=5, progress=False
    )
    mean = trace.get("observables", "train").mean(axis=2)
    np.testing.assert_allclose(mean, trace.get("posterior", "loss"), rtol=1e-5)


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_the_other_observables_equal_a_recomputation(method: ChainMethod) -> None:
    p = posterior(localization=2.0)
    vectors = torch.randn(3, p.dimension, generator=torch.Generator().manual_seed(5))
    observe = {
        "weights": observables.weights(),
        "distance": observables.distance(),
        "projection": observables.projection(vectors),
        "norms": observables.gradient_norms(),
        "first": lambda made: made[0].weight.sum(),
    }
    settings = {"chains": 3, "draws": 20, "warmup": 5, "thin": 2, "progress": False}
    trace = slt.sample(p, slt.SGLD(step_size=1e-3), observe=observe, chain_method=method, **settings)
    flat = torch.from_numpy(np.array(trace.get("observables", "weights")))
    center = nn.utils.parameters_to_vector(model().parameters()).detach()
    away = flat - center
    np.testing.assert_allclose(away.norm(dim=2), trace.get("posterior", "distance"), rtol=1e-4, atol=1e-6)
    pieces = away.split([q.numel() for q in model().parameters()], dim=2)
    tensors = torch.stack([piece.norm(dim=2) for piece in pieces], dim=2)
    np.testing.assert_allclose(trace.get("observables", "distance"), tensors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(trace.get("observables", "projection"), away @ vectors.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trace.get("observables", "norms")[..., 1], 2.0 * away.norm(dim=2), rtol=1e-4, atol=1e-5)
    x, y = data(0, 60)
    for chain, draw in [(0, 0), (1, 7), (2, 19)]:
        made = with_weights(flat[chain, draw].numpy())
        grads = torch.autograd.grad(nn.functional.cross_entropy(made(x), y), list(made.parameters()))
        norm = float(torch.cat([g.reshape(-1) for g in grads]).norm())
        assert trace.get("observables", "norms")[chain, draw, 0] == pytest.approx(norm, rel=1e-4)
        first = float(made[0].weight.detach().sum())
        assert trace.get("observables", "first")[chain, draw] == pytest.approx(first, rel=1e-5)


def test_observing_does_not_change_the_draws() -> None:
    settings = {"chains": 2, "draws": 20, "warmup": 10, "progress": False}
    observe = {"norms": observables.gradient_norms(), "probe": observables.losses(data(1, 7), "cross_entropy")}
    plain = slt.sample(posterior(batch_size=8), slt.SGLD(), **settings)
    watched = slt.sample(posterior(batch_size=8), slt.SGLD(), observe=observe, **settings)
    np.testing.assert_array_equal(plain.get("posterior", "excess"), watched.get("posterior", "excess"))


def test_a_loss_a_token_is_recorded_whole() -> None:
    def tokens(made: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return made(batch[0]) - batch[1].unsqueeze(1)

    observe = {"tokens": observables.losses(data(1, 7), tokens)}
    trace = slt.sample(posterior(), slt.HMC(), observe=observe, chains=2, draws=3, warmup=2, progress=False)
    assert trace.get("observables", "tokens").shape == (2, 3, 7, 2)


def test_a_probe_loss_that_cannot_be_vectorized_runs_in_place() -> None:
    def branching(made: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits = made(batch[0])
        return logits[:, 0] if logits.sum().item() > 0 else logits[:, 1]

    observe = {"probe": observables.losses(data(1, 7), branching), "weights": observables.weights()}
    trace = slt.sample(
        posterior(localization=1.0), slt.HMC(), observe=observe, chains=2, draws=10, warmup=2, progress=False
    )
    assert trace.settings["chain_method"] == "vectorized"
    for chain, draw in [(0, 0), (1, 9)]:
        made = with_weights(np.array(trace.get("observables", "weights")[chain, draw]))
        expected = branching(made, data(1, 7)).detach()
        np.testing.assert_allclose(trace.get("observables", "probe")[chain, draw], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("observable", "error", "message"),
    [
        (observables.projection(torch.ones(2, 5)), SettingsError, r"vectors of shape \(vectors, 26\), got \(2, 5\)"),
        (observables.losses(data(1, 7), lambda m, b: m(b[0]).sum()), SettingsError, "first axis counts its 7 examples"),
        (observables.losses((torch.full((3, 3), torch.nan),), "mse"), DataError, "must be finite"),
        (3, SettingsError, "must be an observable or a function of the model"),
    ],
)
def test_bad_observables_are_refused_before_the_first_step(
    observable: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        slt.sample(posterior(), slt.HMC(), observe={"it": observable}, progress=False)


BIG = """
import resource, sys
import torch, slt
from torch import nn

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(4))

posterior = slt.LocalPosterior(Wide(), (torch.zeros(10, 1),), lambda m, b: (m.w ** 2).sum(), localization=1.0)
ones = torch.ones(4, 65536)
slt.sample(posterior, slt.SGLD(step_size=1e-3), chains=4, draws=2, warmup=0, progress=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
trace = slt.sample(
    posterior, slt.SGLD(step_size=1e-3), chains=4, draws=1000, warmup=0, progress=False, save_to=sys.argv[1],
    observe={"big": lambda m: m.w @ ones},
)
assert trace.get("observables", "big").shape == (4, 1000, 65536)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.exact
def test_a_record_of_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BIG, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "observables" / "big.npy").stat().st_size > 1e9
    assert float(done.stdout) < 200  # megabytes above the same run without a record
