"""Whether a loss writes to the parameters or the data that it is evaluated at: then it is no function of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from slt.errors import LossError
from slt.problem.data import Batch, tensors_of, writes
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


@contextmanager
def refusing_writes_to(batch: Batch, *, by_content: bool = False) -> Iterator[None]:
    """Refuse writes to the tensors of a batch, which later evaluations would read.

    Args:
        batch: The batch.
        by_content: Whether its content is compared, and not only the number of writes that torch counts.

    Raises:
        LossError: If one was written to.
    """
    before, held = writes(batch), [t.clone() for t in tensors_of(batch)] if by_content else []
    yield
    changed = [i for i, (a, b) in enumerate(zip(before, writes(batch), strict=True)) if a != b]
    changed += [i for i, (a, b) in enumerate(zip(held, tensors_of(batch), strict=False)) if not _same(a, b)]
    if changed:
        raise LossError(
            f"the model and the loss must not write to the data, but a call of them changed tensor {changed[0]} of "
            f"the {len(before)} of its batch: a later call would read other data. Compute with a changed copy instead, "
            "such as x = x - 1 in the place of x.sub_(1)."
        )


def _same(a: Tensor, b: Tensor) -> bool:
    # NaN may stand where a mask covers it
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


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
