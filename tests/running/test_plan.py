"""How chains are run: the fastest way is taken, by timings that are given here; threads are put back."""

from collections.abc import Callable

import pytest
import torch

import slt
from slt.running import plan
from slt.running.plan import Way, fastest, make_plan


def posterior(dimension: int = 4) -> slt.LocalPosterior:
    toy = slt.toys.quadratic(dimension)
    return slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def timed(monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[Way], float]) -> list[int]:
    """Replace the clock; return the thread counts under which it was asked."""
    threads: list[int] = []

    def note(posterior: slt.LocalPosterior, way: Way, seconds: dict[Way, float]) -> None:
        threads.append(torch.get_num_threads())
        way = way._replace(chain_method="vectorized" if way.chain_method == "auto" else way.chain_method)
        seconds[way] = seconds_of(way)

    monkeypatch.setattr(plan, "_time", note)
    return threads


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("slow", "expected"), [(1, None), (2, 1)])
def test_the_faster_number_of_threads_is_taken_and_put_back(
    slow: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = timed(monkeypatch, lambda way: 1e-3 * (5 if way.threads == slow else 1))
    way, _ = fastest(posterior(), 8)
    assert way.threads == expected
    assert set(threads) == {1, 2}
    assert torch.get_num_threads() == 2


def test_chains_that_cost_nothing_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, lambda way: 1e-3 if way.chain_method == "vectorized" else 1e-2)
    assert fastest(posterior(), None)[0].chains == 512  # with more a run would take no fewer steps
    assert fastest(posterior(), 12)[0].chains == 12


def test_chains_that_cost_as_much_as_the_first_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, lambda way: 1e-3 * way.chains)
    assert fastest(posterior(), None)[0].chains == 8


def test_chains_are_no_more_than_the_budget_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else full-data HMC would not be worth starting."""
    timed(monkeypatch, lambda way: (1e-2 if way.chains <= 32 else 2e-2) * (1 + (way.chain_method == "in_place")))
    assert fastest(posterior(), None, 1600 * 1.5e-2)[0].chains == 32
    assert fastest(posterior(), None, 1600 * 1e-3)[0].chains == 8
    assert fastest(posterior(), None)[0].chains > 32


def test_in_place_there_are_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, lambda way: 1e-3 if way.chain_method == "in_place" else 1e-2)
    assert fastest(posterior(), None)[0] == Way("in_place", 8, None)


def test_a_budget_of_gradients_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = timed(monkeypatch, lambda way: 1.0)
    made = make_plan(posterior(), "auto", None, slt.Gradients(100_000))
    assert (made.chains, made.threads, made.chain_method) == (8, None, "auto")
    assert threads == []


@pytest.mark.usefixtures("two_threads")
def test_the_run_uses_the_threads_of_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, lambda way: 1e-4 * (5 if way.threads == 2 else 1))
    toy = slt.toys.quadratic(2)
    estimate = slt.estimate_llc(
        toy.model, toy.data, toy.loss, target_relative_error=0.5, chains=4, budget=1.0, progress=False
    )
    assert estimate.settings["threads"] == 1
    assert torch.get_num_threads() == 2
