"""Synthetic traces whose law is known."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import gamma

from slt.trace import Trace


def autoregressive_gamma(rng, chains, draws, shape, rho=0.0):
    """Draw stationary chains of gamma law, autocorrelated like AR(1) before their marginal is transformed."""
    normal = rng.normal(size=(chains, draws))
    normal[:, 0] /= np.sqrt(1 - rho**2)
    normal = np.sqrt(1 - rho**2) * lfilter([1], [1, -rho], normal, axis=1)
    return gamma.isf(ndtr(-normal), shape)


def trace_of(energy, *, nbeta=100.0, stats=None, alive=None, posterior=None, constants=None, **settings):
    """Wrap nbeta times the excess, (chains, draws), into a trace that has all that the checks ask for."""
    chains, draws = energy.shape
    unadjusted = settings.get("unadjusted", False)
    other = np.random.default_rng(0).gamma(2.0, size=(chains, draws))
    beside = {"prior_energy": other, "acceptance_rate": np.full((chains, draws), 1.0 if unadjusted else 0.85)}
    if unadjusted:
        beside["surplus"] = np.zeros((chains, draws))
    return Trace.from_arrays(
        posterior={"excess": energy / nbeta, "distance": 1 + other, **(posterior or {})},
        sample_stats={name: x for name, x in {**beside, **(stats or {})}.items() if x is not None},
        constant_data={
            "n": 1000,
            "nbeta": nbeta,
            "dimension": 6,
            "loss_center": 0.0,
            "alive": np.ones(chains, bool) if alive is None else np.asarray(alive),
            **(constants or {}),
        },
        settings={
            "unadjusted": False,
            "full_data": True,
            "localization": 1.0,
            "localization_zero": False,
            **settings,
        },
    )


@pytest.fixture(scope="session")
def gamma_chains():
    return autoregressive_gamma


@pytest.fixture(scope="session")
def make_trace():
    return trace_of
