"""Quadratic entries: half the rank, and inputs read with care."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from slt import analytic
from slt.errors import InputError


@pytest.mark.parametrize("d", [0, 1, 2, 7])
def test_regular_is_half_the_dimension(d: int):
    entry = analytic.regular(d)
    assert (entry.value, entry.multiplicity) == (Fraction(d, 2), 1)


@pytest.mark.parametrize(
    ("curvatures", "value"),
    [
        (1, Fraction(1, 2)),
        (5, Fraction(5, 2)),
        ([1e-12, 1e12], Fraction(1)),
        ([3.0, 0.0, 0.0], Fraction(1, 2)),
        ([0.0, 0.0], Fraction(0)),
        (np.array([1.0, 0.0, 2.0]), Fraction(1)),
        (np.int64(4), Fraction(2)),
    ],
)
def test_quadratic_is_half_the_rank(curvatures: Any, value: Fraction):
    entry = analytic.quadratic(curvatures)
    assert (entry.value, entry.multiplicity) == (value, 1)


def test_an_int_means_that_many_ones():
    assert analytic.quadratic(3) == analytic.quadratic([1, 1, 1])


@pytest.mark.parametrize(
    ("curvatures", "message"),
    [
        ([], r"nonempty sequence of numbers, got shape \(0,\)"),
        ([[1.0]], r"nonempty sequence of numbers, got shape \(1, 1\)"),
        ([1.0, -2.0], "finite and >= 0, got -2.0 at position 1"),
        ([1.0, float("nan")], "finite and >= 0, got nan at position 1"),
        ([float("inf")], "finite and >= 0, got inf at position 0"),
        (["a"], "curvatures must be numbers"),
        (0, "must be an integer >= 1, got 0"),
        (2.0, "must be an integer >= 1, got 2.0"),
        (True, "must be an integer >= 1, got True"),
        (None, "must be an integer >= 1, got None"),
    ],
)
def test_quadratic_refuses(curvatures: Any, message: str):
    with pytest.raises(InputError, match=message):
        analytic.quadratic(curvatures)


def test_regular_refuses_a_negative_dimension():
    with pytest.raises(InputError, match="dimension must be an integer >= 0, got -1"):
        analytic.regular(-1)
