"""What a user had before a call, written down bit by bit, so that what a call leaves otherwise has a name.

Nothing here asks slt: that the package restores what it says is for this to find out. Tensors are read from their
memory, since under some contexts any operation on them means something else.
"""

import copy
import ctypes
import gc
import io
import locale
import os
import pickle
import random
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from tqdm import tqdm

World = dict[str, Any]

_PLAIN = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device)


def differences(before: World, after: World) -> list[str]:
    """Name what is gone, new or otherwise."""
    found = [f"{name} is gone" for name in before if name not in after]
    found += [f"{name} is new" for name in after if name not in before]
    return found + [f"{name} is otherwise" for name in before if name in after and not _as_it_was(name, before, after)]


def _as_it_was(name: str, before: World, after: World) -> bool:
    # What earlier calls have left to the garbage collector may go at any time.
    if name == "threads":
        return Counter(after[name]) <= Counter(before[name])
    if name == "open files" and before[name] is not None:
        return after[name] <= before[name]
    return before[name] == after[name]


def memory(tensor: Tensor) -> Any:
    """The bytes behind a tensor; of tensors without plain memory, those of their parts."""
    if tensor.layout is torch.sparse_coo:
        return memory(tensor._values()), memory(tensor._indices())
    if tensor.layout is torch.sparse_csr:
        return memory(tensor.values()), memory(tensor.col_indices()), memory(tensor.crow_indices())
    if tensor.is_meta:
        return "no memory"
    if tensor.is_nested:
        return memory(tensor.values())
    storage = tensor.untyped_storage()
    return ctypes.string_at(storage.data_ptr(), storage.nbytes()) if storage.nbytes() else b""


def of_tensor(tensor: Tensor) -> Any:
    """What a user may notice of a tensor: its type, its bits, where they are, its gradient and its history."""
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        return type(tensor), "uninitialized"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return type(tensor), "of a transform that has ended"
    if tensor.is_nested:
        return type(tensor), tensor.dtype, memory(tensor)
    where = 0 if tensor.layout is not torch.strided else tensor.untyped_storage().data_ptr()
    grad = tensor.grad if tensor.is_leaf else None
    history = tensor.requires_grad, tensor.is_leaf, None if tensor.grad_fn is None else type(tensor.grad_fn)
    hooks = tuple(id(h) for h in (tensor._backward_hooks or {}).values())
    held = None if grad is None else (id(grad), memory(grad))
    return type(tensor), tensor.dtype, tuple(tensor.shape), where, memory(tensor), history, hooks, held


def of_value(value: Any, depth: int = 3) -> Any:
    """What a user may notice of something that hangs on a module, or is data: who it is, and what it holds."""
    if isinstance(value, Tensor):
        return id(value), of_tensor(value)
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, torch.Generator):
        return id(value), memory(value.get_state())
    if isinstance(value, _PLAIN):
        return value
    if depth and isinstance(value, Mapping):
        return id(value), {key: of_value(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set):
        return id(value), len(value), [of_value(item, depth - 1) for item in list(value)[:5]]
    return id(value)


def of_model(model: nn.Module) -> World:
    """Everything that hangs on the modules of a model, and whether it can still be copied and pickled."""
    world: World = {
        "deepcopy of the model": _works(lambda: copy.deepcopy(model)),
        "pickle of the model": _works(lambda: pickle.dump(model, io.BytesIO())),
    }
    for path, module in model.named_modules(remove_duplicate=False):
        at = f"model.{path}" if path else "model"
        world[f"{at}'s class"] = id(type(module))
        for key, value in module.__dict__.items():
            if key == "_lineno_map":
                continue  # of what torch.export makes, which compiles itself anew when it is pickled above
            if key == "_modules":
                world[f"{at}._modules"] = [(name, id(child)) for name, child in value.items()]
            elif key in ("_parameters", "_buffers"):
                world |= {f"{at}.{name}": of_value(tensor) for name, tensor in value.items()}
                world[f"{at}.{key}"] = id(value), [name for name, _ in value.items()]
            else:
                world[f"{at}.{key}"] = of_value(value)
    return world


def _works(attempt: Any) -> str:
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt()
    except Exception as error:
        return type(error).__name__
    return "works"


def of_objects(model: nn.Module, data: Any, tensors: Iterable[Tensor]) -> World:
    """The model, the data as they were handed over, and the tensors behind them."""
    world = of_model(model)
    if isinstance(data, Tensor | np.ndarray | Mapping | list | tuple):
        world["data"] = of_value(data)
    return world | {f"tensor {k} of the data": of_tensor(t) for k, t in enumerate(tensors)}


def of_process() -> World:
    """What all of a process shares, read inside a context."""
    backends, numpy_state = torch.backends, np.random.get_state()  # noqa: NPY002
    flags = {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast's cache": torch.is_autocast_cache_enabled(),
        "fast attention": backends.mha.get_fastpath_enabled(),
        "attention kernels": [
            getattr(backends.cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "mem_efficient", "math", "cudnn")
        ],
        "mkldnn": backends.mkldnn.enabled,
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "anomaly mode": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "matmul precision": torch.get_float32_matmul_precision(),
        "torch's threads": torch.get_num_threads(),
        "backward's threads": torch.autograd.is_multithreading_enabled(),
        "ways of conversion": (
            torch.__future__.get_overwrite_module_params_on_conversion(),
            torch.__future__.get_swap_module_params_on_conversion(),
        ),
        "function modes": [id(mode) for mode in _get_current_function_mode_stack()],
        "dispatch modes": [id(mode) for mode in _get_current_dispatch_mode_stack()],
        "torch.func levels": torch._C._functorch.maybe_current_level(),
        "forward levels": torch.autograd.forward_ad._current_level,
        "saved tensors hooks": repr(torch._C._autograd._top_saved_tensors_default_hooks(True)),
        "hooks of all modules": {
            key: list(value)
            for key, value in vars(module_hooks).items()
            if key.startswith("_global_") and isinstance(value, dict)
        },
        "cached parametrizations": torch.nn.utils.parametrize._cache_enabled,
    }
    return flags | {
        "warning filters": list(warnings.filters),
        "how warnings are shown": (id(warnings.showwarning), id(warnings.formatwarning)),
        "NumPy's errors": np.geterr(),
        "NumPy's random state": (numpy_state[0], numpy_state[1].tobytes(), *numpy_state[2:]),
        "Python's random state": random.getstate(),
        "torch's random state": memory(torch.default_generator.get_state()),
        "directory": _directory(),
        "files in the directory": sorted(os.listdir()) if _directory() else None,
        "environment": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "standard streams": (id(sys.stdout), id(sys.stderr), id(sys.stdin)),
        "signal handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
        "hooks of Python": (sys.gettrace(), sys.getprofile(), id(sys.excepthook), id(sys.unraisablehook)),
        "recursion limit": sys.getrecursionlimit(),
        "garbage collection": gc.isenabled(),
        "the bars' lock": all(_free(lock) for lock in tqdm.get_lock().locks),
        # tqdm watches its bars in a thread of its own, for as long as the process lives
        "threads": sorted(t.name for t in threading.enumerate() if type(t).__name__ != "TMonitor"),
        "open files": len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None,
    }


def _free(lock: Any) -> bool:
    """Whether another thread can have a lock that may be this one's."""

    def attempt() -> None:
        if lock.acquire(False):
            found.append(True)
            lock.release()

    found: list[bool] = []
    other = threading.Thread(target=attempt)
    other.start()
    other.join()
    return bool(found)


def _release(lock: Any) -> None:
    """Give back a lock as often as this thread holds it."""
    while True:
        try:
            lock.release()
        except (AssertionError, RuntimeError):
            return


def _directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


@contextmanager
def put_back() -> Iterator[None]:
    """Set again, after a situation that has changed them, the switches that the next one would meet."""
    deterministic, mkldnn = torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled
    kept = torch.get_default_dtype(), torch.get_num_threads(), os.environ.copy(), sys.stdout, sys.stderr
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.mkldnn.set_flags(mkldnn)
        torch.set_default_dtype(kept[0])
        torch.set_num_threads(kept[1])
        os.environ.clear()
        os.environ.update(kept[2])
        sys.stdout, sys.stderr = kept[3:]
        for held in tqdm.get_lock().locks:
            _release(held)


def of_files(folder: Path) -> World:
    """The files of a folder, and those within."""
    world: World = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        held = os.readlink(path) if kind == "link" else path.read_bytes() if kind == "file" else None
        world[f"{kind} {path.relative_to(folder)}"] = held
    return world
