"""Model, data and loss, read once and carefully: what moves, what is compared, and the exact baseline."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from slt.errors import DataError, InputError, LossError, SettingsError
from slt.problem.autocast import autocast_type
from slt.problem.checks import check_beside, check_blind, check_fixed
from slt.problem.connected import require_connected, require_held
from slt.problem.conventions import require_shape
from slt.problem.data import Batch, Examples, chunk_rows, map_tensors, tensors_of
from slt.problem.doing import doing
from slt.problem.fingerprints import weight_fingerprints
from slt.problem.guard import undisturbed
from slt.problem.losses import resolve_loss
from slt.problem.parameters import Selection, select
from slt.problem.pointing import own_copies
from slt.problem.reading import read_data
from slt.problem.surroundings import require_plain_surroundings
from slt.problem.targets import TargetCheck
from slt.problem.untouched import untouched
from slt.problem.writes import Unwritten, refusing_writes_to

_CHECK_ROWS = 16  # rows on which the set-up checks run


def _first_call(batch: Batch) -> str:
    """Say what the first call of the loss was given: it is mostly the shapes that do not fit."""
    held = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(batch)) or "no tensor"
    return (
        "calling loss(model, batch) for the first time, with the first rows of the data, a batch of type "
        f"{type(batch).__name__} that holds {held}"
    )


def _parts(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Return the modules of a model, their parameters and their hooks on the forward pass, by words for them."""
    found: dict[str, tuple[Any, ...]] = {f"module {name!r}": (module,) for name, module in model.named_modules()}
    found |= {f"parameter {name!r}": (p,) for name, p in model.named_parameters(remove_duplicate=False)}
    for name, module in model.named_modules():
        hooks = [vars(module).get(kind, {}) for kind in ("_forward_hooks", "_forward_pre_hooks")]
        found[f"a hook of module {name!r}"] = tuple(hook for held in hooks for hook in held.values())
    return found


class Problem:
    """What the user handed over, checked.

    Args:
        model: The model at w*.
        data: See `slt.problem.reading.read_data`.
        loss: See `slt.problem.losses.resolve_loss`.
        n: Examples to read from data that cannot tell their number.
        parameters: See `slt.problem.parameters.select`.
        batch_size: Rows of a minibatch and of a chunk of a full pass; None lets memory decide the chunk.
        watch: Entered while the baseline is measured, the one pass that meets each row once.

    Attributes:
        segments: The moving parameters.
        examples: The data.
        per_example: Whether the loss tells examples apart. If it does not, a minibatch is evaluated at w* too.
        baseline: Loss of every example at w*, (n,), or None where the loss is a mean.
        loss_center: L_n(w*), the mean over all examples.
        notes: What a reader of the estimate should know about the set-up.

    Raises:
        SettingsError: If the batch size is above n.
        DataError: If the data are empty, not finite, random, or do not tell their number.
        LossError: If the loss has the wrong shape, is not finite, not a fixed function, or ignores the model.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: Any,
        *,
        n: int | None = None,
        parameters: Selection = None,
        batch_size: int | None = None,
        watch: AbstractContextManager[Any] | None = None,
    ) -> None:
        """Read everything once, and run the checks that cost next to nothing."""
        require_plain_surroundings()
        self.model = model
        self.loss = resolve_loss(loss)
        self.segments = select(model, parameters)
        self.dimension = sum(segment.size for segment in self.segments)
        self.device = self.segments[0].parameter.device
        # Noise and accumulations in half precision would drown the signal.
        self.dtype = reduce(torch.promote_types, (s.parameter.dtype for s in self.segments), torch.float32)
        self._weights = weight_fingerprints(model)
        self._parts = _parts(model)
        self.notes: list[str] = []
        self._autocast = autocast_type(self.device)
        if self._autocast is not None:
            self.notes.append(f"evaluated under torch.autocast, in {self._autocast}, whose rounding the losses carry")
        unwritten = Unwritten(model)
        # Copies, in case that the loss writes to the parameters: it is refused, and w* is as it was.
        with untouched(model), own_copies(model):
            with undisturbed("the data", DataError, model):
                self.examples: Examples = read_data(data, n)
            if batch_size is not None and batch_size > self.n:
                raise SettingsError(
                    f"batch_size must be at most n = {self.n}, got {batch_size}; None uses all the data."
                )
            self.chunk = chunk_rows(self.examples, batch_size)
            self._whole: Batch | None = None
            for segment in self.segments:
                segment.parameter.requires_grad_(True)
            check = self._check_targets()
            first = self._check_shape()
            self.per_example = first.ndim == 1
            unwritten.require()
            require_held(self)
            check_blind(self, first)
            with watch or nullcontext():
                self.baseline, self.loss_center = self._measure_baseline(check)
            blind = check_beside(self, check_fixed(self, first.detach()))
            unwritten.require()
        if blind:
            require_connected(self)

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.examples.n

    @property
    def coarsest(self) -> torch.dtype:
        """The type of moving weights that rounds most."""
        return max((s.parameter.dtype for s in self.segments), key=lambda dtype: torch.finfo(dtype).eps)

    def batch(self, rows: Tensor) -> Batch:
        """Return a batch of rows on the model's device."""
        return self.to_device(self.examples.take(rows))

    def to_device(self, batch: Batch) -> Batch:
        """Move a batch to where the model is."""
        return map_tensors(lambda t: t.to(self.device), batch)

    def chunks(self) -> Iterator[tuple[Tensor, Batch]]:
        """Pass over all the data once, in fixed chunks: (rows, batch)."""
        if self.chunk >= self.n:
            rows = torch.arange(self.n, device="cpu")
            if self._whole is None:
                self._whole = self.batch(rows)
            with refusing_writes_to(self._whole):
                yield rows, self._whole
            return
        for start in range(0, self.n, self.chunk):
            rows = torch.arange(start, min(start + self.chunk, self.n), device="cpu")
            yield rows, self.batch(rows)

    def require_center(self) -> None:
        """Check that the model still stands at the w* of the baseline, and that the data are those of the baseline.

        Raises:
            InputError: If a parameter, a buffer or the data have changed, or torch.autocast has.
        """
        self.examples.require_unchanged()
        if autocast_type(self.device) != self._autocast:
            raise InputError(
                f"torch.autocast must be as when the posterior was built, {self._autocast or 'off'}, got "
                f"{autocast_type(self.device) or 'off'}; build another."
            )
        parts = _parts(self.model)
        others = [
            what
            for what in {**self._parts, **parts}
            if list(map(id, self._parts.get(what, ()))) != list(map(id, parts.get(what, ())))
        ]
        if others:
            raise InputError(
                f"the model must stay as it was when the posterior was built, but {others[0]} is another; build "
                "another posterior."
            )
        now = weight_fingerprints(self.model)
        changed = [name for name in {**self._weights, **now} if self._weights.get(name) != now.get(name)]
        if changed:
            kind = "parameter" if changed[0] in dict(self.model.named_parameters(remove_duplicate=False)) else "buffer"
            raise InputError(
                f"the model must stay at w*, but {kind} {changed[0]!r} has changed since the posterior was built "
                f"({len(changed)} of {len(now)} tensors did); build another."
            )

    def loss_of(self, rows: Tensor) -> Tensor:
        """Return the loss of some rows at the weights that the model holds, detached."""
        # With gradients on, as in sampling: some modules, and losses that differentiate, ask.
        return self.loss(self.model, self.batch(rows)).detach()

    def check_rows(self) -> Tensor:
        """Return the rows on which the set-up checks run."""
        return torch.arange(min(self.n, _CHECK_ROWS), device="cpu")

    def _check_targets(self) -> TargetCheck:
        """Hold the first targets against the model's output; return what checks the others, chunk by chunk."""
        rows = self.check_rows()
        batch = self.batch(rows)
        if self.loss.targets is None:
            return lambda rows, batch: None
        with doing(lambda: _first_call(batch)), refusing_writes_to(batch, by_content=True):
            check = self.loss.targets(self.model, batch)
        check(rows, batch)
        return check

    def _check_shape(self) -> Tensor:
        """Return the loss of the first rows at w*, with its graph."""
        rows = self.check_rows()
        batch = self.batch(rows)
        with (
            doing(lambda: _first_call(batch)),
            undisturbed("the loss", LossError),
            refusing_writes_to(batch, by_content=True),
        ):
            value = self.loss(self.model, batch)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise LossError(f"the loss must return a floating tensor of nats, got {got}.")
        require_shape(value, rows, (), (len(rows),))
        return value

    def _measure_baseline(self, check: TargetCheck) -> tuple[Tensor | None, float]:
        values, total = [], 0.0
        for rows, batch in self.chunks():
            check(rows, batch)
            with doing(lambda rows=rows: f"evaluating the loss at w* on rows {int(rows[0])} to {int(rows[-1])}"):
                value = self.loss(self.model, batch).detach()
            require_shape(value, rows, (len(rows),) if self.per_example else ())
            if not bool(torch.isfinite(value).all()):
                bad = int((~torch.isfinite(value)).sum())
                raise LossError(
                    f"the loss at w* must be finite, got NaN or infinity in {bad} of {value.numel()} values "
                    f"of rows {int(rows[0])} to {int(rows[-1])}."
                )
            values.append(value)
            total += float(value.double().sum()) * (1 if self.per_example else len(rows))
        return (torch.cat(values) if self.per_example else None), total / self.n

    def default_nbeta(self) -> float:
        """Return n / log n, the temperature at which WBIC and the LLC are defined.

        Raises:
            DataError: If n <= 2, where log n is too small for it.
        """
        if self.n <= 2:
            raise DataError(f"the default nbeta = n / log n needs n > 2 examples, got {self.n}. Pass nbeta.")
        return self.n / math.log(self.n)
