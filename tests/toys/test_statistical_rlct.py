"""The RLCT of statistical toys by a second route: energies at finite nbeta, by quadrature in suitable coordinates.

Each toy's parameters are written as functions of coordinates of three kinds: `fine` ones, in which K vanishes to a
higher order, take a grid that is geometric towards 0; `regular` ones, in which K is a square, a Gauss rule as wide as
the posterior; `smooth` ones, on which K depends little, a Gauss rule for the prior. The prior is N(w*, 1).
"""

from collections.abc import Callable
from fractions import Fraction
from math import log

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from slt import toys
from slt.analytic import RLCT
from tests.toys.at_points import Wrapper
from tests.toys.statistical import HALF, QUARTER

pytestmark = pytest.mark.usefixtures("float64")

Map = Callable[..., tuple[list[Tensor], Tensor]]


Rule = Callable[[float], tuple[Tensor, Tensor]]
"""nbeta -> nodes, weights."""


def fine(step: float, *, both: bool = False) -> Rule:
    """x = 1e-7 sinh(s) up to 6, of one sign, or of both; a step of 0.4 is fit for squares, 0.25 for fourth powers."""

    def rule(nbeta: float) -> tuple[Tensor, Tensor]:
        s = torch.arange(0.0, 18.7, step)
        x, weights = 1e-7 * s.sinh(), 1e-7 * s.cosh() * step
        weights[0] /= 2  # the end of a trapezoid rule
        return (torch.cat([-x, x]), weights.repeat(2)) if both else (x, weights)

    return rule


def regular(curvature: float) -> Rule:
    """For K = curvature x^2 / 2."""

    def rule(nbeta: float) -> tuple[Tensor, Tensor]:
        z, weights = gauss(8)
        scale = (nbeta * curvature) ** -0.5
        return scale * z, scale * weights

    return rule


def smooth(nbeta: float) -> tuple[Tensor, Tensor]:
    return gauss(4)


def gauss(nodes: int) -> tuple[Tensor, Tensor]:
    """For functions like a normal density."""
    z, weights = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(nodes))
    return z, weights * (z**2 / 2).exp()


def energy(toy: toys.Toy, axes: list[Rule], place: Map, nbeta: float) -> float:
    """nbeta E[K] under e^(-nbeta K) N(w*, 1)."""
    rules = [axis(nbeta) for axis in axes]
    x = torch.cartesian_prod(*[nodes for nodes, _ in rules])
    weights = torch.cartesian_prod(*[weights for _, weights in rules]).prod(1)
    columns, jacobian = place(*x.unbind(1))
    w = torch.stack(torch.broadcast_tensors(*columns), 1)
    inside = w.isfinite().all(1) & (jacobian > 0)
    w, weights = w[inside], (weights * jacobian)[inside]
    wrapper = Wrapper(toy)
    center = torch.nn.utils.parameters_to_vector(wrapper.parameters()).detach()
    tensors = dict(wrapper.named_parameters())

    def value(flat: Tensor) -> Tensor:
        pieces = flat.split([tensor.numel() for tensor in tensors.values()])
        leaves = {name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)}
        return functional_call(wrapper, leaves, (toy.data,))

    with torch.no_grad():
        loss = torch.cat([vmap(value)(chunk) for chunk in w.split(50_000)])
    weights = weights * (-(w - center).square().sum(1) / 2 - nbeta * loss).exp()
    return float(nbeta * (weights * loss).sum() / weights.sum())


def plain(*w: Tensor) -> tuple[list[Tensor], Tensor]:
    return list(w), torch.ones_like(w[0])


def mixture(power: int | None) -> Map:
    """Of two components near 0: their mean, and the distance between them."""

    def place(weight: Tensor, mean: Tensor, distance: Tensor) -> tuple[list[Tensor], Tensor]:
        odds = weight.exp() if power is None else weight**power
        share = odds / (1 + odds)
        return [weight, mean - share * distance, mean + (1 - share) * distance], torch.ones_like(mean)

    return place


def classes(weight: Tensor, *x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Two classes with binary features: the means of the features, and the gaps between the classes."""
    means, gaps = x[: len(x) // 2], x[len(x) // 2 :]
    second = weight.sigmoid()
    tables = [(0.5 + m - second * g, 0.5 + m + (1 - second) * g) for m, g in zip(means, gaps, strict=True)]
    probabilities = [p for p, _ in tables] + [p for _, p in tables]
    return [weight, *(p.logit() for p in probabilities)], logit_jacobian(*probabilities)


def chain(first: Tensor, second: Tensor, mean: Tensor, gap: Tensor) -> tuple[list[Tensor], Tensor]:
    """Logits of leaving the states, beside those at w*; the mean of the outputs, and the gap between the states."""
    first, second = first - log(3), second - log(3)
    share = first.sigmoid() / (first.sigmoid() + second.sigmoid())  # of the second state
    low, high = 0.5 + mean - share * gap, 0.5 + mean + (1 - share) * gap
    return [first, second, low.logit(), high.logit()], logit_jacobian(low, high)


def factor(*x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The deviations of the variances from 1, then the loadings."""
    deviations, loadings = x[: len(x) // 2], x[len(x) // 2 :]
    uniqueness = [1 + v - b**2 for v, b in zip(deviations, loadings, strict=True)]
    inside = torch.stack([u > 0 for u in uniqueness]).all(0)
    jacobian = torch.stack(uniqueness).reciprocal().prod(0)
    return [*loadings, *(u.log() for u in uniqueness)], jacobian.where(inside, 0)


def topics(mean: Tensor, gap: Tensor, share: Tensor, contrast: Tensor) -> tuple[list[Tensor], Tensor]:
    """Two documents, topics and words: of the second word, the mean over documents and the gap between topics."""
    logits = [share - contrast, share + contrast]
    second = (logits[0].sigmoid() + logits[1].sigmoid()) / 2
    low, high = 2 / 3 + mean - second * gap, 2 / 3 + mean + (1 - second) * gap
    return [low.logit(), high.logit(), *logits], 2 * logit_jacobian(low, high)


def logit_jacobian(*probabilities: Tensor) -> Tensor:
    """d logits / d probabilities; 0 outside (0, 1)."""
    p = torch.stack(probabilities)
    return (1 / (p * (1 - p))).prod(0).where(((p > 0) & (p < 1)).all(0), 0)


CASES: dict[str, tuple[Callable[[], toys.Toy], list[Rule], Map]] = {
    "two spins": (lambda: toys.rbm(2), [fine(0.4)] * 2, plain),
    "three spins": (lambda: toys.rbm(3), [fine(0.4)] * 3, plain),
    "normal": (lambda: toys.gaussian_mixture(2), [smooth, regular(1), fine(0.25)], mixture(None)),
    "normal, squares": (
        lambda: toys.gaussian_mixture(2, concentration=HALF),
        [fine(0.25), regular(1), fine(0.25)],
        mixture(2),
    ),
    "normal, fourth powers": (
        lambda: toys.gaussian_mixture(2, concentration=QUARTER),
        [fine(0.25), regular(1), fine(0.25)],
        mixture(4),
    ),
    "poisson": (lambda: toys.poisson_mixture(2), [smooth, regular(1), fine(0.25, both=True)], mixture(None)),
    "binomial": (lambda: toys.binomial_mixture(2, 2), [smooth, regular(0.5), fine(0.25)], mixture(None)),
    "one trial": (lambda: toys.binomial_mixture(2, 1), [smooth, regular(4), fine(0.4)], classes),
    "one feature": (lambda: toys.naive_bayes(1), [smooth, regular(4), fine(0.4)], classes),
    "two features": (lambda: toys.naive_bayes(2), [smooth, regular(4), regular(4), fine(0.4), fine(0.4)], classes),
    "one variable": (lambda: toys.factor_analysis(1), [regular(0.5), fine(0.4)], factor),
    "two variables": (lambda: toys.factor_analysis(2), [regular(0.5), regular(0.5), fine(0.4), fine(0.4)], factor),
    "chain": (lambda: toys.hmm(2), [smooth, smooth, regular(8), fine(0.25)], chain),
    "longer chain": (lambda: toys.hmm(4), [smooth, smooth, regular(16), fine(0.25)], chain),
    "topics": (lambda: toys.lda(2, 2, 2), [regular(4.5), fine(0.4), smooth, fine(0.4)], topics),
    "non-negative": (lambda: toys.nmf(1, 1, 1), [fine(0.2)] * 2, plain),
    "non-negative row": (lambda: toys.nmf(1, 2, 1), [fine(0.3)] * 3, plain),
    "multinomial": (lambda: toys.multinomial_boundary(3, 1, QUARTER), [regular(0.25), fine(0.2)], plain),
}


@pytest.mark.parametrize(("make", "axes", "place"), CASES.values(), ids=CASES.keys())
def test_energies_tend_to_the_value(make: Callable[[], toys.Toy], axes: list[Rule], place: Map):
    toy = make()
    assert toy.exact is not None
    energies = [energy(toy, axes, place, nbeta) for nbeta in (1e8, 1e12)]
    check(energies, toy.exact.rlct)


def check(energies: list[float], rlct: RLCT) -> None:
    """nbeta E[K] is lambda - (m - 1)/(log nbeta + c) but for powers of 1/nbeta, at 1e8 and 1e12."""
    below = [float(rlct.value) - found for found in energies]
    if rlct.multiplicity == 1:
        assert abs(below[1]) < 2e-3
    else:
        slope = (1 / below[1] - 1 / below[0]) / log(1e4)
        assert slope == pytest.approx(1 / (rlct.multiplicity - 1), rel=0.02)


def test_other_values_fail():
    make, axes, place = CASES["normal, squares"]
    energies = [energy(make(), axes, place, nbeta) for nbeta in (1e8, 1e12)]
    for wrong in (RLCT(Fraction(3, 4), 1), RLCT(Fraction(3, 4), 3), RLCT(Fraction(73, 100), 2), RLCT(1, 2)):
        with pytest.raises(AssertionError):
            check(energies, wrong)
