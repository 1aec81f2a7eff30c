"""Mixtures with more components than the truth: the oldest singular models of statistics."""

from fractions import Fraction
from itertools import product
from math import floor, log

import numpy as np
import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import integer
from slt.errors import InputError
from slt.toys.finite_states import even_power, relative_entropy
from slt.toys.mixture_models import BinomialMixture, GaussianMixture, PoissonMixture
from slt.toys.toy import Toy, rows

_NODES = (40, 20, 12)  # of the Gauss rule on each axis, for means in one, two and three dimensions
_RAREST = 1e-30  # the smallest true probability of a count: less would leave the range of float32


def gaussian_mixture(
    components: int,
    true_components: int = 1,
    dimension: int = 1,
    concentration: Fraction | None = None,
    *,
    n: int = 1000,
) -> Toy:
    r"""The toy of a mixture of H normal laws in R^M of unit covariance, where the truth has r, of equal weight.

    The true means are 3 apart on a line. At w* the H - r extra components lie on the first true mean. By default
    they share its weight, and all weights stay positive, being a softmax: the distances then count for M/2 each, as
    under any Dirichlet prior of a concentration above M/2; `.exact` is the entry of the concentration M. With a
    concentration phi of 1/2, 1/4, ... an extra component has the weight :math:`\theta^{1/\varphi}` beside the first,
    and w* is at theta = 0, where weights and distances vanish both: that is where the entry's lambda and m are.

    The integral in K is a Gauss rule about each true mean, on 40, 20 or 12 nodes an axis:

    .. math:: K = \sum_x \omega_x \big(e^{t(x)} - 1 - t(x)\big), \qquad t(x) = \log p(x) - \log q(x)

    With one true component it is the divergence to 1e-4 of it where no mean is off by more than about 1; with more
    of them, to 1e-3 in a plane and 2% in space. It too is >= 0, and 0 where p = q alone, and its lambda and m are
    those of the divergence: near w* both are mean squares of p - q, a sum of r exponentials times polynomials whose
    coefficients, of which K is made, are fixed by its values at 2H nodes on each axis.

    Args:
        components: H, from 2 to half the nodes on an axis.
        true_components: r, from 1 to H.
        dimension: M, 1, 2 or 3.
        concentration: phi, a Fraction 1/2, 1/4, ...; None keeps the weights positive.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with H - 1 + H M parameters and the exact RLCT of `slt.analytic.gaussian_mixture`.

    Raises:
        InputError: If a number is no integer in its range, or phi is not as above.
        SettingsError: If n is not an integer >= 2.

    >>> gaussian_mixture(2)
    Toy(gaussian_mixture(2); 3 parameters, n=1000, exact rlct 3/4, multiplicity 1)
    >>> gaussian_mixture(2, concentration=Fraction(1, 2)).exact.rlct
    RLCT(3/4, 2)
    """
    h, r, power = _components(components, true_components, concentration)
    dim = integer("dimension", dimension, 1)
    if dim > len(_NODES):
        raise InputError(f"dimension must be at most {len(_NODES)}, got {dim}: the loss is a sum over a grid.")
    if 2 * h > _NODES[dim - 1]:
        raise InputError(f"components must be at most {_NODES[dim - 1] // 2} in {dim} dimensions, got {h}.")
    means = torch.zeros(r, dim, dtype=torch.float64, device="cpu")
    means[:, 0] = 3 * torch.arange(r)
    nodes, masses = _gauss_rule(dim)
    points = (means[:, None] + nodes).flatten(0, 1)
    model = GaussianMixture(h, power, means, points).freeze_truth(masses.repeat(r) / r)
    exact = analytic.gaussian_mixture(h, r, dim, dim if power is None else Fraction(1, power))
    shown = _shown(h, r, power, dimension=dim if dim > 1 else None)
    return Toy(model, rows(n), relative_entropy, exact, f"gaussian_mixture({shown})")


def poisson_mixture(
    components: int, true_components: int = 1, concentration: Fraction | None = None, *, n: int = 1000
) -> Toy:
    r"""The toy of a mixture of H Poisson laws, where the truth has r of equal weight, with the rates 1, 4, ..., r^2.

    The parameters are log rates and weights; w* and the weights are as in `gaussian_mixture` with M = 1. The sum

    .. math:: K = \sum_x q(x) \big(e^{t(x)} - 1 - t(x)\big), \qquad t(x) = \log p(x) - \log q(x)

    ends at the count :math:`X = r^2 + 10 r + 10`, beyond which q has less than 1e-9. So K is the divergence, less the
    probability of more than X counts under the model, and it is 0 for the same parameters.

    Args:
        components: H >= 2.
        true_components: r, from 1 to H.
        concentration: phi, a Fraction 1/2, 1/4, ...; None keeps the weights positive.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with 2H - 1 parameters and the exact RLCT (Sato & Watanabe, 2019).

    Raises:
        InputError: If a number is no integer in its range, or phi is not as above.
        SettingsError: If n is not an integer >= 2.

    >>> poisson_mixture(3, 2)
    Toy(poisson_mixture(3, 2); 5 parameters, n=1000, exact rlct 7/4, multiplicity 1)
    """
    h, r, power = _components(components, true_components, concentration)
    log_rates = 2 * torch.arange(1, r + 1, dtype=torch.float64, device="cpu").log()
    counts = torch.arange(r**2 + 10 * r + 11, dtype=torch.float64, device="cpu")
    model = PoissonMixture(h, power, log_rates, -torch.lgamma(counts + 1)).freeze_truth()
    exact = analytic.poisson_mixture(h, r, 1 if power is None else Fraction(1, power))
    return Toy(model, rows(n), relative_entropy, exact, f"poisson_mixture({_shown(h, r, power)})")


def binomial_mixture(
    components: int, trials: int, true_components: int = 1, concentration: Fraction | None = None, *, n: int = 1000
) -> Toy:
    r"""The toy of a mixture of H binomial laws of N trials, where the truth has r of equal weight.

    The true probabilities are 1/(r + 1), ..., r/(r + 1). The parameters are logits and weights; w* and the weights
    are as in `gaussian_mixture` with M = 1. K is the divergence, a sum over the N + 1 counts.

    Args:
        components: H >= 2.
        trials: N >= 1.
        true_components: r, from 1 to H.
        concentration: phi, a Fraction 1/2, 1/4, ...; None keeps the weights positive.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with 2H - 1 parameters and the exact RLCT of `slt.analytic.binomial_mixture`.

    Raises:
        InputError: If a number is no integer in its range, phi is not as above, or there are so many trials that the
            rarest count has a true probability below 1e-30.
        NotAvailableError: If r >= 2 and N < 2r, too few trials to tell the true components.
        SettingsError: If n is not an integer >= 2.

    >>> binomial_mixture(2, trials=2)
    Toy(binomial_mixture(2, trials=2); 3 parameters, n=1000, exact rlct 3/4, multiplicity 1)
    """
    h, r, power = _components(components, true_components, concentration)
    exact = analytic.binomial_mixture(h, trials, r, 1 if power is None else Fraction(1, power))
    most = floor(-log(_RAREST) / log(r + 1))
    if trials > most:
        raise InputError(f"trials must be at most {most} for {r} true components, got {trials}.")
    probabilities = torch.arange(1, r + 1, dtype=torch.float64, device="cpu") / (r + 1)
    counts = torch.arange(trials + 1, dtype=torch.float64, device="cpu")
    choices = -torch.lgamma(counts + 1) - torch.lgamma(trials - counts + 1)
    log_base = choices + torch.lgamma(torch.tensor(trials + 1.0, dtype=torch.float64, device="cpu"))
    model = BinomialMixture(h, power, probabilities.logit(), log_base).freeze_truth()
    return Toy(model, rows(n), relative_entropy, exact, f"binomial_mixture({_shown(h, r, power, trials=trials)})")


def _components(components: int, true_components: int, concentration: Fraction | None) -> tuple[int, int, int | None]:
    h, r = integer("components", components, 2), integer("true_components", true_components, 1)
    if r > h:
        raise InputError(f"true_components must be at most the components ({h}), got {r}.")
    return h, r, None if concentration is None else even_power(concentration, "concentration")


def _gauss_rule(dimension: int) -> tuple[Tensor, Tensor]:
    """Points, shape (states, M), and weights of the Gauss-Hermite rule for the standard normal law in R^M."""
    axis, weights = np.polynomial.hermite_e.hermegauss(_NODES[dimension - 1])
    grid = np.array(list(product(axis, repeat=dimension)))
    masses = np.array(list(product(weights / weights.sum(), repeat=dimension))).prod(1)
    return torch.from_numpy(grid), torch.from_numpy(masses)


def _shown(components: int, true_components: int, power: int | None, **others: int | None) -> str:
    """The arguments as they would be written, without those that have their defaults."""
    given = {**others, "concentration": None if power is None else f"1/{power}"}
    first = f"{components}" if true_components == 1 else f"{components}, {true_components}"
    return ", ".join([first, *(f"{name}={value}" for name, value in given.items() if value is not None)])
