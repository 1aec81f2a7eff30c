"""Networks with one hidden layer of tanh, ReLU, monomial or squared units, at truth 0 or at fewer true units."""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import integer
from slt.analytic.quadratic_networks import Data
from slt.errors import SettingsError
from slt.toys.hidden_layer import HiddenLayer, Inputs, gauss, mean_square, normal, shared_out, uniform_on
from slt.toys.toy import Toy, known, rows


@dataclass(frozen=True)
class Power:
    """The activation x -> x^degree."""

    degree: int

    def __call__(self, x: Tensor) -> Tensor:
        """x^degree, entry by entry."""
        return x**self.degree


def tanh_network(
    units: int,
    inputs: int = 1,
    outputs: int = 1,
    *,
    bias: bool = False,
    true_units: int = 0,
    n: int = 1000,
    seed: int = 0,
) -> Toy:
    """The toy with K(a, b) = E |sum_h a_h tanh(b_h . x) - truth|^2, x uniform on [-3, 3]^N by a Gauss-Legendre rule.

    The rule has 4 H + 16 nodes for one input, which give the integral to 1e-4 where b is of order 1, and 2 H + 4 along
    each of several. A finite rule has the RLCT of the integral where the f(x_i) - truth(x_i) at its nodes generate
    the same ideal near w* as those at all x. At truth 0 with one input, H nodes with different abs(x_i) > 0 do: f is
    the sum of c_n x^(2n + 1) sum_h a_h b_h^(2n + 1), and all its terms follow from the first H, as in `vandermonde`.
    One unit needs nodes that span the inputs (and 1, with a bias), two units at one true unit three nodes, and a
    regular model as many as give the Jacobian full rank.

    At truth 0 w* is 0. Else true unit h has a of 1 and -1, b_h of length h and c_h from N(0, 1/4), signs and
    directions being drawn, and the units to spare are copies of the first true unit that share its outer weight
    evenly: for two units at one true unit the most degenerate way to write the truth, where K is like
    u^2 + v^2 + d^4, d the difference of the two b_h.

    Args:
        units: H >= 1.
        inputs: N >= 1.
        outputs: M >= 1.
        bias: Whether the units have biases c_h.
        true_units: How many units the truth has, from 0 to H.
        n: The number of data rows, >= 2.
        seed: Draws the true units, >= 0; torch's global generator is not touched.

    Returns:
        The toy. Its `exact` is the value of `slt.analytic.tanh_network`, None where that is not known.

    Raises:
        InputError: If a number is no integer in its range, or there are so many inputs that the rule has more than
            20,000 nodes.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> tanh_network(4)
    Toy(tanh_network(4); 8 parameters, n=1000, exact rlct 1, multiplicity 2)
    """
    exact = known(lambda: analytic.tanh_network(units, inputs, outputs, bias=bias, true_units=true_units))
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    law = gauss(inputs, 4 * units + 16 if inputs == 1 else 2 * units + 4, half_width=3.0)
    if true_units == 0:
        start = _zeros(units, inputs, outputs, bias)
    else:
        start = shared_out(_true_units(true_units, inputs, outputs, bias, generator), units)
    shape = {"inputs": (inputs, 1), "outputs": (outputs, 1), "bias": (bias, False), "true_units": (true_units, 0)}
    name = _name("tanh_network", units, **shape)
    return Toy(HiddenLayer(torch.tanh, start, *law), rows(n), mean_square, exact, name)


def relu_network(
    units: int, inputs: int = 1, *, bias: bool = False, true_units: int = 0, n: int = 1000, seed: int = 0
) -> Toy:
    """The toy with K(a, b) = E (sum_h a_h relu(b_h . x) - truth)^2 over a fixed sample of inputs.

    No fixed rule follows kinks that move, so the law of x is a sample: 32 N points drawn from N(0, I) and their
    negatives, all equally probable, transformed to E x x^T = I. As relu(t)^2 + relu(-t)^2 = t^2, one unit at truth 0
    has K = a^2 |b|^2 / 2, and any number on one input without biases (f(1)^2 + f(-1)^2) / 2, the same numbers as under
    N(0, I). At one true unit the sample sees all directions of b, as a density does.

    At truth 0 w* is 0, where units with b > 0 and with b < 0 meet; with biases all units are dead there (c_h = -1),
    and K is 0 around it. Else true unit h has a of 1 or -1, b_h of length h and c_h from N(0, 1/4), signs and
    directions being drawn, and the units to spare are copies of the first that share its outer weight evenly.

    Args:
        units: H >= 1.
        inputs: N >= 1.
        bias: Whether the units have biases c_h.
        true_units: How many units the truth has, from 0 to H.
        n: The number of data rows, >= 2.
        seed: Draws the inputs and the true units, >= 0; torch's global generator is not touched.

    Returns:
        The toy. Its `exact` is the value of `slt.analytic.relu_network`, None where that is not known.

    Raises:
        InputError: If a number is no integer in its range.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> relu_network(1, inputs=2)
    Toy(relu_network(1, inputs=2); 3 parameters, n=1000, exact rlct 1/2, multiplicity 1)
    """
    exact = known(lambda: analytic.relu_network(units, inputs, bias=bias, true_units=true_units))
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    law = _mirrored_sample(inputs, generator)
    if true_units == 0:
        a, b, c = _zeros(units, inputs, 1, bias)
        start = a, b, None if c is None else c - 1
    else:
        start = shared_out(_true_units(true_units, inputs, 1, bias, generator), units)
    name = _name("relu_network", units, inputs=(inputs, 1), bias=(bias, False), true_units=(true_units, 0))
    return Toy(HiddenLayer(torch.relu, start, *law), rows(n), mean_square, exact, name)


def monomial_activation(units: int, degree: int, inputs: int = 1, outputs: int = 1, *, n: int = 1000) -> Toy:
    """The toy with K(a, b) = E |sum_h a_h (b_h . x)^k|^2, and w* = 0.

    The inputs are independent and uniform with variance 1. The mean is over a Gauss-Legendre rule with k + 1 nodes
    along each, which has it exactly; degree 1 is K = ||a b||_F^2.

    Args:
        units: H >= 1.
        degree: k >= 1.
        inputs: N >= 1.
        outputs: M >= 1.
        n: The number of data rows, >= 2.

    Returns:
        The toy. Its `exact` is the value of `slt.analytic.monomial_activation`, None where that is not known.

    Raises:
        InputError: If a number is no integer >= 1, or (k + 1)^N is above 20,000.
        SettingsError: If n is not an integer >= 2.

    >>> monomial_activation(3, degree=3)
    Toy(monomial_activation(3, degree=3); 6 parameters, n=1000, exact rlct 1/2, multiplicity 2)
    """
    exact = known(lambda: analytic.monomial_activation(units, degree, inputs, outputs))
    law = gauss(inputs, degree + 1, half_width=3**0.5)
    model = HiddenLayer(Power(degree), _zeros(units, inputs, outputs, bias=False), *law)
    name = _name("monomial_activation", units, degree=(degree, 0), inputs=(inputs, 1), outputs=(outputs, 1))
    return Toy(model, rows(n), mean_square, exact, name)


def quadratic_network(
    inputs: int, outputs: int, units: int, *, data: Data = "general", n: int = 1000, seed: int = 0
) -> Toy:
    """The toy with K(W, A) = E |W (A x)^2 - W* (A* x)^2|^2, squared entry by entry, at generic weights.

    The entries of W* and A* are drawn from N(0, 1): there the zeros of K are a smooth manifold, with probability 1.

    Args:
        inputs: d >= 1.
        outputs: q >= 1.
        units: K >= 1: A has shape (K, d), W shape (q, K).
        data: The inputs, all equally probable. "general": the d (d + 1) / 2 vectors e_i and e_i + e_j, i < j, on
            which no quadratic form vanishes; "pairs": all pairs of one-hot vectors, for modular addition, d = 2 q.
        n: The number of data rows, >= 2.
        seed: Draws the weights, >= 0; torch's global generator is not touched.

    Returns:
        The toy, with the exact RLCT of `slt.analytic.quadratic_network`: half the rank of the Jacobian.

    Raises:
        InputError: If a number is no integer >= 1, `data` is unknown, or d is not 2 q for pairs.
        SettingsError: If n is not an integer >= 2 or the seed not an integer >= 0.

    >>> quadratic_network(3, 2, 4)
    Toy(quadratic_network(3, 2, 4); 20 parameters, n=1000, exact rlct 6, multiplicity 1)
    """
    exact = analytic.quadratic_network(inputs, outputs, units, data=data)
    generator = torch.Generator("cpu").manual_seed(integer("seed", seed, 0, SettingsError))
    start = normal(outputs, units, generator=generator), normal(units, inputs, generator=generator), None
    model = HiddenLayer(Power(2), start, *uniform_on(_quadratic_inputs(inputs, data)))
    shown = "" if data == "general" else f", data={data!r}"
    name = f"quadratic_network({inputs}, {outputs}, {units}{shown})"
    return Toy(model, rows(n), mean_square, exact, name)


def _zeros(units: int, inputs: int, outputs: int, bias: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    return torch.zeros(outputs, units), torch.zeros(units, inputs), torch.zeros(units) if bias else None


def _true_units(
    units: int, inputs: int, outputs: int, bias: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Units that are far from 0 and from each other: a is 1 or -1, b_h has length h, and c is N(0, 1/4)."""
    a, b = normal(outputs, units, generator=generator).sign(), normal(units, inputs, generator=generator)
    lengths = torch.arange(1, units + 1, dtype=torch.float64, device="cpu")
    b = b / b.norm(dim=1, keepdim=True) * lengths[:, None]
    return a, b, normal(units, generator=generator) / 2 if bias else None


def _mirrored_sample(inputs: int, generator: torch.Generator) -> Inputs:
    """Points and their negatives with second moments I."""
    x = normal(32 * inputs, inputs, generator=generator)
    lower = torch.linalg.cholesky(x.T @ x / len(x))
    x = torch.linalg.solve_triangular(lower, x.T, upper=False).T
    return uniform_on(torch.cat([x, -x]))


def _quadratic_inputs(inputs: int, data: Data) -> Tensor:
    one = torch.eye(inputs, dtype=torch.float64, device="cpu")
    if data == "pairs":
        half = inputs // 2
        return torch.stack([one[i] + one[half + j] for i in range(half) for j in range(half)])
    return torch.stack([*one, *(one[i] + one[j] for i, j in combinations(range(inputs), 2))])


def _name(function: str, units: int, **arguments: tuple[object, object]) -> str:
    """The call in words, without the arguments (value, default) that are at their default."""
    shown = [f"{key}={value}" for key, (value, default) in arguments.items() if value != default]
    return f"{function}({', '.join([str(units), *shown])})"
