"""Which function of weights and data a loss is a loss of: the one whose null directions are the loss's own."""

from typing import Any

from torch import Tensor

from slt.degeneracy.function import Function, FunctionName, resolve_function
from slt.degeneracy.hessian import outputs_of
from slt.errors import SettingsError
from slt.problem.data import Batch
from slt.problem.losses import Loss, causal_lm, cross_entropy, mse


def target_of(loss: Loss, function: FunctionName | Function | None) -> tuple[Function, str] | None:
    """Choose the function whose Jacobian is looked at.

    Args:
        loss: The loss.
        function: The user's choice: "logits" or "log_probs" of what the model returns where the loss calls it, a
            function of (model, batch), or None: the outputs for squared errors, the log-probabilities that a
            cross-entropy counts, nothing for a loss of the user's own.

    Returns:
        The function of (model, batch) and its name, or None where the loss itself must serve.

    Raises:
        SettingsError: If the choice is none of these.
    """
    outputs = outputs_of(loss)
    if callable(function):
        return resolve_function(function)
    if function == "logits" or (function is None and _squares(loss)):
        return outputs, "outputs" if function is None else "logits"
    if function is None and loss.function not in (cross_entropy, causal_lm):
        return None
    if function not in (None, "log_probs"):
        raise SettingsError(f'function must be "logits", "log_probs", a callable or None, got {function!r}.')

    def log_probs(model: Any, batch: Batch) -> Tensor:
        found = outputs(model, batch)
        if loss.function is causal_lm:
            return _counted_tokens(found, batch)
        classes = 1 if loss.function is cross_entropy and found.ndim > 1 else -1
        return found.log_softmax(classes)

    return log_probs, "log_probs"


def _squares(loss: Loss) -> bool:
    return loss.function is mse or loss.convention.startswith("nats; Gaussian")


def _counted_tokens(logits: Tensor, batch: Batch) -> Tensor:
    """Log-probabilities of the predicted tokens, zero where none is counted."""
    found = logits[..., :-1, :].log_softmax(-1)
    if not isinstance(batch, dict):
        return found
    labels = batch.get("labels", batch["input_ids"])[..., 1:]
    counted = labels != -100
    if batch.get("attention_mask") is not None:
        counted = counted & (batch["attention_mask"][..., 1:] != 0)
    return found * counted.unsqueeze(-1)
