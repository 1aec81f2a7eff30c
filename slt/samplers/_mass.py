"""The mass of Hamiltonian dynamics: a diagonal, and a few stiff directions on top; or a whole matrix."""

from typing import NamedTuple

import torch
from torch import Tensor

from slt._noise import Random
from slt._tree import Params, Rows, Square, cut_like, inner, per_chain, side_by_side
from slt.posterior import Posterior

_LAST_ROUND = 6  # of warmup in which directions are looked for; the later ones find the step for them
_LEARN_AT = range(2, 7)  # rounds of warmup after which a whole matrix is taken from what was seen
_STILL = 1e-12  # of the variance known before: what moved less has not moved
_LEAST = 0.1  # of a direction's length: below, it is no stiffer than the rest by more than half a percent


class Mass(NamedTuple):
    r"""M^{-1} = D^{1/2} (1 - B^T B) D^{1/2}, with orthogonal rows of B shorter than 1.

    A row of length s makes its direction 1 / (1 - s^2) times as heavy as the diagonal alone.
    """

    diagonal: Params
    """D, one chain."""
    basis: Rows | None = None
    """B in the coordinates D^{-1/2} w, (rows, entries) a leaf."""

    def draw(self, w: Params, random: Random, t: int) -> Params:
        """Draw p ~ N(0, M)."""
        noise = {name: random.normal(t, name) for name in w}
        if self.basis is not None:
            square = inner(self.basis, self.basis)
            # M^{1/2} stretches a unit row by (1 - s^2)^{-1/2}
            stretch = ((1 - square).rsqrt() - 1) / square
            noise = _along(noise, self.basis, stretch)
        return {name: z / self.diagonal[name].sqrt() for name, z in noise.items()}

    def velocity(self, momentum: Params) -> Params:
        """Return M^{-1} p."""
        if self.basis is None:
            return {name: self.diagonal[name] * p for name, p in momentum.items()}
        root = {name: d.sqrt() for name, d in self.diagonal.items()}
        rest = {name: root[name] * p for name, p in momentum.items()}
        minus = -torch.ones_like(inner(self.basis, self.basis))
        return {name: root[name] * v for name, v in _along(rest, self.basis, minus).items()}

    def kinetic(self, momentum: Params) -> Tensor:
        """Return p . M^{-1} p / 2, (chains,), float64."""
        return 0.5 * inner(momentum, self.velocity(momentum))


class Dense(NamedTuple):
    """M^{-1} = R^T R, with R upper triangular."""

    factor: Rows
    """R, (d, entries) a leaf."""

    @classmethod
    def of(cls, inverse_mass: Tensor, like: Params) -> "Dense":
        """Factorize M^{-1}, (d, d), float64."""
        return cls(cut_like(torch.linalg.cholesky(inverse_mass).mT, like))

    def draw(self, w: Params, random: Random, t: int) -> Params:
        """Draw p ~ N(0, M)."""
        noise = side_by_side({name: random.normal(t, name) for name in w})
        return cut_like(torch.linalg.solve_triangular(side_by_side(self.factor), noise.mT, upper=True).mT, w)

    def velocity(self, momentum: Params) -> Params:
        """Return M^{-1} p."""
        factor = side_by_side(self.factor)
        return cut_like(side_by_side(momentum) @ factor.mT @ factor, momentum)

    def kinetic(self, momentum: Params) -> Tensor:
        """Return p . M^{-1} p / 2, (chains,), float64."""
        return 0.5 * (side_by_side(momentum) @ side_by_side(self.factor).mT).square().sum(1)

    @property
    def diagonal(self) -> Params:
        """The diagonal of M^{-1}, one chain."""
        return {name: leaf.square().sum(0, keepdim=True) for name, leaf in self.factor.items()}


class Covariance(NamedTuple):
    """Second moments of the positions that warmup has seen, from which M^{-1} is taken."""

    rounds: int
    positions: int
    total: Params
    """Sum of w - w* over this round's steps."""
    products: Square
    """Sum of (w - w*)(w - w*)^T, float64."""

    @classmethod
    def start(cls, w: Params, rounds: int = 0) -> "Covariance":
        """Begin with no positions."""
        total = {name: torch.zeros_like(leaf, dtype=torch.float64) for name, leaf in w.items()}
        flat = side_by_side(total)
        return cls(rounds, 0, total, flat.new_zeros(*flat.shape, flat.shape[1]))

    def observe(self, away: Params) -> "Covariance":
        """Take w - w* of every chain in."""
        if self.rounds >= _LEARN_AT[-1]:
            return self
        flat = side_by_side(away)
        total = {name: leaf + away[name] for name, leaf in self.total.items()}
        products = self.products + flat.unsqueeze(2) * flat.unsqueeze(1)
        return Covariance(self.rounds, self.positions + 1, total, products)

    def pool(self, mass: Dense, alive: Tensor) -> tuple["Covariance", Dense | None, float]:
        """End a round of warmup: a round is learned from at its end, and forgotten.

        Returns:
            What goes on; the mass, None where it stays; and by how much the direction shrank that shrank most.
        """
        if self.rounds >= _LEARN_AT[-1] or not bool(alive.any()) or not self.positions:
            return self, None, 1.0
        rounds, fresh = self.rounds + 1, Covariance.start(self.total, self.rounds + 1)
        if rounds not in _LEARN_AT:
            return fresh, None, 1.0
        before = side_by_side(mass.factor)
        learned = Dense.of(self._shrunk(alive, before), mass.factor)
        after = side_by_side(learned.factor)
        change = torch.linalg.svdvals(torch.linalg.solve_triangular(before, after, upper=True, left=False))
        return fresh, learned, float(change.min())

    def _shrunk(self, alive: Tensor, before: Tensor) -> Tensor:
        """Return the covariance over the living chains, (d, d), with correlations drawn toward none."""
        # A few positions cannot make it degenerate. Variances stay: parameters may differ in scale by many orders.
        count = self.positions * int(alive.sum())
        mean = side_by_side(self.total)[alive].sum(0) / count
        found = self.products[alive].sum(0) / count - torch.outer(mean, mean)
        known = before.square().sum(0)
        variance = torch.where(found.diagonal() > _STILL * known, found.diagonal(), known)
        moved = found.diagonal() > _STILL * known
        weight = count / (count + 2 * len(mean) + 5) * torch.outer(moved, moved)
        return torch.where(torch.eye(len(mean), dtype=torch.bool, device=mean.device), variance.diag(), weight * found)


def _along(vectors: Params, basis: Params, factor: Tensor) -> Params:
    """Add `factor` times each vector's share along the rows of the basis."""
    shares = sum(leaf.double() @ basis[name].double().T for name, leaf in vectors.items())
    assert isinstance(shares, Tensor), "a parameter tree has at least one leaf"
    scaled = shares * factor
    return {name: leaf + scaled.to(leaf) @ basis[name] for name, leaf in vectors.items()}


class Directions(NamedTuple):
    """Subspace iteration for the stiffest directions of the posterior's mean Hessian, one vector a chain.

    The Hessian is averaged over the positions of a round, never taken at w*, where a singular model may be flat.
    """

    rounds: int
    probe: Params
    """A unit vector of each chain, in the coordinates D^{-1/2} w."""
    product: Params
    """Sum over this round's steps of the Hessian of U times the probe."""

    @classmethod
    def start(cls, w: Params, random: Random) -> "Directions":
        """Begin with random directions."""
        probe = {name: random.normal(0, name).clone() for name in w}
        length = inner(probe, probe).sqrt()
        probe = {name: p / per_chain(length, p) for name, p in probe.items()}
        return cls(0, probe, {name: torch.zeros_like(p) for name, p in probe.items()})

    def observe(
        self, posterior: Posterior, mass: Mass, w: Params, gradient: Params, nbeta: Tensor, radius: Tensor
    ) -> "Directions":
        """Take the Hessian at a position of every chain in, by one finite difference."""
        if self.rounds >= _LAST_ROUND:
            return self
        root = {name: d.sqrt() for name, d in mass.diagonal.items()}
        beside = {name: leaf + per_chain(radius, leaf) * root[name] * self.probe[name] for name, leaf in w.items()}
        here = posterior.force(w, gradient, nbeta)
        there = posterior.force(beside, posterior.evaluate(beside).grad, nbeta, out=True)
        product = {
            name: total + root[name] * (there[name] - here[name]) / per_chain(radius, total)
            for name, total in self.product.items()
        }
        return self._replace(product=product)

    def pool(self, alive: Tensor) -> tuple["Directions", Params | None]:
        """End a round: turn the probes of all living chains toward the stiffest directions.

        Returns:
            What goes on, and at the end of the last round the rows of B; None before, and where nothing is stiff.
        """
        if self.rounds >= _LAST_ROUND or not bool(alive.any()):
            return self, None
        living = alive.nonzero().squeeze(1)
        living = living[: sum(leaf.shape[1] for leaf in self.probe.values())]  # no more directions than dimensions
        probe, product = _rows(self.probe, living), _rows(self.product, living)
        rounds = self.rounds + 1
        if not bool(torch.isfinite(product).all()) or not bool((product != 0).any()):
            return self._replace(rounds=rounds), None
        if rounds == _LAST_ROUND:
            return self._replace(rounds=rounds), cut_like(_stiff(probe, product), self.probe)
        turned = cut_like(torch.linalg.qr(product.T).Q.T, self.probe)
        probes = {name: leaf.index_copy(0, living, turned[name]) for name, leaf in self.probe.items()}
        zero = {name: torch.zeros_like(leaf) for name, leaf in self.product.items()}
        return Directions(rounds, probes, zero), None


def _stiff(probe: Tensor, product: Tensor) -> Tensor:
    """Return the rows of B from orthonormal probes and their products (Rayleigh and Ritz), (rows, d).

    Directions are made as soft as the softest of those found: what is softer still was not seen.
    """
    small = probe @ product.T
    curvature, turn = torch.linalg.eigh((small + small.T) / 2)
    positive = curvature[curvature > 0]
    if not len(positive):
        return probe[:0]
    length = (1 - positive[0] / curvature.clamp(min=float(positive[0]))).sqrt()
    return (length.unsqueeze(1) * (turn.T @ probe))[length > _LEAST]


def _rows(params: Params, chains: Tensor) -> Tensor:
    """Lay the leaves of some chains side by side, (chains, d), float64."""
    return side_by_side({name: leaf[chains] for name, leaf in params.items()})
