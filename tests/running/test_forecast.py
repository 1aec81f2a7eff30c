import importlib

import pytest
import torch

import slt


def posterior(**settings: object) -> slt.LocalPosterior:
    toy = slt.toys.deep_linear([3, 3, 3], rank=1)
    return slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0, **settings)


def test_gradients_are_those_of_the_run() -> None:
    p = posterior()
    settings = {"chains": 5, "draws": 30, "warmup": 10, "thin": 2}
    cost = slt.forecast(p, slt.SGLD(step_size=1e-4), **settings)
    assert cost.gradients == 5 * (10 + 30 * 2)
    hmc = slt.forecast(p, slt.HMC(step_size=0.01, leapfrogs=8), **settings)
    assert 4 * cost.gradients <= hmc.gradients <= 12 * cost.gradients  # half to one and a half times eight
    assert hmc.seconds > 0


def test_bytes_of_observables_are_those_recorded() -> None:
    observe = {"weights": slt.observables.weights(), "distance": slt.observables.distance()}
    settings = {"chains": 3, "draws": 20, "warmup": 2, "observe": observe}
    cost = slt.forecast(posterior(), slt.HMC(), **settings)
    trace = slt.sample(posterior(), slt.HMC(), progress=False, **settings)
    recorded = sum(trace.get("observables", name).nbytes for name in observe)
    assert cost.record_bytes == recorded


def test_the_model_is_left_as_it_was() -> None:
    p = posterior()
    before = [q.clone() for q in p.problem.model.parameters()]
    state = torch.get_rng_state()
    slt.forecast(p, slt.HMC())
    assert all(torch.equal(a, b) for a, b in zip(before, p.problem.model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("seconds", "count", "text"),
    [
        (5.0, 2_500, "about 5 s, 7 gradients, 2 kB of memory"),
        (600.0, 3e6, "about 10 min, 7 gradients, 3 MB of memory"),
        (9000.0, 4e9, "about 2.5 h, 7 gradients, 4.0 GB of memory"),
    ],
)
def test_it_reads_as_a_line(seconds: float, count: float, text: str) -> None:
    assert str(slt.Forecast(7, seconds, int(count), 0)) == text


def test_a_long_run_says_so_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("slt.running.sample")
    monkeypatch.setattr(module, "_LONG_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LARGE_BYTES", 1000)
    observe = {"weights": slt.observables.weights()}
    settings = {"chains": 2, "draws": 40, "warmup": 20, "observe": observe}
    told = slt.sample(posterior(), slt.HMC(), progress=True, **settings)
    captured = capsys.readouterr()
    assert "2 chains of 60 steps: about" in captured.out + captured.err
    assert "the observables will take 6 kB in memory" in captured.out + captured.err
    silent = slt.sample(posterior(), slt.HMC(), progress=False, **settings)
    assert "steps" not in "".join(capsys.readouterr())
    assert (told.get("posterior", "excess") == silent.get("posterior", "excess")).all()
