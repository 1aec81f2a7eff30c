"""What curvature and zeros say of the learning coefficient, and what a localizer makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slt.estimators import Estimate

_DECREMENT = 1e-3  # nats, n times what a Newton step would gain: above this w* is no minimum
_NEGATIVE = 1e-8  # of the largest eigenvalue: a Hessian more negative than this is not that of a minimum


@dataclass(frozen=True)
class Bounds:
    r"""rank(H)/2 <= lambda <= (P - dim Z)/2, and the conditions under which that holds.

    Equality on the left holds if and only if dim Z = P - rank H.

    Attributes:
        lower: rank(H)/2, or None where the rank of H was not measured.
        upper: (P - dim Z)/2.
        zeros: dim Z.
        proof: Why Z is a manifold of zeros.
        conditions: What must hold and whether it was found to, in words: True, False, or None if not checked.
    """

    lower: float | None
    upper: float
    zeros: int
    proof: str
    conditions: Mapping[str, bool | None] = field(hash=False)

    @property
    def hold(self) -> bool:
        """Whether no condition was found to fail."""
        return False not in self.conditions.values()

    @property
    def meet(self) -> bool:
        """Whether both sides agree, so that lambda is known."""
        return self.hold and self.lower == self.upper

    def __str__(self) -> str:
        """The bound, or why there is none."""
        failed = [name for name, held in self.conditions.items() if held is False]
        if failed:
            return f"no bound on the learning coefficient: it takes {' and '.join(failed)}"
        open_ = [name for name, held in self.conditions.items() if held is None]
        low = "?" if self.lower is None else f"{self.lower:g}"
        text = f"{low} <= lambda <= {self.upper:g}"
        if self.meet:
            text = f"lambda = {self.upper:g} (the bounds meet)"
        text += f"; zeros of dimension {self.zeros}: {self.proof}"
        return text + (f"; not checked: {', '.join(open_)}" if open_ else "")


@dataclass(frozen=True)
class Localized:
    """What an LLC estimate would be if the loss were its second-order expansion.

    Attributes:
        value: sum of nbeta h / (2 (nbeta h + localization)) over the eigenvalues h > 0 of H.
        nbeta: Inverse temperature times n of the estimate.
        llc: The estimate's value.
        mcse: Its standard error.
        quadratic_error: Standard error of `value`; 0 where all eigenvalues are known.
    """

    value: float
    nbeta: float
    llc: float
    mcse: float
    quadratic_error: float = 0.0

    def __str__(self) -> str:
        """Both numbers side by side."""
        error = f" +- {self.quadratic_error:.2g}" if self.quadratic_error else ""
        return (
            f"estimate {self.llc:.4g} +- {self.mcse:.2g} at nbeta {self.nbeta:.4g}; the quadratic part of the loss "
            f"under its localizer gives {self.value:.4g}{error}, which an estimate may approach from below the bound"
        )


def precision_of(estimate: Estimate, sizes: Mapping[str, int]) -> Tensor | None:
    """Return the localizer's precision of every moving entry, (P,), or None where the estimate moved others."""
    given = estimate.settings["localization"]
    if not isinstance(given, dict):
        return torch.full((sum(sizes.values()),), float(given), dtype=torch.float64, device="cpu")
    if set(given) != set(sizes):
        return None
    return torch.cat(
        [torch.full((size,), float(given[name]), dtype=torch.float64, device="cpu") for name, size in sizes.items()]
    )


def localized(hessian: Tensor, estimate: Estimate, precision: Tensor) -> Localized:
    r"""Put the quadratic value beside an estimate.

    .. math:: \tfrac12 \operatorname{tr}\, n\beta H (n\beta H + \Gamma)^{-1}

    with the positive part of H in the localizer's units; for an isotropic localizer the sum over eigenvalues.

    Args:
        hessian: H, (P, P).
        estimate: The estimate.
        precision: Its localizer, (P,).

    Returns:
        The two numbers.
    """
    nbeta = estimate.trace.nbeta
    if not bool((precision > 0).any()):
        values = torch.linalg.eigvalsh(hessian)
        rank = int((values > 1e-10 * values.abs().max()).sum())
        return Localized(rank / 2, nbeta, estimate.value, estimate.mcse)
    # an entry without a localizer beside others with one: the limit of a weak one
    unit = precision.clamp_min(1e-10 * float(precision.max())).rsqrt()
    values = nbeta * torch.linalg.eigvalsh(hessian * unit[:, None] * unit).clamp_min(0)
    return Localized(float((values / (values + 1)).sum() / 2), nbeta, estimate.value, estimate.mcse)


def newton_gain(gradient: Tensor, hessian: Tensor, top: float, n: int) -> float:
    """What a Newton step would gain over all n examples, in nats; flat directions count with a curvature of 1e-8."""
    ridge = 1e-8 * top * torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
    return n * float(gradient @ torch.linalg.solve(hessian + ridge, gradient)) / 2 if top > 0 else 0.0


def is_minimum(gain: float, lowest: float, top: float) -> bool:
    """Whether curvature and gradient are those of a minimum, as far as they tell."""
    return abs(gain) < _DECREMENT and lowest >= -_NEGATIVE * top
