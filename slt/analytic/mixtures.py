"""Mixtures with more components than the truth; their weights are probabilities, and so not negative."""

from fractions import Fraction

from slt.analytic.checks import integer, plain, rational
from slt.analytic.entry import Entry
from slt.analytic.rlct import RLCT
from slt.errors import InputError, NotAvailableError

_DERIVED = "derived: a regular part, and (sum_j a_j |d_j|^2)^2 for the extra components"
_TRUTH = "the true components differ, with positive weights"


def gaussian_mixture(
    components: int, true_components: int = 1, dimension: int = 1, concentration: int | Fraction = 1
) -> Entry:
    r"""A mixture of H normal laws in R^M of known covariance, where the truth has r.

    Means and weights are free, the weights under a Dirichlet prior with all parameters phi:

    .. math:: \lambda = \frac{r (M + 1) - 1}{2} + \frac{H - r}{2} \min\Big(\varphi, \frac{M}{2}\Big)

    and m = H - r + 1 where phi = M/2, else 1. An extra component either has weight 0 (phi each) or merges with
    others, where K is of order 4 in the distances (M/2 each). As weights are not negative these cannot cancel,
    which is why `vandermonde`, made for signed ones, is too small.

    Args:
        components: H >= 1.
        true_components: r, from 1 to H.
        dimension: M >= 1.
        concentration: phi > 0, an int or a Fraction; 1 are uniform weights.

    Returns:
        The exact lambda and m; for M = 1 and phi = 1 they are (3r + H - 2) / 4 and 1, as of Poisson mixtures (Sato
        & Watanabe, 2019).

    Raises:
        InputError: If a number is no integer in its range, or phi no int or Fraction > 0.

    >>> gaussian_mixture(2).rlct
    RLCT(3/4, 1)
    >>> gaussian_mixture(3, dimension=2).rlct
    RLCT(2, 3)
    """
    h, r = _components(components, true_components)
    dim, phi = integer("dimension", dimension, 1), rational("concentration", concentration, above=0)
    return Entry(
        rlct=_mixture(h, r, dim, phi),
        family="Gaussian mixture",
        parameters=_parameters(h, r, phi) | {"dimension": dim},
        K="KL(true mixture || mixture)",
        domain="weights on the simplex, means in a compact set",
        prior="Dirichlet(phi) for the weights, positive and continuous for the means",
        source=f"{_DERIVED}; compare Rousseau & Mengersen (2011) for the threshold phi = M/2",
        conditions=f"covariance known; {_TRUTH}",
    )


def poisson_mixture(components: int, true_components: int = 1, concentration: int | Fraction = 1) -> Entry:
    r"""A mixture of H Poisson laws, where the truth has r.

    .. math:: \lambda = \frac{2r - 1}{2} + \frac{H - r}{2} \min\Big(\varphi, \frac12\Big)

    and m = H - r + 1 where phi = 1/2, else 1. For uniform weights lambda = (3r + H - 2) / 4.

    Args:
        components: H >= 1.
        true_components: r, from 1 to H.
        concentration: phi > 0 of the weights' Dirichlet prior, an int or a Fraction; 1 are uniform weights.

    Returns:
        The exact lambda and m (Sato & Watanabe, 2019; other phi derived).

    Raises:
        InputError: If a number is no integer in its range, or phi no int or Fraction > 0.

    >>> poisson_mixture(3, 2).rlct
    RLCT(7/4, 1)
    """
    h, r = _components(components, true_components)
    phi = rational("concentration", concentration, above=0)
    return Entry(
        rlct=_mixture(h, r, 1, phi),
        family="Poisson mixture",
        parameters=_parameters(h, r, phi),
        K="KL(true mixture || mixture)",
        domain="weights on the simplex, rates in a compact set of positive numbers",
        prior="Dirichlet(phi) for the weights, positive and continuous for the rates",
        source="Sato & Watanabe (2019), arXiv:1912.13289; other phi derived",
        conditions=_TRUTH,
    )


def binomial_mixture(
    components: int, trials: int, true_components: int = 1, concentration: int | Fraction = 1
) -> Entry:  # fmt: skip
    r"""A mixture of H binomial laws of N trials, where the truth has r.

    Enough trials tell the components apart like normal laws in one dimension:

    .. math:: \lambda = \frac{2r - 1}{2} + \frac{H - r}{2} \min\Big(\varphi, \frac12\Big)

    and m = H - r + 1 where phi = 1/2, else 1. One trial tells only the mean: (1/2, 1).

    Args:
        components: H >= 1.
        trials: N >= 1.
        true_components: r, from 1 to H.
        concentration: phi > 0 of the weights' Dirichlet prior, an int or a Fraction; 1 are uniform weights.

    Returns:
        The exact lambda and m.

    Raises:
        InputError: If a number is no integer in its range, or phi no int or Fraction > 0.
        NotAvailableError: If r >= 2 and N < 2r, too few trials to tell the true components.

    >>> binomial_mixture(3, trials=2).rlct
    RLCT(1, 1)
    """
    h, r = _components(components, true_components)
    n, phi = integer("trials", trials, 1), rational("concentration", concentration, above=0)
    if r >= 2 and n < 2 * r:
        raise NotAvailableError(
            f"The value of a binomial mixture with {r} true components is known only for trials >= {2 * r}, got {n}."
        )
    return Entry(
        rlct=RLCT(Fraction(1, 2), 1) if n == 1 else _mixture(h, r, 1, phi),
        family="binomial mixture",
        parameters=_parameters(h, r, phi) | {"trials": n},
        K="KL(true mixture || mixture)",
        domain="weights on the simplex, probabilities in a compact part of (0, 1)",
        prior="Dirichlet(phi) for the weights, positive and continuous for the probabilities",
        source=_DERIVED,
        conditions=_TRUTH,
    )


def _mixture(h: int, r: int, dimension: int, phi: Fraction) -> RLCT:
    found = RLCT(Fraction(r * (dimension + 1) - 1, 2), 1)
    for _ in range(h - r):
        # one extra component is (a |d|^2)^2, where a has the density a^(phi - 1)
        found += RLCT(phi / 2, 1) * RLCT(Fraction(dimension, 4), 1)
    return found


def _components(components: int, true_components: int) -> tuple[int, int]:
    h, r = integer("components", components, 1), integer("true_components", true_components, 1)
    if r > h:
        raise InputError(f"true_components must be at most the components ({h}), got {r}.")
    return h, r


def _parameters(h: int, r: int, phi: Fraction) -> dict[str, object]:
    return {"components": h, "true_components": r, "concentration": plain([phi])[0]}
