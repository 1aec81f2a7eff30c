"""Toys that are statistical models."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch

from slt import toys

HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)

MAKERS: dict[str, Callable[..., toys.Toy]] = {
    "gaussian mixture": lambda **kw: toys.gaussian_mixture(2, **kw),
    "gaussian mixture, 4 of 2": lambda **kw: toys.gaussian_mixture(4, 2, **kw),
    "gaussian mixture, plane": lambda **kw: toys.gaussian_mixture(3, dimension=2, **kw),
    "gaussian mixture, squares": lambda **kw: toys.gaussian_mixture(3, 2, concentration=HALF, **kw),
    "poisson mixture": lambda **kw: toys.poisson_mixture(3, 2, **kw),
    "poisson mixture, squares": lambda **kw: toys.poisson_mixture(2, concentration=HALF, **kw),
    "binomial mixture": lambda **kw: toys.binomial_mixture(2, trials=3, **kw),
    "binomial mixture, one trial": lambda **kw: toys.binomial_mixture(2, trials=1, **kw),
    "binomial mixture, fourth powers": lambda **kw: toys.binomial_mixture(4, 5, 2, concentration=QUARTER, **kw),
    "naive bayes": lambda **kw: toys.naive_bayes(4, **kw),
    "naive bayes, two features": lambda **kw: toys.naive_bayes(2, **kw),
    "naive bayes, pair": lambda **kw: toys.naive_bayes(3, "pair", **kw),
    "naive bayes, generic": lambda **kw: toys.naive_bayes(3, "generic", **kw),
    "factor analysis": lambda **kw: toys.factor_analysis(3, **kw),
    "factor analysis, mean": lambda **kw: toys.factor_analysis(2, free_mean=True, **kw),
    "factor analysis, pair": lambda **kw: toys.factor_analysis(4, "pair", **kw),
    "factor analysis, generic": lambda **kw: toys.factor_analysis(3, "generic", **kw),
    "boltzmann": lambda **kw: toys.rbm(4, **kw),
    "boltzmann, two spins": lambda **kw: toys.rbm(2, **kw),
    "hidden markov": lambda **kw: toys.hmm(3, **kw),
    "topics": lambda **kw: toys.lda(3, 4, 3, **kw),
    "topics, rank 1": lambda **kw: toys.lda(4, 3, 3, rank=1, **kw),
    "topics, rank 2": lambda **kw: toys.lda(3, 3, 4, rank=2, **kw),
    "non-negative": lambda **kw: toys.nmf(2, 2, 2, **kw),
    "non-negative, fourth powers": lambda **kw: toys.nmf(1, 3, 2, shapes=(HALF, QUARTER), **kw),
    "multinomial": lambda **kw: toys.multinomial_boundary(4, zeros=2, **kw),
    "multinomial, fourth powers": lambda **kw: toys.multinomial_boundary(3, 1, QUARTER, **kw),
}


def moved(toy: toys.Toy, scale: float, seed: int) -> dict[str, np.ndarray]:
    """Move the toy's parameters by normal noise; return them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in toy.model.parameters():
            p.add_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return {name: p.detach().numpy() for name, p in toy.model.named_parameters()}
