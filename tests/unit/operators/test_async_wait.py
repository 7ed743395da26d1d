"""AsyncWaitOperator against a model: any order of completions, commits, aborts and kills in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.runtime.operators.async_wait import AsyncWaitOperator, Outcome
from headrace.runtime.ports import MIN_WATERMARK, Pending
from headrace.runtime.state.tables import Tables


class ManualCalls:
    """Calls that end when the test says so."""

    def __init__(self) -> None:
        self.running: dict[int, Any] = {}
        self._ended: list[Outcome] = []

    def begin(self, rows: Sequence[tuple[int, Any]]) -> None:
        self.running.update(rows)

    def ended(self) -> list[Outcome]:
        ended, self._ended = self._ended, []
        return ended

    def end(self, number: int, error: BaseException | None = None) -> None:
        value = self.running.pop(number)
        self._ended.append(Outcome(number, [value], error))

    def end_value(self, value: Any) -> None:
        self.end(next(number for number, running in self.running.items() if running == value))


class World:
    """One lane: reads ``events`` (a row, or ("w", watermark)) from its committed position after every failure."""

    def __init__(self, *, ordered: bool, capacity: int) -> None:
        self.ordered, self.capacity = ordered, capacity
        self.events: list[Any] = []
        self.position = self.committed_position = 0
        self.watermark = self.committed_watermark = MIN_WATERMARK
        self.out: list[Any] = []
        self.committed_out: list[Any] = []
        self.in_flight: tuple[list[Any], list[Any], int, int] | None = None
        self.log: list[Any] = []
        self.restarts = 0
        self.tables = Tables()
        self.start()

    def start(self) -> None:
        self.calls = ManualCalls()
        self.operator = AsyncWaitOperator(
            self.calls, self.tables.table("a"), self._emit, ordered=self.ordered, capacity=self.capacity
        )
        self.operator.open()
        self.out = []
        self.position, self.watermark = self.committed_position, self.committed_watermark
        if self.watermark != MIN_WATERMARK:
            self.operator.advance(self.watermark)

    def _emit(self, value: Any, time_ms: int | None) -> None:
        assert time_ms == value
        self.out.append(value)
        # No watermark that came behind this row has left.
        place = self.events.index(value)
        before = [event[1] for event in self.events[:place] if type(event) is tuple]
        assert self.operator.watermark <= max(before, default=MIN_WATERMARK)

    def read(self) -> None:
        if self.position == len(self.events) or self.operator.pending() is Pending.FULL:
            return
        event = self.events[self.position]
        self.position += 1
        if type(event) is tuple:
            self.watermark = event[1]
            self.operator.advance(event[1])
        else:
            self.operator.add_rows([event], [event])

    def begin_commit(self) -> None:
        if self.in_flight is None:
            self.in_flight = self.tables.take_changes(), self.out, self.position, self.watermark
            self.out = []

    def end_commit(self) -> None:
        if self.in_flight is not None:
            changes, out, self.committed_position, self.committed_watermark = self.in_flight
            self.log += changes
            self.committed_out += out
            self.tables.committed()
            self.in_flight = None

    def abort(self) -> None:
        self.tables.rollback(keep_in_flight=False)
        self.in_flight = None
        self.restarts += 1
        self.start()

    def kill(self) -> None:
        self.tables = Tables()
        self.tables.apply(self.log)
        self.in_flight = None
        self.restarts += 1
        self.start()

    def end_one(self, choice: int) -> None:
        running = sorted(self.calls.running)
        if running:
            self.calls.end(running[choice % len(running)])

    def check(self) -> None:
        assert len(self.calls.running) <= self.capacity
        if self.restarts:
            return
        left, done = set(self.committed_out) | set(self.out), MIN_WATERMARK
        if self.in_flight is not None:
            left |= set(self.in_flight[1])
        for event in self.events[: self.position]:
            if type(event) is tuple:
                done = event[1]
            elif event not in left:
                break
        assert self.operator.watermark == done  # nothing holds a watermark but rows before it


actions = st.lists(
    st.one_of(
        st.sampled_from(["row", "row", "row", "watermark", "read", "read", "read", "drain", "drain"]),
        st.sampled_from(["begin", "end", "abort", "kill"]),
        st.integers(0, 9),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(ordered=st.booleans(), capacity=st.integers(1, 4), steps=actions)
def test_every_row_leaves_once_behind_no_watermark(ordered: bool, capacity: int, steps: list[Any]) -> None:
    world, count = World(ordered=ordered, capacity=capacity), 0
    for step in steps:
        count += 1
        match step:
            case "row":
                world.events.append(count)
            case "watermark":
                world.events.append(("w", count))
            case "read":
                world.read()
            case "drain":
                world.operator.drain()
                world.check()
            case "begin":
                world.begin_commit()
            case "end":
                world.end_commit()
            case "abort":
                world.abort()
            case "kill":
                world.kill()
            case number:
                world.end_one(number)
    while world.position < len(world.events) or world.operator.pending() is not Pending.NONE:
        world.read()
        world.end_one(0)
        world.operator.drain()
    world.end_commit()
    world.begin_commit()
    world.end_commit()
    rows = [event for event in world.events if type(event) is not tuple]
    assert (world.committed_out if ordered else sorted(world.committed_out)) == rows
    marks = [event[1] for event in world.events if type(event) is tuple]
    assert world.operator.watermark == max(marks, default=MIN_WATERMARK)
    assert not world.tables.table("a").space("rows")


def fed(world: World, *events: Any) -> World:
    world.events += events
    for _ in events:
        world.read()
    return world


def test_unordered_results_leave_as_they_come() -> None:
    world = fed(World(ordered=False, capacity=3), 1, 2, 3)
    world.calls.end_value(3)
    world.operator.drain()
    assert world.out == [3]
    world.calls.end_value(1)
    world.operator.drain()
    assert world.out == [3, 1]


def test_ordered_results_wait_for_the_ones_before() -> None:
    world = fed(World(ordered=True, capacity=3), 1, 2, 3)
    world.calls.end_value(3)
    world.calls.end_value(2)
    assert not world.operator.drain()
    world.calls.end_value(1)
    assert world.operator.drain()
    assert world.out == [1, 2, 3]


def test_a_result_does_not_overtake_a_watermark() -> None:
    world = fed(World(ordered=False, capacity=3), 1, ("w", 5), 6)
    world.calls.end_value(6)
    world.operator.drain()
    assert (world.out, world.operator.watermark) == ([], MIN_WATERMARK)
    world.calls.end_value(1)
    world.operator.drain()
    assert (world.out, world.operator.watermark) == ([1, 6], 5)


def test_ordered_rows_that_are_done_count_until_they_have_left() -> None:
    world = fed(World(ordered=True, capacity=2), 1, 2, 3)
    world.calls.end_value(2)
    world.operator.drain()
    assert (world.position, sorted(world.calls.running.values())) == (2, [1])
    world.calls.end_value(1)
    world.operator.drain()
    world.read()
    assert list(world.calls.running.values()) == [3]


def test_rows_of_a_message_beyond_the_capacity_wait_as_state() -> None:
    world = World(ordered=False, capacity=2)
    world.events = [1, 2, 3, 4, 5]
    world.operator.add_rows(world.events, world.events)
    world.position = 5
    assert list(world.calls.running.values()) == [1, 2]
    world.begin_commit()
    world.end_commit()
    world.kill()
    assert list(world.calls.running.values()) == [1, 2]
    for value in (1, 2, 3, 4, 5):
        assert world.operator.pending() is (Pending.FULL if value < 5 else Pending.SOME)
        world.calls.end_value(value)
        world.operator.drain()
    assert (world.out, world.operator.pending()) == ([1, 2, 3, 4, 5], Pending.NONE)


def test_a_row_that_leaves_before_its_commit_costs_the_log_nothing() -> None:
    world = fed(World(ordered=False, capacity=2), 1)
    world.calls.end_value(1)
    world.operator.drain()
    assert world.tables.take_changes() == []


def test_what_the_user_changes_in_place_is_not_what_is_kept() -> None:
    tables, calls = Tables(), ManualCalls()
    operator = AsyncWaitOperator(calls, tables.table("a"), lambda _v, _t: None, ordered=False, capacity=1)
    operator.open()
    operator.add_rows([{"a": 1}], [None])
    calls.running[0]["a"] = 2
    assert tables.table("a").get("rows", 0) == ({"a": 1}, None)


def test_the_watermark_that_left_is_known_after_a_restart() -> None:
    world = fed(World(ordered=False, capacity=2), ("w", 3), 1, ("w", 5))
    world.begin_commit()
    world.end_commit()
    world.kill()
    assert world.operator.watermark == 3
    world.calls.end_value(1)
    world.operator.drain()
    assert world.operator.watermark == 5


def test_a_failed_call_is_raised_in_the_lane() -> None:
    world = fed(World(ordered=True, capacity=2), 1, 2)
    world.calls.end(1, ValueError("two"))
    with pytest.raises(ValueError, match="two"):
        world.operator.drain()
