"""Timers and due namespaces against a sorted list of what is there."""

from __future__ import annotations

import random

import pytest

from headrace.runtime.state.due import STALE_MAX, DueTimes, Timers
from headrace.runtime.state.tables import Tables


def fired(timers: Timers, watermark: int) -> list[tuple[int, str]]:
    out = []
    while (timer := timers.pop(watermark)) is not None:
        out.append(timer)
    return out


@pytest.mark.parametrize("seed", range(40))
def test_timers_fire_once_in_order_whatever_happened_to_them(seed: int) -> None:
    """Random registrations, deletions, commits, aborts and watermarks, compared with a plain set."""
    rng = random.Random(seed)
    tables = Tables()
    timers = Timers(tables.table("t"))
    held: set[tuple[int, str]] = set()
    committed = set(held)
    for _ in range(300):
        timer = (rng.randrange(-20, 60), rng.choice("abcdef"))
        match rng.randrange(10):
            case 0:
                watermark = rng.randrange(-20, 60)
                due = sorted(t for t in held if t[0] <= watermark)
                got = fired(timers, watermark)
                assert sorted(got) == due
                assert [t for t, _ in got] == sorted(t for t, _ in got)
                held -= set(due)
            case 1:
                timers.delete(*timer)
                held.discard(timer)
            case 2:
                tables.take_changes()
                tables.committed()
                committed = set(held)
            case 3 if rng.random() < 0.3:
                tables.rollback(keep_in_flight=False)
                timers = Timers(tables.table("t"))
                held = set(committed)
            case _:
                timers.register(*timer)
                held.add(timer)
    assert set(fired(timers, 1_000)) == held


def test_a_timer_registered_or_deleted_while_its_time_fires_is_seen() -> None:
    timers = Timers(Tables().table("t"))
    for key in "abc":
        timers.register(5, key)
    assert timers.pop(10) == (5, "a")
    timers.delete(5, "b")
    timers.register(5, "d")
    timers.register(3, "early")
    assert fired(timers, 10) == [(3, "early"), (5, "c"), (5, "d")]


def test_many_keys_of_one_time_fire_without_scanning_what_is_gone() -> None:
    """100,000 pops: quadratic work would take minutes."""
    timers = Timers(Tables().table("t"))
    for n in range(100_000):
        timers.register(5, f"key-{n}")
    assert [key for _, key in fired(timers, 5)] == [f"key-{n}" for n in range(100_000)]


def test_the_index_does_not_grow_with_timers_that_are_gone() -> None:
    tables = Tables()
    table = tables.table("t")
    due = DueTimes(table)
    for time in range(20_000):
        due.add(time)
        table.put(time, "k", None)
        table.delete(time, "k")
        if time % 100 == 0:
            tables.take_changes()
            tables.committed()
    assert len(due._heap) <= 2 * 101 + STALE_MAX + 1
    assert due.first() is None


def test_times_come_back_after_a_restore() -> None:
    tables = Tables()
    timers = Timers(tables.table("t"))
    timers.register(7, "k")
    timers.register(2, "k")
    changes = tables.take_changes()
    other = Tables()
    other.apply(changes)
    assert fired(Timers(other.table("t")), 100) == [(2, "k"), (7, "k")]
