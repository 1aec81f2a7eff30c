"""Deep linear networks: a published table, two independent formulas, and the laws that every value obeys."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import analytic
from slt.errors import InputError

TABLE = json.loads((Path(__file__).parent / "data" / "deep_linear.json").read_text())


def answer(widths: Any, rank: int) -> tuple[Fraction, int]:
    entry = analytic.deep_linear(widths, rank)
    return entry.value, entry.multiplicity


@st.composite
def networks(draw: st.DrawFn, most_layers: int = 6, widest: int = 12) -> tuple[list[int], int]:
    """Widths and a rank that they allow."""
    widths = draw(st.lists(st.integers(1, widest), min_size=2, max_size=most_layers + 1))
    return widths, draw(st.integers(0, min(widths)))


def four_cases(inputs: int, hidden: int, outputs: int, rank: int) -> tuple[Fraction, int]:
    """Reduced rank regression as Aoyagi & Watanabe (2005) state it: M outputs, N inputs, H hidden."""
    m, n, h, r = outputs, inputs, hidden, rank
    if m + h < n + r:
        return Fraction(h * m - h * r + n * r, 2), 1
    if n + h < m + r:
        return Fraction(h * n - h * r + m * r, 2), 1
    if m + n < h + r:
        return Fraction(m * n, 2), 1
    odd = (m + h + n + r) % 2
    return Fraction(2 * (h + r) * (m + n) - (m - n) ** 2 - (h + r) ** 2 + odd, 8), 1 + odd


def codimension(widths: list[int], rank: int) -> Fraction:
    """Half the codimension of the zeros of K, as a sum over singular values: no bottleneck in it."""
    s = sorted(width - rank for width in widths)
    exponents = [1 - i + min((sum(s[: k + 1]) - i) // k for k in range(1, len(s))) for i in range(1, s[0] + 1)]
    return Fraction(rank * (widths[0] + widths[-1]) - rank**2 + sum(exponents), 2)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['widths']}, {row['rank']}")
def test_table(row: dict[str, Any]):
    assert answer(row["widths"], row["rank"]) == (Fraction(row["value"]), row["multiplicity"])


def test_one_hidden_layer_is_reduced_rank_regression():
    sizes = range(1, 9)
    for widths in ((n, h, m) for n in sizes for h in sizes for m in sizes):
        for rank in range(min(widths) + 1):
            assert answer(widths, rank) == four_cases(*widths, rank), (widths, rank)


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(networks())
def test_value_is_half_the_codimension(network: tuple[list[int], int]):
    assert answer(*network)[0] == codimension(*network)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(networks(), st.randoms(use_true_random=False))
def test_order_of_hidden_layers_is_free(network: tuple[list[int], int], random: Any):
    widths, rank = network
    hidden = widths[1:-1]
    random.shuffle(hidden)
    assert answer([widths[0], *hidden, widths[-1]], rank) == answer(widths, rank)
    assert answer(widths[::-1], rank) == answer(widths, rank)
    if rank == 0:
        assert answer(random.sample(widths, len(widths)), 0) == answer(widths, 0)  # the ends too


@settings(derandomize=True, deadline=None, max_examples=500)
@given(networks(), st.integers(1, 12))
def test_laws(network: tuple[list[int], int], inserted: int):
    widths, rank = network
    value, multiplicity = answer(widths, rank)
    depth = len(widths) - 1
    assert (2 * value).denominator == 1
    assert Fraction(rank * (widths[0] + widths[-1]) - rank**2, 2) <= value
    assert value <= Fraction(widths[0] * widths[-1], 2)
    assert 1 <= multiplicity <= depth**2 // 4 + 1
    deeper = [widths[0], max(inserted, rank), *widths[1:]]
    assert answer(deeper, rank)[0] <= value  # a further factor cannot make the truth harder to reach
    if depth > 1:
        wider = [widths[0], widths[1] + 1, *widths[2:]]
        assert answer(wider, rank)[0] >= value


@pytest.mark.parametrize(("widths", "rank"), [((3, 4), 0), ((3, 4), 2), ((3, 4), 3)])
def test_one_layer_is_regular(widths: tuple[int, int], rank: int):
    assert answer(widths, rank) == (Fraction(6), 1)


@pytest.mark.parametrize("depth", range(1, 7))
def test_scalar_chain_is_a_normal_crossing(depth: int):
    crossing = analytic.normal_crossing((2,) * depth)
    assert answer((1,) * (depth + 1), 0) == (crossing.value, crossing.multiplicity)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,),), r"widths must have at least 2 elements, got \(3,\)"),
        (((3, 0, 3),), r"widths\[1\] must be an integer >= 1, got 0"),
        (((3, 2.0, 3),), r"widths\[1\] must be an integer >= 1, got 2.0"),
        ((5,), "widths must be a sequence of integers >= 1, got 5"),
        (((3, 2, 3), 3), r"rank must be at most the smallest width \(2\), got 3"),
        (((3, 2, 3), -1), "rank must be an integer >= 0, got -1"),
        (((3, 2, 3), True), "rank must be an integer >= 0, got True"),
    ],
)
def test_refuses(arguments: Any, message: str):
    with pytest.raises(InputError, match=message):
        analytic.deep_linear(*arguments)
