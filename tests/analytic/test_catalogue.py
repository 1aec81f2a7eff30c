"""The catalogue: whole, readable, evaluable, exportable."""

import csv
import io
import time
from fractions import Fraction

import pytest

from slt import analytic
from slt.analytic.families import FAMILIES
from slt.analytic.instances import instances
from slt.errors import InputError


@pytest.fixture(scope="module")
def table() -> analytic.Catalogue:
    return analytic.catalogue()


def test_every_family_is_public_and_has_instances(table: analytic.Catalogue):
    assert set(FAMILIES) <= set(analytic.__all__)
    assert {row.function for row in table} == set(FAMILIES)
    assert len(table) == sum(len(instances(name)) for name in FAMILIES) >= 300


def test_every_entry_says_what_it_rests_on(table: analytic.Catalogue):
    for row in table:
        texts = (row.entry.K, row.entry.domain, row.entry.prior, row.entry.source, row.entry.conditions)
        assert all(texts), row
        assert row.entry.parameters, row


def test_every_call_gives_its_entry(table: analytic.Catalogue):
    names = vars(analytic) | {"Fraction": Fraction}
    assert all(eval(row.call, names) == row.entry for row in table)
    assert len({row.call for row in table}) == len(table)


def test_all_of_it_takes_a_few_seconds():
    # of processor time, so that a busy machine does not matter; about 2 where this was written
    before = time.process_time()
    analytic.catalogue()
    assert time.process_time() - before < 10


def test_one_family(table: analytic.Catalogue):
    chosen = analytic.catalogue("deep_linear")
    assert list(chosen) == [row for row in table if row.function == "deep_linear"]
    with pytest.raises(InputError, match=r"family must be one of regular, .* got 'deep'"):
        analytic.catalogue("deep")


def test_prints_one_line_an_instance(table: analytic.Catalogue):
    lines = str(table).splitlines()
    assert len(lines) == len(table) + 1
    assert "23/2   2  reduced_rank_regression(inputs=5, outputs=5, hidden=5, rank=2)" in str(table)
    assert sum(line.lstrip().startswith("<=") for line in lines) == 2


def test_csv_holds_everything(table: analytic.Catalogue):
    read = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert len(read) == len(table)
    for line, row in zip(read, table, strict=True):
        assert (Fraction(line["value"]), int(line["multiplicity"])) == (row.entry.value, row.entry.multiplicity)
        assert (line["call"], line["source"], line["bound"]) == (row.call, row.entry.source, row.entry.bound)


def test_pandas(table: analytic.Catalogue):
    pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert list(frame["value"]) == [row.entry.value for row in table]
    assert frame.set_index("call")["multiplicity"]["normal_crossing(exponents=(2, 2))"] == 2
