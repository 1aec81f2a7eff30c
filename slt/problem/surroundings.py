"""Where slt can work: not inside what gives torch's operations another meaning."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from slt.errors import SettingsError


def require_plain_surroundings() -> None:
    """Refuse to work inside transforms of functions and modes that change what torch computes.

    Raises:
        SettingsError: If there are any.
    """
    what = None
    if torch._C._functorch.peek_interpreter_stack() is not None:  # pyright: ignore[reportAttributeAccessIssue]
        what = "a transform of torch.func such as vmap, grad or jvp"
    elif forward_ad._current_level >= 0:
        what = "torch.autograd.forward_ad.dual_level"
    changing = [mode for mode in _get_current_function_mode_stack() if not isinstance(mode, DeviceContext)]
    fakes = [mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, FakeTensorMode)]
    for mode in (*changing, *fakes):
        what = f"the mode {type(mode).__name__}"
    if what is not None:
        raise SettingsError(f"slt must compute with ordinary tensors, but was called inside {what}; call it outside.")
