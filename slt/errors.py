"""The exceptions that slt raises on purpose.

::

    SltError
    |-- InputError (ValueError)          what was handed over cannot be used; raised before any work
    |   |-- DataError                    the data: empty, not finite, of unknown size, random
    |   |-- LossError                    the loss: wrong shape, not finite, random, blind to the model
    |   |-- ParametersError              which parameters move: none, unknown, an empty mask
    |   |-- SettingsError                a number outside its range: nbeta, localization, draws, ...
    |   |   `-- ObservableError          an observable gave what cannot be recorded; carries what was drawn
    |   |-- ModelInUseError              the model: another thread is using it
    |   `-- CheckpointError              a checkpoint file: missing, mismatched, not plain weights
    |-- NotAvailableError                no exact value is known, or none that holds there
    |-- VectorizationError               this model or loss cannot run all chains in one call
    |-- TraceFileError                   a saved trace: missing, truncated, changed, of another format
    |-- ResumeError                      a folder holds another run, or one that cannot be read, or is in use
    |-- SaveError                        a run, a trace or a sweep could not be saved; carries what was drawn
    |-- NoDrawsError                     there is no draw of a living chain to estimate from; carries the trace
    |-- UnreliableEstimateError          `Estimate.require` met problems; carries the estimate
    `-- ContractError (AssertionError)   a sampler failed a check, or a broken one passed; carries the report
    KeyboardInterrupt
    `-- Interrupted                      Ctrl-C during sampling; carries what was drawn
"""

from typing import Any


class _Whole(BaseException):
    """An exception that a process can hand to another with all that it carries."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Name what builds it anew: by default that is a call with the message alone."""
        return _anew, (type(self), self.args, self.__dict__)


def _anew(kind: type[BaseException], args: tuple[Any, ...], held: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(held)
    return error


class SltError(_Whole, Exception):
    """Base of every exception that slt raises on purpose."""


class InputError(SltError, ValueError):
    """What was handed over cannot be used; raised before any work starts."""


class DataError(InputError):
    """The data are empty, not finite, of unknown size, or random."""


class LossError(InputError):
    """The loss has the wrong shape, is not finite, is random, or ignores the model."""


class ParametersError(InputError):
    """The choice of moving parameters is empty or names what the model does not have."""


class SettingsError(InputError):
    """A setting lies outside its range."""


class ObservableError(SettingsError):
    """An observable gave what cannot be recorded, or wrote to the weights.

    It is raised before the first step where w* shows it, and at the draw where it happens else.

    Attributes:
        trace: The draws made before, or None if there is none.
    """

    def __init__(self, message: str, trace: Any = None) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace


class ModelInUseError(InputError):
    """Another thread is using the model, or a part of it."""


class CheckpointError(InputError):
    """A checkpoint file is missing, does not fit the model, or is not plain weights."""


class NotAvailableError(SltError):
    """No exact value is known for a loss that is otherwise well defined; the message names what is missing."""


class VectorizationError(SltError):
    """This model or loss cannot run all chains in one call; ``chain_method="in_place"`` can."""


class TraceFileError(SltError):
    """A saved trace is missing, truncated, changed, or of a format that this version does not read."""


class ResumeError(SltError):
    """A folder holds another run, or one that cannot be read, or another process works in it."""


class NoDrawsError(SltError):
    """There is no draw of a living chain to estimate from.

    Attributes:
        trace: The draws of the chains that did not live, or None if there is no draw at all.
    """

    def __init__(self, message: str, trace: Any = None) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace


class UnreliableEstimateError(SltError):
    """An estimate was required to be reliable and its verdict names problems.

    Attributes:
        estimate: The refused estimate, whole.
    """

    def __init__(self, message: str, estimate: Any) -> None:
        """Keep the estimate beside the message."""
        super().__init__(message)
        self.estimate = estimate


class ContractError(SltError, AssertionError):
    """A sampler does what no sampler may do, or a deliberately broken one was not caught.

    Attributes:
        report: What was checked, whole.
    """

    def __init__(self, message: str, report: Any) -> None:
        """Keep the report beside the message."""
        super().__init__(message)
        self.report = report


class Interrupted(_Whole, KeyboardInterrupt):
    """Sampling was interrupted; no `SltError`, so that ``except Exception`` does not swallow Ctrl-C.

    Attributes:
        trace: The draws made so far, or None if warmup had not ended.
    """

    def __init__(self, message: str, trace: Any) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace


class SaveError(SltError):
    """A run, a trace or a sweep could not be saved, for want of space or permission; what was saved before stays.

    Attributes:
        trace: The draws made so far, observables aside, or None if nothing was drawn yet.
    """

    def __init__(self, message: str, trace: Any) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace
