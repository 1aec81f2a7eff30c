"""The promise that a model, and the process around it, are bit-identical after slt has used them."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from slt.errors import ParametersError
from slt.problem.claims import claimed
from slt.problem.gradients import plain_gradients
from slt.problem.kept import Kept
from slt.problem.switches import FAST_ATTENTION, switches_kept


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode with gradients on, and undo everything on the way out.

    Restored, also after an exception or Ctrl-C: parameters (their very storage, never written to), buffers, all other
    attributes of the modules and what lists, dicts, sets and tensors among them hold, hooks, ``.grad``,
    ``requires_grad``, train flags, the switches of `slt.problem.switches`, and, in the main thread, the global random
    states of torch, numpy and Python. Inside, hooks on gradients are off and embeddings have dense gradients. Torch's
    inference kernels for attention are off too: they differ from what is differentiated, and know neither gradients nor
    vmap.

    Raises:
        ModelInUseError: If another thread is using the model, or a part of it.
        ParametersError: If the model cannot be put in eval mode.
    """
    with claimed(model), _random_states_kept(), switches_kept():
        kept = Kept(model)
        try:
            FAST_ATTENTION.write(False)
            _to_eval(model)
            kept.drop_gradients()
            with torch.inference_mode(False), torch.enable_grad(), plain_gradients(model):
                yield
        finally:
            kept.restore()


def _to_eval(model: nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError as error:  # as of what torch.export makes
        raise ParametersError(
            f"the model must be one that eval() puts in eval mode, got {type(model).__name__}, which says: {error} "
            "Pass the module that it was made from."
        ) from error


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Restore the global random states.

    They belong to the main thread: another one would rewind the numbers that the main thread draws meanwhile, which
    would then come a second time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if accelerator is not None:
            torch.cuda.set_rng_state_all(accelerator)
