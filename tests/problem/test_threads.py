"""Several threads at once: what is global is as before when the last has ended, and no model serves two of them."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slt.degeneracy.precision import double_precision
from slt.errors import ModelInUseError
from slt.posterior import LocalPosterior
from slt.problem import claims, switches, untouched
from slt.problem.switches import ATTENTION, FLASH, OF_PROCESS, OF_THREAD, THREADS, held, settings, switches_kept
from slt.running import sample
from slt.samplers import SGLD
from tests.models import called_each_time, drawn, mlp, per_example

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)
PATIENCE = 60.0  # seconds, after which a test fails that would wait for ever


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Nothing is left in the tables, and every switch is back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = settings((*OF_PROCESS, *OF_THREAD))
    yield
    assert settings((*OF_PROCESS, *OF_THREAD)) == before
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:  # what a new thread begins with
        assert pool.submit(torch.get_num_threads).result() == 2
    assert not claims._users
    assert not switches._entries
    assert not any(switches._holders.values())
    torch.set_num_threads(threads)


class Inside:
    """Another thread that stays inside a context until it is told to leave."""

    def __init__(self, context: Callable[[], Any], then: Callable[[], Any] = lambda: None) -> None:
        self._leave, entered = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(1)

        def stay() -> Any:
            with context():
                entered.set()
                assert self._leave.wait(PATIENCE)
                return then()

        self._done: Future[Any] = self._pool.submit(stay)
        assert entered.wait(PATIENCE)

    def leave(self) -> Any:
        self._leave.set()
        try:
            return self._done.result(PATIENCE)
        finally:
            self._pool.shutdown()


@contextmanager
def sampling(**changes: Any) -> Iterator[None]:
    """What a run does to the process, and more."""
    with untouched(mlp(4, 3)), held(FLASH, False):
        torch.set_num_threads(1)
        torch.set_default_dtype(changes.get("dtype", torch.float64))
        yield


CONTEXTS: dict[str, Callable[[], Any]] = {"a run": sampling, "double precision": double_precision}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("kind", CONTEXTS)
def test_the_last_thread_puts_the_switches_back(kind: str, order: tuple[int, ...]) -> None:
    inside = [Inside(CONTEXTS[kind]) for _ in order]
    for at in order:
        inside[at].leave()


@pytest.mark.parametrize("first", ["main", "other"])
def test_a_thread_that_goes_on_keeps_what_it_has_set(first: str) -> None:
    other = Inside(sampling, then=lambda: (settings((FLASH, *OF_PROCESS[:1])), torch.get_default_dtype()))
    with sampling():
        if first == "other":
            other.leave()
            assert settings((FLASH, *OF_PROCESS[:1])) == [False, False]
    if first == "main":
        assert other.leave() == ([False, False], torch.float64)


def test_contexts_in_one_thread_nest_beside_another_thread() -> None:
    other = Inside(sampling)
    with sampling(), sampling(dtype=torch.float16):
        other.leave()


def test_attention_is_not_switched_on_again_under_another_evaluation() -> None:
    other = Inside(lambda: held(FLASH, False))
    with held(FLASH, False):
        other.leave()
        assert not FLASH.read()
    with double_precision():
        assert settings(ATTENTION) == [False, True, False, False]


def test_a_thread_s_own_switches_come_back_at_once() -> None:
    other = Inside(switches_kept)
    with switches_kept():
        torch.set_grad_enabled(False)
        torch.set_autocast_enabled("cpu", True)
        torch.set_num_threads(1)
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert THREADS.read() == 2
    other.leave()


def watched(model: nn.Module, batch: Any) -> Tensor:
    """A loss of which each call counts: nothing is recorded."""
    called_each_time()
    return per_example(model, batch)


def small_run(model: nn.Module, loss: Any = watched) -> Any:
    posterior = LocalPosterior(model, (X, Y), loss, nbeta=5.0, localization=1.0, batch_size=8)
    return sample(posterior, SGLD(step_size=1e-5), chains=2, draws=4, warmup=0, progress=False)


def test_several_runs_at_once_give_what_they_give_alone() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    models = [mlp(4, 3, seed=k) for k in range(3)]  # made here, as torch has one global seed

    def run(k: int) -> Any:
        together.wait()
        return small_run(models[k]).get("posterior", "excess")

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(run, range(3)))
    for k, excess in enumerate(found):
        alone = small_run(mlp(4, 3, seed=k)).get("posterior", "excess")
        assert abs(excess - alone).max() < 1e-12  # the same to rounding, which depends on where tensors lie


def test_a_second_thread_does_not_rewind_random_numbers() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        other = Inside(lambda: untouched(mlp(4, 3)))
        first = torch.rand(2)
        other.leave()
        assert torch.equal(torch.cat([first, torch.rand(2)]), expected)


def shared_part() -> tuple[nn.Module, nn.Module]:
    part = mlp(4, 3)
    return nn.Sequential(part), nn.Sequential(part, nn.Tanh())


def shared_weight() -> tuple[nn.Module, nn.Module]:
    one, other = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
    other.weight = one.weight
    return one, other


def one_model() -> tuple[nn.Module, nn.Module]:
    model = mlp(4, 3)
    return model, model


@pytest.mark.parametrize(
    ("make", "what"), [(one_model, "using it"), (shared_part, "its part '0'"), (shared_weight, "its part 'weight'")]
)
def test_a_second_run_on_one_model_is_refused(make: Callable[[], tuple[nn.Module, nn.Module]], what: str) -> None:
    mine, theirs = make()
    other = Inside(lambda: untouched(theirs))
    try:
        with pytest.raises(ModelInUseError, match=what), untouched(mine):
            pass
    finally:
        other.leave()
    with untouched(mine), untouched(theirs):
        pass  # by the same thread, and after the other has left


def test_a_run_is_refused_on_a_model_that_another_thread_samples() -> None:
    model, errors = mlp(4, 3), []

    def meanwhile(model: nn.Module, batch: Any) -> Tensor:
        called_each_time()
        with ThreadPoolExecutor(1) as pool, suppress(ModelInUseError):
            pool.submit(small_run, model).result(PATIENCE)
            errors.append("a second run was let in")
        return per_example(model, batch)

    found = small_run(model, meanwhile)
    assert not errors
    alone = small_run(model).get("posterior", "excess")
    assert abs(found.get("posterior", "excess") - alone).max() < 1e-12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_in_the_middle_of_a_run_is_not_held_up() -> None:
    model = mlp(4, 3)
    other = Inside(lambda: untouched(model))
    locked = threading.Event()

    def hold() -> None:
        with switches.LOCK:
            locked.set()
            threading.Event().wait(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(PATIENCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks beside threads
        child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))
        with suppress(BaseException), untouched(model):
            model(X[:1])
            os._exit(0 if torch.get_default_dtype() == torch.float32 else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    holder.join()
    other.leave()


FILES = ("untouched.py", "claims.py", "switches.py", "kept.py")


def test_an_interrupt_at_any_line_of_the_entry_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A trace can raise between the end of a block and the release of its lock, where Python looks for no signal.
    lock = threading.RLock()
    for room in (switches, claims):
        monkeypatch.setattr(room, "LOCK", lock)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    model[0].weight.grad = torch.ones(3, 4)
    before = [model[1].running_mean.clone(), *(p.data_ptr() for p in model.parameters())]
    lines, reached = 0, False

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.endswith(FILES):
            return None
        if event == "line":
            lines += 1
            if lines == at:
                raise KeyboardInterrupt
        return trace

    at = 0
    while not reached:
        at, lines = at + 1, 0
        sys.settrace(trace)
        with suppress(KeyboardInterrupt), untouched(model):
            reached = True
        sys.settrace(None)
        assert all(module.training for module in model.modules())
        assert model[0].weight.grad is not None
        assert torch.equal(before[0], model[1].running_mean)
        assert [p.data_ptr() for p in model.parameters()] == before[1:]
        assert not claims._users
        assert not switches._entries
        assert torch.backends.mha.get_fastpath_enabled()
    assert at > 100
