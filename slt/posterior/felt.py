r"""Directions in which the loss is felt: where chains that have not settled would bias the estimate.

For a fixed matrix M and any density that falls off at infinity, E[M z . grad U(z)] = tr M (by parts; Stein, 1972). With
z = D^(-1/2) (w - w*) in the localizer's units and M = sum_i s_i q_i q_i^T, s_i the share of the loss in the curvature
along q_i, the mean lies below tr M by twice what slow directions still keep from the LLC; directions that the loss does
not feel have no part in it, however slow they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from slt._tree import Params

_NEGLIGIBLE = 1e-12  # of the largest eigenvalue: rounding alone beyond


class Felt(NamedTuple):
    """Directions q_i in the localizer's units, and the shares s_i of the loss in their curvature."""

    basis: Params
    """(directions, entries) a leaf; each direction has length 1 but for rounding."""
    shares: Tensor
    """(directions,), float64, between 0 and 1."""

    @property
    def trace(self) -> float:
        """The trace of M, the mean of `virial` under the posterior."""
        squares = sum(leaf.double().square().sum(1) for leaf in self.basis.values())
        return float((self.shares * squares).sum())

    def virial(self, away: Params, force: Params, unit: Params) -> Tensor:
        """Return M z . grad U(z), (chains,), float64.

        Args:
            away: w - w* of every chain.
            force: grad U there, by w.
            unit: D, one chain.
        """
        return (self._along(away, unit, -0.5) * self._along(force, unit, 0.5) * self.shares).sum(1)

    def _along(self, vectors: Params, unit: Params, power: float) -> Tensor:
        parts = [(leaf * unit[name] ** power) @ self.basis[name].T for name, leaf in vectors.items()]
        return torch.stack(parts).sum(0, dtype=torch.float64)


def find_felt(away: Params, gradient: Params, unit: Params, precision: Params, most: int) -> Felt | None:
    """Find the directions that vary most in the loss's gradients at some places, and what share the loss has in each.

    Args:
        away: w - w* at the places, (places, entries) a leaf.
        gradient: nbeta times the loss's gradient there.
        unit: D, one chain.
        precision: The localizer's precision, one chain.
        most: Directions at most.

    Returns:
        The directions, or None where no gradient is a finite number other than zero.
    """
    z = {name: (leaf * unit[name] ** -0.5).double() for name, leaf in away.items()}
    slope = {name: (leaf * unit[name] ** 0.5).double() for name, leaf in gradient.items()}
    finite = torch.isfinite(torch.stack([(leaf + z[name]).sum(1) for name, leaf in slope.items()]).sum(0))
    z, slope = ({name: leaf[finite] for name, leaf in tree.items()} for tree in (z, slope))
    gram = torch.stack([leaf @ leaf.T for leaf in slope.values()]).sum(0)
    if not gram.numel() or not bool(gram.diagonal().max() > 0):
        return None
    values, vectors = torch.linalg.eigh(gram)
    chosen = (values > _NEGLIGIBLE * values[-1]).nonzero().flatten().flip(0)[:most]
    rows = (vectors[:, chosen] / values[chosen].sqrt()).T
    basis = {name: rows @ leaf for name, leaf in slope.items()}
    return Felt({name: q.to(away[name]) for name, q in basis.items()}, _shares(basis, z, slope, unit, precision))


def _shares(basis: Params, z: Params, slope: Params, unit: Params, precision: Params) -> Tensor:
    """Return h / (h + gamma) for the curvature h of the loss along each direction, by regression over the places."""
    along = torch.stack([z[name] @ q.T for name, q in basis.items()]).sum(0)
    rise = torch.stack([slope[name] @ q.T for name, q in basis.items()]).sum(0)
    held = torch.stack(
        [(q.square() * (precision[name] * unit[name]).double()).sum(1) for name, q in basis.items()]
    ).sum(0)
    moved = along.square().sum(0)
    curvature = torch.where(moved > 0, (along * rise).sum(0) / moved, torch.zeros_like(moved)).clamp(min=0)
    total = curvature + held
    return torch.where(total > 0, curvature / total, torch.zeros_like(total))
