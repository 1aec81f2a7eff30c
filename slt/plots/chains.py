"""Series of several chains over their draws, one picture a function: losses, running means, distances."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slt.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHAINS = 64  # at most so many lines: more make a surface, and minutes of drawing
_POINTS = 1000  # blocks a line is thinned to; a screen shows no more
_COLOURED = 8  # up to so many chains each has a colour of its own and a name in the legend
_SETTLED = 0.1  # share of the draws after which running means decide the axis
_WINDOWS = 50  # batch noise is smoothed over the draws' fiftieth part


def losses(
    loss: ArrayLike,
    baseline: float,
    *,
    alive: ArrayLike | None = None,
    noisy: bool = False,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the loss of each chain, and the loss where the chains began.

    Args:
        loss: Nats, (chains, draws).
        baseline: L_n(w*), nats.
        alive: Whether each chain stayed finite, (chains,); None says that all did. Others are drawn in red, and
            not heeded by the axis.
        noisy: Whether each loss is over a minibatch: then the draws are faint, under their moving averages.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If an array has the wrong shape.

    >>> from matplotlib.figure import Figure
    >>> ax = losses([[0.5, 0.7, 0.6], [0.5, 0.6, 0.8]], 0.4, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['chain 0', '1', 'at w*']
    """
    y, living = _series("loss", loss), _living(loss, alive)
    ax = _axes(ax, "loss (nats)")
    # fewer draws have no averages worth drawing, and stand for themselves
    noisy = noisy and y.shape[1] >= 2 * _WINDOWS
    _draw(ax, y, living, faint=noisy)
    if noisy:
        averages = np.full_like(y, np.nan)
        averages[living] = _moving_average(y[living], y.shape[1] // _WINDOWS)
        _draw(ax, averages, living, named=False)
    ax.axhline(baseline, color="black", linestyle="--", linewidth=1, label="at w*")
    _fit(ax, np.append(_heeded(y, living), baseline))
    return _finish(ax)


def running_llc(
    energy: ArrayLike,
    *,
    alive: ArrayLike | None = None,
    interval: tuple[float, float] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the LLC from the draws so far: of each chain, and of all living chains together.

    Args:
        energy: nbeta times the loss above L_n(w*), (chains, draws).
        alive: As in `losses`.
        interval: Ends of the final interval, drawn as a band; None draws none.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If an array has the wrong shape.

    >>> from matplotlib.figure import Figure
    >>> ax = running_llc([[1.0, 3.0], [3.0, 5.0]], ax=Figure().subplots())
    >>> {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}
    {'chain 0': [1.0, 2.0], '1': [3.0, 4.0], 'all chains': [2.0, 3.0]}
    """
    y, living = _running_mean(_series("energy", energy)), _living(energy, alive)
    ax = _axes(ax, "LLC from the draws so far")
    if interval is not None and np.isfinite(interval).all():
        ax.axhspan(*interval, color="black", alpha=0.12, linewidth=0, label="interval")
    _draw(ax, y, living)
    ends = [] if interval is None else list(interval)
    return _pooled(ax, y, living, ends)


def distances(distance: ArrayLike, *, alive: ArrayLike | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw how far each chain is from w*.

    Args:
        distance: Euclidean distance from w*, (chains, draws).
        alive: As in `losses`.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If an array has the wrong shape.

    >>> from matplotlib.figure import Figure
    >>> distances([[0.0, 1.0, 0.9]], ax=Figure().subplots()).get_ylabel()
    'distance from w*'
    """
    y, living = _series("distance", distance), _living(distance, alive)
    ax = _axes(ax, "distance from w*")
    _draw(ax, y, living)
    _fit(ax, np.append(_heeded(y, living), 0.0))
    return _finish(ax)


def acceptance(rate: ArrayLike, *, alive: ArrayLike | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean Metropolis acceptance so far: of each chain, and of all living chains together.

    Args:
        rate: Acceptance probabilities, (chains, draws).
        alive: As in `losses`.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If an array has the wrong shape.

    >>> from matplotlib.figure import Figure
    >>> acceptance([[1.0, 0.5]], ax=Figure().subplots()).get_lines()[-1].get_ydata().tolist()
    [1.0, 0.75]
    """
    y, living = _running_mean(_series("rate", rate)), _living(rate, alive)
    ax = _axes(ax, "mean acceptance so far")
    _draw(ax, y, living)
    ax = _pooled(ax, y, living, [])
    ax.set_ylim(-0.03, 1.03)
    return ax


def virial(product: ArrayLike, dimension: float, *, alive: ArrayLike | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean virial so far, which tells whether a sampler without a Metropolis test has settled.

    Under the posterior the mean of (w - w*) . grad U is the number of moving parameters: a mean that is still
    rising belongs to chains still on their way out, one that stays above it to a step that is too long.

    Args:
        product: (w - w*) . grad U at each draw, (chains, draws).
        dimension: Number of moving parameters.
        alive: As in `losses`.
        ax: Where to draw; None makes a new figure.

    Returns:
        `ax`.

    Raises:
        InputError: If an array has the wrong shape.

    >>> from matplotlib.figure import Figure
    >>> ax = virial([[2.0, 4.0]], 3, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['parameters', 'chain 0']
    """
    y, living = _running_mean(_series("product", product)), _living(product, alive)
    ax = _axes(ax, "mean virial so far")
    ax.axhline(dimension, color="black", linestyle="--", linewidth=1, label="parameters")
    _draw(ax, y, living)
    return _pooled(ax, y, living, [dimension])


def _series(name: str, given: ArrayLike) -> NDArray[np.float64]:
    array = np.array(given, dtype=float)
    if array.ndim != 2 or not array.size:
        raise InputError(f"{name} must have shape (chains, draws), neither of them 0, got {array.shape}.")
    array[~np.isfinite(array)] = np.nan
    return array


def _living(series: ArrayLike, alive: ArrayLike | None) -> NDArray[np.bool_]:
    chains = len(np.asarray(series))
    living = np.ones(chains, bool) if alive is None else np.asarray(alive)
    if living.shape != (chains,) or living.dtype != bool:
        raise InputError(f"alive must be {chains} bools, one a chain, got {living.dtype} of shape {living.shape}.")
    return living


def _axes(ax: "Axes | None", label: str) -> "Axes":
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    ax.set_xlabel("draw")
    ax.set_ylabel(label)
    return ax


def _draw(
    ax: "Axes", y: NDArray[np.float64], living: NDArray[np.bool_], *, faint: bool = False, named: bool = True
) -> None:
    """Draw a line a chain; dead ones red and over the others."""
    shown, dead = (_spread(np.flatnonzero(which)) for which in (living, ~living))
    coloured = len(y) <= _COLOURED
    alpha = (0.8 if coloured else max(0.15, 3 / len(shown))) if len(shown) else 1.0
    for i, chain in enumerate(shown):
        # "chain" once: the legend is one short row, whatever the number of coloured chains
        name = f"chain {chain}" if not i else str(chain)
        if not coloured:
            name = f"{_some(len(shown), int(living.sum()))} chains" if not i else None
        ax.plot(
            *_thinned(y[chain]),
            color=f"C{chain}" if coloured else "C0",
            linewidth=0.6 if faint else 0.9,
            alpha=alpha * 0.3 if faint else alpha,
            label=name if named else None,
        )
    if not named:
        return
    for i, chain in enumerate(dead):
        name = f"{_named(np.flatnonzero(~living))} blew up" if not i else None
        ax.plot(*_thinned(y[chain]), color="#b00020", linestyle=":", linewidth=1.2, label=name)


def _pooled(ax: "Axes", y: NDArray[np.float64], living: NDArray[np.bool_], marks: list[float]) -> "Axes":
    """Draw the mean of the running means of all living chains, and fit the axis to what has settled."""
    if living.sum() > 1:
        ax.plot(*_strided(y[living].mean(axis=0)), color="black", linewidth=1.8, label="all chains")
    settled = _heeded(y, living)[:, int(_SETTLED * y.shape[1]) :]
    _fit(ax, np.append(settled, marks))
    return _finish(ax)


def _spread(chains: NDArray[np.integer]) -> NDArray[np.integer]:
    """At most `_CHAINS` of the chains, evenly spread."""
    if len(chains) <= _CHAINS:
        return chains
    return chains[np.linspace(0, len(chains) - 1, _CHAINS).round().astype(int)]


def _some(shown: int, total: int) -> str:
    return str(total) if shown == total else f"{shown} of {total}"


def _named(chains: NDArray[np.integer]) -> str:
    if len(chains) == 1:
        return f"chain {chains[0]}"
    return f"chains {', '.join(map(str, chains))}" if len(chains) <= 3 else f"{len(chains)} chains"


def _heeded(y: NDArray[np.float64], living: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The chains that the axis is to show: the living ones, or all where none is."""
    return y[living] if living.any() else y


def _thinned(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the least and the largest of each block, so that a thinned line still shows every spike."""
    length = -(-len(y) // _POINTS)
    if length == 1:
        return np.arange(len(y), dtype=float), y
    blocks = np.append(y, np.full(-len(y) % length, np.nan)).reshape(-1, length)
    # a block of nothing but nan has neither; fmin and fmax say so without a warning
    ends = np.stack([np.fmin.reduce(blocks, axis=1), np.fmax.reduce(blocks, axis=1)], axis=1)
    return np.repeat(np.arange(len(blocks), dtype=float) * length, 2), ends.ravel()


def _strided(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # the last draw, where the estimate stands, is among them
    x = np.arange(len(y) - 1, -1, -max(1, len(y) // _POINTS), dtype=np.int64)[::-1]
    return x.astype(float), y[x]


def _running_mean(y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(y, axis=1) / np.arange(1, y.shape[1] + 1)


def _moving_average(y: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean over `width` draws about each; nan at the ends, where there are not so many."""
    sums = np.cumsum(np.pad(y, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, width:] - sums[:, :-width]) / width
    left = width // 2
    return np.pad(means, ((0, 0), (left, y.shape[1] - means.shape[1] - left)), constant_values=np.nan)


def _fit(ax: "Axes", heeded: NDArray[np.float64]) -> None:
    """Fit the vertical axis to these numbers; a chain that blew up may run out of it."""
    finite = heeded[np.isfinite(heeded)]
    if not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - room, high + room)


def _finish(ax: "Axes") -> "Axes":
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    # above the axes, where it covers no line
    legend = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=20,
        fontsize="small",
        frameon=False,
        borderaxespad=0.2,
        borderpad=0.2,
        labelspacing=0.2,
        columnspacing=0.8,
        handlelength=1.0,
        handletextpad=0.4,
    )
    # a line that is faint because there are many must still show its colour here
    for line in legend.get_lines():
        line.set_alpha(1.0)
        line.set_linewidth(1.5)
    return ax
