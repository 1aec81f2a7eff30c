"""A quantity with its error over the steps of a training run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slt.errors import InputError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

# Unreliable points farther out than this share of the reliable points' span get an arrow instead of the axis.
_MARGIN = 0.3


def over_training(
    steps: ArrayLike,
    value: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    ok: ArrayLike | None = None,
    losses: Mapping[str, ArrayLike] | None = None,
    label: str = "LLC",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw estimates with error bars over training steps, unreliable ones hollow.

    The vertical axis fits the reliable points. An unreliable point far outside them, such as the large
    negative value of an early checkpoint, becomes an arrow at the edge, and the legend says how far out it
    lies.

    Args:
        steps: Training steps, (points,).
        value: Estimates, (points,).
        low: Lower ends of their intervals, (points,); nan draws no bar.
        high: Upper ends, (points,).
        ok: Whether each estimate is reliable, (points,); None says that all are.
        losses: Losses in nats by name, (points,) each, drawn on a logarithmic axis at the right.
        label: What the estimates are called.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`. The axis of the losses is the last of its figure.

    Raises:
        InputError: If the arrays are not of one length, or empty.

    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> llc, low, high = [-300, 2, 3], [-310, 1, 2], [-290, 3, 4]
    >>> ax = over_training([1, 10, 100], llc, low, high, ok=[False, True, True], ax=ax)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['LLC', 'unreliable, off the axis (down to -300)']
    """
    x = _column("steps", steps)
    columns = {"value": value, "low": low, "high": high}
    y, bottom, top = (_column(name, given, len(x)) for name, given in columns.items())
    reliable = np.ones(len(x), bool) if ok is None else _column("ok", ok, len(x)) > 0
    curves = {name: _column(name, given, len(x)) for name, given in (losses or {}).items()}
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    limits = _limits(y, bottom, top, reliable)
    below, above = ~reliable & (y < limits[0]), ~reliable & (y > limits[1])
    order = np.argsort(x, kind="stable")
    # the line breaks at unreliable points, rather than leap over them
    ax.plot(x[order], np.where(reliable, y, np.nan)[order], color="C0", linewidth=1)
    drawn: list[Artist | ErrorbarContainer | None] = [
        _points(ax, x[which], y[which], bottom[which], top[which], solid=solid, label=name)
        for which, solid, name in (
            (reliable, True, label),
            (~reliable & ~below & ~above, False, "unreliable"),
        )
    ]
    drawn += [_arrows(ax, x[below], y[below], "down"), _arrows(ax, x[above], y[above], "up")]
    ax.set_ylim(*limits)
    ax.set_xlabel("training step")
    ax.set_ylabel(label)
    drawn += _draw_losses(ax, x[order], {name: curve[order] for name, curve in curves.items()})
    # above the axes, where it covers no point, arrow or loss
    handles = [artist for artist in drawn if artist is not None]
    place = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "ncols": 2,
        "borderaxespad": 0.2,
        "borderpad": 0.2,
    }
    ax.legend(handles=handles, fontsize="small", labelspacing=0.2, frameon=False, **place)
    return ax


def _column(name: str, given: ArrayLike, length: int | None = None) -> NDArray[np.float64]:
    column = np.asarray(given, dtype=float)
    if column.ndim != 1 or not len(column) or length not in (None, len(column)):
        wanted = "one number a point" if length is None else f"{length} numbers, one for each step"
        raise InputError(f"{name} must be {wanted}, got shape {column.shape}.")
    return column


def _limits(
    y: NDArray[Any], bottom: NDArray[Any], top: NDArray[Any], reliable: NDArray[np.bool_]
) -> tuple[float, float]:
    """Fit the vertical axis to the reliable points, or to the plausible ones if none is reliable."""
    chosen = reliable if reliable.any() else y >= 0
    if not chosen.any():
        chosen = np.ones(len(y), bool)
    ends = np.concatenate([column[chosen & np.isfinite(column)] for column in (y, bottom, top)])
    if not len(ends):
        return 0.0, 1.0
    low, high = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    span = (high - low) or 1.0
    # room for unreliable points near by, and none where there are none
    near = y[(y >= low - _MARGIN * span) & (y <= high + _MARGIN * span)]
    low, high = min([low, *near.tolist()]), max([high, *near.tolist()])
    return low - 0.05 * span, high + 0.05 * span


def _points(
    ax: "Axes",
    x: NDArray[Any],
    y: NDArray[Any],
    bottom: NDArray[Any],
    top: NDArray[Any],
    *,
    solid: bool,
    label: str,
) -> "ErrorbarContainer | None":
    if not len(x):
        return None
    # an end on the wrong side of its value, by rounding, would be refused
    errors = np.maximum([y - bottom, top - y], 0)
    face = "C0" if solid else "none"
    alpha = 1.0 if solid else 0.5
    return ax.errorbar(x, y, errors, fmt="o", color="C0", markerfacecolor=face, alpha=alpha, capsize=2, label=label)


def _arrows(ax: "Axes", x: NDArray[Any], y: NDArray[Any], edge: Literal["down", "up"]) -> "Artist | None":
    if not len(x):
        return None
    height, marker, farthest = (0.025, "v", y.min()) if edge == "down" else (0.975, "^", y.max())
    return ax.plot(
        x,
        np.full(len(x), height),
        linestyle="none",
        marker=marker,
        color="C0",
        markerfacecolor="none",
        transform=ax.get_xaxis_transform(),
        label=f"unreliable, off the axis ({edge} to {farthest:.3g})",
    )[0]


def _draw_losses(ax: "Axes", x: NDArray[Any], losses: Mapping[str, NDArray[Any]]) -> "list[Artist]":
    if not losses:
        return []
    twin = ax.twinx()
    lines: list[Any] = []
    for i, (name, loss) in enumerate(losses.items(), start=1):
        lines += twin.plot(x, loss, color=f"C{i}", linewidth=1, alpha=0.8, label=name)
    twin.set_yscale("log")
    twin.set_ylabel("loss (nats)")
    # the estimates, and the legend, lie over the losses
    ax.set_zorder(twin.get_zorder() + 1)
    ax.patch.set_visible(False)
    return lines
