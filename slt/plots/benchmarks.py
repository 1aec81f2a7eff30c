"""Errors of samplers against what they cost."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from slt.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def errors(
    series: Mapping[str, Sequence[tuple[float, float]]], *, title: str | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw relative errors against gradients, both axes logarithmic, beside the slope of independent draws.

    Args:
        series: By name, pairs of gradients and relative error, both positive.
        title: Said above; None says nothing.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If there is no pair, or a number is not positive.

    >>> from matplotlib.figure import Figure
    >>> ax = errors({"quadratic(10)": [(100, 0.1), (1000, 0.03)]}, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['quadratic(10)', 'like 1 / sqrt(gradients)']
    """
    drawn = {name: np.array(sorted(pairs), dtype=float) for name, pairs in series.items() if len(pairs)}
    if not drawn:
        raise InputError("errors must be given at least one pair of gradients and error, got none.")
    for name, pairs in drawn.items():
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not bool((pairs > 0).all() and np.isfinite(pairs).all()):
            raise InputError(f"{name!r} must hold pairs of positive, finite numbers, got {pairs.tolist()}.")
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    for name, pairs in drawn.items():
        ax.plot(*pairs.T, marker="o", linewidth=1, label=name)
    everything = np.concatenate(list(drawn.values()))
    ends = np.array([everything[:, 0].min(), everything[:, 0].max()])
    guide = everything[:, 1].max() * np.sqrt(ends[0] / ends)
    ax.plot(ends, guide, color="black", linestyle=":", linewidth=1, label="like 1 / sqrt(gradients)")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("gradients of each chain, in passes over the data")
    ax.set_ylabel("relative error")
    if title is not None:
        ax.set_title(title, fontsize="medium")
    ax.legend(fontsize="small", frameon=False)
    return ax
