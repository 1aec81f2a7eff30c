"""What slt was doing when the user's code, or torch inside it, raised an error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slt.errors import InputError

_PLAIN = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AttributeError)


@contextmanager
def doing(what: str | Callable[[], str]) -> Iterator[None]:
    """Put before the message of an error what was being done.

    The error keeps its type, so that it can be caught as before. Errors of slt say by themselves what must hold. Where
    the message is not the error's only argument, what was being done becomes a note below it.

    Args:
        what: Words such as "reading the data"; a function is called only where there was an error.

    Yields:
        Nothing.

    Raises:
        Exception: The error, unless there was none.

    >>> with doing("reading row 3"):
    ...     raise ValueError("no such file")
    Traceback (most recent call last):
    ValueError: while reading row 3: no such file
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError):
            raise
        said = f"while {what() if callable(what) else what}"
        if type(error) in _PLAIN and len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (f"{said}: {error.args[0]}",)
        else:
            error.add_note(f"It was raised {said}.")
        raise
