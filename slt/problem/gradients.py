"""Gradients of the loss and nothing else: what training does to gradients on their way is switched off."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules import module as every_module


@contextmanager
def plain_gradients(model: nn.Module) -> Iterator[None]:
    """Switch off hooks on gradients, of parameters and of modules, and sparse or rescaled gradients of embeddings.

    Hooks that clip or scale gradients serve an optimizer: the gradient that they leave is not that of the loss. A hook
    that the forward pass sets on what it computes is part of the model and stays.
    """
    held = [every_module._global_backward_hooks, every_module._global_backward_pre_hooks]
    for p in model.parameters():
        held += [p._backward_hooks, p._post_accumulate_grad_hooks]
    embeddings = []
    for module in model.modules():
        held += [module._backward_hooks, module._backward_pre_hooks]
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            embeddings.append((module, module.sparse, module.scale_grad_by_freq))
    hooks = [(kept, dict(kept)) for kept in held if kept]
    try:
        for kept, _ in hooks:
            kept.clear()  # torch holds the dictionary itself
        for module, *_ in embeddings:
            module.sparse = module.scale_grad_by_freq = False
        yield
    finally:
        for kept, before in hooks:
            kept.clear()
            kept.update(before)
        for module, sparse, scaled in embeddings:
            module.sparse, module.scale_grad_by_freq = sparse, scaled
