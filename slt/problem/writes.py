"""Whether a loss writes to the parameters that it is evaluated at: then it is no function of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from slt.errors import LossError
from slt.problem.fingerprints import pieces

Named = Sequence[tuple[str, Tensor]]


@contextmanager
def refusing_writes(model: nn.Module, named: Named) -> Iterator[None]:
    """Refuse writes that torch counts: all but those through ``.data``.

    Args:
        model: The model.
        named: Its parameters by name.

    Raises:
        LossError: If one was written to.
    """
    versions = [p._version for _, p in named]
    yield
    for (name, p), version in zip(named, versions, strict=True):
        if p._version != version:
            _refuse(model, name, p)


class Unwritten:
    """Remembers what the parameters of a model hold, to the bit.

    Args:
        model: The model, before the loss is called.
    """

    def __init__(self, model: nn.Module) -> None:
        """Keep their tensors: what is written to meanwhile must be copies."""
        self._model = model
        self._before = [(name, p, p.data, p._version) for name, p in model.named_parameters()]

    def require(self) -> None:
        """Refuse a loss that has written to one of them since, also where nothing came of it.

        Raises:
            LossError: If it has.
        """
        for name, p, before, version in self._before:
            now = p.detach()
            same = now.shape == before.shape and all(map(torch.equal, pieces(now), pieces(before)))
            if p._version != version or not same:
                _refuse(self._model, name, p)


def _refuse(model: nn.Module, name: str, p: Tensor) -> None:
    owner = next((m for m in model.modules() if any(q is p for q in m._parameters.values())), model)
    most = getattr(owner, "max_norm", None)
    cause = "" if most is None else f": {type(owner).__name__}(max_norm={most:g}) rescales the rows that it looks up"
    remedy = "compute with a changed copy instead" if most is None else "set max_norm=None"
    raise LossError(
        f"the loss must not write to the parameters, but a call of it changed {name!r}{cause}. Its value is not that "
        f"of the weights that it was given: {remedy}."
    )
