"""Networks with one hidden layer: their losses against integrals, their symmetries, their points and answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from slt import analytic, toys
from slt.errors import InputError
from slt.toys.activations import Power
from slt.toys.hidden_layer import HiddenLayer, Inputs, gauss, mean_square
from tests.toys.at_points import hessian_rank, loss_at, random_parameters


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model_of(toy: toys.Toy) -> HiddenLayer:
    assert isinstance(toy.model, HiddenLayer)
    return toy.model


def start_of(toy: toys.Toy) -> list[np.ndarray]:
    return [parameter.detach().numpy() for parameter in toy.model.parameters()]


def value_of(toy: toys.Toy) -> float:
    assert toy.exact is not None
    return float(toy.exact.value)


@pytest.mark.parametrize(("units", "true"), [(1, 0), (3, 0), (2, 1), (2, 2)])
def test_tanh_loss_is_the_integral(units: int, true: int):
    toy = toys.tanh_network(units, true_units=true)
    a_star, b_star = start_of(toy)
    a, b = random_parameters(toy, scale=0.7)

    def square(x: float) -> float:
        f, truth = a[0] @ np.tanh(b[:, 0] * x), a_star[0] @ np.tanh(b_star[:, 0] * x)
        return float(f - truth) ** 2 / 6

    assert loss_at(toy, a, b) == pytest.approx(quad(square, -3, 3, epsabs=1e-12, epsrel=1e-12)[0], rel=5e-5)


def test_tanh_loss_of_two_inputs_with_biases_and_outputs():
    toy = toys.tanh_network(1, 2, 3, bias=True)
    a, b, c = random_parameters(toy, scale=0.2)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x = 3 * np.array([[u, v] for u in nodes for v in nodes])
    f = np.tanh(x @ b.T + c) @ a.T
    assert loss_at(toy, a, b, c) == pytest.approx(np.outer(weights, weights).ravel() / 4 @ (f**2).sum(1), rel=1e-5)


@pytest.mark.parametrize("units", [2, 3])
def test_tanh_rule_sees_all_that_the_integral_sees(units: int):
    """Where the rule's loss is smallest for given b it stays a fixed share of the power sums; a short rule fails."""

    def worst(law: Inputs) -> list[float]:
        rng, found = np.random.default_rng(0), []
        for size in (0.4, 0.2, 0.1):
            shares = []
            for _ in range(30):
                b = size * rng.uniform(0.2, 1, units)
                a = np.linalg.svd(np.tanh(law.nodes.numpy() * b))[2][-1]
                start = torch.tensor(a[None]), torch.tensor(b[:, None]), None
                model = HiddenLayer(torch.tanh, start, *law)
                model.truth.zero_()
                shares.append(mean_square(model, ()).item() / loss_at(toys.vandermonde(units, 2), a[None], b))
            found.append(min(shares))
        return found

    enough, short = worst(gauss(1, 4 * units + 16, 1.0)), worst(gauss(1, 2 * units - 2, 1.0))
    assert max(enough) < 3 * min(enough)
    assert max(short) < 1e-3 * min(enough)


@pytest.mark.parametrize(("units", "inputs", "outputs"), [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 3), (3, 1, 2)])
def test_tanh_network_with_all_units_true_is_regular(units: int, inputs: int, outputs: int):
    toy = toys.tanh_network(units, inputs, outputs, true_units=units)
    assert hessian_rank(toy, rtol=1e-12) == units * (inputs + outputs) == 2 * value_of(toy)


def test_two_tanh_units_at_one_true_unit():
    """Two regular directions, and the fourth power of the distance of the units: 1/2 + 1/2 + 1/4."""
    toy = toys.tanh_network(2, true_units=1)
    (a, b), d = start_of(toy), 0.01
    assert a[0, 0] == a[0, 1] != 0
    assert b[0] == b[1] != 0
    assert hessian_rank(toy) == 2
    apart = [loss_at(toy, a, b + np.array([[size], [-size]])) for size in (2 * d, d)]
    assert apart[0] / apart[1] == pytest.approx(16, rel=0.01)
    assert value_of(toy) == 1 / 2 + 1 / 2 + 1 / 4


def test_units_to_spare_share_the_first_true_unit():
    toy, small = (toys.tanh_network(h, 2, 2, bias=True, true_units=2, seed=3) for h in (4, 2))
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(toy.model(x), small.model(x), rtol=1e-13, atol=1e-13)
    assert toy.exact is None
    a, b, c = start_of(toy)
    assert (a[:, :3] == a[:, :1]).all()
    assert (b[:3] == b[0]).all()
    assert (c[:3] == c[0]).all()
    assert not (b[3] == b[0]).any()


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_relu_unit_at_truth_0_is_a_product_of_norms(inputs: int):
    toy = toys.relu_network(1, inputs)
    a, b = random_parameters(toy)
    assert loss_at(toy, a, b) == pytest.approx((a**2).sum() * (b**2).sum() / 2, rel=1e-12)


def test_relu_units_on_one_input_are_two_sums():
    toy = toys.relu_network(4)
    a, b = random_parameters(toy, seed=1)
    assert (b > 0).any()
    assert (b < 0).any()
    sums = [(a[0] * np.maximum(sign * b[:, 0], 0)).sum() for sign in (1, -1)]
    assert loss_at(toy, a, b) == pytest.approx((sums[0] ** 2 + sums[1] ** 2) / 2, rel=1e-12)


@pytest.mark.parametrize("inputs", [1, 2, 4])
def test_one_relu_unit_at_one_true_unit(inputs: int):
    toy = toys.relu_network(1, inputs, true_units=1)
    assert hessian_rank(toy) == inputs == 2 * value_of(toy)
    a, b = start_of(toy)
    assert loss_at(toy, a / 3, 3 * b) < 1e-28
    assert loss_at(toy, a, -b) > 0.1


def test_dead_relu_units_lose_nothing_nearby():
    toy = toys.relu_network(2, 2, bias=True)
    a, b, c = random_parameters(toy, scale=0.1)
    assert loss_at(toy, a, b, c - 1) == 0
    assert loss_at(toy, a, b, c + 1) > 0
    assert value_of(toy) == 0


def test_relu_truth_with_biases():
    toy = toys.relu_network(2, 2, bias=True, true_units=1)
    a, b, c = start_of(toy)
    assert c[0] == c[1] != 0
    assert loss_at(toy, a + 1, b, c) > 0.01
    assert toy.exact is None


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_monomial_formula_of_one_input(degree: int):
    toy = toys.monomial_activation(3, degree)
    a, b = random_parameters(toy)
    expected = (a[0] @ b[:, 0] ** degree) ** 2 * 3**degree / (2 * degree + 1)
    assert loss_at(toy, a, b) == pytest.approx(expected, rel=1e-12)


def test_monomial_formula_of_several_inputs():
    linear, squared = toys.monomial_activation(2, 1, 3, 2), toys.monomial_activation(1, 2, 3, 2)
    a, b = random_parameters(linear)
    assert loss_at(linear, a, b) == pytest.approx(np.linalg.norm(a @ b) ** 2, rel=1e-12)
    assert value_of(linear) == analytic.reduced_rank_regression(3, 2, 2).value
    a, b = random_parameters(squared)
    fourth = 9 / 5 * (b**4).sum() + 3 * ((b**2).sum() ** 2 - (b**4).sum())
    assert loss_at(squared, a, b) == pytest.approx((a**2).sum() * fourth, rel=1e-12)


@pytest.mark.parametrize(("inputs", "outputs", "units"), [(1, 1, 1), (3, 2, 2), (3, 2, 9), (4, 1, 3), (3, 3, 4)])
def test_squared_units_have_the_jacobians_rank(inputs: int, outputs: int, units: int):
    toy = toys.quadratic_network(inputs, outputs, units, seed=1)
    assert hessian_rank(toy, rtol=1e-12) == 2 * value_of(toy)


def test_squared_units_on_pairs():
    toy = toys.quadratic_network(6, 3, 2, data="pairs")
    assert hessian_rank(toy, rtol=1e-12) == 2 * 7 == 2 * value_of(toy)
    w, a = random_parameters(toy)
    w_star, a_star = start_of(toy)
    total = 0.0
    for i in range(3):
        for j in range(3):
            f = w @ (a[:, i] + a[:, 3 + j]) ** 2 - w_star @ (a_star[:, i] + a_star[:, 3 + j]) ** 2
            total += (f**2).sum() / 9
    assert loss_at(toy, w, a) == pytest.approx(total, rel=1e-12)


def test_general_inputs_carry_no_quadratic_form():
    inputs = model_of(toys.quadratic_network(4, 1, 1)).inputs
    monomials = (inputs[:, :, None] * inputs[:, None, :]).flatten(1)
    assert torch.linalg.matrix_rank(monomials) == 4 * 5 // 2 == len(inputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: toys.tanh_network(3, 2, 2, bias=True, true_units=1),
        lambda: toys.relu_network(3, 2, true_units=2),
        lambda: toys.monomial_activation(3, 3),
        lambda: toys.quadratic_network(3, 2, 3),
    ],
)
def test_the_order_of_units_does_not_matter(make: Callable[[], toys.Toy]):
    toy, order = make(), [2, 0, 1]
    a, b, *c = random_parameters(toy)
    permuted = loss_at(toy, a[:, order], b[order], *(bias[order] for bias in c))
    assert permuted == pytest.approx(loss_at(toy, a, b, *c), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "outer", "inner"),
    [
        (lambda: toys.tanh_network(2, 2, true_units=1), -1.0, -1.0),
        (lambda: toys.relu_network(2, 2, true_units=1), 1 / 3, 3.0),
        (lambda: toys.monomial_activation(2, 3), 1 / 8, 2.0),
        (lambda: toys.monomial_activation(2, 3), -1.0, -1.0),
        (lambda: toys.quadratic_network(2, 2, 2), 1 / 4, -2.0),
    ],
)
def test_rescaled_units_are_the_same(make: Callable[[], toys.Toy], outer: float, inner: float):
    toy = make()
    a, b = random_parameters(toy)
    scaled = np.concatenate([a[:, :1] * outer, a[:, 1:]], 1), np.concatenate([b[:1] * inner, b[1:]])
    assert loss_at(toy, *scaled) == pytest.approx(loss_at(toy, a, b), rel=1e-11)


def test_rule_is_the_uniform_law():
    law = gauss(2, 3, half_width=2.0)
    assert law.weights.sum().item() == pytest.approx(1, rel=1e-14)
    assert (law.weights @ law.nodes.pow(4).prod(1)).item() == pytest.approx(4**4 / 25, rel=1e-13)
    assert Power(3)(torch.tensor(-2.0)).item() == -8


def test_the_seed_decides():
    one, same, other = (start_of(toys.relu_network(2, 2, true_units=1, seed=seed)) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert (one[1] != other[1]).all()


def test_names():
    assert toys.tanh_network(3).name == "tanh_network(3)"
    assert toys.tanh_network(3, 2, true_units=1, bias=True).name == "tanh_network(3, inputs=2, bias=True, true_units=1)"
    assert toys.quadratic_network(4, 2, 1, data="pairs").name == "quadratic_network(4, 2, 1, data='pairs')"
    assert toys.monomial_activation(1, 2, outputs=2).name == "monomial_activation(1, degree=2, outputs=2)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toys.tanh_network(0), "units must be an integer >= 1, got 0"),
        (lambda: toys.tanh_network(1, true_units=2), r"true_units must be at most the units \(1\), got 2"),
        (lambda: toys.tanh_network(1, 6), "at most 20000, got 6 inputs"),
        (lambda: toys.tanh_network(1, seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: toys.relu_network(1, 1.5), "inputs must be an integer >= 1, got 1.5"),
        (lambda: toys.relu_network(1, seed=None), "seed must be an integer >= 0, got None"),
        (lambda: toys.monomial_activation(1, 0), "degree must be an integer >= 1, got 0"),
        (lambda: toys.monomial_activation(1, 9, 5), "at most 20000, got 5 inputs"),
        (lambda: toys.quadratic_network(3, 2, 1, data="pairs"), r"inputs must be twice the outputs \(4\)"),
        (lambda: toys.quadratic_network(3, 2, 1, data="some"), "data must be one of general, pairs, got 'some'"),
    ],
)
def test_refuses(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()
