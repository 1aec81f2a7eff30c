"""The arithmetic of (lambda, m) is that of losses: laws, volumes by quadrature, and which zeros dominate."""

import pickle
from fractions import Fraction
from functools import reduce
from operator import add, mul
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slt import RLCT, analytic
from slt.errors import InputError

rlcts = st.builds(RLCT, st.fractions(0, 5, max_denominator=6).filter(bool), st.integers(1, 5))
LINE = RLCT(Fraction(1, 2), 1)


@settings(derandomize=True, deadline=None)
@given(rlcts, rlcts, rlcts, st.fractions(Fraction(1, 4), 4, max_denominator=4))
def test_laws(a: RLCT, b: RLCT, c: RLCT, p: Fraction):
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)
    assert (a * b) / p == (a / p) * (b / p)  # (K_1 K_2)^p = K_1^p K_2^p
    assert a / p / (1 / p) == a
    assert a * b <= min(a, b)  # a further factor only adds zeros
    assert a + b > max(a, b)  # a further term only takes zeros away
    assert min(a, b) + c == min(a + c, b + c)
    assert sorted([a, b, c]) == sorted([c, b, a])


def test_order_prefers_the_larger_volume():
    assert RLCT(Fraction(1, 2), 2) < LINE < RLCT(Fraction(1), 5)
    assert min(LINE, RLCT(Fraction(1, 2), 2), RLCT(Fraction(1), 5)) == RLCT(Fraction(1, 2), 2)
    assert not LINE < RLCT(Fraction(1, 2), 1)


@pytest.mark.parametrize("power", [Fraction(1, 2), 1, 3])
def test_power_is_that_of_the_exponents(power: Any):
    assert RLCT(Fraction(1, 4), 2) / power == RLCT(Fraction(1, 4) / power, 2)


def test_losses_that_are_known_another_way():
    assert reduce(add, [LINE] * 5) == analytic.regular(5).rlct
    assert reduce(mul, [LINE] * 4) == analytic.deep_linear((1,) * 5).rlct
    assert LINE + LINE * LINE == RLCT(1, 2)  # x^2 + (y z)^2
    assert (LINE + LINE) * (LINE + LINE) == analytic.deep_linear((2, 1, 2)).rlct  # |a|^2 |b|^2 = ||a b^T||^2


def test_sum_by_its_volume():
    # K = x^2 y^2 + u^2 v^2 on [0, 1]^4. Each S = x y has P(S < s) = s (1 - log s), so V is a convolution, done here
    # in t = -log s; a + b says V ~ c eps (log 1/eps)^2
    claimed = LINE * LINE + LINE * LINE
    assert claimed == RLCT(1, 3)
    log_eps = np.array([-60.0, -80.0, -100.0, -120.0])
    volumes = [volume_of_two_crossings(x) for x in log_eps]
    slope = np.polyfit(np.log(-log_eps), np.log(volumes) - float(claimed.value) * log_eps, 1)[0]
    assert slope == pytest.approx(claimed.multiplicity - 1, abs=0.1)  # the correction is of order 1/log


def volume_of_two_crossings(log_eps: float) -> float:
    """P(S^2 + T^2 < eps) for S, T products of two uniforms, by quadrature over log S."""
    r = np.exp(log_eps / 2)
    angle = (np.arange(20_000) + 0.5) / 20_000 * np.pi / 2
    s, t = r * np.cos(angle), r * np.sin(angle)
    # integrate dS P(T < sqrt(eps - S^2)) with S = r cos(angle): density of S is -log S
    return float(np.mean(-np.log(s) * t * (1 - np.log(t)) * t) * np.pi / 2)


def test_zero_is_a_loss_that_vanishes():
    nothing = RLCT(0, 1)
    assert nothing + LINE == LINE
    assert nothing * nothing == nothing * LINE == nothing


def test_is_frozen_hashable_and_picklable():
    with pytest.raises(AttributeError):
        LINE.value = Fraction(1)  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(LINE) == hash(RLCT(Fraction(1, 2), 1))
    assert pickle.loads(pickle.dumps(LINE)) == LINE
    assert repr(LINE) == "RLCT(1/2, 1)"


def test_numpy_numbers_become_exact():
    made = RLCT(np.int64(2), np.int64(3))  # pyright: ignore[reportArgumentType]
    assert (type(made.value), type(made.value.numerator), type(made.multiplicity)) == (Fraction, int, int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, 1), "value must be an int or a Fraction, got 0.5"),
        ((Fraction(-1, 2), 1), "value must be an int or a Fraction >= 0, got -1/2"),
        ((1, 0), "multiplicity must be an integer >= 1, got 0"),
        ((1, 1.0), "multiplicity must be an integer >= 1, got 1.0"),
        ((0, 2), "multiplicity must be 1 where the value is 0"),
    ],
)
def test_refuses_impossible_numbers(arguments: Any, message: str):
    with pytest.raises(InputError, match=message):
        RLCT(*arguments)


@pytest.mark.parametrize("power", [0, -1, 0.5, True])
def test_refuses_impossible_powers(power: Any):
    with pytest.raises(InputError, match=r"the power of a loss must be an int or a Fraction > 0"):
        LINE / power


@pytest.mark.parametrize("operation", [add, mul])
def test_arithmetic_is_of_rlcts_alone(operation: Any):
    with pytest.raises(TypeError):
        operation(LINE, Fraction(1, 2))
