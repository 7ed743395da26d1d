"""The accounting of the fault tests must itself be able to say no."""

from __future__ import annotations

import pytest
from tests.accounting import Records, compare, gaps, tumbling_counts, tumbling_sums

EXPECTED = {("a", 0): 3, ("a", 1): 1, ("b", 0): 2}


def test_equal_rows_are_exact_in_any_order():
    account = compare(EXPECTED, reversed(EXPECTED.items()))
    assert account.exact
    assert account.story() == "3 expected"


@pytest.mark.parametrize(
    ("rows", "heading"),
    [
        ([(("a", 0), 3), (("a", 1), 1)], "lost"),
        ([*EXPECTED.items(), (("a", 0), 3)], "duplicated"),
        ([*EXPECTED.items(), (("a", 0), 4)], "duplicated"),
        ([*list(EXPECTED.items())[:2], (("b", 0), 1)], "wrong"),
        ([*EXPECTED.items(), (("c", 0), 1)], "unexpected"),
    ],
)
def test_each_fault_is_found_under_its_own_heading(rows, heading):
    account = compare(EXPECTED, rows)
    assert not account.exact
    found = {name for name in ("lost", "duplicated", "wrong", "unexpected") if getattr(account, name)}
    assert found == {heading}
    assert f"1 {heading}" in account.story()


def test_nothing_expected_is_not_exact():
    assert not compare({}, []).exact


def test_records_are_the_same_in_every_run_and_spread_over_the_keys():
    one, two, other = Records(keys=10), Records(keys=10), Records(keys=10, seed=8)
    assert [one[i] for i in range(1000)] == [two[i] for i in range(1000)]
    assert [one[i].k for i in range(100)] != [other[i].k for i in range(100)]
    counts = tumbling_counts((one[i] for i in range(1000)), size_ms=1000)
    assert len(counts) == 10
    assert min(counts.values()) > 50
    assert one[0] != one[1]
    assert [one[i].t - one.base_ms for i in (0, 9, 10, 999)] == [0, 0, 1, 99]


def test_windows_of_the_plain_computation():
    records = [Records(keys=3, per_ms=1)[i] for i in range(100)]
    counts, sums = tumbling_counts(records, 10), tumbling_sums(records, 10)
    assert sum(counts.values()) == 100
    assert sum(sums.values()) == sum(record.v for record in records)
    assert {start % 10 for _, start in counts} == {0}


def test_gaps_in_a_sequence():
    assert list(gaps([3, 4, 5])) == []
    assert list(gaps([3, 5, 5, 4])) == [(3, 5), (5, 5), (5, 4)]
    assert list(gaps([])) == []
