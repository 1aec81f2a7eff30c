"""One-factor analysis: the divergence of two normal laws, as a sum of squares that float32 can bear."""

import torch
from torch import Tensor, nn

from slt import analytic
from slt.analytic.checks import integer
from slt.analytic.latent_variables import Truth
from slt.toys.finite_states import excess_ratio, parameter
from slt.toys.toy import Toy, rows


class FactorAnalysis(nn.Module):
    """The normal law N(mu, Psi + b b^T) of p variables, Psi diagonal, beside the true one.

    Each variable in turn is regressed on those before it, under the model and under the truth: the divergence of two
    normal laws is the sum over these regressions, in which nothing cancels.

    Attributes:
        loadings: b, shape (p,).
        log_uniqueness: log Psi, shape (p,).
        mean: mu, shape (p,); a parameter or a constant 0.
        true_coefficients: Of each variable on those before it, shape (p, p), zero on the diagonal and above.
        true_log_variance: The log of the variance that these leave over, shape (p,).
        true_root: A root of the true covariance, lower triangular, shape (p, p).
    """

    true_coefficients: Tensor
    true_log_variance: Tensor
    true_root: Tensor

    def __init__(self, loadings: Tensor, free_mean: bool) -> None:
        """Start at these loadings, Psi = 1 and mu = 0, which are the truth."""
        super().__init__()
        zeros = torch.zeros_like(loadings)
        self.loadings, self.log_uniqueness = parameter(loadings), parameter(zeros)
        if free_mean:
            self.mean = parameter(zeros)
        else:
            self.register_buffer("mean", zeros.double(), persistent=False)
        coefficients, log_variance = (x.detach() for x in self.regressions())
        root = torch.linalg.cholesky(torch.diag(torch.ones_like(zeros)) + torch.outer(loadings, loadings))
        self.register_buffer("true_coefficients", coefficients, persistent=False)
        self.register_buffer("true_log_variance", log_variance, persistent=False)
        self.register_buffer("true_root", root, persistent=False)
        self.to(device=torch.get_default_device(), dtype=torch.get_default_dtype())

    def regressions(self) -> tuple[Tensor, Tensor]:
        """Return the coefficients of each variable on those before it, (p, p), and the log variances left over, (p,).

        The factor has precision s_i = 1 + sum_(j < i) b_j^2 / psi_j given the variables before i.
        """
        precision = (-self.log_uniqueness).exp()
        after = 1 + (self.loadings.square() * precision).cumsum(0)
        before = torch.cat([torch.ones_like(after[:1]), after[:-1]])
        coefficients = torch.outer(self.loadings / before, self.loadings * precision).tril(-1)
        return coefficients, self.log_uniqueness + after.log() - before.log()

    def forward(self, *args: object) -> tuple[Tensor, Tensor]:
        """Return the regressions.

        Args:
            *args: A batch, ignored.
        """
        return self.regressions()


def normal_divergence(model: FactorAnalysis, batch: tuple[Tensor, ...]) -> Tensor:
    """K = KL(N(0, Sigma_0) || N(mu, Psi + b b^T)) in nats, a scalar, whatever the batch."""
    coefficients, log_variance = model(*batch)
    off = ((model.true_coefficients - coefficients) @ model.true_root).square().sum(-1)
    off = off + (model.mean - coefficients @ model.mean).square()
    spread = excess_ratio(model.true_log_variance - log_variance)
    return (spread + off * (-log_variance).exp()).sum(-1) / 2


def factor_analysis(variables: int, truth: Truth = "independent", *, free_mean: bool = False, n: int = 1000) -> Toy:
    r"""The toy of one-factor analysis, :math:`N(\mu, \Psi + b b^\top)` in p variables with Psi diagonal.

    The parameters are the loadings b, the logs of Psi, and mu if it is free. At w* Psi is 1, mu is 0, and

    - "independent": b = 0, where the lines of one loading that is not 0, all of them zeros of K, meet;
    - "pair": b = (1, 1, 0, ..., 0); the model is minimally singular there;
    - "generic": b = (1, ..., 1); the model is regular there.

    K is the divergence from the normal law at w*, in closed form.

    Args:
        variables: p >= 1 (2 for a pair, 3 for a generic truth).
        truth: "independent", "pair" or "generic".
        free_mean: Whether mu is a parameter; else it is known to be 0.
        n: The number of data rows, >= 2.

    Returns:
        The toy, with 2p or 3p parameters and the exact RLCT (Drton, Lin, Weihs & Zwiernik, 2017).

    Raises:
        InputError: If p is no integer in its range, or the truth is unknown.
        SettingsError: If n is not an integer >= 2.

    >>> factor_analysis(3)
    Toy(factor_analysis(3); 6 parameters, n=1000, exact rlct 9/4, multiplicity 1)
    """
    exact = analytic.factor_analysis(variables, truth, free_mean=free_mean)
    p = integer("variables", variables, 1)
    loadings = torch.zeros(p, dtype=torch.float64, device="cpu")
    loadings[: {"independent": 0, "pair": 2, "generic": p}[truth]] = 1
    settings = ", free_mean=True" if free_mean else ""
    name = f"factor_analysis({p}{'' if truth == 'independent' else f', {truth!r}'}{settings})"
    return Toy(FactorAnalysis(loadings, free_mean), rows(n), normal_divergence, exact, name)
