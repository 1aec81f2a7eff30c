"""The exceptions that slt raises on purpose.

::

    SltError
    |-- InputError (ValueError)          an argument cannot be used; raised before any work
    |   |-- DataError                    the data: empty, not finite, of unknown size, random
    |   |-- LossError                    the loss: wrong shape, not finite, random, blind to the model
    |   |-- ParametersError              which parameters move: none, unknown, an empty mask
    |   |-- SettingsError                a number outside its range: nbeta, localization, draws, ...
    |   |   `-- ObservableError          the value of an observable cannot be recorded; has the draws so far
    |   |-- ModelInUseError              the model: another thread is using it
    |   `-- CheckpointError              a checkpoint file: missing, mismatched, not plain weights
    |-- NotAvailableError                no exact value is known for the given arguments
    |-- VectorizationError               this model or loss cannot run all chains in one call
    |-- TraceFileError                   a saved trace: missing, truncated, changed, of another format
    |-- ResumeError                      a folder contains another run or an unreadable one, or is in use
    |-- SaveError                        a run, a trace or a sweep could not be saved; has the draws so far
    |-- NoDrawsError                     no chain stayed finite, or there are no draws; has the trace
    |-- UnreliableEstimateError          `Estimate.require` found problems; has the estimate
    `-- ContractError (AssertionError)   a sampler failed a check, or a broken one passed; has the report
    KeyboardInterrupt
    `-- Interrupted                      Ctrl-C during sampling; has the draws so far
"""

from typing import Any


class _Whole(BaseException):
    """An exception that can be sent to another process with all its attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to rebuild it: the default would be a call with the message only."""
        return _anew, (type(self), self.args, self.__dict__)


def _anew(kind: type[BaseException], args: tuple[Any, ...], held: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(held)
    return error


class SltError(_Whole, Exception):
    """Base of every exception that slt raises on purpose."""


class InputError(SltError, ValueError):
    """An argument cannot be used; raised before any work starts."""


class DataError(InputError):
    """The data are empty, not finite, of unknown size, or random."""


class LossError(InputError):
    """The loss has the wrong shape, is not finite, is random, or ignores the model."""


class ParametersError(InputError):
    """The choice of moving parameters is empty, or names parameters that the model does not have."""


class SettingsError(InputError):
    """A setting is outside its range."""


class ObservableError(SettingsError):
    """The value of an observable cannot be recorded, or the observable changed the weights.

    It is raised before the first step if this happens at w*, otherwise at the draw where it happens.

    Attributes:
        trace: The draws made before, or None if there are none.
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
    """No exact value is known for a loss that is otherwise well defined; the message says what is missing."""


class VectorizationError(SltError):
    """This model or loss cannot run all chains in one call; ``chain_method="in_place"`` can."""


class TraceFileError(SltError):
    """A saved trace is missing, truncated, changed, or of a format that this version does not read."""


class ResumeError(SltError):
    """A folder contains another run or an unreadable one, or another process is using it."""


class NoDrawsError(SltError):
    """There is no draw of a chain that stayed finite to estimate from.

    Attributes:
        trace: The draws of the chains that blew up, or None if there are no draws.
    """

    def __init__(self, message: str, trace: Any = None) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace


class UnreliableEstimateError(SltError):
    """An estimate was required to be reliable, but its verdict has problems.

    Attributes:
        estimate: The refused estimate.
    """

    def __init__(self, message: str, estimate: Any) -> None:
        """Keep the estimate beside the message."""
        super().__init__(message)
        self.estimate = estimate


class ContractError(SltError, AssertionError):
    """A sampler violates the contract, or a deliberately broken one was not caught.

    Attributes:
        report: The whole report of the checks.
    """

    def __init__(self, message: str, report: Any) -> None:
        """Keep the report beside the message."""
        super().__init__(message)
        self.report = report


class Interrupted(_Whole, KeyboardInterrupt):
    """Sampling was interrupted; not an `SltError`, so that ``except Exception`` does not swallow Ctrl-C.

    Attributes:
        trace: The draws made so far, or None if warmup had not ended.
    """

    def __init__(self, message: str, trace: Any) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace


class SaveError(SltError):
    """A run, a trace or a sweep could not be saved, such as on a full disk; what was saved before is kept.

    Attributes:
        trace: The draws made so far without observables, or None if nothing was drawn yet.
    """

    def __init__(self, message: str, trace: Any) -> None:
        """Keep the trace beside the message."""
        super().__init__(message)
        self.trace = trace
