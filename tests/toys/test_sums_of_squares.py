"""Polynomials evaluated from one table are those evaluated term by term."""

import pytest
import torch

from slt import toys
from slt.toys.polynomials import Polynomial, SumOfSquares

FAMILY = [{(1, 0): 1, (0, 2): -1}, {(0, 3): 2, (1, 0): 3, (4, 5): -7}, {(2, 1): 1}]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_table_gives_what_the_terms_give(dtype: torch.dtype) -> None:
    w = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    w[0], w[1, 0] = 0, 0
    w = w.requires_grad_()
    one_by_one = sum(Polynomial(tuple(f), tuple(map(float, f.values())))(w.double()).square() for f in FAMILY).to(dtype)
    from_table = SumOfSquares(FAMILY)(w)
    assert from_table.dtype == dtype
    torch.testing.assert_close(from_table, one_by_one, rtol=4 * torch.finfo(dtype).eps, atol=0)
    slope, expected = (torch.autograd.grad(f.sum(), w, retain_graph=True)[0] for f in (from_table, one_by_one))
    torch.testing.assert_close(slope, expected, rtol=20 * torch.finfo(dtype).eps, atol=1e-12)


def test_the_toy_of_a_family_has_its_loss() -> None:
    toy = toys.plane_curve(FAMILY)
    with torch.no_grad():
        toy.model.w.copy_(torch.tensor([2.0, 1.0]))
    found = toy.loss(toy.model, toy.data)
    assert float(found.detach().mean()) == (2 - 1) ** 2 + (2 + 6 - 7 * 16) ** 2 + 4**2
