"""Estimates compared with known values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slt.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH = 1.5  # the axis extends this far beyond the widest interval; a limit further off is an arrow at the edge
_LEAST = 0.02


def comparison(
    names: Sequence[str],
    relative_errors: Sequence[float],
    intervals: Sequence[Sequence[float]],
    *,
    good: Sequence[bool],
    limits: Sequence[float | None],
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot one line per target: the estimate's relative error with its interval, and its limit.

    Args:
        names: The targets, from the top.
        relative_errors: Estimate over known value, less 1.
        intervals: (low, high) of each, on the same scale.
        good: Whether each estimate is reliable; others are drawn hollow.
        limits: The value at infinite n on the same scale, or None.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If there is no target, or the sequences differ in length.

    >>> from matplotlib.figure import Figure
    >>> ax = comparison(["a"], [0.01], [(-0.01, 0.03)], good=[True], limits=[0.2], ax=Figure().subplots())
    >>> ax.get_xlabel()
    'relative error of the estimate, in %, with its 95 % interval'
    """
    lengths = {len(names), len(relative_errors), len(intervals), len(good), len(limits)}
    if len(lengths) > 1 or not names:
        raise InputError(f"a comparison needs targets, and sequences of one length, got lengths {sorted(lengths)}.")
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(8, 1 + 0.28 * len(names)), layout="constrained")[1]
    centers, ends = 100 * np.asarray(relative_errors, float), 100 * np.asarray(intervals, float)
    reach = _REACH * max(float(np.nanmax(np.abs([*ends.ravel(), *centers]))), 100 * _LEAST)
    ax.axvline(0, color="black", linewidth=1)
    for row, (center, (low, high), ok) in enumerate(zip(centers, ends, good, strict=True)):
        colour = "#1f5fa8" if ok else "#b00020"
        ax.plot([low, high], [row, row], color=colour, linewidth=1.5)
        ax.plot(center, row, "o", color=colour, markerfacecolor=colour if ok else "white", markersize=5)
    shown = [(row, 100 * limit) for row, limit in enumerate(limits) if limit is not None]
    near = [(x, row) for row, x in shown if abs(x) <= reach]
    ax.plot([x for x, _ in near], [row for _, row in near], "|", color="gray", markersize=10, label="limit of large n")
    for sign, marker in ((1, ">"), (-1, "<")):
        far = [row for row, x in shown if sign * x > reach]
        ax.plot([sign * reach] * len(far), far, marker, color="gray", markersize=4, clip_on=False)
    ax.plot([], [], "o", color="#1f5fa8", markersize=5, label="reliable")
    if not all(good):
        ax.plot([], [], "o", color="#b00020", markerfacecolor="white", markersize=5, label="not reliable")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_xlabel("relative error of the estimate, in %, with its 95 % interval")
    ax.legend(fontsize="small", frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax
