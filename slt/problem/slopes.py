"""Whether the gradient is that of the loss: held against differences of the loss beside w*."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from slt.errors import LossError
from slt.problem.pointing import beside_center, pointed_at, units_of
from slt.problem.problem import Problem

_POINTS = 2  # a gradient is refused where it is not that of the loss at each of so many points
_DIRECTIONS = 3  # along one of them
_SHARE = 1e-3  # change of the loss, in shares of itself, that the first step is meant to make
_FIRST, _FARTHEST = 0.01, 0.1  # the longest steps, in the weights' own sizes: the first, and of all
_FACTORS = (1.0, 0.1, 0.01, 10.0, 100.0)  # from the first step to the others
_SLACK = 0.2  # share by which a slope and a difference may differ: kinks lie between the two points
_ALIKE = 0.1  # and two differences that are taken for a slope
_ROUNDINGS = 64  # of the loss, by which a difference may be off


def require_own_gradient(problem: Problem) -> None:
    """Refuse a gradient that is not that of the loss, at either of two points beside w*.

    Where the loss is not finite, or too coarse for differences, nothing is refused.

    Args:
        problem: The problem, inside `untouched`.

    Raises:
        LossError: If it is another at both.
    """
    generator = torch.Generator().manual_seed(1)
    found = None
    for _ in range(_POINTS):
        entries = beside_center(problem.segments, problem.dtype, generator)
        with pointed_at(problem.segments, entries):
            found = _other_slope(problem, entries)
        if found is None:
            return
    assert found is not None, "there is at least one point"
    raise LossError(
        f"the gradient must be that of the loss, but along a direction beside w* it gives a slope of {found[0]:.4g} "
        f"where the loss has one of {found[1]:.4g}: look for something detached, a hook on what the model computes, or "
        "an autograd.Function whose backward does not belong to its forward."
    )


def slope_differs(change: float, slope: float, size: float, dtype: torch.dtype) -> bool:
    """Whether the loss changes from one point to another by another amount than its gradient says.

    Args:
        change: By what it changes.
        slope: The gradient times the way between the points.
        size: About how large the loss is.
        dtype: The type whose rounding it has.

    Returns:
        Whether it does. That may have other causes: `require_own_gradient` finds out.
    """
    return not _agree(change, slope, _ROUNDINGS * torch.finfo(dtype).eps * size, _ALIKE)


def _other_slope(problem: Problem, entries: Sequence[Tensor]) -> tuple[float, float] | None:
    """Slopes along a direction by the gradient and by the loss, where these differ along one of a few directions."""
    value = problem.loss(problem.model, problem.batch(problem.check_rows()))
    gradient = _gradient(problem, value)
    if not bool(torch.isfinite(value).all() and torch.isfinite(gradient).all()):
        return None
    size = float(value.detach().double().abs().mean())
    rounding = _ROUNDINGS * max(torch.finfo(t).eps for t in (value.dtype, problem.coarsest)) * size
    generator = torch.Generator().manual_seed(2)  # the same directions at each point: what one shows, it shows at all
    for _ in range(_DIRECTIONS):
        direction = _direction(gradient, entries, generator)
        slope = float(gradient @ direction)
        found = _slope_of_loss(problem, entries, direction, slope, size, rounding)
        if found is not None and not _agree(found, slope, 0.0):
            return slope, found
    return None


def _slope_of_loss(
    problem: Problem, entries: Sequence[Tensor], direction: Tensor, slope: float, size: float, rounding: float
) -> float | None:
    # One step is enough where its difference agrees with the gradient. Else steps of other lengths are tried, since a
    # difference over a kink, over rounded weights or of rounding errors is no slope: what two steps share is.
    differences: dict[float, float] = {}
    first = min(_SHARE * size / abs(slope), _FIRST) if slope else _FIRST
    for step in (first * factor for factor in _FACTORS):
        if step > _FARTHEST or rounding > _ALIKE * step * (abs(slope) or size):
            continue
        differences[step] = _difference(problem, entries, direction, step)
        if _agree(differences[step], slope, rounding / step):
            return slope
    pairs = pairwise(sorted(differences.items()))
    return next((b for (near, a), (_, b) in pairs if _agree(a, b, rounding / near, _ALIKE)), None)


def _gradient(problem: Problem, value: Tensor) -> Tensor:
    parameters = [segment.parameter for segment in problem.segments]
    found = torch.autograd.grad(value.mean(), parameters, materialize_grads=True)
    return torch.cat([s.entries(g.to_dense()).double() for s, g in zip(problem.segments, found, strict=True)])


def _direction(gradient: Tensor, entries: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    # In units of each tensor's size: the gradient's own direction, which shows that it is scaled, and a normal vector,
    # which shows that a part is missing, on the side where both make the loss grow.
    units = units_of(entries)
    unit = torch.cat([torch.full_like(e, u, dtype=torch.float64) for e, u in zip(entries, units, strict=True)])
    normal = torch.randn(len(unit), generator=generator, dtype=torch.float64, device="cpu").to(unit)
    scaled = unit * gradient
    length = float(scaled.norm())
    if length == 0:
        return unit * normal
    return unit * (scaled / length + (normal if float(scaled @ normal) >= 0 else -normal))


def _difference(problem: Problem, entries: Sequence[Tensor], direction: Tensor, step: float) -> float:
    ways = direction.split([len(e) for e in entries])
    ends = []
    for sign in (1, -1):
        end = [(e.double() + sign * step * way).to(e) for e, way in zip(entries, ways, strict=True)]
        with pointed_at(problem.segments, end):
            ends.append(problem.loss_of(problem.check_rows()).double())
    return float((ends[0] - ends[1]).mean()) / (2 * step)


def _agree(a: float, b: float, rounding: float, slack: float = _SLACK) -> bool:
    return abs(a - b) <= slack * max(abs(a), abs(b)) + rounding
