"""Writes a picture to a file that the user named."""

from collections.abc import Callable
from typing import Any

from slt.errors import SettingsError


def save_picture(path: str, draw: Callable[[], Any]) -> None:
    """Draw without a window, and write.

    Args:
        path: The file; its suffix chooses the format.
        draw: Makes the figure.

    Raises:
        SettingsError: If the picture cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    try:
        draw().savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--plot {path} cannot be written: {error}.") from error
