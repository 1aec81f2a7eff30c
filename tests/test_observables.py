"""Observables against a recomputation from saved weights, in both evaluators."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import slt
from slt import observables
from slt.errors import DataError, ObservableError, SettingsError
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
        (observables.losses(data(1, 7), lambda m, b: m(b[0]).sum()), SettingsError, "first axis has its 7 examples"),
        (observables.losses((torch.full((3, 3), torch.nan),), "mse"), DataError, "must be finite"),
        (3, SettingsError, "must be an observable or a function of the model"),
    ],
)
def test_bad_observables_are_refused_before_the_first_step(
    observable: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        slt.sample(posterior(), slt.HMC(), observe={"it": observable}, progress=False)


def changing(first: object, later: object) -> Callable[[nn.Module], object]:
    """A function that gives something else from the second draw on, in every chain."""
    calls = 0

    def function(made: nn.Module) -> object:
        nonlocal calls
        calls += 1
        return first if calls <= 1 + 2 * 30 else later  # once at w*, then 30 draws of 2 chains

    return function


def quietly(make: Callable[[nn.Module], object]) -> Callable[[nn.Module], object]:
    """Without what torch warns of at the first tensor of a rare kind."""

    def function(made: nn.Module) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(made)

    return function


UNRECORDABLE: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "complex": (lambda m: torch.complex(m[0].bias, m[0].bias), "real numbers.* got torch.complex64"),
    "sparse": (lambda m: m[0].weight.detach().to_sparse(), "dense tensor, got .*torch.sparse_coo"),
    "quantized": (
        quietly(lambda m: torch.quantize_per_tensor(m[0].weight.detach(), 0.1, 0, torch.qint8)),
        "dense tensor, got torch.qint8",
    ),
    "nested": (quietly(lambda m: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])), "of a ragged shape"),
    "on no device": (lambda m: torch.ones(2, device="meta"), "on meta"),
    "nothing": (lambda m: None, "a tensor or numbers, got NoneType"),
    "text": (lambda m: "0.5", "a tensor or numbers, got str"),
    "a mapping": (lambda m: {"accuracy": 0.5}, "a tensor or numbers, got dict"),
    "empty": (lambda m: torch.ones(0), r"at least one of them.* shape \(0,\)"),
    "a write to the weights": (lambda m: m[0].bias.data.add_(1e-3).sum(), "not write to the weights"),
    "a counted write": (lambda m: nn.init.zeros_(m[0].bias).sum(), "not write to the weights"),
}


@pytest.mark.parametrize("method", ["vectorized", "in_place"])
@pytest.mark.parametrize("kind", UNRECORDABLE)
def test_what_cannot_be_recorded_is_refused_before_the_first_step(kind: str, method: ChainMethod) -> None:
    function, message = UNRECORDABLE[kind]
    p = posterior(localization=1.0)
    before = [q.detach().clone() for q in p.problem.model.parameters()]
    with pytest.raises(ObservableError, match=f"the observable 'it' must .*{message}") as refused:
        slt.sample(p, slt.SGLD(), chains=2, observe={"it": function}, chain_method=method, progress=False)
    assert refused.value.trace is None
    assert all(torch.equal(a, b) for a, b in zip(before, p.problem.model.parameters(), strict=True))


def test_a_write_to_a_weight_that_does_not_move_is_refused() -> None:
    p = slt.LocalPosterior(model(), data(0, 60), "cross_entropy", parameters="2", localization=1.0)
    with pytest.raises(ObservableError, match="not write to the weights"):
        slt.sample(p, slt.SGLD(), observe={"it": lambda m: m[0].bias.detach().mul_(1.0).sum()}, progress=False)


RECORDABLE: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "a truth value": (lambda m: True, "bool"),
    "a whole number": (lambda m: 3, "int64"),
    "a number": (lambda m: 0.5, "float32"),
    "nan": (lambda m: float("nan"), "float32"),
    "numpy's": (lambda m: np.float64(0.5), "float64"),
    "half precision": (lambda m: m[0].bias.bfloat16(), "float32"),
    "eight bits": (lambda m: m[0].bias.to(torch.float8_e5m2), "float32"),
    "a lazily negated tensor": (lambda m: torch.complex(m[0].bias, m[0].bias).conj().imag, "float32"),
}


@pytest.mark.parametrize("kind", RECORDABLE)
def test_numbers_are_recorded_and_saved(kind: str, tmp_path: Path) -> None:
    function, dtype = RECORDABLE[kind]
    settings = {"chains": 2, "draws": 3, "warmup": 0, "progress": False}
    trace = slt.sample(posterior(localization=1.0), slt.SGLD(step_size=1e-4), observe={"it": function}, **settings)
    trace.save(tmp_path / "trace.nc")
    read = slt.Trace.load(tmp_path / "trace.nc").get("observables", "it")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, trace.get("observables", "it"))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("method", ["vectorized", "in_place"])
@pytest.mark.parametrize(
    ("first", "later"),
    [
        (torch.zeros(3), torch.zeros(1)),  # which numpy would spread over three
        (torch.zeros(3), torch.zeros(())),
        (0.5, [0.5, 0.5]),
        (1, 0.5),  # which numpy would cut to 0
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    ],
)
def test_what_changes_its_kind_is_refused_at_that_draw(
    first: object, later: object, method: ChainMethod, saved: bool, tmp_path: Path
) -> None:
    observe = {"it": changing(first, later), "weights": observables.weights()}
    settings = {"chains": 2, "draws": 200, "warmup": 0, "progress": False, "chain_method": method}
    folder = {"save_to": tmp_path / "run"} if saved else {}
    with pytest.raises(ObservableError, match=r"the observable 'it' must return .* draws of each chain") as refused:
        slt.sample(posterior(localization=1.0), slt.SGLD(step_size=1e-4), observe=observe, **settings, **folder)
    assert 0 < refused.value.trace.draws <= 30


def test_an_error_of_an_observable_says_whose_it_is() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        slt.sample(posterior(), slt.SGLD(), observe={"mine": lambda m: 1 / 0}, progress=False)
    assert caught.value.__notes__ == ["It came from the observable 'mine'."]


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
