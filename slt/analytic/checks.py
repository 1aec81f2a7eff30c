"""Checks of the numbers that say which loss is meant; each error says what must hold and what was got."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import inf
from numbers import Integral, Rational

import numpy as np

from slt.errors import InputError, SettingsError


def integer(name: str, value: object, minimum: int, error: type[InputError] = InputError) -> int:
    """Return `value` as an int, or raise `error`; a bool is not an integer here."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise error(f"{name} must be an integer >= {minimum}, got {value!r}.")
    return int(value)


def integers(name: str, values: object, minimum: int, at_least: int = 1) -> tuple[int, ...]:
    """Return `values` as a tuple of ints.

    Raises:
        InputError: If it is no sequence, shorter than `at_least`, or an element is no integer >= `minimum`.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a sequence of integers >= {minimum}, got {values!r}.")
    listed = tuple(values)
    if len(listed) < at_least:
        raise InputError(f"{name} must have at least {at_least} elements, got {listed!r}.")
    return tuple(integer(f"{name}[{i}]", value, minimum) for i, value in enumerate(listed))


def positive(name: str, value: float) -> float:
    """Return `value` as a float.

    Raises:
        SettingsError: If it is not a finite number > 0.
    """
    if not 0 < value < inf:
        raise SettingsError(f"{name} must be positive and finite, got {value}.")
    return float(value)


def rational(name: str, value: object, above: int | None = None) -> Fraction:
    """Return `value` as a Fraction. A float is refused: 0.1 is not one tenth, and the answer is a fraction.

    Raises:
        InputError: If it is neither an int nor a Fraction, or not larger than `above`.
    """
    if isinstance(value, Rational) and not isinstance(value, bool):
        # through int: a numpy integer would keep its fixed width in a Fraction
        fraction = Fraction(int(value.numerator), int(value.denominator))
        if above is None or fraction > above:
            return fraction
    limit = "" if above is None else f" > {above}"
    raise InputError(f"{name} must be an int or a Fraction{limit}, got {value!r}.")


def densities(given: object, length: int) -> tuple[Fraction, ...]:
    """Return the exponents h_i > -1 of a prior like prod |w_i|^(h_i); None means all 0, a prior positive at 0.

    Raises:
        InputError: If `given` is no sequence of ints or Fractions > -1 of this length.
    """
    if given is None:
        return (Fraction(0),) * length
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"prior_exponents must be a sequence of ints or Fractions, got {given!r}.")
    listed = tuple(given)
    if len(listed) != length:
        raise InputError(f"prior_exponents must have one element per exponent ({length}), got {len(listed)}.")
    return tuple(rational(f"prior_exponents[{i}]", h, above=-1) for i, h in enumerate(listed))


def plain(fractions: Iterable[Fraction]) -> tuple[int | Fraction, ...]:
    """Return whole fractions as ints, for printing."""
    return tuple(int(x) if x.denominator == 1 else x for x in fractions)


def as_curvatures(curvatures: int | Sequence[float]) -> tuple[float, ...]:
    """Return the curvatures h_i as a tuple of floats; an int d means d ones.

    Raises:
        InputError: If `curvatures` is neither an integer >= 1 nor a nonempty sequence of finite numbers >= 0.
    """
    if np.ndim(curvatures) == 0:
        return (1.0,) * integer("curvatures, if not a sequence,", curvatures, 1)
    try:
        h = np.asarray(curvatures, dtype=np.float64)
    except (TypeError, ValueError) as failure:
        raise InputError(f"curvatures must be numbers, got {curvatures!r}.") from failure
    if h.ndim != 1 or h.size == 0:
        raise InputError(f"curvatures must be a nonempty sequence of numbers, got shape {h.shape}.")
    if not (np.isfinite(h) & (h >= 0)).all():
        bad = int(np.flatnonzero(~(np.isfinite(h) & (h >= 0)))[0])
        raise InputError(f"curvatures must be finite and >= 0, got {h[bad]} at position {bad}.")
    return tuple(h.tolist())
