"""float64 to the last operation: ranks are only as exact as the least exact step on the way."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from slt.errors import SettingsError
from slt.problem.switches import ANOMALY, ATTENTION, DEFAULT_TYPE, PLAIN_ATTENTION, held

_LOW = (torch.float32, torch.float16, torch.bfloat16)
_WEIGHT_NORM: Callable[..., Any] = getattr(torch, "_weight_norm")  # noqa: B009, as torch does not export it
_CASTS = {Tensor.float, Tensor.half, Tensor.bfloat16}


class KeepDouble(TorchFunctionMode):
    """Turn every cast to a lower floating type into one to float64.

    Libraries cast norms, rotary angles and softmax to float32 inside, so that a plain ``model.double()`` computes
    in float32 here and there, and ranks come out wrong without a word. Whatever escapes is named and refused.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call `func` with every low floating type among its arguments replaced by float64."""
        if func in _CASTS:
            return args[0].double()
        if func is Tensor.type_as and args[1].dtype in _LOW:
            return args[0].double()
        if func is _WEIGHT_NORM:
            return _weight_norm(*args, **(kwargs or {}))
        low = [_as_double(a) for a in args]
        named = {key: _as_double(value) for key, value in (kwargs or {}).items()}
        result = func(*low, **named)
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, Tensor) and value.dtype in _LOW and value.requires_grad:
                raise SettingsError(
                    f"an exact rank needs float64 throughout, but {resolve_name(func)} gave {value.dtype}: "
                    "pass a function that keeps the type of its weights."
                )
        return result


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """G v / |v| in plain operations: torch's own has no forward derivative, and no second one."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _as_double(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _LOW else value


@contextmanager
def double_precision() -> Iterator[None]:
    """Compute in float64, with attention and weight norm in plain forms, which can be differentiated at will."""
    with ExitStack() as stack:
        stack.enter_context(held(DEFAULT_TYPE, torch.float64))
        stack.enter_context(held(ANOMALY, (False, True)))  # which looks into values that torch.vmap keeps to itself
        for switch in ATTENTION:
            stack.enter_context(held(switch, switch is PLAIN_ATTENTION))
        stack.enter_context(KeepDouble())
        yield


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse work that would not fit in memory.

    Args:
        needed: Bytes.
        what: The work, for the message.
        remedy: What to do instead.

    Raises:
        SettingsError: If less than that is free.
    """
    free = free_memory()
    if needed > free:
        raise SettingsError(f"{what} needs about {_gib(needed)}, but {_gib(free)} is free; {remedy}.")


def free_memory() -> float:
    """Return the bytes of main memory that are free, or may be freed at once."""
    try:
        with open("/proc/meminfo") as lines:
            held = {line.split(":")[0]: float(line.split()[1]) for line in lines if ":" in line}
        return held["MemAvailable"] * 1024
    except (OSError, KeyError):
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES") / 2


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"
