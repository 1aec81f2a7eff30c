"""Ranks and null spaces in float64, with the gap that tells them from rounding."""

from typing import NamedTuple

import torch
from torch import Tensor

from slt.degeneracy.spectrum import lanczos

TOLERANCE = 1e-10  # of the largest singular value: what is below counts as zero
_WHOLE = 1200  # columns up to which one singular value decomposition does it all
_RIDGE = 1e-13  # of the largest row norm: keeps triangular solves sane where the matrix is singular
_SPARE = 32  # vectors of an inverse iteration beyond those expected to be null
_SMALL = 1e-8  # of the largest singular value: columns nearer than this to the span of those before count as expected
_PANEL = 256  # columns that are reduced together where the rows are triangles already
_ITERATIONS = 3
_LANCZOS = 30  # steps to the largest singular value


class Kernel(NamedTuple):
    """Rank and null space of a matrix with P columns.

    Attributes:
        rank: Singular values above `TOLERANCE` times the largest.
        basis: Orthonormal basis of the null space, (P, nullity).
        largest: The largest singular value.
        kept: Last singular value counted, over the largest; None at rank 0.
        dropped: First one not counted, over the largest; None at full rank and where the matrix is zero.
        values: Singular values in descending order where all were computed, else None.
    """

    rank: int
    basis: Tensor
    largest: float
    kept: float | None
    dropped: float | None
    values: Tensor | None


class Rows:
    """The triangular factor of a matrix whose rows come in pieces: R^T R = J^T J, in memory of P^2 numbers."""

    def __init__(self, columns: int) -> None:
        """Start with no row."""
        self.columns = columns
        self._factor = torch.zeros(0, columns, dtype=torch.float64, device="cpu")
        self._held: list[Tensor] = []
        self._count = 0
        self.rows = 0

    def add(self, rows: Tensor) -> None:
        """Add rows, (k, P)."""
        self._held.append(rows.detach().to("cpu", torch.float64))
        self._count += len(rows)
        self.rows += len(rows)
        # each reduction costs as much as the factor has rows: a little over twice as many as columns come at once
        if self._count > 2 * self.columns + 512:
            self._reduce()

    def factor(self) -> Tensor:
        """Return R, (at most P, P)."""
        self._reduce()
        return self._factor

    def _reduce(self) -> None:
        if self._held:
            stacked = torch.cat([self._factor, *self._held])
            tall = len(stacked) > self.columns
            self._factor = torch.linalg.qr(stacked, mode="r").R if tall else stacked
            self._held, self._count = [], 0


def kernel(matrix: Tensor, *, scale: float | None = None) -> Kernel:
    """Find rank and null space of a matrix, (rows, P).

    Args:
        matrix: float64.
        scale: What singular values are compared with; None for the largest of this matrix.

    Returns:
        The kernel.
    """
    columns = matrix.shape[1]
    if matrix.shape[0] == 0 or columns == 0 or not bool(matrix.any()):
        return Kernel(
            0,
            torch.eye(columns, dtype=matrix.dtype, device=matrix.device),
            0.0,
            None,
            None,
            torch.zeros(columns, device="cpu"),
        )
    if min(matrix.shape) > _WHOLE:
        return _large_kernel(matrix, scale)
    if matrix.shape[0] > columns:
        matrix = torch.linalg.qr(matrix, mode="r").R
    _, values, right = torch.linalg.svd(matrix, full_matrices=columns <= _WHOLE)
    largest = float(values[0]) if scale is None else scale
    rank = int((values > TOLERANCE * largest).sum())
    padded = torch.cat([values, values.new_zeros(columns - len(values))])
    kept = float(values[rank - 1]) / largest if rank else None
    dropped = float(padded[rank]) / largest if rank < columns else None
    basis = right[rank:].T if len(right) == columns else complement(right[:rank].T)
    return Kernel(rank, basis.contiguous(), largest, kept, dropped, padded)


def _large_kernel(matrix: Tensor, scale: float | None) -> Kernel:
    """The same by inverse iteration on a triangular factor: many times less work than all singular vectors."""
    columns = matrix.shape[1]
    factor = _ridged(matrix)
    largest = _largest(factor) if scale is None else scale
    basis, kept, dropped = matrix.new_zeros(columns, 0), None, None
    # a diagonal entry is the distance of its column from the span of those before: small ones foretell the nullity
    expected = int((factor.diagonal().abs() <= _SMALL * largest).sum())
    while basis.shape[1] < columns:
        vectors, values = _smallest(factor, min(expected + _SPARE, columns - basis.shape[1]), basis)
        small = int((values <= TOLERANCE * largest).sum())
        if not small:  # a few vectors beside all that is null: they know the first singular value kept
            kept = float(values[0]) / largest
            break
        basis = torch.cat([basis, vectors[:, :small]], 1)
        dropped = max(dropped or 0.0, float(values[small - 1]) / largest)
        expected = basis.shape[1] if small == len(values) else 0
    return Kernel(columns - basis.shape[1], basis.contiguous(), largest, kept, dropped, None)


def _ridged(matrix: Tensor) -> Tensor:
    """The triangular factor R of a matrix with a small ridge below it, (P, P): R^T R = M^T M + ridge^2."""
    columns = matrix.shape[1]
    ridge = _RIDGE * float(matrix.norm(dim=1).max())
    if len(matrix) > columns or bool(matrix.tril(-1).any()):
        matrix = torch.linalg.qr(matrix, mode="r").R
    factor = matrix.new_zeros(columns, columns)
    factor[: len(matrix)] = matrix
    # two triangles, one above the other: a fifth of the work of as many full rows
    below = ridge * torch.eye(columns, dtype=matrix.dtype, device=matrix.device)
    for start in range(0, columns, _PANEL):
        here, stop = slice(start, start + _PANEL), min(start + _PANEL, columns)
        reflectors, sizes = torch.geqrf(torch.cat([factor[here, here], below[:stop, here]]))
        factor[here, here] = reflectors[: stop - start].triu()
        if stop < columns:
            rest = torch.cat([factor[here, stop:], below[:stop, stop:]])
            rest = torch.ormqr(reflectors, sizes, rest, transpose=True)
            factor[here, stop:], below[:stop, stop:] = rest[: stop - start], rest[stop - start :]
    return factor


def _smallest(factor: Tensor, count: int, known: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest singular values of a triangular matrix beside known ones, ascending, and their right vectors."""
    generator = torch.Generator("cpu").manual_seed(known.shape[1])
    vectors = torch.randn(factor.shape[1], count, generator=generator, dtype=factor.dtype, device="cpu")
    vectors = _orthonormal(vectors, known)
    for _ in range(_ITERATIONS if count <= _SPARE else _ITERATIONS - 1):  # what is null comes out first
        half = torch.linalg.solve_triangular(factor.T, vectors, upper=False)
        vectors = torch.linalg.solve_triangular(factor, half, upper=True)
        vectors = _orthonormal(vectors / vectors.norm(dim=0), known)
    _, values, right = torch.linalg.svd(factor @ vectors, full_matrices=False)
    return vectors @ right.T.flip(1), values.flip(0)


def _orthonormal(vectors: Tensor, known: Tensor) -> Tensor:
    """An orthonormal basis of the columns' span, orthogonal to known columns."""
    for _ in range(2 if known.shape[1] else 1):  # twice is enough
        vectors = torch.linalg.qr(vectors - known @ (known.T @ vectors)).Q
    return vectors


def _largest(factor: Tensor) -> float:
    """The largest singular value, by Lanczos on R^T R."""
    start = torch.randn(
        factor.shape[1], generator=torch.Generator("cpu").manual_seed(1), dtype=factor.dtype, device="cpu"
    )
    ritz, _, _ = lanczos(lambda v: factor.T @ (factor @ v), start, _LANCZOS)
    return float(ritz.values[-1]) ** 0.5


def span(vectors: Tensor, tolerance: float = 1e-8) -> Tensor:
    """Return an orthonormal basis of the span of columns, (P, rank); columns are scaled to length 1 first."""
    lengths = vectors.norm(dim=0)
    kept = vectors[:, lengths > 0] / lengths[lengths > 0]
    if kept.shape[1] == 0:
        return vectors.new_zeros(vectors.shape[0], 0)
    left, values, _ = torch.linalg.svd(kept, full_matrices=False)
    return left[:, values > tolerance * values[0]]


def complement(basis: Tensor) -> Tensor:
    """Return an orthonormal basis of the complement of a span of orthonormal columns, (P, P - k)."""
    if not basis.shape[1]:
        return torch.eye(basis.shape[0], dtype=basis.dtype, device=basis.device)
    return torch.linalg.qr(basis, mode="complete").Q[:, basis.shape[1] :]


def beyond(basis: Tensor, taken: Tensor) -> Tensor:
    """Return an orthonormal basis of what of span(basis) is orthogonal to span(taken), taken inside it."""
    if basis.shape[1] == 0 or taken.shape[1] == 0:
        return basis
    coordinates = span(basis.T @ taken)
    left, _, _ = torch.linalg.svd(coordinates, full_matrices=True)
    return basis @ left[:, coordinates.shape[1] :]


def extension(known: Tensor, vectors: Tensor, tolerance: float = 1e-6) -> Tensor:
    """Return an orthonormal basis of what orthonormal columns add to the span of known ones, (P, dim)."""
    if not vectors.shape[1]:
        return vectors
    left, values, _ = torch.linalg.svd(vectors - known @ (known.T @ vectors), full_matrices=False)
    added = left[:, values > tolerance]
    return _orthonormal(added, known) if added.shape[1] else added


def inside(basis: Tensor, vectors: Tensor, tolerance: float = 1e-6) -> Tensor:
    """Return an orthonormal basis of the intersection of span(basis) and span(vectors)."""
    vectors = span(vectors)
    if basis.shape[1] == 0 or vectors.shape[1] == 0:
        return basis[:, :0]
    left, values, _ = torch.linalg.svd(basis.T @ vectors, full_matrices=False)
    return basis @ left[:, values > 1 - tolerance]
