"""What the latency measurement takes for exact."""

from __future__ import annotations

from streamctl.bench.latency import EVERY, expected_totals, right
from streamctl.bench.pace import USERS, amount


def test_totals_are_those_of_a_plain_sum() -> None:
    due = expected_totals(5 * USERS + 1)
    assert list(due) == list(range(0, 5 * USERS + 1, EVERY))
    for number in (0, EVERY, USERS + EVERY, 5 * USERS):
        assert due[number] == sum(amount(n) for n in range(number % USERS, number + 1, USERS))


def test_exactly_once_takes_each_total_once_with_its_amount() -> None:
    due = {0: 1, 50: 2}
    assert right({0: [1], 50: [2]}, due, once=True)
    assert not right({0: [1], 50: [2, 2]}, due, once=True)
    assert not right({0: [1], 50: [3]}, due, once=True)
    assert not right({0: [1]}, due, once=True)
    assert not right({0: [1], 50: [2], 100: [1]}, due, once=True)


def test_at_least_once_takes_repeats_and_no_loss() -> None:
    due = {0: 1, 50: 2}
    assert right({0: [1, 1], 50: [2, 4]}, due, once=False)
    assert not right({0: [1], 50: [1]}, due, once=False)
    assert not right({50: [2]}, due, once=False)
