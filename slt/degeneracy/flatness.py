"""Sharpness of a minimum, beside what of it survives a rescaling of the weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from slt.degeneracy.hessian import Curvature
from slt.degeneracy.spectrum import Product, largest_eigenvalue


@dataclass(frozen=True)
class Flatness:
    r"""Trace and top eigenvalue of the Hessian H, and of D H D with D = diag |w*|.

    Scaling a ReLU unit's incoming weights by c and its outgoing ones by 1/c leaves the function as it is and makes the
    trace and the top eigenvalue of H as large as one likes (Dinh et al., 2017); D H D does not change at all, since
    its entries are second derivatives in log |w|. Entries that are zero drop out of it.

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


def probed_flatness(curvature: Curvature, *, probes: int = 8, steps: int = 20, seed: int = 0) -> Flatness:
    """Estimate the traces from products with random sign vectors, and the top eigenvalues by Lanczos."""
    size = curvature.network.center.abs()

    def scaled(v: Tensor) -> Tensor:
        return size * curvature.hessian_product(size * v)

    plain = _trace(curvature, curvature.hessian_product, probes, seed)
    invariant = _trace(curvature, scaled, probes, seed)
    return Flatness(
        trace=plain[0],
        top=largest_eigenvalue(curvature.hessian_product, curvature.dimension, steps=steps, seed=seed)[0],
        invariant_trace=invariant[0],
        invariant_top=largest_eigenvalue(scaled, curvature.dimension, steps=steps, seed=seed)[0],
        error=plain[1],
        invariant_error=invariant[1],
    )


def _trace(curvature: Curvature, product: Product, probes: int, seed: int) -> tuple[float, float]:
    signs, images = curvature.diagonal_products(product, probes, seed)
    each = (signs * images).sum(1)
    return float(each.mean()), float(each.std()) / probes**0.5
