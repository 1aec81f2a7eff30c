"""The local functional dimension: in how many directions the weights change the function, counted exactly."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slt.degeneracy.certificates import certify
from slt.degeneracy.function import (
    Function,
    FunctionName,
    Inputs,
    Network,
    as_inputs,
    exact,
    resolve_function,
)
from slt.degeneracy.linalg import TOLERANCE, Kernel, Rows, complement, kernel
from slt.degeneracy.precision import require_memory
from slt.errors import SettingsError
from slt.problem.parameters import Selection, select

DENSE = 12_000  # moving entries up to which the whole Jacobian is decomposed
_CLEAR = 1e3  # the last singular value kept over the first dropped: below this the rank is not clear
_FRESH_SEED = 20_231  # of the fresh inputs on which a rank is tested
_SPARE_ROWS = 64  # rows beyond twice the columns that are decomposed; on the rest the null space is only tested
_PUSHED_ROWS = 256  # examples on which directions are pushed forward, or combined outputs back, at a time
_COMBINED = 32  # random combinations of outputs at first; as many again as long as each shows something new
_SURPLUS = 8  # combinations that must show nothing new
_TOGETHER = 128  # outputs that go back in one pass
_VMAP = 64  # directions pushed forward together


@dataclass(frozen=True, eq=False, repr=False)
class FunctionalDimension:
    """The rank of the Jacobian of a function with respect to the weights, on all inputs stacked.

    Attributes:
        rank: The local functional dimension; an upper bound on it where `blocks` is not None.
        dimension: Moving entries, P.
        nullity: P - rank; a lower bound where `blocks` is not None.
        kept: Last singular value counted, over the largest; None at rank 0.
        dropped: First not counted, over the largest; None where there is none.
        scope: "function" where the rank stays as fresh inputs double N, else "these data".
        fresh_rank: The rank on both; None in block mode.
        basis: Orthonormal basis of the null space on these data, (P, nullity), float64; empty in block mode.
        blocks: In block mode, for each layer a bound on the rank of the Jacobian of its entries, and their number.
        function: What was differentiated.
        outputs: Rows of the Jacobian, N times the outputs of an example.
        names: The moving tensors and their sizes, in the order of the vector.
        singular_values: All P of them in descending order, where all were computed.
    """

    rank: int
    dimension: int
    kept: float | None
    dropped: float | None
    scope: str
    fresh_rank: int | None
    basis: Tensor
    blocks: dict[str, tuple[int, int]] | None
    function: str
    outputs: int
    names: dict[str, int]
    singular_values: Tensor | None

    @property
    def nullity(self) -> int:
        """P - rank."""
        return self.dimension - self.rank

    @property
    def clear(self) -> bool:
        """Whether a gap of a thousand or more lies between what was counted and what was not."""
        return self.kept is None or not self.dropped or self.kept / self.dropped >= _CLEAR

    def __repr__(self) -> str:
        """State the rank, the gap behind it and its scope."""
        sign = "" if self.blocks is None else "<= "
        head = f"functional dimension {sign}{self.rank} of {self.dimension} ({self.function}; nullity "
        head += f"{'' if self.blocks is None else '>= '}{self.nullity})"
        if self.blocks is not None:
            return f"{head}\ncertified layer by layer, not decomposed whole"
        scope = "a property of the function" if self.scope == "function" else "on these data"
        if self.fresh_rank is not None and self.fresh_rank != self.rank:
            scope += f": {self.fresh_rank} with as many fresh inputs"
        return f"{head}\nsingular values: {self._gap()}\nscope: {scope}"

    def _gap(self) -> str:
        last = "none counted" if self.kept is None else f"last counted {self.kept:.2g} of the largest"
        first = "none dropped" if self.dropped is None else f"first dropped {self.dropped:.2g}"
        return f"{last}, {first}" + ("" if self.clear else " (the gap is narrow: the rank is not clear)")


def functional_dimension(
    model: nn.Module, inputs: Any, *, function: FunctionName | Function = "logits", parameters: Selection = None
) -> FunctionalDimension:
    r"""Count the directions in weight space that change the function.

    .. math:: r = \operatorname{rank} \frac{\partial f(x_1, \ldots, x_N; w)}{\partial w}

    in float64, whatever the model's type: casts to float32 inside a library's norms or softmax are undone. A singular
    value counts if it is above 1e-10 of the largest. Up to 12,000 moving entries the whole Jacobian is decomposed;
    beyond, null directions are certified layer by layer, and the rank is an upper bound.

    Args:
        model: The model at w*; evaluated in eval mode and bit-identical afterwards.
        inputs: A tensor, a tuple of the model's arguments or a mapping of named ones; first axis examples.
        function: "logits" (the output as it is), "log_probs" (its log softmax), or ``function(model, inputs)``.
        parameters: Which parameters move; see `slt.LocalPosterior`.

    Returns:
        Rank, gap, scope, and a basis of the null space.

    Raises:
        SettingsError: If the function does not keep float64, or memory would not suffice.
        DataError: If the inputs are no tensors with a common first axis, or not finite.
        LossError: If the function ignores the weights or is not finite at w*.

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> functional_dimension(net, torch.randn(200, 3)).nullity  # each ReLU unit may be rescaled
    4
    """
    if not isinstance(model, nn.Module):
        raise SettingsError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    chosen, name = resolve_function(function)
    segments = select(model, parameters)
    read = as_inputs(inputs)
    with exact(model):
        network = Network(model, segments, chosen)
        return dimension_of(network, read, name)


def dimension_of(network: Network, inputs: Inputs, name: str) -> FunctionalDimension:
    """Measure the functional dimension inside `exact`; see `functional_dimension`.

    Args:
        network: The model with its function.
        inputs: On these.
        name: What the function is called.

    Returns:
        The dimension.
    """
    width = network.check(inputs.take(0, 1)).numel()
    names = {s.name: s.size for s in network.segments}
    if network.dimension > DENSE:
        return _by_blocks(network, inputs, name, width)
    require_memory(
        dense_bytes(network.dimension),
        f"the exact rank of {network.dimension} entries",
        "choose fewer with parameters=",
    )
    found = null_space(network, inputs, width)
    tested = fresh_kernel(network, inputs, found)
    return FunctionalDimension(
        rank=found.rank,
        dimension=network.dimension,
        kept=found.kept,
        dropped=found.dropped,
        scope="function" if tested.rank == 0 else "these data",
        fresh_rank=found.rank + tested.rank,
        basis=found.basis,
        blocks=None,
        function=name,
        outputs=width * inputs.n,
        names=names,
        singular_values=found.values,
    )


def _by_blocks(network: Network, inputs: Inputs, name: str, width: int) -> FunctionalDimension:
    """Certify nulls layer by layer; what is not certified counts towards the rank."""
    certificates = certify(network, inputs)
    return FunctionalDimension(
        rank=network.dimension - sum(c.nullity for c in certificates),
        dimension=network.dimension,
        kept=None,
        dropped=None,
        scope="these data",
        fresh_rank=None,
        basis=torch.zeros(network.dimension, 0, dtype=torch.float64, device=network.center.device),
        blocks={c.layer: (c.entries - c.nullity, c.entries) for c in certificates},
        function=name,
        outputs=width * inputs.n,
        names={s.name: s.size for s in network.segments},
        singular_values=None,
    )


def dense_bytes(dimension: int) -> float:
    """Return the memory that an exact rank of so many entries takes: a factor, rows, and what decomposes them."""
    return 8.0 * 8 * dimension**2


def null_space(network: Network, inputs: Inputs, width: int) -> Kernel:
    """Find rank and null space of the Jacobian on all the inputs.

    Rows of about twice as many outputs as there are columns are decomposed; on the rest the null space is only tested,
    and narrowed where it fails.

    Args:
        network: The model with its function.
        inputs: On these.
        width: Outputs of an example.

    Returns:
        The kernel.
    """
    rows = Rows(network.dimension)
    enough = min(inputs.n, -(-(2 * network.dimension + _SPARE_ROWS) // max(width, 1)))
    picked = (torch.arange(enough, device="cpu") * inputs.n) // enough  # spread over the data, which may be sorted
    for piece in picked.split(examples_at_once(width)):
        rows.add(network.jacobian(network.center, inputs.rows(piece)))
    found = kernel(rows.factor())
    everything = torch.arange(inputs.n, device="cpu")
    rest = everything[~torch.isin(everything, picked)]
    if not len(rest) or not found.basis.shape[1]:
        return found
    return _narrow(found, _seen(network, inputs, rest, found))


def examples_at_once(width: int) -> int:
    """How many examples to differentiate together: each output goes back through all of them."""
    return max(1, _TOGETHER // max(width, 1))


def _narrow(found: Kernel, more: Kernel) -> Kernel:
    """Leave in a null space only what further rows, applied to its basis, find null too."""
    if not more.rank:
        return found
    kept = min(x for x in (found.kept, more.kept) if x is not None)
    dropped = max((x for x in (found.dropped, more.dropped) if x is not None), default=None)
    dropped = more.dropped if found.basis.shape[1] == more.rank else dropped
    largest = max(found.largest, more.largest)
    return Kernel(found.rank + more.rank, found.basis @ more.basis, largest, kept, dropped, None)


def fresh_kernel(network: Network, inputs: Inputs, found: Kernel) -> Kernel:
    """Apply fresh inputs, as many and alike, to a null space: rank and null space of what comes out, in its basis."""
    fresh = inputs.fresh(_FRESH_SEED)
    network.check(fresh.take(0, 1))
    return _seen(network, fresh, torch.arange(fresh.n, device="cpu"), found)


def _seen(network: Network, inputs: Inputs, rows: Tensor, found: Kernel) -> Kernel:
    """Rank and null space of J Z on some examples, with Z the basis of a null space.

    Random combinations of all the outputs are taken until more of them add nothing, so that few rows of J are needed;
    then the singular values are measured along the directions that were found.

    Returns:
        The kernel in coordinates of Z.
    """
    size, scale = found.basis.shape[1], found.largest or None
    if not size:
        return kernel(found.basis.new_zeros(0, 0))
    generator = torch.Generator("cpu").manual_seed(_FRESH_SEED)
    drawn = found.basis.new_zeros(0, size)
    while True:
        count = min(max(len(drawn), _COMBINED), size + _SURPLUS - len(drawn))
        drawn = torch.cat([drawn, _combinations(network, inputs, rows, count, generator) @ found.basis])
        values = torch.linalg.svdvals(drawn / len(drawn) ** 0.5)
        if int((values > TOLERANCE * (scale or float(values[0]))).sum()) + _SURPLUS <= len(drawn):
            break
    seen = kernel(drawn / len(drawn) ** 0.5, scale=scale)
    if not seen.rank:
        return seen
    values = _along(network, inputs, rows, found.basis @ complement(seen.basis))
    largest = float(values[0])
    return seen._replace(largest=largest, kept=float(values[-1]) / (scale or largest))


def _combinations(network: Network, inputs: Inputs, rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """S^T J with S random, (count, P): each row is a pass back through all the examples."""
    total = network.center.new_zeros(count, network.dimension)
    for piece in rows.split(_PUSHED_ROWS):
        total += network.cotangents(network.center, inputs.rows(piece), count, generator)
    return total


def _along(network: Network, inputs: Inputs, rows: Tensor, directions: Tensor) -> Tensor:
    """Singular values of J on some examples, along orthonormal directions, (P, k)."""
    total = Rows(directions.shape[1])
    for piece in rows.split(_PUSHED_ROWS):
        total.add(push(network, directions.T, inputs.rows(piece)).T)
    return torch.linalg.svdvals(total.factor())


def push(network: Network, directions: Tensor, batch: Any) -> Tensor:
    """Return J v for several directions v, (directions, outputs)."""

    def one(v: Tensor) -> Tensor:
        return network.jvp(network.center, v, batch)[1].reshape(-1)

    return torch.cat([torch.func.vmap(one)(piece) for piece in directions.split(_VMAP)]).detach()
