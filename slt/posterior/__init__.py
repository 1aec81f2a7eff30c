"""What is sampled: the tempered posterior near w*."""

from slt.posterior.local import LocalPosterior, Posterior

__all__ = ["LocalPosterior", "Posterior"]
