"""Errors and results that cross from one process to another: as they are when a pool of workers hands them over."""

import inspect
import multiprocessing
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slt import errors
from slt.errors import Interrupted, SaveError, SltError, UnreliableEstimateError


def below(kind: type) -> Iterator[type]:
    yield kind
    for each in kind.__subclasses__():
        yield from below(each)


KINDS = list(dict.fromkeys([*below(SltError), *below(Interrupted)]))


def make(kind: type) -> BaseException:
    """Make an error as the package does: with all that its kind carries."""
    carried = list(inspect.signature(kind.__init__).parameters)[2:] if inspect.isfunction(kind.__init__) else []
    return kind("what went wrong", *({"held": name} for name in carried))


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    assert isinstance(errors.__doc__, str)
    drawn = re.findall(r"(\w+(?:Error|Interrupted))(?: \(\w+\))?(?:  |$)", errors.__doc__, re.MULTILINE)
    public = {kind.__name__ for kind in KINDS if kind.__module__ == "slt.errors"}
    assert set(drawn) | {"Interrupted"} == public


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_pickled_with_what_it_carries(kind: type, protocol: int) -> None:
    error = make(kind)
    error.add_note("a note")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is kind
    assert (str(back), back.args, back.__dict__) == (str(error), error.args, error.__dict__)


class FussyError(SaveError):
    """One of a user's own, with another way to make it."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}", None)
        self.code = code


def test_errors_that_others_derive_are_pickled_too() -> None:
    back = pickle.loads(pickle.dumps(FussyError(code=7)))
    assert (type(back), str(back), back.code, back.trace) == (FussyError, "code 7", 7, None)


def fail(kind: type) -> None:
    raise make(kind)


@pytest.mark.parametrize("kind", [UnreliableEstimateError, errors.ContractError])
def test_a_pool_hands_on_what_a_worker_raised(pool: Any, kind: type) -> None:
    """Where the error cannot be built anew in the process that waits, the wait has no end."""
    with pytest.raises(kind, match="what went wrong") as raised:
        pool.apply_async(fail, (kind,)).get(timeout=120)
    assert raised.value.__dict__.keys() & {"estimate", "report"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        yield workers


def results() -> dict[str, Any]:
    """Make one of each public result."""
    import torch

    import slt
    from slt.checkpoints import Row, Sweep
    from slt.testing import Check, Report

    toy = slt.toys.quadratic(2)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    trace = slt.sample(posterior, slt.HMC(), chains=2, draws=30, warmup=20, progress=False)
    estimate = slt.llc(trace)
    x = torch.linspace(-1, 1, 20).reshape(10, 2)
    network = slt.LocalPosterior(torch.nn.Linear(2, 1), (x, x[:, :1]), "mse")
    with pytest.raises(UnreliableEstimateError) as unreliable:
        estimate.require()
    rows = (Row("a", Path("a.pt"), 1.0, estimate, None), Row("b", Path("b.pt"), 1.0, None, unreliable.value))
    return {
        "trace": trace,
        "estimate": estimate,
        "verdict": estimate.verdict,
        "error with its estimate": unreliable.value,
        "posterior": posterior,
        "posterior of a network": network,
        "sweep": Sweep(rows),
        "failures": Sweep(rows).failures,
        "comparison": slt.diagnostics.compare([estimate], [toy]),
        "report": Report("HMC()", (Check("bits", True, ""),)),
        "entry": slt.analytic.regular(3),
        "toy": toy,
        "translation": slt.from_devinterp(lr=0.1),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return results()


def test_every_result_is_pickled(made: dict[str, Any]) -> None:
    for name, result in made.items():
        back = pickle.loads(pickle.dumps(result))
        assert type(back) is type(result), name
    assert str(pickle.loads(pickle.dumps(made["sweep"]))) == str(made["sweep"])
    assert str(pickle.loads(pickle.dumps(made["estimate"]))) == str(made["estimate"])
    assert pickle.loads(pickle.dumps(made["error with its estimate"])).estimate.value == made["estimate"].value
