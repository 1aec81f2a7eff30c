"""Model, data and loss, read once and carefully: what moves, what is compared, and the exact baseline."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from slt.errors import DataError, InputError, LossError, SettingsError
from slt.problem.conventions import require_mean, require_same, require_shape
from slt.problem.data import Batch, Examples, chunk_rows, map_tensors, read_data, tensors_of
from slt.problem.fingerprints import weight_fingerprints
from slt.problem.guard import undisturbed
from slt.problem.losses import resolve_loss
from slt.problem.parameters import Selection, select
from slt.problem.targets import TargetCheck
from slt.problem.untouched import untouched

_CHECK_ROWS = 16  # rows on which the set-up checks run
_MEAN_ROWS = 32  # rows, evenly spread, on which a mean is held against that of its parts
_PAIRING = 1e-3  # excess at w* beyond this share of the loss betrays a loss that is not a fixed function
_REPEAT = 64  # roundings that two evaluations of one and the same batch may differ by


@contextmanager
def _told_of(batch: Batch) -> Iterator[None]:
    """Add to an exception of the first call what was called with what: it is mostly the shapes that do not fit."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        held = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(batch)) or "no tensor"
        error.add_note(
            "It came from the first call of the loss, which slt makes as loss(model, batch), with the first rows of "
            f"the data: a batch of type {type(batch).__name__} that holds {held}."
        )
        raise


class Problem:
    """What the user handed over, checked.

    Args:
        model: The model at w*.
        data: See `slt.problem.data.read_data`.
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
        self.model = model
        self.loss = resolve_loss(loss)
        self.segments = select(model, parameters)
        self.dimension = sum(segment.size for segment in self.segments)
        self.device = self.segments[0].parameter.device
        # Noise and accumulations in half precision would drown the signal.
        self.dtype = reduce(torch.promote_types, (s.parameter.dtype for s in self.segments), torch.float32)
        self._weights = weight_fingerprints(model)
        self.notes: list[str] = []
        with untouched(model):
            with undisturbed("the data", DataError, model):
                self.examples: Examples = read_data(data, n)
            if batch_size is not None and batch_size > self.n:
                raise SettingsError(
                    f"batch_size must be at most n = {self.n}, got {batch_size}; None uses all the data."
                )
            self.chunk = chunk_rows(self.examples, batch_size)
            self._whole: Batch | None = None
            check = self._check_targets()
            self.per_example = self._check_shape()
            with watch or nullcontext():
                self.baseline, self.loss_center = self._measure_baseline(check)
            self._check_fixed()
            self._check_blind()

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.examples.n

    def batch(self, rows: Tensor) -> Batch:
        """Return a batch of rows on the model's device."""
        return self.to_device(self.examples.take(rows))

    def to_device(self, batch: Batch) -> Batch:
        """Move a batch to where the model is."""
        return map_tensors(lambda t: t.to(self.device), batch)

    def chunks(self) -> Iterator[tuple[Tensor, Batch]]:
        """Pass over all the data once, in fixed chunks: (rows, batch)."""
        if self.chunk >= self.n:
            rows = torch.arange(self.n)
            if self._whole is None:
                self._whole = self.batch(rows)
            yield rows, self._whole
            return
        for start in range(0, self.n, self.chunk):
            rows = torch.arange(start, min(start + self.chunk, self.n))
            yield rows, self.batch(rows)

    def require_center(self) -> None:
        """Check that the model still stands at the w* of the baseline.

        Raises:
            InputError: If a parameter or a buffer has changed.
        """
        now = weight_fingerprints(self.model)
        changed = [name for name in {**self._weights, **now} if self._weights.get(name) != now.get(name)]
        if changed:
            kind = "parameter" if changed[0] in dict(self.model.named_parameters(remove_duplicate=False)) else "buffer"
            raise InputError(
                f"the model must stay at w*, but {kind} {changed[0]!r} has changed since the posterior was built "
                f"({len(changed)} of {len(now)} tensors did); build another."
            )

    def _at_center(self, rows: Tensor) -> Tensor:
        # With gradients on, as in sampling: some modules, and losses that differentiate, ask.
        return self.loss(self.model, self.batch(rows)).detach()

    def _check_rows(self) -> Tensor:
        return torch.arange(min(self.n, _CHECK_ROWS))

    def _check_targets(self) -> TargetCheck:
        """Hold the first targets against the model's output; return what checks the others, chunk by chunk."""
        rows = self._check_rows()
        batch = self.batch(rows)
        if self.loss.targets is None:
            return lambda rows, batch: None
        with _told_of(batch):
            check = self.loss.targets(self.model, batch)
        check(rows, batch)
        return check

    def _check_shape(self) -> bool:
        rows = self._check_rows()
        batch = self.batch(rows)
        with _told_of(batch), undisturbed("the loss", LossError):
            value = self.loss(self.model, batch)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise LossError(f"the loss must return a floating tensor of nats, got {got}.")
        require_shape(value, rows, (), (len(rows),))
        return value.ndim == 1

    def _measure_baseline(self, check: TargetCheck) -> tuple[Tensor | None, float]:
        values, total = [], 0.0
        for rows, batch in self.chunks():
            check(rows, batch)
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

    def _check_fixed(self) -> None:
        """Zero excess at w*: dropout and BatchNorm in training mode betray themselves here."""
        rows = self._check_rows()
        first, again = self._at_center(rows), self._at_center(rows)
        require_same(again, first, min(_PAIRING, _REPEAT * torch.finfo(first.dtype).eps))
        if self.baseline is not None:
            # In reverse order and in a batch of another size, so that an example's loss meets other company.
            some = rows.flip(0)[: max(1, len(rows) - 1)]
            require_same(self._at_center(some), self.baseline[some.to(self.baseline.device)], _PAIRING)
        if any(module.training for module in self.model.modules()):
            raise LossError("the loss must leave the model in eval mode, but it calls train().")
        if self.baseline is None:
            spread = torch.linspace(0, self.n - 1, min(self.n, _MEAN_ROWS), dtype=torch.float64).round().long()
            coarsest = max((s.parameter.dtype for s in self.segments), key=lambda dtype: torch.finfo(dtype).eps)
            require_mean(self._at_center, spread, coarsest)

    def _check_blind(self) -> None:
        parameters = [segment.parameter for segment in self.segments]
        flags = [p.requires_grad for p in parameters]
        try:
            for p in parameters:
                p.requires_grad_(True)
            value = self.loss(self.model, self.batch(self._check_rows())).sum()
            found = torch.autograd.grad(value, parameters, allow_unused=True) if value.requires_grad else [None]
        finally:
            for p, flag in zip(parameters, flags, strict=True):
                p.requires_grad_(flag)
        if all(g is None for g in found):
            raise LossError(
                "the loss must depend on the moving parameters, but it ignores them: does it call the model it is "
                "given, with gradients on?"
            )
        if not all(bool(torch.isfinite(g).all()) for g in found if g is not None):
            raise LossError("the gradient of the loss at w* must be finite, got NaN or infinity.")

    def default_nbeta(self) -> float:
        """Return n / log n, the temperature at which WBIC and the LLC are defined.

        Raises:
            DataError: If n <= 2, where log n is too small for it.
        """
        if self.n <= 2:
            raise DataError(f"the default nbeta = n / log n needs n > 2 examples, got {self.n}. Pass nbeta.")
        return self.n / math.log(self.n)
