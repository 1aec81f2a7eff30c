"""Progress bars, and lines beside them, on standard error; the work goes on where that cannot be written to."""

import sys
from typing import Any

from tqdm.auto import tqdm


class _Stream:
    """A text stream that is left alone from the first time that it fails.

    What stands behind it may be closed, missing, full, or a window that is gone: its errors are of any kind.
    """

    def __init__(self, stream: Any) -> None:
        """Wrap a stream; None is one that is missing, as where Python has no console."""
        self._stream, self._works = stream, stream is not None

    def write(self, text: str) -> int:
        """Write, if it works."""
        self._call("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush, if it works."""
        self._call("flush")

    def __getattr__(self, name: str) -> Any:
        """Answer as the stream does: tqdm asks for its encoding and its width."""
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Several bars on one stream make room for each other."""
        return isinstance(other, _Stream) and other._stream is self._stream

    def __hash__(self) -> int:
        """Agree with equality."""
        return id(self._stream)

    def _call(self, name: str, *arguments: str) -> None:
        if not self._works:
            return
        try:
            getattr(self._stream, name)(*arguments)
        except Exception:  # nothing that is shown is worth the work behind it
            self._works = False


def progress_bar(total: int | None, *, shown: bool, **options: Any) -> tqdm:
    """Return a bar on standard error, whose failing does not end the work.

    Args:
        total: Steps to the end; None where nobody knows.
        shown: Whether there is anything to see.
        **options: Passed on to tqdm.
    """
    disable = not shown or sys.stderr is None
    return tqdm(total=total, disable=disable, file=_Stream(sys.stderr), dynamic_ncols=True, **options)  # pyright: ignore[reportArgumentType]


def say(text: str) -> None:
    """Write a line to standard error, above the bars there, if it can be written to."""
    tqdm.write(text, file=_Stream(sys.stderr))  # pyright: ignore[reportArgumentType]
