"""Toys of statistical models: precision, centers, symmetries, and settings read with care."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor

from slt import toys
from slt.errors import InputError, NotAvailableError
from tests.toys.at_points import hessian_at_center
from tests.toys.statistical import HALF, MAKERS, QUARTER, moved

every_toy = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@every_toy
def test_float32_keeps_the_root_of_the_loss(make: Callable[..., toys.Toy]):
    toy = make()
    exact = make()
    exact.model.double()
    start = torch.nn.utils.parameters_to_vector(toy.model.parameters()).detach()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for scale in 10.0 ** -torch.arange(8.0):
            w = start + scale * torch.randn(len(start), generator=generator)
            torch.nn.utils.vector_to_parameters(w, toy.model.parameters())
            torch.nn.utils.vector_to_parameters(w.double(), exact.model.parameters())
            found, true = toy.loss(toy.model, toy.data).double(), exact.loss(exact.model, exact.data)
            assert found >= -1e-13
            assert abs(found.clamp(min=0).sqrt() - true.clamp(min=0).sqrt()) < 1e-6 * (1 + true.sqrt())


def test_a_difference_of_entropies_would_not():
    toy = toys.naive_bayes(3)
    moved(toy, 1e-4, 0)
    q, log_p = toy.model.log_truth.exp(), toy.model()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    naive = (q * (q.log() - log_p)).sum().double()
    assert abs(naive - toy.loss(toy.model, toy.data)) > 1e-8


@pytest.mark.parametrize(
    "make",
    [
        lambda: toys.naive_bayes(4, "pair"),
        lambda: toys.naive_bayes(3, "generic"),
        lambda: toys.factor_analysis(4, "pair"),
        lambda: toys.factor_analysis(3, "generic", free_mean=True),
        lambda: toys.multinomial_boundary(4, 2),
        lambda: toys.binomial_mixture(2, 4, 2),
        lambda: toys.poisson_mixture(2, 2),
        lambda: toys.gaussian_mixture(2, 2, 2),
        lambda: toys.lda(3, 3, 2, rank=1),
    ],
)
@pytest.mark.usefixtures("float64")
def test_value_is_half_the_rank_where_the_rank_is_constant(make: Callable[[], toys.Toy]):
    toy = make()
    assert toy.exact is not None
    rank = int(torch.linalg.matrix_rank(hessian_at_center(toy), hermitian=True, rtol=1e-9))
    assert rank == 2 * toy.exact.value
    assert toy.exact.multiplicity == 1


def swap_components(w: dict[str, Tensor]) -> None:
    """The first with the second; the first has the logit 0."""
    w["locations"].copy_(w["locations"].flip(0))
    w["weights"].neg_()


def swap_classes(w: dict[str, Tensor]) -> None:
    w["table"].copy_(w["table"].flip(0))
    w["weight"].neg_()


def swap_states(w: dict[str, Tensor]) -> None:
    w["leaving"].copy_(w["leaving"].flip(0))
    w["emissions"].copy_(w["emissions"].flip(0))


def swap_coins(w: dict[str, Tensor]) -> None:
    w["emissions"].neg_()


def swap_topics(w: dict[str, Tensor]) -> None:
    """The first with the last."""
    w["words"].copy_(w["words"].flip(1))
    shares = torch.cat([torch.zeros_like(w["topics"][:1]), w["topics"]]).flip(0)
    w["topics"].copy_((shares - shares[0])[1:])


def turn_loadings(w: dict[str, Tensor]) -> None:
    w["loadings"].neg_()


def turn_one_spin(w: dict[str, Tensor]) -> None:
    w["couplings"][1].neg_()


def turn_a_root(w: dict[str, Tensor]) -> None:
    w["left"][0, 1].neg_()


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: toys.gaussian_mixture(2, 2), swap_components),
        (lambda: toys.poisson_mixture(2), swap_components),
        (lambda: toys.binomial_mixture(2, 4, 2), swap_components),
        (lambda: toys.naive_bayes(3, "generic"), swap_classes),
        (lambda: toys.hmm(4), swap_states),
        (lambda: toys.hmm(4), swap_coins),
        (lambda: toys.lda(3, 4, 3, rank=1), swap_topics),
        (lambda: toys.factor_analysis(3, "pair"), turn_loadings),
        (lambda: toys.rbm(4), turn_one_spin),
        (lambda: toys.nmf(2, 2, 2), turn_a_root),
    ],
)
@pytest.mark.usefixtures("float64")
def test_symmetry(make: Callable[[], toys.Toy], change: Callable[[dict[str, Tensor]], None]):
    toy = make()
    moved(toy, 1.0, 0)
    before = toy.loss(toy.model, toy.data).item()
    w = {name: p.detach() for name, p in toy.model.named_parameters()}
    old = {name: p.clone() for name, p in w.items()}
    change(w)
    assert not all(torch.equal(w[name], old[name]) for name in w)
    assert toy.loss(toy.model, toy.data).item() == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize(("sizes", "rank"), [((3, 4, 3), 0), ((4, 3, 3), 1), ((3, 3, 4), 2), ((5, 6, 3), 2)])
@pytest.mark.usefixtures("float64")
def test_topics_are_balanced(sizes: tuple[int, int, int], rank: int):
    model = toys.lda(*sizes, rank=rank).model
    w = {name: p.detach().numpy() for name, p in model.named_parameters()}
    words, shares = (softmax(np.concatenate([np.zeros_like(x[:1]), x]), 0) for x in (w["words"], w["topics"]))
    left, right = words[:, :-1] - words[:, -1:], shares - shares.mean(1, keepdims=True)
    ranks = [np.linalg.matrix_rank(matrix, tol=1e-12) for matrix in (left, right[:-1], words @ right)]
    assert ranks == [rank] * 3
    assert min(words.min(), shares.min()) > 0


@pytest.mark.usefixtures("float64")
def test_weights_of_a_mixture():
    shared = toys.gaussian_mixture(4, 2).model
    assert shared.proportions().tolist() == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6])  # pyright: ignore
    squares = toys.gaussian_mixture(4, 2, concentration=HALF).model
    assert squares.proportions().tolist() == [0.5, 0.5, 0, 0]  # pyright: ignore
    assert shared.locations.flatten().tolist() == [0, 3, 0, 0]  # pyright: ignore


@pytest.mark.parametrize(
    ("make", "value", "multiplicity"),
    [
        (lambda: toys.gaussian_mixture(3, dimension=2), 2, 1),
        (lambda: toys.gaussian_mixture(3, 1, 2, HALF), Fraction(3, 2), 1),
        (lambda: toys.poisson_mixture(4, 2, HALF), 2, 3),
        (lambda: toys.binomial_mixture(4, 6, 3, QUARTER), Fraction(21, 8), 1),
        (lambda: toys.nmf(2, 2, 3), Fraction(3, 2), 4),
        (lambda: toys.nmf(2, 1, 1, shapes=(QUARTER, HALF)), Fraction(1, 4), 2),
        (lambda: toys.naive_bayes(3), Fraction(9, 4), 1),
        (lambda: toys.multinomial_boundary(5, 3, Fraction(1, 6)), 1, 1),
    ],
)
def test_exact_answers(make: Callable[[], toys.Toy], value: Fraction, multiplicity: int):
    exact = make().exact
    assert exact is not None
    assert (exact.value, exact.multiplicity) == (value, multiplicity)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: toys.gaussian_mixture(1), InputError, "components must be an integer >= 2, got 1"),
        (lambda: toys.gaussian_mixture(2, 3), InputError, r"true_components must be at most the components \(2\)"),
        (lambda: toys.gaussian_mixture(7, dimension=3), InputError, "components must be at most 6 in 3 dimensions"),
        (lambda: toys.gaussian_mixture(2, dimension=4), InputError, "dimension must be at most 3, got 4"),
        (lambda: toys.gaussian_mixture(2, concentration=QUARTER * 3), InputError, "concentration must be one of"),
        (lambda: toys.gaussian_mixture(2, concentration=1), InputError, "concentration must be one of"),  # type: ignore
        (lambda: toys.poisson_mixture(2, concentration=0.5), InputError, "concentration must be an int or a Frac"),  # type: ignore
        (lambda: toys.binomial_mixture(3, 3, 2), NotAvailableError, "only for trials >= 4, got 3"),
        (lambda: toys.binomial_mixture(2, 100), InputError, "trials must be at most 99 for 1 true components"),
        (lambda: toys.naive_bayes(2, "generic"), InputError, "features must be an integer >= 3, got 2"),
        (lambda: toys.naive_bayes(3, "none"), InputError, "truth must be one of"),  # type: ignore
        (lambda: toys.naive_bayes(13), InputError, "features must be at most 12, got 13"),
        (lambda: toys.rbm(1), InputError, "visible must be an integer >= 2, got 1"),
        (lambda: toys.rbm(3, 2), NotAvailableError, "known for 1 hidden unit, got 2"),
        (lambda: toys.hmm(1), InputError, "length must be an integer >= 2, got 1"),
        (lambda: toys.hmm(3, 3), NotAvailableError, "known for 2 states, got 3"),
        (lambda: toys.factor_analysis(0), InputError, "variables must be an integer >= 1, got 0"),
        (lambda: toys.lda(3, 3, 1), InputError, "topics must be an integer >= 2, got 1"),
        (lambda: toys.lda(3, 3, 2, 2), InputError, "rank must be at most"),
        (lambda: toys.nmf(2, 2, 2, 1), NotAvailableError, "only bounds are known at rank 1"),
        (lambda: toys.nmf(2, 2, 2, shapes=(HALF, 1)), InputError, r"shapes\[1\] must be one of"),  # type: ignore
        (lambda: toys.multinomial_boundary(1), InputError, "cells must be an integer >= 2, got 1"),
        (lambda: toys.multinomial_boundary(3, 3), InputError, "zeros must be at most"),
    ],
)
def test_refuses(make: Callable[[], Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()
