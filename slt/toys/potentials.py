"""Toys whose loss is any function K(w) of one parameter vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slt.errors import InputError
from slt.toys.toy import Toy, rows


class Potential(nn.Module):
    """A model that is its parameter vector `w`, shape (d,): whatever it is fed, it returns w."""

    def __init__(self, center: Tensor) -> None:
        """Start at `center`, copied."""
        super().__init__()
        self.w = nn.Parameter(center.detach().clone())

    def forward(self, *args: object) -> Tensor:
        """Return w, shape (d,).

        Args:
            *args: A batch, ignored.
        """
        return self.w


@dataclass(frozen=True)
class PotentialLoss:
    """The loss `function(w)` of a `Potential`, in nats.

    Attributes:
        function: Maps w of shape (..., d) to (...).
    """

    function: Callable[[Tensor], Tensor]

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """K at the model's parameters, a scalar; the batch is ignored, being a sample of equal rows."""
        return self.function(model(*batch))


def from_potential(function: Callable[[Tensor], Tensor], center: Tensor | Sequence[float], *, n: int = 1000) -> Toy:
    """A toy with the loss K(w) = function(w), measured from `center`.

    Args:
        function: K in nats, of torch operations: maps w of shape (..., d) to (...). K(center) need not be 0.
        center: w*, shape (d,); converted to torch's default dtype.
        n: The number of data rows, >= 2.

    Returns:
        The toy, without an exact answer.

    Raises:
        InputError: If the center is not a finite vector, or the function does not map it as it must.
        SettingsError: If n is not an integer >= 2.

    >>> toy = from_potential(lambda w: w[..., 0] ** 2 + w[..., 1] ** 4, [0.0, 0.0])
    >>> toy.loss(toy.model, toy.data)
    tensor(0., grad_fn=<AddBackward0>)
    """
    model = Potential(_as_center(center))
    _check_function(function, model.w)
    name = getattr(function, "__name__", type(function).__name__)
    return Toy(model, rows(n), PotentialLoss(function), None, f"from_potential({name})")


def _as_center(center: Tensor | Sequence[float]) -> Tensor:
    """The center as a vector of the default dtype."""
    try:
        w = torch.as_tensor(center, dtype=torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as failure:
        raise InputError(f"center must be a vector of numbers, got {center!r}.") from failure
    if w.ndim != 1 or len(w) == 0:
        raise InputError(f"center must have shape (d,) with d >= 1, got shape {tuple(w.shape)}.")
    if not w.isfinite().all():
        raise InputError(f"center must be finite, got {w.tolist()}.")
    return w


def _check_function(function: Callable[[Tensor], Tensor], w: Tensor) -> None:
    """Try the function on one vector and on a batch: a wrong shape is better named here than in a sampler."""
    value = function(w)
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"function must map w of shape ({len(w)},) to a scalar tensor, got {got}.")
    if not value.isfinite():
        raise InputError(f"function must be finite at the center, got {value.item()}.")
    if not value.requires_grad:
        raise InputError("function must depend on w through torch operations, got a value without gradient.")
    # d + 1 rows, so that a function that takes rows for coordinates cannot return the right shape by chance
    batch = w.detach().expand(len(w) + 1, -1)
    shape = tuple(function(batch).shape)
    if shape != (len(w) + 1,):
        raise InputError(
            f"function must map w of shape (..., d) to (...), got {shape} for {tuple(batch.shape)}: "
            "write w[..., 0] for the first coordinate."
        )
