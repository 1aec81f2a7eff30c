"""Same seed, same tuning, same draws, however many chains and however evaluated; and steps that repeat to the bit."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slt._tree import Params, tensors_in
from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.problem.evaluate import InPlace
from slt.running import sample
from slt.running.session import Session
from slt.samplers import HMC, MALA, SGLD, SGNHT, RMSprop, Sampler, ScaleMoves
from slt.testing.walk import Walk, cloned, differing
from slt.trace import Trace
from tests.models import CASES, drawn, mean_only, mlp, per_example

STEPS = 50
X, Y = drawn(40, 4, seed=1), drawn(40, 3, seed=2)

# sampler, rows of a minibatch
RUNS: dict[str, tuple[Sampler, int | None]] = {
    "SGLD on minibatches": (SGLD(step_size=2e-4), 8),
    "SGLD on all data": (SGLD(step_size=2e-4), None),
    "HMC": (HMC(step_size=0.05, leapfrogs=3), None),
    "HMC with a diagonal mass": (HMC(step_size=0.05, leapfrogs=3, mass="diagonal"), None),
    "HMC with a low-rank mass": (HMC(step_size=0.05, leapfrogs=3, mass="low_rank"), None),
    "HMC with a dense mass": (HMC(step_size=0.05, leapfrogs=3, mass="dense"), None),
    "scale moves beside HMC": (ScaleMoves(HMC(step_size=0.05, leapfrogs=3)), None),
    "scale moves beside MALA": (ScaleMoves(MALA(step_size=1e-3), moves=3), None),
    "SGLD of second order, controlled": (SGLD(step_size=2e-4, second_order=True, control_variate=True), 8),
    "SGLD with RMSprop": (SGLD(step_size=2e-5, preconditioner=RMSprop(epsilon=0.1)), 8),
    "SGLD with adaptive RMSprop": (SGLD(step_size=2e-5, preconditioner=RMSprop(epsilon=0.1, adaptive=True)), 8),
    "SGNHT": (SGNHT(step_size=0.01, diffusion=1.0), 8),
    "MALA": (MALA(step_size=1e-3), None),
}
METHODS = ["vectorized", "in_place"]
OTHERS = ["causal lm", "masked entries", "shared gradient", "expanded gradient", "mean-only loss", "tied"]


def posterior_of(batch_size: int | None, loss: Any = per_example, **settings: Any) -> LocalPosterior:
    return LocalPosterior(mlp(4, 5, 3), (X, Y), loss, nbeta=20.0, batch_size=batch_size, **settings)


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-10, atol=1e-10, equal_nan=True)


# --- chains --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", RUNS)
def test_a_chain_is_the_same_alone_or_among_16(kind: str, method: str):
    sampler, batch_size = RUNS[kind]
    posterior = posterior_of(batch_size)
    with untouched(posterior.problem.model):
        many = Walk(posterior, sampler, range(16), method)
        alone = Walk(posterior, sampler, [11], method)
        for t in range(STEPS):
            many.step(t)
            alone.step(t)
    assert float((alone.position(0) - alone.bound.evaluator.unpack(alone.bound.center)[0][0, 0]).abs().max()) > 0.01
    close(alone.position(0), many.position(11))
    for name in ("excess", "acceptance", "virial", "surplus"):
        close(alone.history(name, 0), many.history(name, 11))
    assert len(torch.unique(torch.stack([many.position(i) for i in range(16)]), dim=0)) == 16


@pytest.mark.parametrize("kind", RUNS)
def test_a_chain_is_the_same_vectorized_or_in_place(kind: str):
    sampler, batch_size = RUNS[kind]
    posterior = posterior_of(batch_size)
    with untouched(posterior.problem.model):
        walks = [Walk(posterior, sampler, range(4), method) for method in METHODS]
        for t in range(STEPS):
            for walk in walks:
                walk.step(t)
    for i in range(4):
        close(walks[0].position(i), walks[1].position(i))
        for name in ("excess", "acceptance", "virial", "surplus"):
            close(walks[0].history(name, i), walks[1].history(name, i))


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize(
    "name", ["causal lm", "masked entries", "shared gradient", "mean-only loss", "expanded gradient", "tied"]
)
def test_other_models_walk_alike_vectorized_and_in_place(name: str, kind: str):
    sampler, batch_size = RUNS[kind]
    case = CASES[name]()
    posterior = LocalPosterior(
        case.model, case.data, case.loss, nbeta=5.0, parameters=case.parameters, batch_size=batch_size
    )
    with untouched(case.model):
        together = Walk(posterior, sampler, range(2), "vectorized")
        apart = [Walk(posterior, sampler, [i], "in_place") for i in range(2)]
        for t in range(8):
            for walk in (together, *apart):
                walk.step(t)
    for i in range(2):
        close(together.position(i), apart[i].position(0))
        close(together.history("excess", i), apart[i].history("excess", 0))


@pytest.mark.parametrize("seed", [3, 4])
def test_seeds_tell_runs_apart(seed: int):
    """The mutant of this file: another seed is another run."""
    posterior = posterior_of(8)
    traces = [draws_of(posterior, SGLD(step_size=2e-4), seed=s) for s in (3, seed)]
    assert np.array_equal(*(t.get("posterior", "excess") for t in traces)) is (seed == 3)


def draws_of(posterior: LocalPosterior, sampler: Sampler, **settings: Any) -> Trace:
    given: dict[str, Any] = {"chains": 3, "draws": 15, "warmup": 0, "progress": False, "seed": 3} | settings
    return sample(posterior, sampler, **given)


def same_draws(a: Trace, b: Trace, chains: int) -> None:
    for group, name in (("posterior", "excess"), ("posterior", "distance"), ("sample_stats", "virial")):
        close(a.get(group, name)[:chains].copy(), b.get(group, name)[:chains].copy())


@pytest.mark.parametrize("kind", RUNS)
def test_sample_gives_a_chain_the_same_draws_alone_or_among_16_and_by_either_method(kind: str):
    sampler, batch_size = RUNS[kind]
    posterior = posterior_of(batch_size)
    traces = [
        draws_of(posterior, sampler, chains=chains, chain_method=method) for chains in (1, 16) for method in METHODS
    ]
    for other in traces[1:]:
        same_draws(traces[0], other, 1)
    same_draws(traces[2], traces[3], 16)


@pytest.mark.parametrize("kind", RUNS)
def test_groups_of_chains_give_the_same_draws(kind: str, monkeypatch: pytest.MonkeyPatch):
    """Chains that do not fit in memory together wait for each other; nobody notices."""
    sampler, batch_size = RUNS[kind]
    posterior = posterior_of(batch_size)
    together = draws_of(posterior, sampler, chains=5, chain_method="vectorized")
    monkeypatch.setattr(Session, "_chains_that_fit", lambda session: 2)
    apart = draws_of(posterior, sampler, chains=5, chain_method="vectorized")
    same_draws(together, apart, 5)


@pytest.mark.parametrize("kind", RUNS)
def test_the_same_call_repeats_to_the_bit(kind: str):
    sampler, batch_size = RUNS[kind]
    for method in METHODS:
        first, again = (draws_of(posterior_of(batch_size), sampler, chain_method=method, warmup=10) for _ in range(2))
        for name in ("excess", "distance"):
            assert np.array_equal(first.get("posterior", name), again.get("posterior", name))


def test_a_mean_loss_and_its_per_example_form_give_the_same_draws():
    for batch_size, sampler in ((8, SGLD(step_size=2e-4)), (None, HMC(step_size=0.05, leapfrogs=3))):
        for method in METHODS:
            each = draws_of(posterior_of(batch_size), sampler, chain_method=method, draws=20)
            mean = draws_of(posterior_of(batch_size, mean_only), sampler, chain_method=method, draws=20)
            same_draws(each, mean, 3)


def test_chunks_of_another_size_give_the_same_draws():
    for method in METHODS:
        whole = draws_of(posterior_of(None), HMC(step_size=0.05, leapfrogs=3), chain_method=method, draws=20)
        parts = draws_of(posterior_of(7), HMC(step_size=0.05, leapfrogs=3), chain_method=method, draws=20)
        same_draws(whole, parts, 3)


# --- warmup --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [SGLD(), HMC(leapfrogs=3), HMC(leapfrogs=3, mass="diagonal")])
def test_warmup_finds_the_same_tuning_by_either_method(sampler: Sampler):
    posterior = posterior_of(8)
    traces = [draws_of(posterior, sampler, warmup=20, draws=20, chain_method=method) for method in METHODS]
    found = [name for name in traces[0].names("constant_data") if name.startswith("tuning_")]
    assert "tuning_step_size" in found
    for name in found:
        close(*(t.get("constant_data", name).copy() for t in traces))
    same_draws(*traces, 3)


@pytest.mark.parametrize("sampler", [SGLD(), HMC(leapfrogs=3), HMC(leapfrogs=3, mass="diagonal")])
def test_a_tuning_taken_from_a_trace_gives_the_same_draws_by_either_method(sampler: Sampler):
    posterior = posterior_of(8)
    tuning = draws_of(posterior, sampler, warmup=20, draws=5)
    traces = [draws_of(posterior, sampler, tuning=tuning, chain_method=method) for method in METHODS]
    for trace in traces:
        assert np.array_equal(
            trace.get("constant_data", "tuning_step_size"), tuning.get("constant_data", "tuning_step_size")
        )
    same_draws(*traces, 3)


# --- a step consumes its state -------------------------------------------------------------------------------


def same_bits(a: Any, b: Any) -> None:
    assert differing(a, b) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("chains", [1, 3])
def test_a_step_from_a_cloned_state_gives_the_same_bits(kind: str, method: str, chains: int):
    sampler, batch_size = RUNS[kind]
    posterior = posterior_of(batch_size)
    with untouched(posterior.problem.model):
        walk = Walk(posterior, sampler, range(chains), method)
        for t in range(5):
            twin = cloned(walk.state)
            there = sampler.step(walk.bound, twin, walk.tuning, walk.nbeta, walk.random, t)
            kept = cloned(there)
            before = cloned((walk.tuning, walk.nbeta, walk.bound.center, walk.bound.precision, walk.bound.metric))
            walk.step(t)
            same_bits((walk.state, walk.infos[-1]), kept)
            same_bits((walk.tuning, walk.nbeta, walk.bound.center, walk.bound.precision, walk.bound.metric), before)
            same_bits(there, kept)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sampler", [SGLD(), HMC(), HMC(step_size=0.05, mass="diagonal")])
def test_an_adaptation_from_cloned_states_gives_the_same_bits(sampler: Sampler, method: str):
    posterior = posterior_of(8)
    with untouched(posterior.problem.model):
        walk = Walk(posterior, sampler, range(3), method)
        for t in range(6):
            walk.step(t)
            given = (walk.adaptation, walk.state, walk.tuning)
            twin = cloned(given)
            arguments = (walk.infos[-1], walk.nbeta, walk.random, t)
            walk.adaptation, walk.tuning = sampler.adapt(walk.bound, *given, *arguments)
            same_bits(sampler.adapt(walk.bound, *twin, *arguments), (walk.adaptation, walk.tuning))
            same_bits(walk.state, twin[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_step_by_hand_is_the_formula(method: str):
    """SGLD written out for one step, in the localizer's units."""
    posterior = posterior_of(8)
    step_size = 2e-4
    with untouched(posterior.problem.model):
        walk = Walk(posterior, SGLD(step_size=step_size), range(2), method)
        bound, w = walk.bound, cloned(walk.state.w)
        w = {name: leaf + 0.1 for name, leaf in w.items()}
        walk.state = type(walk.state)(cloned(w))
        grad = bound.evaluate(w, walk.random.rows(4)).grad
        walk.step(4)
    for name, leaf in w.items():
        force = 20.0 * grad[name] + bound.precision[name] * (leaf - bound.center[name])
        noise = walk.random.normal(4, name)
        scale = bound.metric[name]
        close(walk.state.w[name], leaf - step_size / 2 * scale * force + (step_size * scale) ** 0.5 * noise)


def test_in_place_groups_hold_one_chain_each():
    """So that a model too large for two sets of weights on the device still runs."""
    seen: list[int] = []
    evaluate = InPlace.evaluate

    class Spy(InPlace):
        def evaluate(self, w: Params, rows: Tensor | None) -> Any:
            seen.append(len(next(iter(w.values()))))
            return evaluate(self, w, rows)

    posterior = posterior_of(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slt.problem.evaluate.choose.InPlace", Spy)
        draws_of(posterior, SGLD(step_size=2e-4), chain_method="in_place", draws=3)
    assert seen == [1] * 9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [8, None])
def test_sgld_steps_in_the_memory_of_its_state(method: str, batch_size: int | None):
    """One copy of the moving parameters a chain, whatever the number of steps."""
    posterior = posterior_of(batch_size)
    with untouched(posterior.problem.model):
        walk = Walk(posterior, SGLD(step_size=2e-4), range(2), method)
        before = [leaf.data_ptr() for leaf in tensors_in(walk.state)]
        for t in range(3):
            walk.step(t)
    assert [leaf.data_ptr() for leaf in tensors_in(walk.state)] == before
