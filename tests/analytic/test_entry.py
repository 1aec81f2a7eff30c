"""An Entry refuses impossible numbers and reads as an answer."""

import pickle
from fractions import Fraction
from typing import Any

import pytest

from slt import RLCT, analytic
from slt.errors import InputError


def entry(**changes: Any) -> analytic.Entry:
    fields: dict[str, Any] = {
        "rlct": RLCT(Fraction(1, 2), 2),
        "family": "family",
        "parameters": {"exponents": (2, 2)},
        "K": "(x y)^2",
        "domain": "the plane",
        "prior": "uniform",
        "source": "a book",
        "conditions": "none",
    }
    return analytic.Entry(**fields | changes)


def test_repr_gives_answer_and_question():
    assert repr(entry()) == "Entry(value=1/2, multiplicity=2, family='family', exponents=(2, 2))"


def test_repr_cuts_long_tuples_short():
    assert len(repr(analytic.quadratic(10_000))) < 200


def test_is_frozen_hashable_and_picklable():
    with pytest.raises(AttributeError):
        entry().rlct = RLCT(1, 1)  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(entry()) == hash(entry())
    assert pickle.loads(pickle.dumps(entry())) == entry()


def test_an_upper_bound_says_so():
    assert repr(entry(bound="upper")).startswith("Entry(value<=1/2, multiplicity=2, bound='upper', family=")


def test_passes_the_parts_through():
    assert (entry().value, entry().multiplicity) == (Fraction(1, 2), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rlct": Fraction(1, 2)}, r"rlct must be an slt.RLCT, got Fraction\(1, 2\)"),
        ({"bound": "lower"}, "bound must be one of exact, upper, got 'lower'"),
    ],
)
def test_refuses_what_is_no_answer(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        entry(**changes)
