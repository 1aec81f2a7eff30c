"""The promise that a model, and the process around it, are bit-identical after slt has used them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from slt.problem.fingerprints import pieces
from slt.problem.gradients import plain_gradients
from slt.problem.pointing import own_copies


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode with gradients on, and undo everything on the way out.

    Restored, also after an exception or Ctrl-C: parameters (their very storage, never written to), buffers,
    ``.grad``, ``requires_grad``, train flags, the global random states of torch, numpy and Python, and the
    thread count. Inside, parameters point at copies, hooks on gradients are off and embeddings have dense gradients.
    Torch's inference kernels for attention are off too: they differ from what is differentiated, and know neither
    gradients nor vmap.
    """
    training = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in model.parameters()]
    buffers = [
        (module, held, [(buffer, buffer.clone()) for buffer in held.values() if buffer is not None])
        for module in model.modules()
        for held in [dict(module._buffers.items())]
    ]
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    threads = torch.get_num_threads()
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    try:
        model.eval()
        torch.backends.mha.set_fastpath_enabled(False)
        for p, *_ in parameters:
            p.grad = None  # a loss that calls backward() must not add to the user's gradients
        with torch.inference_mode(False), torch.enable_grad(), own_copies(model), plain_gradients(model):
            yield
    finally:
        for module, flag in training:
            module.training = flag
        for p, data, grad, requires_grad in parameters:
            p.data = data
            p.grad = grad
            p.requires_grad_(requires_grad)
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        for module, held, values in buffers:
            for buffer, value in values:
                if not _same(buffer, value):
                    buffer.detach().copy_(value)
            for name, buffer in list(module._buffers.items()):
                if name not in held:
                    del module._buffers[name]  # the forward pass made it
                elif buffer is not held[name]:
                    module._buffers[name] = held[name]
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if accelerator is not None:
            torch.cuda.set_rng_state_all(accelerator)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and all(
        c.shape == d.shape and bool(((c == d) | ((c != c) & (d != d))).all())
        for c, d in zip(pieces(a), pieces(b), strict=True)
    )
