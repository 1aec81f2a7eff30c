"""Low-rank adapters: a frozen matrix plus a product of two small ones."""

from slt.analytic.checks import integer
from slt.analytic.entry import Entry
from slt.analytic.reduced_rank import reduced_rank_regression
from slt.errors import InputError


def lora(inputs: int, outputs: int, adapter: int, rank: int = 0) -> Entry:
    r"""A low-rank adapter on one linear layer, :math:`K(A, B) = \|W_0 + BA - W\|_F^2`, W_0 frozen.

    The true update W - W_0 has rank r: this is reduced rank regression with as many hidden units as the
    adapter has ranks, and the value is that of `reduced_rank_regression`.

    Args:
        inputs: Columns of the layer, >= 1.
        outputs: Rows of the layer, >= 1.
        adapter: The rank that the adapter has room for, >= 1.
        rank: The rank r of the true update, from 0 to the smallest of the three.

    Returns:
        The exact lambda and m (Aoyagi & Watanabe, 2005).

    Raises:
        InputError: If a number is no integer in its range.

    >>> lora(768, 768, adapter=8, rank=2).rlct
    RLCT(7655/2, 1)
    """
    smallest = min(integer("inputs", inputs, 1), integer("outputs", outputs, 1), integer("adapter", adapter, 1))
    if integer("rank", rank, 0) > smallest:
        raise InputError(f"rank must be at most the smallest of inputs, outputs and adapter ({smallest}), got {rank}.")
    found = reduced_rank_regression(inputs, outputs, adapter, rank)
    return Entry(
        rlct=found.rlct,
        family="low-rank adapter",
        parameters={"inputs": inputs, "outputs": outputs, "adapter": adapter, "rank": rank},
        K="||W_0 + B A - W||_F^2",
        domain="all A and B",
        prior=found.prior,
        source=found.source,
        conditions="inputs of full rank, all other weights frozen",
        law=found.law,
    )
