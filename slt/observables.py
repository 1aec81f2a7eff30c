"""Observables, recorded for every draw in addition to its loss: built-in ones, and any function of the model.

The names are lower case because they are used like functions: ``slt.observables.losses(data, loss)``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from slt._tree import Params, chains_of, inner
from slt.errors import ObservableError, SettingsError, VectorizationError
from slt.posterior import LocalPosterior, Posterior
from slt.problem.data import chunk_rows
from slt.problem.evaluate import Evaluator, InPlace
from slt.problem.guard import Guard, writes
from slt.problem.losses import resolve_loss
from slt.problem.reading import read_data

WRITTEN = "must not write to the weights, but changed them"
Recorder = Callable[[Params], Tensor]
"""A function from the positions of some chains to the recorded values, (chains, ...)."""


@runtime_checkable
class Observable(Protocol):
    """A quantity that can be recorded for every draw."""

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Prepare for a run; the returned function is called with the positions of each draw."""
        ...


@dataclass(frozen=True)
class losses:
    """Losses of every example of any probe data, in nats: (chain, draw, example), or the shape that the loss returns.

    Influence functions and susceptibilities are computed from these. A loss may return more than one value per
    example, such as one per token, (batch, tokens).

    Args:
        data: See `slt.LocalPosterior`.
        loss: A function ``loss(model, batch)`` whose first axis is that of the examples, or a built-in loss by name.

    >>> import slt
    >>> toy = slt.toys.quadratic(2)
    >>> probe = losses((torch.zeros(3, 0),), lambda model, batch: model.w.sum().expand(len(batch[0])))
    >>> posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    >>> trace = slt.sample(
    ...     posterior, slt.HMC(), chains=2, draws=5, warmup=5, observe={"probe": probe}, progress=False
    ... )
    >>> trace.get("observables", "probe").shape
    (2, 5, 3)
    """

    data: Any
    loss: Any

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Read the probe data, and check whether the loss can run for all chains at once."""
        examples, loss = read_data(self.data, None), resolve_loss(self.loss)
        pieces = torch.arange(examples.n, device="cpu").split(chunk_rows(examples, None))
        in_place = InPlace(posterior.problem)

        def record(w: Params, evaluator: Evaluator = bound.evaluator) -> Tensor:
            if isinstance(evaluator, InPlace) and evaluator is not bound.evaluator:
                w = dict(zip(evaluator.leaves, bound.evaluator.unpack(w), strict=True))
            parts = []
            for rows in pieces:
                found = evaluator.losses(w, posterior.problem.to_device(examples.take(rows)), loss)
                if found.ndim < 2 or found.shape[1] != len(rows):
                    raise SettingsError(
                        f"the loss of a probe must return values whose first axis has its {len(rows)} examples, "
                        f"got shape {tuple(found.shape[1:])}."
                    )
                parts.append(found)
            return torch.cat(parts, dim=1)

        try:
            record(bound.center)
        except VectorizationError:  # only this error: the loss then runs chain by chain
            return lambda w: record(w, in_place)
        return record


@dataclass(frozen=True)
class distance:
    """Distance of each parameter tensor from its value at w*: (chain, draw, tensor), in parameter units."""

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Nothing to prepare."""

        def record(w: Params) -> Tensor:
            away = bound.evaluator.unpack(bound.away(w))
            return torch.stack([piece.square().sum(1, dtype=torch.float64).sqrt() for piece in away], dim=1)

        return record


@dataclass(frozen=True)
class projection:
    """Components of w - w* along given vectors: (chain, draw, vector).

    Args:
        vectors: (vectors, d), over all moving entries in the model's order.
    """

    vectors: Tensor

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Check the vectors' length.

        Returns:
            The recorder.

        Raises:
            SettingsError: If the vectors do not have one entry per moving entry.
        """
        if self.vectors.ndim != 2 or self.vectors.shape[1] != posterior.dimension:
            raise SettingsError(
                f"projection needs vectors of shape (vectors, {posterior.dimension}), got {tuple(self.vectors.shape)}."
            )
        vectors = self.vectors.to(posterior.problem.device, posterior.problem.dtype)

        def record(w: Params) -> Tensor:
            return torch.cat(bound.evaluator.unpack(bound.away(w)), dim=1) @ vectors.T

        return record


@dataclass(frozen=True)
class gradient_norms:
    """Norms of the gradients of the mean loss on all the data and of the localizer: (chain, draw, 2).

    Costs one additional gradient on all the data per draw.
    """

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Nothing to prepare."""

        def record(w: Params) -> Tensor:
            gradient = bound.evaluate(w).grad
            pull = {name: leaf * bound.precision[name] for name, leaf in bound.away(w).items()}
            return torch.stack([inner(gradient, gradient).sqrt(), inner(pull, pull).sqrt()], dim=1)

        return record


@dataclass(frozen=True)
class weights:
    """The moving entries themselves, in the model's order: (chain, draw, d). This can be large."""

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Nothing to prepare."""

        def record(w: Params) -> Tensor:
            return torch.cat(bound.evaluator.unpack(w), dim=1)

        return record


@dataclass(frozen=True)
class of_model:
    """Any function of the model that returns a tensor of a fixed shape: (chain, draw, *shape).

    Chains are visited one after another, with the model's parameters set to each; no gradients are kept. Changes that
    the function makes to modes, buffers or torch's switches are undone after each call.

    Args:
        function: ``function(model)``, which returns a tensor or numbers.
    """

    function: Callable[[nn.Module], Tensor]

    def bind(self, posterior: LocalPosterior, bound: Posterior) -> Recorder:
        """Nothing to prepare."""
        in_place, guard = InPlace(posterior.problem), Guard(posterior.problem.model)
        parameters = list(posterior.problem.model.parameters())

        def record(w: Params) -> Tensor:
            placed = dict(zip(in_place.leaves, bound.evaluator.unpack(w), strict=True))
            values = [guard.call(at, placed, chain) for chain in range(chains_of(w))]
            other = next((v for v in values if (v.shape, v.dtype) != (values[0].shape, values[0].dtype)), None)
            if other is not None:
                raise ObservableError(f"must return one shape and type, got {kind(values[0])} and {kind(other)}")
            return torch.stack(values)

        def at(placed: Params, chain: int) -> Tensor:
            with in_place.at(placed, chain):
                before = [writes(p) for p in parameters]
                value = _as_tensor(self.function(posterior.problem.model))
                if [writes(p) for p in parameters] != before:  # including parameters that do not move
                    raise ObservableError(WRITTEN)
                return value

        return record


def _as_tensor(value: Any) -> Tensor:
    """Return a copy of the value of a function of the model, as a tensor that can be stacked.

    Raises:
        ObservableError: If it is not a tensor, or cannot be recorded.
    """
    try:
        tensor = torch.as_tensor(value, device=value.device if isinstance(value, Tensor) else "cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ObservableError(f"must return a tensor or numbers, got {type(value).__name__}") from error
    require_recordable(tensor)
    return tensor.clone()


def require_recordable(tensor: Tensor) -> None:
    """Refuse a tensor that cannot be stored as an array of numbers.

    Raises:
        ObservableError: If the tensor cannot be stored.
    """
    plain = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)
    if not plain or tensor.is_complex() or not tensor.numel():
        raise ObservableError(f"must return real numbers, at least one of them, in a dense tensor, got {kind(tensor)}")


def kind(tensor: Tensor) -> str:
    """Describe a tensor."""
    layout = "" if tensor.layout is torch.strided else f", {tensor.layout}"
    shape = "a ragged shape" if tensor.is_nested else f"shape {tuple(tensor.shape)}"
    return f"{tensor.dtype} of {shape}{layout}{' on meta' if tensor.is_meta else ''}"


def bind_all(observe: Mapping[str, Any] | None, posterior: LocalPosterior, bound: Posterior) -> dict[str, Recorder]:
    """Prepare named observables for a run; a plain function is treated as a function of the model.

    Args:
        observe: Observables or functions of the model, by name.
        posterior: The posterior.
        bound: The posterior bound to an evaluator.

    Returns:
        Recorders by name.

    Raises:
        SettingsError: If a name is empty or contains a slash, or a value is not an observable.
    """
    recorders: dict[str, Recorder] = {}
    guard = Guard(posterior.problem.model)
    for name, observable in (observe or {}).items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]([\w. -]*[\w-])?", name):
            raise SettingsError(
                "an observable's name must be usable as a file name: letters, digits, '_', '-', '.' and spaces, "
                f"got {name!r}."
            )
        if not isinstance(observable, Observable):
            if not callable(observable) or isinstance(observable, type):
                raise SettingsError(f"observe[{name!r}] must be an observable or a function of the model.")
            observable = of_model(cast("Callable[[nn.Module], Tensor]", observable))
        recorders[name] = partial(guard.call, observable.bind(posterior, bound))
    return recorders
