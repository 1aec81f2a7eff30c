"""Targets that a ready loss cannot score, found before sampling and told by their row."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from slt.errors import LossError
from slt.problem.data import Batch

UNCOUNTED = -100
"""The label that torch's cross-entropy leaves out."""

TargetCheck = Callable[[Tensor, Batch], None]
"""Called with the rows of each chunk and its batch; refuses what cannot be scored."""


def check_classes(logits: Any, y: Tensor) -> TargetCheck:
    """Check the shapes of cross-entropy on the first rows; return what checks the labels of any.

    Args:
        logits: What the model gives, (batch, classes, ...).
        y: Class indices (batch, ...), or class probabilities of the logits' shape.

    Returns:
        The check.

    Raises:
        LossError: If the shapes or types do not fit.
    """
    shape = _shape_of(logits, '"cross_entropy" needs logits (batch, classes, ...) from the model', 2)
    due = (shape[0], *shape[2:])
    if y.is_floating_point():
        if tuple(y.shape) != shape:
            raise LossError(
                f'the targets of "cross_entropy" must be class indices, integers of shape {due}, or class '
                f"probabilities of the logits' shape {shape}, got {y.dtype} of shape {tuple(y.shape)}. Indices that "
                "are kept as floats: pass targets.long()."
            )
        return lambda rows, batch: None
    if tuple(y.shape) != due:
        raise LossError(
            f'the targets of "cross_entropy" must have shape {due} beside logits of shape {shape}, read as (batch, '
            f"classes, ...), got {tuple(y.shape)}. Take surplus axes off with squeeze, and have the model put the "
            "classes second."
        )
    return lambda rows, batch: _require_labels(rows, batch[1], shape[1], "cross_entropy")


def check_tokens(logits: Any) -> TargetCheck:
    """Check the logits of a language model on the first rows; return what checks the labels of any.

    Args:
        logits: What the model gives, (batch, length, vocabulary).

    Returns:
        The check.
    """
    shape = _shape_of(logits, '"causal_lm" needs logits (batch, length, vocabulary) from the model', 3)

    def check(rows: Tensor, batch: Batch) -> None:
        if isinstance(batch, Mapping):
            labels = batch.get("labels", batch["input_ids"])
        else:
            labels = batch[0] if isinstance(batch, (tuple, list)) else batch
        _require_labels(rows, labels, shape[-1], "causal_lm")

    return check


def _shape_of(logits: Any, needed: str, least: int) -> tuple[int, ...]:
    if not isinstance(logits, Tensor):
        raise LossError(f"{needed}, got {type(logits).__name__}.")
    if logits.ndim < least:
        raise LossError(f"{needed}, got shape {tuple(logits.shape)}.")
    return tuple(logits.shape)


def _require_labels(rows: Tensor, labels: Tensor, classes: int, loss: str) -> None:
    bad = ((labels < 0) & (labels != UNCOUNTED)) | (labels >= classes)
    if not bool(bad.any()):
        return
    at = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    first = int(at.nonzero()[0])
    label = int(labels[first][bad[first]].flatten()[0])
    raise LossError(
        f'the labels of "{loss}" must be from 0 to {classes - 1}, as the model gives {classes} logits (or {UNCOUNTED}, '
        f"which is not counted), got {label} in row {int(rows[first])}; {int(at.sum())} of rows {int(rows[0])} to "
        f"{int(rows[-1])} hold such labels."
    )
