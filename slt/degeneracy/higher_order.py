"""How fast the loss grows along null directions: the second fundamental form on the kernel of the Jacobian."""

from dataclasses import dataclass
from typing import Any

import scipy.linalg
import torch
from torch import Tensor, nn
from torch.func import jvp, vmap

from slt.degeneracy.function import (
    Function,
    FunctionName,
    Inputs,
    Network,
    as_inputs,
    doubled,
    exact,
    resolve_function,
)
from slt.degeneracy.graph import trace
from slt.degeneracy.jacobian import dimension_of, examples_at_once, push
from slt.degeneracy.linalg import Rows, beyond, complement, kernel
from slt.degeneracy.precision import require_memory
from slt.errors import SettingsError
from slt.problem.parameters import Selection, select

LARGEST = 4000  # moving entries up to which the range of the Jacobian is decomposed
_KINK = 1e-9  # of the typical entry: a unit nearer to its kink than this stands on it
_FULL = 1e-11  # of the size of J: a diagonal entry of its factor below this is a zero
_ZERO = 1e-8  # of the size of the second derivatives: singular values separate about 1 from 1e-14
_TOGETHER = 32  # directions pushed forward at once
_PUSHED = 256  # and examples
_VALLEY_STEP = 0.05  # of |w*|: how far a valley is followed
_VALLEY_FLAT = 1e-9  # of the change of outputs that the bare step makes: what a valley's floor may keep
_NEWTON = 60


@dataclass(frozen=True, eq=False, repr=False)
class HigherOrder:
    """A null space sorted by the order to which the function stays where it is.

    Attributes:
        nullity: Dimension of the subspace that was sorted.
        flat: Basis of the kernel of the second fundamental form, (P, dim): flat to fourth order of the loss.
        quartic: The rest: along it the loss grows as the fourth power.
        sixth: How many dimensions of `flat` grow as the sixth power, after each step is minimised again.
        valleys: How many dimensions of `flat` do not grow to sixth order; along random steps inside them the
            re-minimised loss was zero where `followed`, else it is not known how they go on.
        followed: Whether re-minimised steps of finite size inside the valleys found no growth.
        gap: Last singular value counted over the largest, and first not counted; None where there is none.
    """

    nullity: int
    flat: Tensor
    quartic: int
    sixth: int
    valleys: int
    followed: bool | None
    gap: tuple[float | None, float | None]

    @property
    def flat_dimension(self) -> int:
        """Dimension of `flat`."""
        return self.flat.shape[1]

    def __repr__(self) -> str:
        """Count the orders."""
        text = f"{self.nullity} null directions: {self.flat_dimension} flat to fourth order, {self.quartic} quartic"
        if self.sixth:
            text += f"; {self.sixth} of the flat ones grow as the sixth power"
        return text


class Form:
    r"""Derivatives of the outputs on the data, projected off the range of J.

    .. math:: II(u, v) = (1 - \Pi_{\operatorname{range} J})\, D^2 f(u, v)

    Use it inside `exact`.

    Args:
        network: The model with its function.
        inputs: The data.
        basis: Orthonormal basis of ker J on the data, (P, k).

    Raises:
        SettingsError: If a unit stands on its kink, there are too many entries, or memory would not suffice.
    """

    def __init__(self, network: Network, inputs: Inputs, basis: Tensor) -> None:
        """Find the range of the Jacobian on as many data as it takes."""
        if network.dimension > LARGEST:
            raise SettingsError(
                f"the second fundamental form takes at most {LARGEST} moving entries, got {network.dimension}; choose "
                "fewer with parameters=."
            )
        _require_smooth(network, inputs)
        self.network = network
        self.moving = complement(basis)  # the row space of J
        width = network.check(inputs.take(0, 1)).numel()
        enough = min(inputs.n, -(-(3 * network.dimension // 2 + 64) // max(width, 1)))
        picked = (torch.arange(enough, device="cpu") * inputs.n) // enough
        if not self._decompose(inputs, picked, width):
            picked = torch.cat([picked, self._unseen(inputs)]).unique()
            if not self._decompose(inputs, picked, width):
                raise SettingsError(
                    "the null space must be that of the Jacobian on these inputs, but its rank is lower."
                )

    def _decompose(self, inputs: Inputs, picked: Tensor, width: int) -> bool:
        """J on some examples as Q R V^T with V the row space; False where its rank is lower on them."""
        needed = 8.0 * 4 * len(picked) * width * self.network.dimension
        require_memory(needed, "the range of the Jacobian", "hand over fewer inputs")
        self.batch = inputs.rows(picked)
        rows = [
            self.network.jacobian(self.network.center, inputs.rows(piece)) @ self.moving
            for piece in picked.split(examples_at_once(width))
        ]
        self.range, self.factor = torch.linalg.qr(torch.cat(rows))
        self.size = float(torch.linalg.matrix_norm(self.factor)) if self.factor.numel() else 0.0
        size = self.factor.diagonal().abs()
        return len(size) == self.moving.shape[1] and bool((size > _FULL * self.size).all())

    def _unseen(self, inputs: Inputs) -> Tensor:
        """Examples that see what those decomposed do not: as many as that has dimensions, by pivoted elimination."""
        unseen = self.moving @ kernel(self.factor, scale=self.size).basis
        if not unseen.shape[1]:
            return torch.arange(inputs.n, device="cpu")
        pieces = [push(self.network, unseen.T, batch) for batch in inputs.chunks(_PUSHED)]
        seen = torch.cat([piece.reshape(len(piece), -1) for piece in pieces], 1)
        *_, pivots = scipy.linalg.qr(seen.cpu().numpy(), mode="r", pivoting=True)
        return torch.from_numpy(pivots[: len(seen)].copy()) // (seen.shape[1] // inputs.n)

    def second(self, u: Tensor, v: Tensor) -> Tensor:
        """D^2 f(u_i, v) for several u, (P, k), and one v: (outputs, k), not projected."""

        def slope(w: Tensor) -> Tensor:
            return jvp(self._outputs, (w,), (v,))[1]

        return self._along(slope, u)

    def third(self, u: Tensor, v: Tensor) -> Tensor:
        """D^3 f(u_i, v, v), (outputs, k)."""

        def bend(w: Tensor) -> Tensor:
            return jvp(lambda x: jvp(self._outputs, (x,), (v,))[1], (w,), (v,))[1]

        return self._along(bend, u)

    def off_range(self, y: Tensor) -> Tensor:
        """(1 - projection on range J) y."""
        y = y - self.range @ (self.range.T @ y)
        return y - self.range @ (self.range.T @ y)

    def preimage(self, y: Tensor) -> Tensor:
        """J^+ y, the smallest change of weights whose first-order effect is the part of y in range J."""
        column = y.reshape(len(y), -1)
        found = self.moving @ torch.linalg.solve_triangular(self.factor, self.range.T @ column, upper=True)
        return found.reshape(-1, *y.shape[1:])

    def _outputs(self, w: Tensor) -> Tensor:
        return self.network(w, self.batch).reshape(-1)

    def _along(self, function: Any, u: Tensor) -> Tensor:
        def one(direction: Tensor) -> Tensor:
            return jvp(function, (self.network.center,), (direction,))[1]

        return torch.cat([vmap(one)(piece) for piece in u.T.split(_TOGETHER)]).detach().T


def higher_order(
    model: nn.Module, inputs: Any, *, function: FunctionName | Function = "logits", parameters: Selection = None
) -> HigherOrder:
    """Sort the null space of the Jacobian by the order of growth, as whole subspaces.

    Where the data are fitted exactly, L grows as the square of the change of f, so along a null direction u that
    moves f by II(u, u) t^2 / 2 it grows as t^4; in the kernel of II more slowly. Powers fitted along random
    directions would mix the subspaces.

    Args:
        model: See `slt.functional_dimension`.
        inputs: Likewise.
        function: Likewise.
        parameters: Likewise.

    Returns:
        The sorted null space.

    Raises:
        SettingsError: If a unit stands on its kink on some datum, or there are more than 4,000 moving entries.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    >>> with torch.no_grad():
    ...     net[0].weight[1], net[0].bias[1] = net[0].weight[0], net[0].bias[0]
    >>> higher_order(net, torch.randn(60, 2))
    4 null directions: 1 flat to fourth order, 3 quartic
    """
    chosen, name = resolve_function(function)
    segments = select(model, parameters)
    read = as_inputs(inputs)
    with exact(model):
        network = Network(model, segments, chosen)
        if network.dimension <= LARGEST:
            _require_smooth(network, read)  # before the work
        basis = dimension_of(network, read, name).basis
        return sort_by_order(Form(network, read, basis), basis)


def sort_by_order(form: Form, basis: Tensor, known: Tensor | None = None) -> HigherOrder:
    """Sort span(basis), a subspace of ker J; see `higher_order`.

    Args:
        form: Derivatives on the data.
        basis: Orthonormal basis of the subspace, (P, k).
        known: Directions of a proven manifold of zeros, (P, j): not followed again as valleys.

    Returns:
        The sorted subspace.
    """
    flat, gap = _kernel_of(basis, basis, lambda u, v: form.off_range(form.second(u, v)), form, 2)
    valley, _ = _kernel_of(flat, flat, lambda u, v: _third_obstruction(form, u, v), form, 3)
    rest = valley if known is None else beyond(valley, known)
    followed = _follow(form, rest) if rest.shape[1] else None
    return HigherOrder(
        nullity=basis.shape[1],
        flat=flat,
        quartic=basis.shape[1] - flat.shape[1],
        sixth=flat.shape[1] - valley.shape[1],
        valleys=valley.shape[1],
        followed=followed,
        gap=gap,
    )


def _third_obstruction(form: Form, u: Tensor, v: Tensor) -> Tensor:
    r"""What remains at third order of a step along v after it is minimised again, differentiated along u.

    With a(v) = -J^+ D^2 f(v, v) / 2 the step v t + a(v) t^2 leaves (1 - Pi)[D^3 f(v, v, v)/6 + D^2 f(v, a(v))] t^3.

    Returns:
        The derivatives along the columns of u, (outputs, k).
    """
    bent = form.second(v[:, None], v)[:, 0]
    step = -0.5 * form.preimage(bent)
    moved = -form.preimage(form.second(u, v))
    return form.off_range(0.5 * form.third(u, v) + form.second(u, step) + form.second(moved, v))


def _kernel_of(
    space: Tensor, probes: Tensor, apply: Any, form: Form, seed: int
) -> tuple[Tensor, tuple[float | None, float | None]]:
    """{u in space: apply(u, v) = 0 for all v in probes}, by random v until one more shows nothing new.

    The gain of another random v does not grow, so once it is none it stays none, with probability one.

    Returns:
        Basis of the kernel, and the singular values beside the gap over the largest.
    """
    if not space.shape[1]:
        return space, (None, None)
    generator = torch.Generator("cpu").manual_seed(seed)
    rows = Rows(space.shape[1])
    rank, result = -1, space
    gap: tuple[float | None, float | None] = (None, None)
    while True:
        mix = torch.randn(probes.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(space.device)
        v = probes @ (mix / mix.norm())
        rows.add(apply(space, v))
        _, values, right = torch.linalg.svd(rows.factor(), full_matrices=True)
        scale = max(float(values[0]), 1e-3 * form.size)
        found = int((values > _ZERO * scale).sum()) if scale > 0 else 0
        if found == rank:
            return result, gap
        rank, result = found, space @ right[found:].T
        last = float(values[found - 1]) / scale if found else None
        first = float(values[found]) / scale if found < len(values) and scale > 0 else None
        gap = (last, first)


def _follow(form: Form, valley: Tensor, tries: int = 3) -> bool:
    """Whether steps of finite size inside a subspace, the rest minimised again, leave the outputs where they are."""
    generator = torch.Generator("cpu").manual_seed(7)
    network, center = form.network, form.network.center
    length = _VALLEY_STEP * max(float(center.norm()), 1.0)
    with torch.no_grad():
        target = form._outputs(center)
    for _ in range(tries):
        mix = torch.randn(valley.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(valley.device)
        v = valley @ (mix / mix.norm())
        w = center + length * v
        moved = float((form._outputs(w).detach() - target).norm())
        damping = 1e-3
        residual = form._outputs(w).detach() - target
        for _ in range(_NEWTON):
            if float(residual.norm()) <= max(_VALLEY_FLAT * moved, 1e-12 * float(target.norm())):
                break
            jacobian = network.jacobian(w, form.batch)
            jacobian = jacobian - (jacobian @ v)[:, None] * v  # the step along v stays
            lhs = torch.cat(
                [jacobian, damping * float(jacobian.norm()) * torch.eye(len(w), dtype=w.dtype, device=w.device)]
            )
            rhs = torch.cat([residual, torch.zeros_like(w)])
            trial = w - torch.linalg.lstsq(lhs, rhs).solution
            after = form._outputs(trial).detach() - target
            if float(after.norm()) < float(residual.norm()):
                w, residual, damping = trial, after, damping / 5
            else:
                damping *= 4
        else:
            return False
    return True


def kinks(network: Network, inputs: Inputs) -> list[str]:
    """Name the functions with a kink that an entry lies on, on these data."""
    return sorted({name for name, distance in _distances(network, inputs) if distance <= _KINK})


def nearest_kink(network: Network, inputs: Inputs) -> float:
    """Distance of the nearest entry on these data to a kink, over the typical size of the entries; else infinity."""
    return min((distance for _, distance in _distances(network, inputs)), default=float("inf"))


def _distances(network: Network, inputs: Inputs) -> list[tuple[str, float]]:
    def function(model: nn.Module, batch: Any) -> Any:
        return network.function(model, doubled(batch))

    return trace(network.model_in_double(), function, inputs.batch).kinks


def _require_smooth(network: Network, inputs: Inputs) -> None:
    near = kinks(network, inputs)
    if near:
        raise SettingsError(
            f"the second fundamental form needs a function that is smooth at w*, but an input of {near[0]} lies on "
            "its kink on these data."
        )
