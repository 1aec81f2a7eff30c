"""Losses in nats: the ready ones by name, and the user's own."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from slt.errors import LossError
from slt.problem.data import Batch
from slt.problem.targets import UNCOUNTED, TargetCheck, check_classes, check_tokens

LossFunction = Callable[[Any, Batch], Tensor]
"""loss(model, batch) -> per-example losses (batch,) or their mean, in nats."""


@dataclass(frozen=True)
class Loss:
    """A loss and the convention under which its numbers are to be read."""

    function: LossFunction
    convention: str
    targets: Callable[[Any, Batch], TargetCheck] | None = None
    """Looks at the model and the first rows, and returns what refuses targets that cannot be scored."""

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Evaluate the loss of a model on a batch."""
        return self.function(model, batch)


def cross_entropy(model: Any, batch: Batch) -> Tensor:
    """Return -log softmax(model(x))[y] of each example, averaged over its positions; labels -100 are not counted."""
    x, y = _pair(batch, "cross_entropy")
    logits = _logits(model(x))
    y = y if y.is_floating_point() else y.long()
    each = functional.cross_entropy(logits, y, reduction="none")
    if each.ndim <= 1:
        return each
    return (
        each.flatten(1).mean(1)
        if y.is_floating_point()
        else _mean_of_counted(each.flatten(1), y.flatten(1) != UNCOUNTED)
    )


def mse(model: Any, batch: Batch) -> Tensor:
    """Return |model(x) - y|^2 of each example, summed over outputs: a Gaussian NLL at variance 1/2."""
    x, y = _pair(batch, "mse")
    return _squares(model(x), y)


def gaussian_loss(noise_scale: float = 1.0) -> Loss:
    """Gaussian negative log-likelihood at a known noise scale s, up to its constant.

    |model(x) - y|^2 / (2 s^2), summed over the outputs of an example; log(s sqrt(2 pi)) is left out, which no
    learning coefficient sees.

    Args:
        noise_scale: Standard deviation s of the noise, in units of y.

    Returns:
        The loss.

    Raises:
        LossError: If the scale is not positive and finite.

    >>> gaussian_loss(0.5).convention
    'nats; Gaussian negative log-likelihood at noise scale 0.5, summed over outputs, constant left out'
    """
    if not 0 < noise_scale < math.inf:
        raise LossError(f"noise_scale must be positive and finite, got {noise_scale}.")

    def function(model: Any, batch: Batch) -> Tensor:
        x, y = _pair(batch, "gaussian")
        return _squares(model(x), y) / (2 * noise_scale**2)

    return Loss(
        function,
        f"nats; Gaussian negative log-likelihood at noise scale {noise_scale:g}, summed over outputs, "
        "constant left out",
    )


def causal_lm(model: Any, batch: Batch) -> Tensor:
    """Return the mean negative log-likelihood of each sequence's predicted tokens.

    An example is a sequence. `batch` is a tensor of token ids (batch, length), a tuple whose first entry is
    one, or a mapping with ``input_ids`` and perhaps ``attention_mask`` and ``labels``. Labels of -100 and
    padding are not counted; labels default to the ids. The token at position t is predicted from those before.

    Returns:
        Nats, (batch,).
    """
    inputs: dict[str, Any] = {}
    if isinstance(batch, Mapping):
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        _require_ids(batch)
        labels = batch.get("labels", batch["input_ids"])
        output = model(**inputs)
    else:
        labels = batch[0] if isinstance(batch, (tuple, list)) else batch
        output = model(labels)
    labels = labels[..., 1:].long()
    counted = labels != UNCOUNTED
    if inputs.get("attention_mask") is not None:
        counted = counted & (inputs["attention_mask"][..., 1:] != 0)
    logits = _logits(output)[..., :-1, :]
    targets = labels.masked_fill(labels == UNCOUNTED, 0)  # another negative label stays an error
    each = functional.cross_entropy(logits.transpose(-1, -2), targets, reduction="none")
    return _mean_of_counted(each, counted)


def _class_targets(model: Any, batch: Batch) -> TargetCheck:
    x, y = _pair(batch, "cross_entropy")
    return check_classes(_logits(model(x)), y)


def _token_targets(model: Any, batch: Batch) -> TargetCheck:
    if isinstance(batch, Mapping):
        _require_ids(batch)
        return check_tokens(_logits(model(**{key: value for key, value in batch.items() if key != "labels"})))
    return check_tokens(_logits(model(batch[0] if isinstance(batch, (tuple, list)) else batch)))


_READY: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, "nats; cross-entropy of each example", _class_targets),
    "mse": Loss(mse, "nats; squared error summed over outputs, the Gaussian negative log-likelihood at variance 1/2"),
    "gaussian": gaussian_loss(1.0),
    "causal_lm": Loss(
        causal_lm,
        "nats; an example is a sequence: mean cross-entropy of its predicted tokens (labels -100 and padding "
        "are not counted)",
        _token_targets,
    ),
}


_OF_TORCH = {"crossentropy": '"cross_entropy"', "mse": '"mse" or "gaussian"', "gaussiannll": '"gaussian:SCALE"'}
"""What takes the place of torch's own losses."""


def resolve_loss(loss: Any) -> Loss:
    """Turn what the user calls a loss into a `Loss`.

    Args:
        loss: "cross_entropy", "mse", "gaussian", "gaussian:SCALE", "causal_lm", or a function
            ``loss(model, batch)`` that returns nats, per example (batch,) or their mean.

    Returns:
        The loss with its convention in words.

    Raises:
        LossError: If the name is unknown, or the object cannot be called with a model and a batch.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        name, _, scale = loss.partition(":")
        if name == "gaussian" and scale:
            try:
                return gaussian_loss(float(scale))
            except ValueError as error:
                raise LossError(f"the scale in {loss!r} must be a positive number.") from error
        if loss in _READY:
            return _READY[loss]
        raise LossError(f"loss must be one of {', '.join(_READY)} or a function, got {loss!r}.")
    if not callable(loss):
        raise LossError(f"loss must be a name or a function loss(model, batch) -> nats, got {type(loss).__name__}.")
    _require_convention(loss)
    name = getattr(loss, "__qualname__", type(loss).__name__)
    return Loss(cast("LossFunction", loss), f"nats, as returned by {name}")


def _require_convention(loss: Callable[..., Any]) -> None:
    """Refuse torch's own losses, and functions that cannot be called with a model and a batch."""
    kind = type(loss) if isinstance(loss, nn.Module) else loss
    name = getattr(kind, "__name__", type(loss).__name__)
    said = "loss is called as loss(model, batch), where batch is what the data give, such as (inputs, targets)"
    if getattr(kind, "__module__", "").startswith(("torch.nn.modules.", "torch.nn.functional")):
        ready = _OF_TORCH.get(name.replace("_", "").lower().removesuffix("loss"))
        one = "the_loss(model(batch[0]), batch[1])"
        raise LossError(
            f"{said}, but {name} takes outputs and targets. Pass "
            + (f"loss={ready}, or " if ready else "")
            + f'lambda model, batch: {one}, with reduction="none" and one value an example.'
        )
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):  # written in C: the call will tell
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise LossError(f"{said}, but {name}{signature} cannot be: {error}. Take the batch apart inside.") from error


def _mean_of_counted(each: Tensor, counted: Tensor) -> Tensor:
    """Average the counted positions of each example; an example without any counts nothing."""
    return (each * counted).sum(-1) / counted.sum(-1).clamp(min=1)


def _require_ids(batch: Mapping[str, Any]) -> None:
    if batch.get("input_ids") is None:
        raise LossError(f'"causal_lm" needs input_ids in the batch, got {sorted(batch)}.')


def _pair(batch: Batch, name: str) -> tuple[Any, Tensor]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        what = f"{len(batch)} entries" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise LossError(f'"{name}" needs batches (inputs, targets), got {what}.')
    return batch[0], batch[1]


def _logits(output: Any) -> Tensor:
    # Hugging Face models return an object whose tensor of interest is called logits.
    return output.logits if hasattr(output, "logits") else output


def _squares(output: Any, target: Tensor) -> Tensor:
    prediction = _logits(output)
    if prediction.shape != target.shape:
        raise LossError(
            "model output and target must have the same shape, got "
            f"{tuple(prediction.shape)} and {tuple(target.shape)}; broadcasting would sum the wrong errors."
        )
    squares = (prediction - target).square()
    return squares.flatten(1).sum(1) if squares.ndim > 1 else squares
