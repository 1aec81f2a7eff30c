"""Spectra of matrices known by their products: edges, and the curve N(eigenvalue < t) with what it can resolve."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt.errors import SettingsError

Product = Callable[[Tensor], Tensor]
_BREAKDOWN = 1e-12  # of the largest eigenvalue: a remainder below this ends the Krylov space
_SIGMAS = 3.0  # m and 2m steps must agree within this many standard errors
_ROUNDING = 1e-13  # of the largest eigenvalue: what products in float64 leave of a zero


@dataclass(frozen=True)
class Ritz:
    """What one Lanczos run knows.

    Attributes:
        values: Ritz values, ascending, (steps,).
        weights: Squared first components of their vectors: the quadrature weights, (steps,).
        residuals: |A y - theta y| of each: an eigenvalue lies that near, (steps,).
        vectors: The Ritz vectors of the asked-for number at the upper end, (P, count), or None.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    residuals: NDArray[np.float64]
    vectors: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SpectralCurve:
    """Estimated numbers of eigenvalues below thresholds, with error and resolution.

    Attributes:
        thresholds: t, ascending, (k,).
        counts: N(eigenvalue < t), (k,).
        errors: Standard errors over the probe vectors, (k,); they do not know of what lies below the floor.
        floor: Below this threshold m steps and 2m disagree, or Ritz values are not resolved: nothing is claimed there.
        top: Largest Ritz value.
        lowest: Smallest Ritz value.
        dimension: P.
        steps: 2m, the Lanczos steps of each probe.
        probes: Number of probe vectors.
        trace: The trace, from the same probes.
        trace_error: Its standard error.
    """

    thresholds: NDArray[np.float64]
    counts: NDArray[np.float64]
    errors: NDArray[np.float64]
    floor: float
    top: float
    lowest: float
    dimension: int
    steps: int
    probes: int
    trace: float
    trace_error: float

    def below(self, t: float) -> tuple[float, float] | None:
        """Number of eigenvalues below t with its standard error; None below the resolution floor."""
        if not t >= self.floor:
            return None
        at = int(np.searchsorted(self.thresholds, t, side="right")) - 1
        return float(self.counts[at]), float(self.errors[at])

    def __str__(self) -> str:
        """A line for each power of ten above the floor, and what is not resolved."""
        lines = [
            f"largest {self.top:.3g}, smallest Ritz value {self.lowest:.3g}; {self.probes} probes of {self.steps} steps"
        ]
        power = int(np.floor(np.log10(self.top))) if self.top > 0 else 0
        while self.top > 0 and 10.0**power >= self.floor and power > -30:
            found = self.below(10.0**power)
            if found is not None:
                lines.append(f"below 1e{power:+03d}: {found[0]:.0f} +- {found[1]:.0f} of {self.dimension}")
            power -= 1
        lines.append(f"below {self.floor:.2g} nothing is resolved: zeros cannot be counted from this curve")
        return "\n".join(lines)


def eigenvalues(matrix: Tensor) -> NDArray[np.float64]:
    """All eigenvalues of a symmetric matrix, ascending."""
    return torch.linalg.eigvalsh(matrix).cpu().numpy()


def lanczos(product: Product, start: Tensor, steps: int, *, vectors: int = 0) -> tuple[Ritz, list[float], list[float]]:
    """Run Lanczos with full reorthogonalization.

    Args:
        product: v -> A v for a symmetric A.
        start: The first vector, (P,).
        steps: At most this many; fewer where the Krylov space is exhausted.
        vectors: How many Ritz vectors to return, at the upper end.

    Returns:
        What is known at the end, and the diagonal and off-diagonal of the tridiagonal matrix.
    """
    steps = min(steps, len(start))
    basis = torch.zeros(steps, len(start), dtype=torch.float64, device=start.device)
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    off: list[float] = []
    size = 0.0
    for k in range(steps):
        image = product(basis[k])
        diagonal.append(float(image @ basis[k]))
        for _ in range(2):  # twice is enough
            image = image - basis[: k + 1].T @ (basis[: k + 1] @ image)
        remainder = float(image.norm())
        size = max(size, abs(diagonal[-1]) + remainder)
        off.append(remainder)
        if remainder <= _BREAKDOWN * size:
            off[-1] = 0.0
            break
        if k + 1 < steps:
            basis[k + 1] = image / remainder
    ritz, inner = _ritz(diagonal, off)
    if vectors:
        ritz = Ritz(ritz.values, ritz.weights, ritz.residuals, basis[: len(diagonal)].T @ inner[:, -vectors:])
    return ritz, diagonal, off


def _ritz(diagonal: list[float], off: list[float]) -> tuple[Ritz, Tensor]:
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64, device="cpu"))
    for i, beta in enumerate(off[: len(diagonal) - 1]):
        tridiagonal[i, i + 1] = tridiagonal[i + 1, i] = beta
    values, inner = torch.linalg.eigh(tridiagonal)
    residuals = off[len(diagonal) - 1] * inner[-1].abs()
    return Ritz(values.numpy(), inner[0].square().numpy(), residuals.numpy()), inner


def largest_eigenvalue(product: Product, dimension: int, *, steps: int = 60, seed: int = 0) -> tuple[float, float]:
    """Return the largest eigenvalue in modulus, and how near to one it is known to be."""
    start = torch.randn(
        dimension, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64, device="cpu"
    )
    ritz, _, _ = lanczos(product, start, steps)
    at = int(np.argmax(np.abs(ritz.values)))
    return float(ritz.values[at]), float(ritz.residuals[at])


def spectral_curve(
    product: Product, dimension: int, *, steps: int = 40, probes: int = 4, seed: int = 0, points: int = 241
) -> SpectralCurve:
    r"""Estimate N(eigenvalue < t) by stochastic Lanczos quadrature.

    .. math:: N(t) \approx \frac{P}{p} \sum_{j=1}^{p} \sum_{\theta_{ij} < t} \tau_{ij}

    over Ritz values of p random sign vectors (Ubaru, Chen and Saad, 2017). Each probe runs 2m steps, of which the first
    m are a run of their own: above the floor the two agree within three standard errors, and every Ritz value is nearer
    to an eigenvalue than to zero. Below it nothing is claimed: the quadrature cannot tell a zero from an eigenvalue
    that is merely small.

    Args:
        product: v -> A v for a symmetric A, (P,) float64.
        dimension: P.
        steps: m.
        probes: p, at least 2.
        seed: Seed of the probes.
        points: Thresholds, spaced evenly in log t over 16 powers of ten below the largest.

    Returns:
        The curve.

    Raises:
        SettingsError: If `steps` or `probes` is too small.
    """
    if steps < 2 or probes < 2:
        raise SettingsError(f"a curve needs at least 2 steps and 2 probes, got {steps} and {probes}.")
    generator = torch.Generator("cpu").manual_seed(seed)
    whole: list[Ritz] = []
    half: list[Ritz] = []
    for _ in range(probes):
        signs = torch.randint(2, (dimension,), generator=generator, device="cpu").double() * 2 - 1
        ritz, diagonal, off = lanczos(product, signs, 2 * steps)
        whole.append(ritz)
        half.append(_ritz(diagonal[:steps], off[:steps])[0])
    top = max(float(r.values[-1]) for r in whole)
    scale = max(top, 1e-300)
    thresholds = np.logspace(-16, 0, points) * scale * (1 + 1e-9)
    counts = _counts(whole, thresholds, dimension)
    coarse = _counts(half, thresholds, dimension)
    errors = counts.std(0, ddof=1) / np.sqrt(probes)
    traces = dimension * np.array([r.weights @ r.values for r in whole])
    return SpectralCurve(
        thresholds=thresholds,
        counts=counts.mean(0),
        errors=errors,
        floor=_floor(thresholds, counts, coarse, whole, scale),
        top=top,
        lowest=min(float(r.values[0]) for r in whole),
        dimension=dimension,
        steps=max(len(r.values) for r in whole),
        probes=probes,
        trace=float(traces.mean()),
        trace_error=float(traces.std(ddof=1) / np.sqrt(probes)),
    )


def _counts(runs: list[Ritz], thresholds: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    return np.array([[dimension * float(r.weights[r.values < t].sum()) for t in thresholds] for r in runs])


def _floor(
    thresholds: NDArray[np.float64],
    fine: NDArray[np.float64],
    coarse: NDArray[np.float64],
    runs: list[Ritz],
    scale: float,
) -> float:
    """The threshold above which m and 2m steps agree and no Ritz value is as near to zero as to its eigenvalue."""
    probes = len(fine)
    difference = (fine - coarse).mean(0)
    error = np.sqrt(fine.var(0, ddof=1) + coarse.var(0, ddof=1)) / np.sqrt(probes)
    apart = np.abs(difference) > np.maximum(_SIGMAS * error, 0.5)
    floor = max(_ROUNDING * scale, float(thresholds[apart].max()) if apart.any() else 0.0)
    for r in runs:
        loose = r.residuals > np.abs(r.values)
        if loose.any():
            floor = max(floor, float((np.abs(r.values) + r.residuals)[loose].max()))
    at = int(np.searchsorted(thresholds, floor, side="right"))
    return float(thresholds[min(at, len(thresholds) - 1)])
