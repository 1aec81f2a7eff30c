"""A manifold of weights through w* that compute the same on the data, with the reason why it is one."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from slt.degeneracy.function import Inputs, Network
from slt.degeneracy.higher_order import nearest_kink
from slt.degeneracy.jacobian import null_space
from slt.degeneracy.linalg import Kernel, extension, inside, kernel, span

_NEARBY = 1e-3  # of a tensor's size: where the rank is looked at again
_LEAST = 1e-5  # likewise, where kinks of the data lie near: less would not tell a rank that rises from one that stays
_STEP = 0.05  # of |w*|: the finite step that a flat subspace is tried on
LOSS_STEP = 0.5  # likewise where the loss stands for the function: it may grow as a high power
_SINGLE = 64  # entries up to which each is tried alone
_INSIDE = 1 - 1e-6  # of a vector's length: what of it a mask must hold before it is looked at
_SAME = 1e-11  # of the largest output


class Zeros(NamedTuple):
    """A proven manifold Z of zeros of f(w) - f(w*) through w*.

    Attributes:
        dimension: dim Z.
        tangent: Basis of its tangent space at w*, (P, dim Z).
        proof: Why it is one.
    """

    dimension: int
    tangent: Tensor
    proof: str


def manifold_of_zeros(
    network: Network,
    inputs: Inputs,
    found: Kernel,
    symmetry: Tensor,
    *,
    rank_nearby: bool = True,
    step: float = _STEP,
) -> Zeros:
    """Find the largest manifold of zeros that one of three arguments proves.

    1. The rank of J does not rise near w*: by the constant-rank theorem the zeros are a manifold of dimension P - rank.
       The rank is at least that at w* everywhere near by, and at most the generic one, which a random point shows.
    2. The same inside a flat piece A of weights: units that read nothing, are read by nothing, or are equal, stay so.
    3. The orbit of a group, moved along a linear space on which f does not change: the image of a smooth map.

    Args:
        network: The model with its function.
        inputs: The data.
        found: Rank and null space of J at w*.
        symmetry: Tangent vectors of the orbit, (P, g).
        rank_nearby: Whether to spend further ranks on the first two arguments.
        step: The finite step of the third, in units of |w*|.

    Returns:
        The manifold.
    """
    orbit = inside(found.basis, symmetry)
    flat = flat_space(network, inputs, found.basis, step)
    moved = span(torch.cat([orbit, flat], 1)) if orbit.shape[1] + flat.shape[1] else orbit
    words = [
        *(["the orbit of the symmetries"] if orbit.shape[1] else []),
        *([f"a linear space of dimension {flat.shape[1]} on which nothing changes"] if flat.shape[1] else []),
    ]
    best = Zeros(moved.shape[1], moved, " and ".join(words) or "w* alone")
    nullity = found.basis.shape[1]
    if best.dimension == nullity or not rank_nearby:
        return best
    width = network.check(inputs.take(0, 1)).numel()
    # beyond a kink of a datum the function is another one, of which a rank would say nothing
    nearby = min(_NEARBY, max(_LEAST, nearest_kink(network, inputs) / 10))
    pieces = [
        (
            torch.eye(network.dimension, dtype=torch.float64, device=network.center.device),
            "the rank of the Jacobian is constant near w*",
        )
    ]
    pieces += [
        (piece, f"the rank of the Jacobian is constant among weights that keep {why}")
        for piece, why in _pieces(network)
    ]
    for piece, why in pieces:
        tangent = _constant_rank(network, inputs, width, found, piece, nearby)
        if tangent is not None and tangent.shape[1] > best.dimension:
            best = Zeros(tangent.shape[1], tangent, why)
        if best.dimension == nullity:
            break
    return best


def flat_space(network: Network, inputs: Inputs, basis: Tensor, step: float = _STEP) -> Tensor:
    """A linear space of directions, part of ker J, along which finite steps change nothing.

    The null directions of one tensor, of neighbouring ones, and single entries of small models, are tried, and joined
    as long as the joint space passes. An analytic function that stays put at a random point of a space stays put on all
    of it, with probability one.

    Returns:
        Orthonormal basis, (P, dim).
    """
    if not basis.shape[1]:
        return basis
    slices = list(network.slices().values())
    blocks = [slice(0, network.dimension), *slices]
    blocks += [slice(a.start, b.stop) for a, b in pairwise(slices)]
    if network.dimension <= _SINGLE:
        blocks += [slice(i, i + 1) for i in range(network.dimension)]
    candidates = [supported(basis, _mask(network.dimension, block)) for block in blocks]
    chosen = basis[:, :0]
    for candidate in sorted(candidates, key=lambda c: -c.shape[1]):
        if not candidate.shape[1]:
            continue
        added = extension(chosen, candidate)
        if added.shape[1] and _stays(network, inputs, joint := torch.cat([chosen, added], 1), step):
            chosen = joint
    return chosen


def supported(basis: Tensor, mask: Tensor) -> Tensor:
    """The part of span(basis) that vanishes outside a mask of entries, (P, dim)."""
    if not basis.shape[1] or not bool(mask.any()):
        return basis[:, :0]
    if bool(mask.all()):
        return basis
    if 2 * int(mask.sum()) < len(mask):
        # a vector inside the mask keeps its length there: first the few that nearly do
        _, lengths, right = torch.linalg.svd(basis[mask], full_matrices=False)
        basis = basis @ right[lengths > _INSIDE].T
    # the part outside has no small values but zeros, since it is a projection of an orthonormal basis
    return basis @ kernel(basis[~mask], scale=1e3).basis


def _mask(size: int, block: slice) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool, device="cpu")
    mask[block] = True
    return mask


def _stays(network: Network, inputs: Inputs, space: Tensor, step: float) -> bool:
    generator = torch.Generator("cpu").manual_seed(3)
    length = step * max(float(network.center.norm()), 1.0)
    for _ in range(3):
        mix = torch.randn(space.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(space.device)
        w = network.center + length * space @ (mix / mix.norm())
        for batch in inputs.chunks(256):
            with torch.no_grad():
                before, after = network(network.center, batch), network(w, batch)
            if float((after - before).abs().max()) > _SAME * max(float(before.abs().max()), 1.0):
                return False
    return True


def _constant_rank(
    network: Network, inputs: Inputs, width: int, found: Kernel, piece: Tensor, distance: float
) -> Tensor | None:
    """Null directions of J inside a linear piece of weights, if their number is the same at a point nearby."""
    whole = piece.shape[0] == piece.shape[1]
    here = found.basis if whole else supported_in(found.basis, piece)
    generator = torch.Generator("cpu").manual_seed(5)
    noise = torch.randn(piece.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(piece.device)
    size = torch.cat([p.norm().clamp_min(1e-3).expand(p.shape) / len(p) ** 0.5 for p in network.split(network.center)])
    step = piece @ (piece.T @ (size * (piece @ noise)))
    nearby = Network(network.model, network.segments, network.function)
    nearby.center = network.center + distance * step
    there = null_space(nearby, inputs, width).basis
    count = there.shape[1] if whole else supported_in(there, piece).shape[1]
    return here if count == here.shape[1] else None


def supported_in(basis: Tensor, piece: Tensor) -> Tensor:
    """The intersection of span(basis) and span(piece), (P, dim)."""
    return inside(basis, piece, tolerance=1e-9) if basis.shape[1] else basis


def _pieces(network: Network) -> list[tuple[Tensor, str]]:
    """Linear pieces of weights that hold w*: rows or columns that are zero stay so, rows that are equal stay equal."""
    size = network.dimension
    zero_rows, zero_columns, equal = [], [], []
    tensors = network.weights(network.center)
    slices = network.slices()
    number = torch.arange(size, device="cpu")
    for s in network.segments:
        if s.index is not None or s.parameter.ndim < 2:
            continue
        matrix = tensors[s.name].flatten(1)
        entries = number[slices[s.name]].reshape(matrix.shape)
        zero_rows += [entries[i] for i in range(len(matrix)) if not bool(matrix[i].any())]
        if s.parameter.ndim == 2:
            zero_columns += [entries[:, j] for j in range(matrix.shape[1]) if not bool(matrix[:, j].any())]
        bias = s.name.removesuffix("weight") + "bias"
        shifts = number[slices[bias]] if bias in slices and s.name.endswith("weight") else None
        equal += _equal(matrix, entries, None if shifts is None else (tensors[bias].flatten(), shifts))
    found = []
    if zero_rows:
        found.append((_fixed(size, zero_rows, []), "units that read nothing so"))
    if zero_columns:
        found.append((_fixed(size, zero_columns, []), "units that nothing reads so"))
    if equal:
        found.append((_fixed(size, [], equal), "equal units equal"))
    if len(found) > 1:
        found.append((_fixed(size, zero_rows + zero_columns, equal), "all of these so"))
    return found


def _equal(matrix: Tensor, entries: Tensor, bias: tuple[Tensor, Tensor] | None) -> list[tuple[Tensor, Tensor]]:
    pairs, taken = [], set()
    for i in range(len(matrix)):
        for j in range(i + 1, len(matrix)):
            same = j not in taken and bool(matrix[i].any()) and torch.equal(matrix[i], matrix[j])
            if same and (bias is None or bool(bias[0][i] == bias[0][j])):
                taken.add(j)
                pairs.append((entries[i], entries[j]))
                if bias is not None:
                    pairs.append((bias[1][i : i + 1], bias[1][j : j + 1]))
    return pairs


def _fixed(size: int, zero: list[Tensor], equal: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Orthonormal basis of the vectors that are zero at some entries and equal at others."""
    rows = [torch.nn.functional.one_hot(z, size).double() for z in zero]
    for a, b in equal:
        rows.append(torch.nn.functional.one_hot(a, size).double() - torch.nn.functional.one_hot(b, size).double())
    return kernel(torch.cat(rows)).basis
