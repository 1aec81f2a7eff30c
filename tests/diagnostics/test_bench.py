"""The bench: every toy has its value, and every reference is good enough to judge by."""

import slt
from slt.diagnostics import bench, known_of, reference, references, standard_toys


def test_every_reference_is_good_to_three_thousandths():
    assert len(references()) > 30
    for one in references():
        assert one.error <= 0.003 * one.value, one
        assert reference(one.toy, one.nbeta, one.localization) == one
        assert reference(one.toy, 1.01 * one.nbeta, one.localization) is None


def test_every_toy_of_the_bench_has_its_value_at_the_default_settings():
    names = [toy.name for toy in bench()]
    assert len(set(names)) == len(names) >= 80
    for toy in bench():
        found = known_of(toy, slt.LocalPosterior(toy.model, toy.data, toy.loss))
        assert found.kind in {"exact", "reference"}, toy.name
        assert found.value is not None
        if toy.exact is not None:
            # at finite n the value is below the limit, but for what a weak localizer adds along (m - 1)/log(nbeta)
            assert 0 < found.value < 1.05 * float(toy.exact.value), toy.name


def test_the_standard_toys_are_a_dozen_of_the_bench():
    assert 10 <= len(standard_toys()) <= 15
    assert {toy.name for toy in standard_toys()} <= {toy.name for toy in bench()}
