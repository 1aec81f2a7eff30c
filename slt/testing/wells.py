"""Quadratic posteriors, whose every law is known: what samplers are held against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slt.analytic.finite import quadratic_energy
from slt.posterior import LocalPosterior

ROWS = 64
PUSH = 0.1  # spread of the linear terms, which the full data cancel
CURVATURES = (1.0, 0.5, 0.75, 2.0, 0.6, 1.5, 0.9, 1.2)
_SPLIT = 3  # entries in the first tensor


@dataclass(frozen=True)
class Well:
    """U(w) = nbeta/2 sum h w^2 + localization/2 |w|^2, and examples that push w about.

    Example x has the loss 1/2 sum h w^2 + x . w; the x add up to zero, so they are additive gradient noise on
    minibatches and none on all the data. With its defaults U has curvatures from 150 to 450.

    Attributes:
        curvatures: h, nats per squared parameter unit.
        nbeta: Inverse temperature times n.
        localization: The isotropic localizer.
        batch_size: Rows of a minibatch; None takes all the data.
        idle: Number of further parameters on which the loss does not depend.
        constant: Nats that are added to the loss everywhere.
        dtype: Type of the parameters.

    >>> well = Well(batch_size=16)
    >>> round(well.energy, 3), round(well.noise, 2)
    (3.139, 25.0)
    """

    curvatures: Sequence[float] = CURVATURES
    nbeta: float = 200.0
    localization: float = 50.0
    batch_size: int | None = None
    idle: int = 0
    constant: float = 0.0
    dtype: torch.dtype = field(default=torch.float32, repr=False)

    @property
    def dimension(self) -> int:
        """Number of parameters on which the loss depends."""
        return len(self.curvatures)

    @property
    def energy(self) -> float:
        """Exact mean of nbeta times the loss, 1/2 sum nbeta h / (nbeta h + localization)."""
        return quadratic_energy(self.curvatures, self.nbeta, self.localization)

    @property
    def noise(self) -> float:
        """Variance of nbeta times the minibatch gradient, along every direction."""
        return 0.0 if self.batch_size is None else self.nbeta**2 * PUSH**2 / self.batch_size

    def pull(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return nbeta h, and the curvatures H = nbeta h + localization of U."""
        h = self.nbeta * np.asarray(self.curvatures, dtype=np.float64)
        return h, h + self.localization

    def posterior(self) -> LocalPosterior:
        """Return the posterior, for `slt.sample`."""
        h = torch.tensor(self.curvatures, dtype=self.dtype)

        def loss(model: _Bowl, batch: Tensor) -> Tensor:
            w = torch.cat([model.first, model.second])
            return 0.5 * (h * w.square()).sum() + batch @ w + self.constant

        return LocalPosterior(
            _Bowl(self.dimension, self.idle, self.dtype),
            _pushes(self.dimension).to(self.dtype),
            loss,
            nbeta=self.nbeta,
            localization=self.localization,
            batch_size=self.batch_size,
        )


class Law(NamedTuple):
    """Means of what a sampler records, on a well."""

    energy: float
    surplus: float
    virial: float


def langevin_law(
    well: Well, step_size: float, metric: NDArray[np.float64] | float = 1.0, *, second_order: bool = False
) -> Law:
    r"""Law of the Langevin step w' = w - eps/2 P grad U + sqrt(eps P) xi on a well, with gradient noise of variance c.

    .. math:: \frac12 \sum \frac{n\beta h}{H}\, \frac{1 + \epsilon P c / 4}{1 - \epsilon P H / 4}

    and with noise averaged over two steps, where c = 0 leaves no bias,

    .. math:: \frac12 \sum \frac{n\beta h}{H}\, \Big(1 + \frac{\epsilon P c / 4}{1 - \epsilon P H / 4}\Big)

    Args:
        well: The target.
        step_size: epsilon; epsilon P H stays below 4.
        metric: P, one number or one for each parameter.
        second_order: Whether the noise is averaged over two steps (Leimkuhler & Matthews, 2013).

    Returns:
        Energy, surplus and virial.

    >>> well = Well()
    >>> round(langevin_law(well, 1e-9).energy - well.energy, 6)
    0.0
    """
    h, total = well.pull()
    size, c = step_size * metric, well.noise
    damped = 1 - size * total / 4
    if second_order:
        inflation = 1 + (size * c / 4) / damped
        surplus = size / 4 * c * (1 + size * h / 4 / damped)
    else:
        inflation = (1 + size * c / 4) / damped
        surplus = size / 4 * (h * inflation + c)
    energy = 0.5 * h / total * inflation
    return Law(float(energy.sum()), float(np.sum(surplus)), float(inflation.sum()))


class _Bowl(nn.Module):
    def __init__(self, dimension: int, idle: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(_SPLIT, dtype=dtype))
        self.second = nn.Parameter(torch.zeros(dimension - _SPLIT, dtype=dtype))
        if idle:
            self.idle = nn.Parameter(torch.zeros(idle, dtype=dtype))


def _pushes(dimension: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(ROWS, dimension, generator=generator, dtype=torch.float64)
    return PUSH * (x - x.mean(0)) / x.std(0, correction=0)
