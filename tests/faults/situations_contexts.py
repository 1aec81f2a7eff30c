"""Contexts: what may surround a call, from a mode of torch's to a thread, a closed pipe or a directory that is gone."""

import asyncio
import concurrent.futures
import decimal
import gc
import io
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset

from tests.faults.situations_axes import EITHER, Context

Call = Callable[[], Any]


def within(make: Callable[[], AbstractContextManager[Any]]) -> Callable[[Call], Any]:
    """A context manager as what surrounds a call."""

    def around(call: Call) -> Any:
        with make():
            return call()

    return around


@contextmanager
def switched(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """A switch of the process at some value."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


def default_dtype() -> AbstractContextManager[None]:
    return switched(torch.get_default_dtype, torch.set_default_dtype, torch.float64)


@contextmanager
def deterministic(warn_only: bool = False) -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def anomaly_mode() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mode = torch.autograd.detect_anomaly()
    with mode:
        yield


class Counting(TorchDispatchMode):
    """Counts the operations, as a profiler of flops does."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


class CountingFunctions(TorchFunctionMode):
    """The same one floor up."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Halving(TorchFunctionMode):
    """Makes of every new tensor of floats one in half precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        making = func in (torch.randn, torch.zeros, torch.ones, torch.full, torch.empty, torch.tensor)
        return result.half() if making and isinstance(result, Tensor) and result.is_floating_point() else result


def in_transform(transform: Callable[[Callable[[Tensor], Tensor]], Callable[[Tensor], Any]]) -> Callable[[Call], Any]:
    """Inside a function that torch.func transforms."""

    def around(call: Call) -> Any:
        found: list[Any] = []

        def function(z: Tensor) -> Tensor:
            found.append(call())
            return z.sum()

        transform(function)(torch.zeros(2))
        return found[0]

    return around


def in_jvp(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Any]:
    return lambda z: torch.func.jvp(function, (z,), (torch.ones_like(z),))


def in_functionalize(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Any]:
    return torch.func.functionalize(function)


def in_thread(call: Call) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def beside_threads(call: Call) -> Any:
    """While another thread draws random numbers of its own generator, and multiplies."""
    stop, generator = threading.Event(), torch.Generator()

    def work() -> None:
        while not stop.is_set():
            torch.randn(4, 4, generator=generator) @ torch.ones(4, 4)
            stop.wait(1e-3)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        return call()
    finally:
        stop.set()
        worker.join()


def in_event_loop(call: Call) -> Any:
    async def main() -> Any:
        return call()

    return asyncio.run(main())


class _Calling(Dataset[Any]):
    def __init__(self, call: Call) -> None:
        self.call = call

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.call()


def in_worker(call: Call) -> Any:
    """In a worker of a DataLoader, a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return next(
            iter(
                DataLoader(
                    _Calling(call),
                    batch_size=None,
                    num_workers=1,
                    multiprocessing_context="fork",
                    generator=torch.Generator(),
                )
            )
        )


class _Looking(torch.autograd.Function):
    """Calls something in its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, found: list[Any]) -> Tensor:
        ctx.call, ctx.found = call, found
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.found.append(ctx.call())
        return grads[0], None, None


def in_backward(call: Call) -> Any:
    found: list[Any] = []
    _Looking.apply(torch.zeros(1, requires_grad=True), call, found).backward()
    return found[0]


def in_hook(call: Call) -> Any:
    """In a hook of a backward pass, as a callback of a training loop may be."""
    found: list[Any] = []
    weight = torch.zeros(1, requires_grad=True)
    weight.register_hook(lambda grad: found.append(call()))
    (weight * 2).sum().backward()
    return found[0]


@contextmanager
def closed_pipe() -> Iterator[None]:
    """A standard error that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    before = sys.stderr
    sys.stderr = os.fdopen(write, "w", buffering=1)
    try:
        yield
    finally:
        broken, sys.stderr = sys.stderr, before
        try:
            broken.close()
        except OSError:
            pass


@contextmanager
def streams(out: Any, err: Any) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def closed_stream() -> AbstractContextManager[None]:
    stream = io.StringIO()
    stream.close()
    return streams(stream, stream)


class Dumb:
    """A standard error that can do nothing but write, as some notebooks and loggers put in its place."""

    def write(self, text: str) -> int:
        return len(text)


def ascii_stream() -> AbstractContextManager[None]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", line_buffering=True)
    return streams(stream, stream)


@contextmanager
def gone_directory() -> Iterator[None]:
    before = os.getcwd()
    place = tempfile.mkdtemp()
    os.chdir(place)
    os.rmdir(place)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def other_directory() -> Iterator[None]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def odd_random_states() -> Iterator[None]:
    """NumPy's generator in the middle of a pair of normal numbers."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    np.random.standard_normal()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


@contextmanager
def all_modules_hook() -> Iterator[None]:
    """A forward hook on every module there is, that looks on."""
    seen: list[int] = []
    handle = nn.modules.module.register_module_forward_hook(lambda *_: seen.append(1))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def scaling_all_modules() -> Iterator[None]:
    """A backward hook on every module there is, that scales what comes through."""
    handle = nn.modules.module.register_module_full_backward_hook(
        lambda module, given, out: tuple(None if g is None else 3 * g for g in given)
    )
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def traced_python() -> Iterator[None]:
    """As under a debugger or a coverage tool."""
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def without_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def all_warnings(action: Any) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        yield


@contextmanager
def environment() -> Iterator[None]:
    """No home, no place for temporary files."""
    before = dict(os.environ)
    os.environ.update(HOME="/nonexistent", TMPDIR="/nonexistent")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def shallow() -> Iterator[None]:
    """Little room on Python's stack beyond what is in use."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    with switched(sys.getrecursionlimit, sys.setrecursionlimit, depth + 250):
        yield


def identity_pack() -> AbstractContextManager[Any]:
    return torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)


def fake_tensors() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def profiled() -> AbstractContextManager[Any]:
    return torch.autograd.profiler.profile()


def matmul_precision() -> AbstractContextManager[None]:
    return switched(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium")


def conversion(name: str) -> AbstractContextManager[None]:
    future = torch.__future__
    read, write = f"get_{name}_module_params_on_conversion", f"set_{name}_module_params_on_conversion"
    return switched(getattr(future, read), getattr(future, write), True)


def no_fast_attention() -> AbstractContextManager[None]:
    mha = torch.backends.mha
    return switched(mha.get_fastpath_enabled, mha.set_fastpath_enabled, False)


def autocast(**settings: Any) -> Callable[[Call], Any]:
    return within(lambda: torch.autocast("cpu", dtype=torch.bfloat16, **settings))


PLAIN = "plain"

CONTEXTS: list[tuple[str, Context]] = [
    (PLAIN, Context(lambda call: call())),
    # gradients
    ("no_grad", Context(within(torch.no_grad))),
    ("inference_mode", Context(within(torch.inference_mode), EITHER)),
    ("anomaly mode", Context(within(anomaly_mode))),
    ("saved tensors hooks", Context(within(identity_pack))),
    ("saved on the CPU", Context(within(torch.autograd.graph.save_on_cpu))),
    ("mutation of saved tensors", Context(within(torch.autograd.graph.allow_mutation_on_saved_tensors), EITHER)),
    ("one backward thread", Context(within(lambda: torch.autograd.set_multithreading_enabled(False)))),
    ("a forward level", Context(within(forward_ad.dual_level), EITHER)),
    ("in a backward pass", Context(in_backward, EITHER)),
    ("in a backward hook", Context(in_hook, EITHER)),
    ("a hook on all modules", Context(within(all_modules_hook))),
    ("a backward hook on all modules", Context(within(scaling_all_modules), EITHER)),
    ("cached parametrizations", Context(within(parametrize.cached), EITHER)),
    # types, devices, switches
    ("autocast", Context(autocast(), EITHER)),
    ("autocast without its cache", Context(autocast(cache_enabled=False), EITHER)),
    ("autocast off", Context(autocast(enabled=False))),
    ("default type float64", Context(within(default_dtype))),
    ("device meta", Context(within(lambda: torch.device("meta")), EITHER)),
    ("device cpu", Context(within(lambda: torch.device("cpu")))),
    ("default device meta", Context(within(lambda: default_device("meta")), EITHER)),
    ("default device cpu", Context(within(lambda: default_device("cpu")))),
    ("deterministic algorithms", Context(within(deterministic))),
    ("deterministic algorithms, warning", Context(within(lambda: deterministic(True)))),
    ("medium matmul precision", Context(within(matmul_precision))),
    ("conversion overwrites", Context(within(lambda: conversion("overwrite")))),
    ("conversion swaps", Context(within(lambda: conversion("swap")), EITHER)),
    ("no fast attention", Context(within(no_fast_attention))),
    ("mkldnn off", Context(within(lambda: torch.backends.mkldnn.flags(enabled=False)))),
    ("two threads of torch's", Context(within(lambda: switched(torch.get_num_threads, torch.set_num_threads, 2)))),
    # modes and transforms
    ("a dispatch mode", Context(within(Counting), EITHER)),
    ("a function mode", Context(within(CountingFunctions), EITHER)),
    ("a function mode that halves", Context(within(Halving), EITHER)),
    ("fake tensors", Context(within(fake_tensors), EITHER)),
    ("inside vmap", Context(in_transform(torch.func.vmap), EITHER)),
    ("inside grad", Context(in_transform(torch.func.grad), EITHER)),
    ("inside jvp", Context(in_transform(in_jvp), EITHER)),
    ("inside functionalize", Context(in_transform(in_functionalize), EITHER)),
    ("profiled", Context(within(profiled))),
    ("forked randomness", Context(within(lambda: torch.random.fork_rng(devices=[])))),
    # threads, loops, workers
    ("in a thread", Context(in_thread)),
    ("beside a thread", Context(beside_threads)),
    ("in an event loop", Context(in_event_loop)),
    ("in a DataLoader's worker", Context(in_worker, EITHER)),
    # Python
    ("warnings as errors", Context(within(lambda: all_warnings("error")))),
    ("every warning shown", Context(within(lambda: all_warnings("ignore")))),
    ("NumPy's errors raised", Context(within(lambda: np.errstate(all="raise")))),
    ("decimals of 3 digits", Context(within(lambda: decimal.localcontext(decimal.Context(prec=3))))),
    ("traced", Context(within(traced_python))),
    ("without garbage collection", Context(within(without_collection))),
    ("a shallow stack", Context(within(shallow))),
    ("odd random states", Context(within(odd_random_states))),
    # streams and places
    ("a bar", Context(within(lambda: streams(io.StringIO(), io.StringIO())), progress=True)),
    ("a bar on a closed pipe", Context(within(closed_pipe), progress=True)),
    ("a bar on a closed stream", Context(within(closed_stream), progress=True)),
    ("a bar on no stream", Context(within(lambda: streams(None, None)), progress=True)),
    ("a bar on a stream that only writes", Context(within(lambda: streams(Dumb(), Dumb())), progress=True)),
    ("a bar in ASCII", Context(within(ascii_stream), progress=True)),
    ("a bar on a full disk", Context(within(lambda: full_disk()), progress=True)),
    ("a directory that is gone", Context(within(gone_directory))),
    ("another directory", Context(within(other_directory))),
    ("no home", Context(within(environment))),
]


@contextmanager
def full_disk() -> Iterator[None]:
    """A standard error that goes to a file on a disk without room."""
    if not Path("/dev/full").exists():
        yield
        return
    stream = open("/dev/full", "w", buffering=1)
    try:
        with streams(sys.stdout, stream):
            yield
    finally:
        try:
            stream.close()
        except OSError:
            pass
