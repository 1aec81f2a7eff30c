"""What a model must hold to be evaluated at w*: numbers, in ordinary tensors."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from slt.errors import DataError, ParametersError


def require_numbers(model: nn.Module) -> None:
    """Refuse a model with tensors that hold no numbers, or none that a gradient can be taken of.

    Args:
        model: The model.

    Raises:
        ParametersError: If a parameter or buffer is not initialized, on the meta device, or made in inference mode.
        DataError: If a parameter holds NaN or infinity.
    """
    held = [("parameter", *pair) for pair in model.named_parameters()]
    for kind, name, tensor in [*held, *(("buffer", *pair) for pair in model.named_buffers())]:
        if is_lazy(tensor):
            raise ParametersError(
                f"the model must be initialized, but {kind} {name!r} of a lazy module has no shape yet: call the model "
                "on a batch first."
            )
        if tensor.is_meta:
            raise ParametersError(
                f"the model must hold numbers, but {kind} {name!r} is on the meta device: load its weights first, "
                "with model.to_empty(device=...) and load_state_dict."
            )
        if tensor.is_inference():
            raise ParametersError(
                f"gradients must be possible, but {kind} {name!r} was made in torch.inference_mode(): make the model "
                "outside it, or pass copy.deepcopy(model), copied outside it."
            )
    for _, name, p in held:
        numbers = (
            p.detach().float() if p.is_floating_point() and p.dtype.itemsize == 1 else p
        )  # torch asks none of 8 bits
        if (p.is_floating_point() or p.is_complex()) and not bool(torch.isfinite(numbers).all()):
            raise DataError(f"the model must be finite at w*, but parameter {name!r} holds NaN or infinity.")
