"""Adaptive quadrature on many panels at once, with an error that is the sum of what refinement changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

NODES = 16
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
_NUDGE = 1e-10  # an end itself may be a point where the function is not defined
SAMPLES = np.concatenate([_POINTS, [_NUDGE - 1, 1 - _NUDGE]])
"""The points of one panel on [-1, 1]: the nodes, and both ends, where kinks that no node sees show."""
_GAP = float(1 - _POINTS[-1])


def _interpolation(points: Array, targets: Array) -> Array:
    """The matrix from the values of a polynomial at the points to those at the targets."""
    vandermonde = np.polynomial.legendre.legvander
    degree = len(points) - 1
    solved = np.linalg.solve(vandermonde(points, degree).T, vandermonde(targets, degree).T)
    return solved.astype(np.float64)


_TO_ENDS = _interpolation(_POINTS, SAMPLES[NODES:])
_SMALLEST = 2.0**-45
"""Of a panel against its first width: what is left of an integrable singularity there is far below rounding."""


def gauss(low: Array, high: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on each panel, shapes (panels, NODES)."""
    half = (high - low)[:, None] / 2
    return low[:, None] + half * (1 + _POINTS), half * _WEIGHTS


@dataclass(frozen=True)
class _Leaves:
    """Panels that cover everything; each knows its two halves, which say how well it is resolved."""

    low: Array
    high: Array
    piece: Ints
    first: Array  # the width of the panel that it comes from
    halves: Array  # (functions, panels, 2)
    sizes: Array  # the same of absolute values
    change: Array  # (functions, panels): what halving changed

    def select(self, rows: Ints) -> "_Leaves":
        flat = self.low[rows], self.high[rows], self.piece[rows], self.first[rows]
        return _Leaves(*flat, self.halves[:, rows], self.sizes[:, rows], self.change[:, rows])

    def join(self, other: "_Leaves") -> "_Leaves":
        return _Leaves(
            np.concatenate([self.low, other.low]),
            np.concatenate([self.high, other.high]),
            np.concatenate([self.piece, other.piece]),
            np.concatenate([self.first, other.first]),
            np.concatenate([self.halves, other.halves], axis=1),
            np.concatenate([self.sizes, other.sizes], axis=1),
            np.concatenate([self.change, other.change], axis=1),
        )

    def coarser_than_next(self) -> NDArray[np.bool_]:
        """Panels more than twice as wide as a neighbour: what the neighbour had to follow may reach across."""
        order = np.lexsort((self.low, self.piece))
        width, piece = (self.high - self.low)[order], self.piece[order]
        same = piece[1:] == piece[:-1]
        coarse = np.zeros(len(order), bool)
        coarse[:-1] |= same & (width[:-1] > 2.5 * width[1:])
        coarse[1:] |= same & (width[1:] > 2.5 * width[:-1])
        out = np.empty_like(coarse)
        out[order] = coarse
        return out


def integrate(
    function: Callable[[Array, Ints], Array],
    low: Array,
    high: Array,
    piece: Ints,
    *,
    tolerance: float = 1e-12,
    noisy: bool = False,
    most: int = 10_000,
) -> tuple[Array, Array]:
    """Integrals of several functions at once over all panels, each on the piece that it belongs to.

    A panel is compared with its two halves, and halved again until the change is below `tolerance` of the
    integral of the absolute value, and no neighbour is less than half as wide: else a kink just inside an end,
    where no node sees it, would be missed. Four times the
    sum of the changes is the error: at a square root the halves are still wrong by half of the change.

    Args:
        function: Points and their pieces, shape (n,), to values, shape (functions, n).
        low: The left ends of the first panels, shape (panels,).
        high: The right ends.
        piece: The piece of each panel.
        tolerance: Of one panel, relative to the whole.
        noisy: Whether the last function is no integrand but a bound on the rounding errors of the others: a change
            below its integral over the panel says nothing.
        most: The largest number of panels; what they leave unresolved is in the error.

    Returns:
        The integrals and the bounds on their errors, shapes (functions,).
    """
    leaves = _leaves(function, low, high, piece, high - low, _panels(function, low, high, piece).values)
    while True:
        scale = leaves.sizes.sum((1, 2))
        change, limit = leaves.change, tolerance * scale[:, None]
        if noisy:
            change, limit = change[:-1], limit[:-1] + leaves.sizes[-1].sum(1)
        bad = (change > limit).any(0) | leaves.coarser_than_next()
        bad &= leaves.high - leaves.low > _SMALLEST * leaves.first
        if not bad.any() or len(bad) > most:
            return leaves.halves.sum((1, 2)), 4 * leaves.change.sum(1) + 1e-15 * scale
        split, kept = leaves.select(np.flatnonzero(bad)), leaves.select(np.flatnonzero(~bad))
        middle = (split.low + split.high) / 2
        ends = np.concatenate([split.low, middle]), np.concatenate([middle, split.high])
        twice = np.concatenate([split.piece, split.piece]), np.concatenate([split.first, split.first])
        known = np.concatenate([split.halves[:, :, 0], split.halves[:, :, 1]], axis=1)
        leaves = kept.join(_leaves(function, *ends, *twice, known))


@dataclass(frozen=True)
class _Sums:
    """Of each function over each panel, shapes (functions, panels)."""

    values: Array
    sizes: Array
    hidden: Array


def _leaves(
    function: Callable[[Array, Ints], Array], low: Array, high: Array, piece: Ints, first: Array, known: Array
) -> _Leaves:
    """Panels whose own integrals are known, compared with those of their halves."""
    middle, n = (low + high) / 2, len(low)
    ends = np.concatenate([low, middle]), np.concatenate([middle, high])
    sums = _panels(function, *ends, np.concatenate([piece, piece]))
    halves, sizes, hidden = (np.stack([a[:, :n], a[:, n:]], axis=2) for a in (sums.values, sums.sizes, sums.hidden))
    return _Leaves(low, high, piece, first, halves, sizes, np.abs(known - halves.sum(2)) + hidden.sum(2))


def _panels(function: Callable[[Array, Ints], Array], low: Array, high: Array, piece: Ints) -> _Sums:
    """Integral of each function, and of its absolute value, over each panel, and what may hide at its ends."""
    half = (high - low)[:, None] / 2
    points = low[:, None] + half * (1 + SAMPLES)
    values = function(points.ravel(), np.repeat(piece, len(SAMPLES))).reshape(-1, *points.shape)
    inside, ends = values[..., :NODES], values[..., NODES:]
    weights = half * _WEIGHTS
    # the gap at an end is _GAP half widths; a kink in it changes the integral by less than that times what it
    # does to the value at the end
    hidden = np.abs(inside @ _TO_ENDS - ends).sum(-1) * half[:, 0] * _GAP
    return _Sums((inside * weights).sum(-1), (np.abs(inside) * weights).sum(-1), hidden)
