"""An Entry refuses impossible numbers and reads as an answer."""

import pickle
from fractions import Fraction
from typing import Any

import pytest

from slt import analytic
from slt.errors import InputError


def entry(**changes: Any) -> analytic.Entry:
    fields: dict[str, Any] = {
        "value": Fraction(1, 2),
        "multiplicity": 2,
        "family": "family",
        "parameters": {"exponents": (2, 2)},
        "K": "(x y)^2",
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
        entry().value = Fraction(1)  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(entry()) == hash(entry())
    assert pickle.loads(pickle.dumps(entry())) == entry()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 0.5}, "value must be a Fraction >= 0, got 0.5"),
        ({"value": Fraction(-1, 2)}, "value must be a Fraction >= 0"),
        ({"multiplicity": 0}, "multiplicity must be an integer >= 1, got 0"),
        ({"multiplicity": 1.0}, "multiplicity must be an integer >= 1, got 1.0"),
    ],
)
def test_refuses_impossible_numbers(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        entry(**changes)


@pytest.mark.parametrize(
    "catalogued",
    [
        analytic.regular(2),
        analytic.quadratic(2),
        analytic.normal_crossing((2, 2)),
        analytic.deep_linear((2, 2, 2)),
    ],
)
def test_every_family_says_what_it_rests_on(catalogued: analytic.Entry):
    assert catalogued.K
    assert catalogued.source
    assert catalogued.conditions
    assert catalogued.parameters
