"""Which parameters move, and where each stands in the vector of moving entries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn

from slt.errors import ParametersError
from slt.problem.holdings import require_numbers

_AS_REAL = "Hold it as real numbers, and make it complex in the forward pass with torch.view_as_complex"

Selection = None | str | nn.Module | Iterable[str | nn.Module] | Mapping[str, bool | Tensor]


@dataclass(frozen=True)
class Segment:
    """One parameter tensor that moves, wholly or in part."""

    name: str
    parameter: nn.Parameter
    index: Tensor | None
    """Positions of the moving entries in the flattened tensor; None if all of them move."""

    @property
    def size(self) -> int:
        """Number of moving entries."""
        return self.parameter.numel() if self.index is None else self.index.numel()

    def entries(self, tensor: Tensor) -> Tensor:
        """Return the moving entries of a tensor of the parameter's shape, flat."""
        flat = tensor.detach().reshape(-1)
        return flat if self.index is None else flat[self.index]


def select(model: nn.Module, parameters: Selection) -> tuple[Segment, ...]:
    """Find the moving parameters of a model, in the model's order; tied weights count once.

    Args:
        model: The model.
        parameters: None for every parameter that requires a gradient; a name, a glob over names, a
            module's name, a module, or several of these; or a mapping from names to True or to a Boolean
            tensor of the parameter's shape that says which entries move.

    Returns:
        One segment a tensor.

    Raises:
        ParametersError: If nothing is left to move, something named is not there or not floating, a parameter that
            requires a gradient is complex and none is named, or the model cannot be evaluated.
        DataError: If the model holds NaN or infinity.
    """
    require_numbers(model)
    named = {name: p for name, p in model.named_parameters() if p.numel()}
    if parameters is None:
        chosen = _all_that_require_gradients(named)
    elif isinstance(parameters, Mapping):
        chosen = _masks(model, named, cast("Mapping[str, bool | Tensor]", parameters))
    else:
        wanted = list(cast("Iterable[Any]", parameters)) if _is_collection(parameters) else [parameters]
        chosen = {name: None for item in wanted for name in _matches(model, named, item)}
        if not chosen:
            raise ParametersError("parameters= must choose at least one parameter, got an empty selection.")
    for name in chosen:
        if not named[name].is_floating_point():
            remedy = f" {_AS_REAL}." if named[name].is_complex() else ""
            raise ParametersError(
                f"parameter {name!r} must be real and floating to move, got {named[name].dtype}.{remedy}"
            )
    return tuple(Segment(name, p, chosen[name]) for name, p in named.items() if name in chosen)


def _all_that_require_gradients(named: Mapping[str, nn.Parameter]) -> dict[str, Tensor | None]:
    found = {name: p for name, p in named.items() if p.requires_grad}
    if not found:
        raise ParametersError(
            "the model must have at least one floating parameter with requires_grad=True, got none of "
            f"{len(named)}. Name the ones that move with parameters=."
        )
    for name, p in found.items():
        if p.is_complex():
            raise ParametersError(
                f"parameters that require a gradient must be real to move, got {name!r} of {p.dtype}. {_AS_REAL}; or "
                "name with parameters= those that move, and the others stay at w*."
            )
    return dict.fromkeys(found)


def _is_collection(parameters: Any) -> bool:
    return isinstance(parameters, Iterable) and not isinstance(parameters, (str, nn.Module, Tensor))


def _matches(model: nn.Module, named: Mapping[str, nn.Parameter], item: Any) -> list[str]:
    if isinstance(item, nn.Module):
        if item not in set(model.modules()):
            raise ParametersError(f"{type(item).__name__} given in parameters= is not a part of the model.")
        inside = {id(p) for p in item.parameters()}
        found = [name for name, p in named.items() if id(p) in inside]
        what = f"module {type(item).__name__}"
    elif isinstance(item, str):
        # A tied tensor may be asked for under any of its names; it moves under the first.
        ids = {
            id(p)
            for name, p in model.named_parameters(remove_duplicate=False)
            if name == item or name.startswith(item + ".") or fnmatchcase(name, item)
        }
        found = [name for name, p in named.items() if id(p) in ids]
        what = repr(item)
    else:
        raise ParametersError(
            f"parameters= takes names, globs, modules or a mapping to masks, got {type(item).__name__}."
        )
    if not found:
        known = ", ".join(list(named)[:8]) + (", ..." if len(named) > 8 else "")
        raise ParametersError(f"parameters= names {what}, which the model does not have. It has: {known}.")
    return found


def _masks(
    model: nn.Module, named: Mapping[str, nn.Parameter], masks: Mapping[str, bool | Tensor]
) -> dict[str, Tensor | None]:
    chosen: dict[str, Tensor | None] = {}
    for key, mask in masks.items():
        for name in _matches(model, named, key):
            if isinstance(mask, Tensor):
                if mask.dtype != torch.bool or mask.shape != named[name].shape:
                    raise ParametersError(
                        f"the mask of {name!r} must be a Boolean tensor of shape {tuple(named[name].shape)}, "
                        f"got {mask.dtype} of shape {tuple(mask.shape)}."
                    )
                index = mask.reshape(-1).nonzero().squeeze(1).to(named[name].device)
                chosen[name] = None if index.numel() == mask.numel() else index
            elif isinstance(mask, bool):
                chosen[name] = None if mask else torch.empty(0, dtype=torch.long, device="cpu")
            else:
                raise ParametersError(f"the mask of {name!r} must be True, False or a Boolean tensor, got {mask!r}.")
    # A later entry stands for an earlier one, also where it leaves nothing to move.
    chosen = {name: index for name, index in chosen.items() if index is None or index.numel()}
    if not chosen:
        raise ParametersError("the masks of parameters= must choose at least one entry, got none.")
    return chosen
