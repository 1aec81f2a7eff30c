"""Toys that are functions of a vector."""

from collections.abc import Callable

from torch import Tensor

from slt import toys


def valley(w: Tensor) -> Tensor:
    """A curved valley, w_1 = w_0^2."""
    return (w[..., 1] - w[..., 0] ** 2) ** 2


MAKERS: dict[str, Callable[..., toys.Toy]] = {
    "quadratic": lambda **kw: toys.quadratic([100.0, 1.0, 0.0], **kw),
    "quadratic, ones": lambda **kw: toys.quadratic(5, **kw),
    "crossing 2 2": lambda **kw: toys.normal_crossing((2, 2), **kw),
    "crossing 1 3 0 4": lambda **kw: toys.normal_crossing((1, 3, 0, 4), **kw),
    "newton": lambda **kw: toys.newton([(2, 2), (6, 0), (0, 6)], **kw),
    "newton, three parameters": lambda **kw: toys.newton([(2, 2, 0), (0, 2, 2), (2, 0, 2)], **kw),
    "newton, coefficients": lambda **kw: toys.newton(((2, 0), (1, 1), (0, 2)), coefficients=(1, -1, 1), **kw),
    "newton, odd": lambda **kw: toys.newton([(3, 1), (0, 4)], **kw),
    "curve": lambda **kw: toys.plane_curve("(x^2 - y^3)^2", **kw),
    "curve, squares": lambda **kw: toys.plane_curve([{(1, 0): 1, (0, 2): -1}, {(0, 3): 2}], **kw),
    "potential": lambda **kw: toys.from_potential(valley, [0.5, 0.25], **kw),
}
