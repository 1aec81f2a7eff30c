"""The picture of an explanation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slt.degeneracy.causes import KINDS
from slt.degeneracy.explanation import Explanation

_COLOURS = dict(zip(KINDS, ("C0", "C1", "C2", "C4", "C3", "C7"), strict=True))
_TENSORS = 24  # bars of the right picture at most


def draw(explanation: Explanation, axes: Any = None) -> NDArray[Any]:
    """Draw spectrum and shares; see `Explanation.plot`.

    Args:
        explanation: What to draw.
        axes: Two axes; None makes a new figure.

    Returns:
        The axes, (2,).
    """
    if axes is None:
        import matplotlib.pyplot as plt

        height = max(3.6, 1.4 + 0.22 * min(len(_shares(explanation)), _TENSORS))
        axes = plt.subplots(1, 2, figsize=(10, height), layout="constrained")[1]
    left, right = np.asarray(axes).flat
    _spectrum(explanation, left)
    _carriers(explanation, right)
    return np.array([left, right], dtype=object)


def _spectrum(explanation: Explanation, ax: Any) -> None:
    """Eigenvalues in descending order; the null directions are a coloured band at the right end."""
    size = explanation.dimension
    if explanation.eigenvalues is not None:
        values = explanation.eigenvalues[::-1]
        shown = values[: explanation.rank]
        positive = shown > 0
        ax.plot(np.arange(1, len(shown) + 1)[positive], shown[positive], ".", markersize=3, color="black")
        ax.set_ylabel("eigenvalue of the Hessian (nats)")
    elif explanation.curve is not None:
        curve = explanation.curve
        resolved = curve.thresholds >= curve.floor
        ax.plot(size - curve.counts[resolved], curve.thresholds[resolved], color="black", linewidth=1)
        ax.axhline(curve.floor, color="grey", linewidth=0.8, linestyle="--")
        ax.annotate(
            "not resolved below", (0.02, curve.floor), xycoords=("axes fraction", "data"), va="bottom", fontsize=8
        )
        ax.set_ylabel("eigenvalue of the Hessian (nats), estimated")
    ax.set_yscale("log")
    start = explanation.rank
    for kind in KINDS:
        width = explanation.total(kind)
        if width:
            ax.axvspan(
                start + 0.5, start + width + 0.5, color=_COLOURS[kind], alpha=0.5, linewidth=0, label=f"{kind}: {width}"
            )
            start += width
    ax.set_xlim(0, size + 1)
    ax.set_xlabel("rank of the eigenvalue; coloured: exact null directions by cause")
    if explanation.causes:
        ax.legend(fontsize="small", loc="lower left", frameon=True)


def _shares(explanation: Explanation) -> dict[str, dict[str, float]]:
    """For each tensor its share of each kind of cause."""
    shares: dict[str, dict[str, float]] = {}
    for cause in explanation.causes:
        for name, share in cause.where.items():
            held = shares.setdefault(name, {})
            held[cause.kind] = held.get(cause.kind, 0.0) + share
    return shares


def _carriers(explanation: Explanation, ax: Any) -> None:
    shares = _shares(explanation)
    names = sorted(shares, key=lambda name: -sum(shares[name].values()))[:_TENSORS]
    names = [name for name in shares if name in names]
    for kind in KINDS:
        left = [sum(shares[n].get(k, 0.0) for k in KINDS[: KINDS.index(kind)]) for n in names]
        widths = [shares[n].get(kind, 0.0) for n in names]
        if any(widths):
            ax.barh(range(len(names)), widths, left=left, color=_COLOURS[kind], alpha=0.8, height=0.7)
    ax.set_yticks(range(len(names)), [n if len(n) <= 32 else "..." + n[-29:] for n in names], fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel("null directions carried")
