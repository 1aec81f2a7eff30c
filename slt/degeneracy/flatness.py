"""Sharpness of a minimum, beside what of it survives a rescaling of the weights."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slt.degeneracy.hessian import Curvature
from slt.degeneracy.spectrum import Product, SpectralCurve, lanczos


@dataclass(frozen=True)
class Flatness:
    r"""Trace and top eigenvalue of the Hessian H, and of D H D with D = diag |w*|.

    Scaling a ReLU unit's incoming weights by c and its outgoing ones by 1/c leaves the function as it is and makes the
    trace and the top eigenvalue of H as large as one likes (Dinh et al., 2017); D H D does not change at all, since
    its entries are second derivatives in log |w|. Entries that are zero drop out of it.

    >>> import slt
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).double()
    >>> x = torch.randn(50, 2).double()
    >>> y = net(x).detach()
    >>> before = slt.explain(net, (x, y), "mse")
    >>> with torch.no_grad():
    ...     for p in net[0].parameters():
    ...         _ = p.mul_(100)
    ...     _ = net[2].weight.div_(100)
    >>> after = slt.explain(net, (x, y), "mse")
    >>> bool(torch.allclose(net(x), y)), after.flatness.top > 1000 * before.flatness.top  # one function
    (True, True)
    >>> round(after.flatness.invariant_top / before.flatness.invariant_top, 6)
    1.0
    >>> after.bounds.upper == before.bounds.upper == 5.0  # the learning coefficient
    True

    Attributes:
        trace: tr H, in nats per squared parameter unit.
        top: Largest eigenvalue of H, likewise.
        invariant_trace: tr D H D, nats.
        invariant_top: Largest eigenvalue of D H D, nats.
        error: Standard error of the trace; 0 where it is exact.
        invariant_error: Standard error of the invariant trace; 0 where it is exact.
    """

    trace: float
    top: float
    invariant_trace: float
    invariant_top: float
    error: float = 0.0
    invariant_error: float = 0.0

    def __str__(self) -> str:
        """Both pairs, with errors where they are estimates."""

        def pair(value: float, error: float) -> str:
            return f"{value:.4g}" + (f" +- {error:.1g}" if error else "")

        return (
            f"trace of the Hessian {pair(self.trace, self.error)}, top eigenvalue {self.top:.4g}; invariant under "
            f"rescaling of weights: {pair(self.invariant_trace, self.invariant_error)} and {self.invariant_top:.4g}"
        )


def dense_flatness(hessian: Tensor, center: Tensor, top: float | None = None) -> Flatness:
    """Measure flatness from the whole Hessian, exactly; its largest eigenvalue may be handed over."""
    scaled = hessian * center.abs()[:, None] * center.abs()
    return Flatness(
        trace=float(hessian.trace()),
        top=float(torch.linalg.eigvalsh(hessian)[-1]) if top is None else top,
        invariant_trace=float(scaled.trace()),
        invariant_top=float(torch.linalg.eigvalsh(scaled)[-1]),
    )


def probed_flatness(
    curvature: Curvature, *, probes: int = 8, steps: int = 20, seed: int = 0, curve: SpectralCurve | None = None
) -> Flatness:
    """Estimate the traces from products with random sign vectors, and the top eigenvalues by Lanczos.

    A spectral curve of H knows the plain pair already.

    Returns:
        The flatness, with the errors of its traces.
    """
    size = curvature.network.center.abs()

    def scaled(v: Tensor) -> Tensor:
        return size * curvature.hessian_product(size * v)

    if curve is None:
        trace, error, top = _probed(curvature.hessian_product, size, probes, steps, seed)
    else:
        trace, error, top = curve.trace, curve.trace_error, curve.top
    invariant, invariant_error, invariant_top = _probed(scaled, size, probes, steps, seed)
    return Flatness(trace, top, invariant, invariant_top, error, invariant_error)


def _probed(product: Product, like: Tensor, probes: int, steps: int, seed: int) -> tuple[float, float, float]:
    """Trace with its error, and largest eigenvalue: the first step of Lanczos from a sign vector is a probe."""
    generator = torch.Generator("cpu").manual_seed(seed)
    each, top = [], 0.0
    for probe in range(probes):
        signs = torch.randint(2, like.shape, generator=generator, device="cpu").double() * 2 - 1
        ritz, diagonal, _ = lanczos(product, signs.to(like.device), 1 if probe else steps)
        each.append(len(like) * diagonal[0])
        top = top if probe else float(ritz.values[-1])
    return float(np.mean(each)), float(np.std(each, ddof=1)) / probes**0.5, top
