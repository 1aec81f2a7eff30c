import dataclasses

import pytest

from slt.estimators import Finding, Problem, Verdict

ONE = Finding(Problem.NOT_CONVERGED, "R-hat is 1.2.")
OTHER = Finding(Problem.STEP_BIAS, "By 3 %.")


@pytest.mark.parametrize("kind", Problem)
def test_every_kind_has_fixed_words_and_can_be_found_by_its_value(kind):
    assert Problem(str(kind)) is kind
    assert kind.value == kind.name.lower()
    assert kind.sentence.endswith(".")
    assert kind.remedy.endswith(".") or kind is Problem.REMARK


def test_words_of_the_kinds_differ():
    assert len({kind.sentence for kind in Problem}) == len(Problem)


def test_problems_make_a_verdict_not_ok_and_notes_do_not():
    assert Verdict().ok
    assert Verdict(notes=(ONE,)).ok
    assert not Verdict(problems=(ONE,), notes=(OTHER,)).ok


def test_join_keeps_order():
    joined = Verdict.join(iter([Verdict(problems=(ONE,)), Verdict(), Verdict((OTHER,), (ONE,))]))
    assert joined == Verdict(problems=(ONE, OTHER), notes=(ONE,))


def test_text_gives_sentence_numbers_and_remedy():
    assert str(ONE) == f"{Problem.NOT_CONVERGED.sentence[:-1]}: R-hat is 1.2. {Problem.NOT_CONVERGED.remedy}"
    assert str(Finding(Problem.REMARK, "said at set-up")) == "said at set-up"
    assert str(Verdict()) == "reliable"


def test_a_verdict_is_printed_one_finding_after_the_other_within_100_columns():
    printed = str(Verdict((ONE,), (OTHER,)))
    first, *rest = printed.splitlines()
    assert first == "not reliable"
    assert max(map(len, rest)) <= 100
    assert " ".join(printed.split()) == f"not reliable problem: {ONE} note: {OTHER}"
    assert [line for line in rest if not line.startswith("    ")] == [rest[0], rest[2]]


@pytest.mark.parametrize("kind", [kind for kind in Problem if kind is not Problem.REMARK])
def test_each_finding_is_one_or_two_sentences(kind):
    assert kind.sentence.endswith(".")
    assert kind.sentence.count(". ") == 0
    assert kind.remedy.endswith(".")
    assert kind.remedy.count(". ") == 0


def test_findings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ONE.detail = ""  # pyright: ignore[reportAttributeAccessIssue]
