"""Progress bars and messages on standard error; the work continues if that cannot be written to."""

import sys
from typing import Any

from tqdm.auto import tqdm


class _Stream:
    """A text stream that is no longer used after its first failure.

    The underlying stream may be closed, missing, full, or a window that is gone, so its errors may be of any type.
    """

    def __init__(self, stream: Any) -> None:
        """Wrap a stream; None stands for a missing one, as when Python has no console."""
        self._stream, self._works = stream, stream is not None

    def write(self, text: str) -> int:
        """Write, if possible."""
        self._call("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush, if possible."""
        self._call("flush")

    def __getattr__(self, name: str) -> Any:
        """Pass on other attributes: tqdm needs the encoding and the width."""
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """Compare by stream, so that several bars on one stream take different lines."""
        return isinstance(other, _Stream) and other._stream is self._stream

    def __hash__(self) -> int:
        """Be consistent with equality."""
        return id(self._stream)

    def _call(self, name: str, *arguments: str) -> None:
        if not self._works:
            return
        try:
            getattr(self._stream, name)(*arguments)
        except Exception:  # a failure to show progress must not end the work
            self._works = False


def progress_bar(total: int | None, *, shown: bool, **options: Any) -> tqdm:
    """Return a bar on standard error whose failure does not end the work.

    Args:
        total: Number of steps; None if unknown.
        shown: Whether to show the bar.
        **options: Passed on to tqdm.
    """
    disable = not shown or sys.stderr is None
    return tqdm(total=total, disable=disable, file=_Stream(sys.stderr), dynamic_ncols=True, **options)  # pyright: ignore[reportArgumentType]


def say(text: str) -> None:
    """Write a line to standard error, above the bars there, if possible."""
    tqdm.write(text, file=_Stream(sys.stderr))  # pyright: ignore[reportArgumentType]
