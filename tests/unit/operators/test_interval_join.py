"""Interval joins against every pair taken one by one, straight and with kills and aborts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream.functions import ProcessJoinFunction, RuntimeContext
from headrace.datastream.state import ValueStateDescriptor
from headrace.errors import UsageError
from headrace.runtime.ports import MAX_WATERMARK, UserCodeError


class Pair(ProcessJoinFunction):
    def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
        yield left, right, ctx.get_left_timestamp(), ctx.get_right_timestamp(), ctx.get_timestamp()


def joined(lower: int, upper: int, function: Any = None, **params: Any) -> OneLane:
    return OneLane(op("interval_join", {"process": function or Pair()}, lower_ms=lower, upper_ms=upper, **params))


def pairs(lane: OneLane) -> list[Any]:
    return [value[:2] for value in lane.values()]


def test_bounds_are_included_and_the_later_time_is_the_results() -> None:
    lane = joined(-5, 10)
    lane.rows(("a", "l", 100))
    lane.second(*[("a", t, t) for t in (94, 95, 100, 110, 111)], ("b", 0, 100))
    expected = [("l", 95, 100, 95, 100), ("l", 100, 100, 100, 100), ("l", 110, 100, 110, 110)]
    assert lane.out() == [(pair, pair[4]) for pair in expected]


def test_a_row_at_the_watermark_still_finds_its_partner_and_one_behind_it_is_late() -> None:
    lane = joined(0, 1_000)
    lane.rows(("a", "l", 1_000))
    lane.advance(2_000)
    lane.second(("a", "in time", 2_000), ("a", "late", 1_999))
    assert pairs(lane) == [("l", "in time")]
    assert lane.chain.late_dropped == 1


def test_late_rows_go_to_the_side_output_of_their_side() -> None:
    lane = OneLane(
        op("interval_join", {"process": Pair()}, lower_ms=0, upper_ms=9, left_late_tag="l", right_late_tag="r"),
        op("side_output", input=0, tag="l"),
        op("side_output", input=0, tag="r"),
        taps=[0, 1, 2],
    )
    lane.advance(50)
    lane.rows(("a", "left", 49))
    lane.second(("a", "right", 48))
    assert (lane.out(0), lane.out(1), lane.out(2)) == ([], [("left", 49)], [("right", 48)])
    assert lane.chain.late_dropped == 0


@pytest.mark.parametrize("lower,upper", [(0, 10_000), (-10_000, 0), (-500, 500), (20, 40), (-40, -20), (0, 0)])
def test_rows_go_when_no_partner_can_come(lower: int, upper: int) -> None:
    lane = joined(lower, upper)
    for time in range(0, 100_000, 1_000):
        lane.rows(("a", time, time))
        lane.second(("b", time, time))
    lane.commit()
    lane.advance(60_000)
    held = sum(len(rows) for table in lane.state_left().values() for rows in table.values())
    assert 80 <= held <= 80 + 2 * (10 + 7)  # those to come, and as long as the bounds and a bucket say
    lane.advance(MAX_WATERMARK)
    lane.commit()
    assert lane.state_left() == {}


def test_a_function_that_changes_its_values_changes_copies() -> None:
    class Spoiling(ProcessJoinFunction):
        def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
            left["n"] += 1
            right.append(0)
            return [(left, right)]

    lane = joined(0, 10, Spoiling())
    lane.rows(("a", {"n": 1}, 0))
    lane.second(("a", [7], 1), ("a", [8], 2))
    lane.rows(("a", {"n": 5}, 1))
    assert lane.values() == [({"n": 2}, [7, 0]), ({"n": 2}, [8, 0]), ({"n": 6}, [7, 0]), ({"n": 6}, [8, 0])]


def test_keyed_state_is_that_of_the_pair() -> None:
    class Counting(ProcessJoinFunction):
        def open(self, runtime_context: RuntimeContext) -> None:
            self.count = runtime_context.get_state(ValueStateDescriptor("n"))

        def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
            self.count.update((self.count.value() or 0) + 1)
            yield left, self.count.value()

    lane = joined(0, 10, Counting())
    lane.rows(("a", "a", 0), (1, "one", 0))
    lane.second(*[(key, 0, 1) for key in ("a", 1, "a")])
    assert lane.values() == [("a", 1), ("one", 1), ("a", 2)]


def test_a_row_without_event_time_and_a_failing_function_are_named() -> None:
    lane = joined(0, 10)
    with pytest.raises(UserCodeError, match="event time") as caught:
        lane.rows(("a", 1, None))
    assert isinstance(caught.value.__cause__, UsageError)

    class Failing(ProcessJoinFunction):
        def process_element(self, left: Any, right: Any, ctx: Any) -> Any:
            raise ZeroDivisionError

    lane = joined(0, 10, Failing())
    lane.rows(("a", 1, 1))
    with pytest.raises(UserCodeError) as caught:
        lane.second(("a", 1, 1))
    assert caught.value.operator == "interval_join"


ROW = st.tuples(st.sampled_from(["a", 1, (2, "x")]), st.integers(-600, 1_500))
STEP = st.one_of(
    st.tuples(st.just("left"), st.lists(ROW, max_size=6)),
    st.tuples(st.just("right"), st.lists(ROW, max_size=6)),
    st.tuples(st.just("watermark"), st.integers(-700, 1_500)),
)
BOUNDS = st.tuples(st.integers(-500, 500), st.integers(-500, 500)).map(sorted)


@settings(max_examples=150, deadline=None)
@given(
    bounds=BOUNDS,
    commits=st.lists(
        st.tuples(st.lists(STEP, max_size=6), st.sampled_from(["commit", "abort", "kill", "kill in flight"])),
        max_size=6,
    ),
)
def test_every_pair_once_whatever_the_order_and_the_faults(bounds: Any, commits: Any) -> None:
    lower, upper = bounds
    lane = joined(lower, upper)
    number = watermark = 0
    rows: tuple[list[Any], list[Any]] = [], []
    watermark = -(10**9)
    for steps, ending in commits:
        numbered = [
            (kind, [(key, (number := number + 1), time) for key, time in what] if kind != "watermark" else what)
            for kind, what in steps
        ]
        for attempt in range(1 if ending == "commit" else 2):
            now = watermark
            taken: tuple[list[Any], list[Any]] = [], []
            for kind, what in numbered:
                if kind == "watermark":
                    now = max(now, what)
                    lane.advance(now)
                    continue
                side = kind == "right"
                (lane.second if side else lane.rows)(*what)
                taken[side].extend(row for row in what if row[2] >= now)
            if attempt == 0 and ending == "abort":
                lane.abort()
            elif attempt == 0 and ending.startswith("kill"):
                if ending.endswith("flight"):
                    lane.begin_commit()
                lane.kill()
        watermark = now
        for side in (0, 1):
            rows[side].extend(taken[side])
        lane.commit()
    expected = Counter(
        (left[1], right[1], left[2], right[2], max(left[2], right[2]))
        for left in rows[0]
        for right in rows[1]
        if left[0] == right[0] and lower <= right[2] - left[2] <= upper
    )
    assert Counter(lane.values()) == expected
