"""Models of binary features with one hidden variable: two classes, a binary unit, a chain of states."""

from math import log

import torch
from torch import Tensor

from slt import analytic
from slt.analytic.checks import integer
from slt.analytic.latent_variables import Truth
from slt.errors import InputError
from slt.toys.finite_states import StatesModel, parameter, relative_entropy
from slt.toys.toy import Toy, rows

_MOST = 12
"""The most features: K is a sum over all their states."""


class NaiveBayes(StatesModel):
    """Two classes in which n binary features are independent.

    Attributes:
        weight: The logit of the second class, shape (1,).
        table: The logit of each feature in each class, shape (2, n).
        features: All states, 0 or 1, shape (2^n, n).
    """

    features: Tensor

    def __init__(self, table: Tensor) -> None:
        """Start at this table, with classes of equal weight."""
        super().__init__()
        self.weight, self.table = parameter(torch.zeros(1, device="cpu")), parameter(table)
        self.register_buffer("features", binary_states(table.shape[1]), persistent=False)

    def log_probabilities(self) -> Tensor:
        """Return log p(x), shape (2^n,)."""
        table = self.table[:, None]
        within = torch.nn.functional.logsigmoid(table * (2 * self.features - 1)).sum(-1)
        return torch.logsumexp(within + two_logs(self.weight)[:, None], 0)


class BoltzmannMachine(StatesModel):
    """p(x) ~ cosh(a . x) of n spins x_i = 1 or -1; as x and -x are as probable, they are one state.

    Attributes:
        couplings: a, shape (n,).
        spins: The states with x_1 = 1, shape (2^(n - 1), n).
    """

    spins: Tensor

    def __init__(self, visible: int) -> None:
        """Start at a = 0."""
        super().__init__()
        self.couplings = parameter(torch.zeros(visible, device="cpu"))
        states = 2 * binary_states(visible - 1) - 1
        self.register_buffer("spins", torch.cat([torch.ones_like(states[:, :1]), states], 1), persistent=False)

    def log_probabilities(self) -> Tensor:
        """Return log p(x) + log p(-x), shape (2^(n - 1),); the mean of cosh(a . x) is the product of cosh(a_i)."""
        fields = log_cosh(self.spins @ self.couplings)
        return fields - log_cosh(self.couplings).sum(-1) - log(len(fields))


class HiddenMarkov(StatesModel):
    """A stationary chain of two hidden states, each of which shows 0 or 1 by its own probability.

    Attributes:
        leaving: The logits of leaving each hidden state, shape (2,).
        emissions: The logits of showing 1 in each, shape (2,).
    """

    def __init__(self, length: int) -> None:
        """Start at fair coins, with states that stay three times out of four."""
        super().__init__()
        self.leaving = parameter(torch.full((2,), 0.25, dtype=torch.float64, device="cpu").logit())
        self.emissions = parameter(torch.zeros(2, device="cpu"))
        self._length = length

    def log_probabilities(self) -> Tensor:
        """Return the logs for all sequences, shape (2^T,), by the forward recursion, which lengthens them by one."""
        log_sigmoid = torch.nn.functional.logsigmoid
        stay, leave = log_sigmoid(-self.leaving), log_sigmoid(self.leaving)
        # in equilibrium as many leave the first state as leave the second
        state = leave.flip(0) - torch.logsumexp(leave, 0)
        shown = torch.stack([log_sigmoid(-self.emissions), log_sigmoid(self.emissions)])
        forward = state + shown
        for _ in range(self._length - 1):
            arriving = torch.logaddexp(forward + stay, (forward + leave).flip(-1))
            forward = (arriving[:, None] + shown).flatten(0, 1)
        return torch.logsumexp(forward, -1)


def naive_bayes(features: int, truth: Truth = "independent", *, n: int = 1000) -> Toy:
    r"""The toy of two hidden classes with n binary features.

    The parameters are logits: that of the second class, and those of every feature in either class. At w* the classes
    have equal weight, and the effect of the class on a feature, the difference of its two logits, is

    - "independent": 0 for all features, in whose values the effects cross: the deepest point of the fibre;
    - "pair": 2 for the first two and 0 for the others; the model is minimally singular there;
    - "generic": 2 for all; the model is regular there.

    A logit keeps the weights positive, so that `.exact` is the entry of ``mixing="interior"``. K is the divergence, a
    sum over the states of the features.

    Args:
        features: n, from 1 (2 for a pair, 3 for a generic truth) to 12.
        truth: "independent", "pair" or "generic".
        n: The number of data rows, >= 2.

    Returns:
        The toy, with 2 features + 1 parameters and the exact RLCT (Rusakov & Geiger, 2005).

    Raises:
        InputError: If the number of features is no integer in its range, or the truth is unknown.
        SettingsError: If n is not an integer >= 2.

    >>> naive_bayes(2)
    Toy(naive_bayes(2); 5 parameters, n=1000, exact rlct 3/2, multiplicity 2)
    """
    exact = analytic.naive_bayes(features, truth, mixing="interior")
    count = _at_most("features", features)
    effects = torch.zeros(count, dtype=torch.float64, device="cpu")
    effects[: {"independent": 0, "pair": 2, "generic": count}[truth]] = 1
    model = NaiveBayes(torch.stack([-effects, effects])).freeze_truth()
    name = f"naive_bayes({count})" if truth == "independent" else f"naive_bayes({count}, {truth!r})"
    return Toy(model, rows(n), relative_entropy, exact, name)


def rbm(visible: int, hidden: int = 1, *, n: int = 1000) -> Toy:
    r"""The toy of a restricted Boltzmann machine without biases, with one hidden unit, at a uniform truth.

    .. math:: p(x) \propto \cosh\Big(\sum_i a_i x_i\Big),\ x_i = \pm 1, \qquad
              K = \sum_i \log\cosh a_i - 2^{-n} \sum_x \log\cosh\Big(\sum_i a_i x_i\Big)

    which is 0 wherever all a_i but one are 0; w* is 0, where those lines meet. K is the divergence, a sum over states.

    Args:
        visible: n, from 2 to 12.
        hidden: 1.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with as many parameters as visible units and the exact RLCT of `slt.analytic.rbm`.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If there is more than one hidden unit.
        SettingsError: If n is not an integer >= 2.

    >>> rbm(3)
    Toy(rbm(3); 3 parameters, n=1000, exact rlct 3/4, multiplicity 1)
    """
    count = _at_most("visible", integer("visible", visible, 2))
    exact = analytic.rbm(count, hidden)
    return Toy(BoltzmannMachine(count).freeze_truth(), rows(n), relative_entropy, exact, f"rbm({count})")


def hmm(length: int, states: int = 2, *, n: int = 1000) -> Toy:
    r"""The toy of a stationary hidden Markov model with two states and binary outputs, where the truth is a fair coin.

    The parameters are logits: of leaving each state, and of showing 1 in each. At w* both states are fair coins, so
    that the gap d between them is 0, and they are left one time in four: pi = rho = 1/2 in the terms of
    `slt.analytic.hmm`, inside their domain, and K is like :math:`m^2 + d^4` near w*. K is the divergence of sequences
    of T outputs, a sum over all 2^T.

    Args:
        length: T, from 2 to 12.
        states: 2.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with 4 parameters and the exact RLCT.

    Raises:
        InputError: If a number is no integer in its range.
        NotAvailableError: If there are more than two states.
        SettingsError: If n is not an integer >= 2.

    >>> hmm(3)
    Toy(hmm(3); 4 parameters, n=1000, exact rlct 3/4, multiplicity 1)
    """
    exact = analytic.hmm(length, states)
    count = _at_most("length", length)
    return Toy(HiddenMarkov(count).freeze_truth(), rows(n), relative_entropy, exact, f"hmm({count})")


def binary_states(count: int) -> Tensor:
    """All states of `count` bits in float64, shape (2^count, count), the last bit running fastest."""
    numbers, places = torch.arange(2**count, device="cpu"), torch.arange(count - 1, -1, -1, device="cpu")
    return ((numbers[:, None] >> places) & 1).to(torch.float64)


def two_logs(logit: Tensor) -> Tensor:
    """The logs of 1 - p and p for a logit of shape (1,): shape (2,)."""
    return torch.nn.functional.logsigmoid(torch.cat([-logit, logit]))


def log_cosh(x: Tensor) -> Tensor:
    """Log cosh x, smooth at 0 in all derivatives and finite for all x."""
    return torch.logaddexp(x, -x) - log(2)


def _at_most(name: str, count: int) -> int:
    if count > _MOST:
        raise InputError(f"{name} must be at most {_MOST}, got {count}: the loss is a sum over 2^{count} states.")
    return int(count)
