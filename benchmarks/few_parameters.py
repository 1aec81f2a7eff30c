"""`slt.estimate_llc` with its defaults on losses of two parameters that are hard to sample, beside exact values.

    python benchmarks/few_parameters.py [--markdown] [--seeds N] [--only TEXT]

Scales that differ by many orders, crossings, narrow curved valleys and cusps, from several points of each. The exact
value is an integral over the plane by Gauss's rule on panels that shrink toward the zeros of the loss. What must hold:
each estimate within 2 % of it, in 20 seconds, with a good verdict.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _shared import chosen_defaults, dated_defaults, problems, written

import slt

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
REACH = 8.0  # standard deviations of the localizer that the integral covers
FINEST, GROWTH = 1e-10, 1.6  # the panels next to a zero, and by how much each is longer than the last
MOST_ERROR, MOST_SECONDS = 0.02, 20.0


@dataclass(frozen=True)
class Target:
    """A loss of two parameters.

    Attributes:
        name: As it stands in the table.
        loss: K(x, y), of tensors and of arrays.
        valley: From x to the y at which K is zero or least.
        center: w*.
        nbeta: Inverse temperature times n.
        localization: gamma.
    """

    name: str
    loss: Callable
    valley: Callable[[float], list[float]]
    center: tuple[float, float]
    nbeta: float = 1000.0
    localization: float = 1.0


def none(x: float) -> list[float]:
    return []


def hyperbola(x: float) -> list[float]:
    return [1 / x]


def parabola(x: float) -> list[float]:
    return [3 * x * x]


def cusp(x: float) -> list[float]:
    return [float(np.cbrt(x * x))]


def line(x: float) -> list[float]:
    return [-x]


def sharp_cusp(x: float) -> list[float]:
    return [x**0.75, -(x**0.75)] if x > 0 else []


def on_parabola(x, y):
    return (y - 3 * x**2) ** 2


def on_cusp(x, y):
    return (x**2 - y**3) ** 2


def crossing(x, y):
    return x**2 * y**2


TARGETS = [
    Target("1e6 x² + 1e-3 y²", lambda x, y: 1e6 * x**2 + 1e-3 * y**2, none, (0.0, 0.0)),
    Target("x² y²", crossing, none, (0.0, 0.0), nbeta=1e6),
    Target("x² y²", crossing, none, (0.0, 0.0), localization=0.01),
    Target("(xy - 1)²", lambda x, y: (x * y - 1) ** 2, hyperbola, (1.0, 1.0), nbeta=500.0, localization=0.1),
    Target("(y - 3x²)²", on_parabola, parabola, (0.0, 0.0)),
    Target("(y - 3x²)²", on_parabola, parabola, (0.5, 0.75)),
    Target("(y - 3x²)²", on_parabola, parabola, (1.0, 3.0)),
    Target("(x² - y³)²", on_cusp, cusp, (0.0, 0.0)),
    Target("(x² - y³)²", on_cusp, cusp, (1.0, 1.0)),
    Target("x² (x + y)²", lambda x, y: x**2 * (x + y) ** 2, line, (0.0, 0.0)),
    Target("(x³ - y⁴)²", lambda x, y: (x**3 - y**4) ** 2, sharp_cusp, (0.0, 0.0), nbeta=2000.0),
]


def panels(points: list[float], low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss's rule on panels that shrink geometrically toward the points."""
    steps = FINEST * GROWTH ** np.arange(np.ceil(np.log((high - low) / FINEST) / np.log(GROWTH)))
    around = [np.concatenate([[p], p - steps, p + steps]) for p in points]
    edges = np.unique(np.clip(np.concatenate([[low, high], *around]), low, high))
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * WEIGHTS).ravel()


def exact(target: Target) -> float:
    """The mean of nbeta K under exp(-nbeta K - gamma/2 |w - w*|²), by quadrature."""
    reach = REACH / np.sqrt(target.localization)
    a, b = target.center
    total = energy = 0.0
    for x, share in zip(*panels([0.0, a], a - reach, a + reach), strict=True):
        points = [y for y in (0.0, b, *target.valley(x)) if abs(y - b) < reach]
        ys, weights = panels(points, b - reach, b + reach)
        k = target.nbeta * target.loss(x, ys)
        mass = share * weights * np.exp(-k - target.localization / 2 * ((x - a) ** 2 + (ys - b) ** 2))
        total += mass.sum()
        energy += (mass * k).sum()
    return energy / total


def estimated(target: Target, seed: int) -> tuple[slt.Estimate, float]:
    """Estimate with default settings, and take the time."""
    toy = slt.toys.from_potential(lambda w: target.loss(w[..., 0], w[..., 1]), target.center)
    start = time.perf_counter()
    estimate = slt.estimate_llc(
        toy.model,
        toy.data,
        toy.loss,
        nbeta=target.nbeta,
        localization=target.localization,
        seed=seed,
        progress=False,
    )
    return estimate, time.perf_counter() - start


def main() -> None:
    parser = chosen_defaults(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    print(dated_defaults(), flush=True)
    head = ("loss", "w*", "nbeta", "localization", "exact", "seed", "estimate", "error", "seconds", "verdict")
    print(written(head, chosen.markdown))
    if chosen.markdown:
        print(f"|{'---|' * len(head)}")
    errors, seconds, missed = [], [], 0
    estimated(TARGETS[1], 0)  # imports what is imported late
    for target in TARGETS:
        if chosen.only not in target.name:
            continue
        value = exact(target)
        place = (target.name, "({:g}, {:g})".format(*target.center), f"{target.nbeta:g}", f"{target.localization:g}")
        for seed in range(chosen.seeds):
            estimate, taken = estimated(target, seed)
            error = estimate.value / value - 1
            errors.append(abs(error))
            seconds.append(taken)
            missed += abs(error) > MOST_ERROR or taken > MOST_SECONDS or not estimate.verdict.ok
            told = f"{estimate.value:.4f} ± {estimate.mcse:.4f}", f"{error:+.1%}", f"{taken:.1f}", problems(estimate)
            print(written((*place, f"{value:.4f}", seed, *told), chosen.markdown), flush=True)
    print(
        f"{len(errors)} runs: median error {np.median(errors):.2%}, largest {max(errors):.1%}; seconds in the median "
        f"{np.median(seconds):.1f}, at most {max(seconds):.1f}; {missed} beyond 2 %, 20 seconds or a good verdict"
    )


if __name__ == "__main__":
    main()
