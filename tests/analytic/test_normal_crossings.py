"""Normal crossings: table values, the volume they claim, and inputs read with care."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import analytic
from slt.errors import InputError

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("exponents", "prior_exponents", "value", "multiplicity"),
    [
        ((2,), None, Fraction(1, 2), 1),
        ((4,), None, Fraction(1, 4), 1),
        ((2, 2), None, Fraction(1, 2), 2),
        ((2, 4), None, Fraction(1, 4), 1),
        ((4, 4), None, Fraction(1, 4), 2),
        ((4, 2, 6), None, Fraction(1, 6), 1),
        ((6, 6), None, Fraction(1, 6), 2),
        ((2, 2), (1, 0), Fraction(1, 2), 1),
        ((2, 4), (0, 1), Fraction(1, 2), 2),
        ((4, 4), (1, 0), Fraction(1, 4), 1),
        ((2, 2, 2), (0, 1, 0), Fraction(1, 2), 2),
        ((2, 2), (-HALF, 0), Fraction(1, 4), 1),
        ((2, 4), (-HALF, 1), Fraction(1, 4), 1),
        ((1, 1, 1), None, Fraction(1), 3),
        ((3, 1), None, Fraction(1, 3), 1),
        ((2, 0, 2), None, Fraction(1, 2), 2),
        ((2,) * 8, None, Fraction(1, 2), 8),
    ],
)
def test_table(exponents: Any, prior_exponents: Any, value: Fraction, multiplicity: int):
    entry = analytic.normal_crossing(exponents, prior_exponents)
    assert (entry.value, entry.multiplicity) == (value, multiplicity)


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.fractions(-1, 3, max_denominator=6).filter(lambda h: h > -1)),
        min_size=1,
        max_size=6,
    ).filter(lambda pairs: any(k for k, _ in pairs)),
    st.integers(1, 4),
)
def test_power_and_order(pairs: list[tuple[int, Fraction]], power: int):
    k, h = zip(*pairs, strict=True)
    entry = analytic.normal_crossing(k, h)
    raised = analytic.normal_crossing([power * x for x in k], h)
    turned = analytic.normal_crossing(k[::-1], h[::-1])
    assert (raised.value * power, raised.multiplicity) == (entry.value, entry.multiplicity)
    assert (turned.value, turned.multiplicity) == (entry.value, entry.multiplicity)
    # the definition of the minimum, without a division
    reached = [entry.value * k_i - h_i - 1 for k_i, h_i in pairs]
    assert max(x for x, (k_i, _) in zip(reached, pairs, strict=True) if k_i) == 0
    assert sum(x == 0 for x in reached) == entry.multiplicity


def test_volume_of_a_tied_crossing():
    # K = x^2 y^2 on [0, 1]^2: V(eps) = s (1 - log s) with s = sqrt(eps), so lambda = 1/2 and m = 2 exactly
    entry = analytic.normal_crossing((2, 2))
    rng = np.random.default_rng(0)
    inside = (rng.random((2, 1_000_000)).prod(0) ** 2)[:, None] < np.array([1e-2, 1e-4])
    eps = np.array([1e-2, 1e-4])
    law = eps ** float(entry.value) * (1 - np.log(eps**0.5)) ** (entry.multiplicity - 1)
    z = (inside.mean(0) - law) / (inside.std(0) / len(inside) ** 0.5)
    assert (np.abs(z) < 4).all()  # 4 errors are 0.7 % and 1.7 %
    assert (np.abs(inside.mean(0) - eps**0.5) / (inside.std(0) / len(inside) ** 0.5) > 100).all()  # m = 1


def test_numpy_integers_become_exact():
    entry = analytic.normal_crossing([*np.array([2, 4])], [*np.array([0, 1])])
    assert entry == analytic.normal_crossing((2, 4), (0, 1))
    assert type(entry.value.numerator) is int


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "exponents must have at least 1 elements"),
        (((0, 0),), r"at least one of the exponents must be positive .* got \(0, 0\)"),
        (((2, -1),), r"exponents\[1\] must be an integer >= 0, got -1"),
        (((2, 0.5),), r"exponents\[1\] must be an integer >= 0, got 0.5"),
        ((2,), "exponents must be a sequence of integers >= 0, got 2"),
        (("22",), "exponents must be a sequence of integers >= 0, got '22'"),
        (((2, 2), (0,)), r"one element per exponent \(2\), got 1"),
        (((2,), 0), "prior_exponents must be a sequence of ints or Fractions, got 0"),
        (((2,), (-1,)), r"prior_exponents\[0\] must be an int or a Fraction > -1, got -1"),
        (((2,), (0.5,)), r"prior_exponents\[0\] must be an int or a Fraction > -1, got 0.5"),
        (((2,), (True,)), r"prior_exponents\[0\] must be an int or a Fraction > -1, got True"),
    ],
)
def test_refuses(arguments: Any, message: str):
    with pytest.raises(InputError, match=message):
        analytic.normal_crossing(*arguments)
