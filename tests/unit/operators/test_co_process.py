"""Functions of two connected inputs: state and timers shared by key, and against a model under kills and aborts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op

from headrace.datastream.functions import (
    CoFlatMapFunction,
    CoMapFunction,
    CoProcessFunction,
    KeyedCoProcessFunction,
    RuntimeContext,
)
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.state import ListStateDescriptor, ValueStateDescriptor
from headrace.datastream.typed import CoFlatMapped, CoMapped
from headrace.runtime.ports import MAX_WATERMARK, UserCodeError

WAIT_MS = 10


class Both(CoProcessFunction):
    def process_element1(self, value: Any, ctx: Any) -> Any:
        yield "first", value, ctx.timestamp(), ctx.timer_service().current_watermark()

    def process_element2(self, value: Any, ctx: Any) -> Any:
        return [("second", value, ctx.timestamp(), ctx.timer_service().current_watermark())]


def test_without_keys_each_input_has_its_method() -> None:
    lane = OneLane(op("co_process", {"process": Both()}))
    lane.unkeyed((1, 5))
    lane.advance(7)
    lane.unkeyed((2, None), edge_input=1)
    first, second = lane.out()
    assert first == (("first", 1, 5, -(2**63)), 5)
    assert second == (("second", 2, None, 7), None)


def test_timers_without_keys_are_refused() -> None:
    class Timed(Both):
        def process_element1(self, value: Any, ctx: Any) -> Any:
            ctx.timer_service().register_event_time_timer(1)

    lane = OneLane(op("co_process", {"process": Timed()}, name="mine"))
    with pytest.raises(UserCodeError, match=r"key_by\(\)") as caught:
        lane.unkeyed((1, 1))
    assert caught.value.operator == "mine"


def test_maps_of_two_inputs_hold_keyed_state_that_both_see() -> None:
    class Latest(CoMapFunction):
        def open(self, runtime_context: RuntimeContext) -> None:
            self.rate = runtime_context.get_state(ValueStateDescriptor("rate"))

        def map1(self, value: Any) -> Any:
            return value * (self.rate.value() or 0)

        def map2(self, value: Any) -> Any:
            self.rate.update(value)
            return None

    lane = OneLane(op("keyed_co_process", {"process": CoMapped(Latest())}))
    lane.rows(("a", 3, 1))
    lane.second(("a", 10, 2), ("b", 100, 2))
    lane.commit()
    lane.kill()
    lane.rows(("a", 3, 3), ("b", 3, 4))
    assert lane.out() == [(0, 1), (None, 2), (None, 2), (30, 3), (300, 4)]


def test_flat_maps_of_two_inputs_give_any_number() -> None:
    class Some(CoFlatMapFunction):
        def flat_map1(self, value: Any) -> Any:
            yield from range(value)

        def flat_map2(self, value: Any) -> Any:
            return None

    lane = OneLane(op("co_process", {"process": CoFlatMapped(Some())}))
    lane.unkeyed((2, 1), (0, 2))
    lane.unkeyed((5, 3), edge_input=1)
    assert lane.out() == [(0, 1), (1, 1)]


def test_both_inputs_and_timers_have_side_outputs() -> None:
    class Aside(KeyedCoProcessFunction):
        def process_element1(self, value: Any, ctx: Any) -> Any:
            ctx.timer_service().register_event_time_timer(value)
            yield OutputTag("s"), value

        def process_element2(self, value: Any, ctx: Any) -> Any:
            yield value

        def on_timer(self, timestamp: int, ctx: Any) -> Any:
            yield OutputTag("s"), (timestamp, ctx.get_current_key(), ctx.time_domain().name)

    lane = OneLane(op("keyed_co_process", {"process": Aside()}), op("side_output", input=0, tag="s"), taps=[0, 1])
    lane.rows(("a", 5, 1))
    lane.second(("a", 6, 2))
    lane.advance(MAX_WATERMARK)
    assert lane.out(0) == [(6, 2)]
    assert lane.out(1) == [(5, 1), ((5, "a", "EVENT_TIME"), 5)]


class Match(KeyedCoProcessFunction):
    """Puts each request with its answer; requests without one within WAIT_MS are given up."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.waiting = runtime_context.get_list_state(ListStateDescriptor("waiting"))

    def process_element1(self, value: Any, ctx: Any) -> Any:
        self.waiting.add((value, ctx.timestamp()))
        ctx.timer_service().register_event_time_timer(ctx.timestamp() + WAIT_MS)

    def process_element2(self, value: Any, ctx: Any) -> Any:
        waiting = list(self.waiting.get())
        if waiting:
            request, time = waiting.pop(0)
            self.waiting.update(waiting)
            if all(other_time != time for _, other_time in waiting):
                ctx.timer_service().delete_event_time_timer(time + WAIT_MS)
            yield "answered", request, value

    def on_timer(self, timestamp: int, ctx: Any) -> Any:
        waiting = list(self.waiting.get())
        self.waiting.update([each for each in waiting if each[1] + WAIT_MS > timestamp])
        return [("given up", each[0], timestamp) for each in waiting if each[1] + WAIT_MS <= timestamp]


class Model:
    """The same, by hand."""

    def __init__(self) -> None:
        self.waiting: dict[Any, list[tuple[Any, int]]] = {}
        self.out: list[Any] = []

    def copy(self) -> Model:
        other = Model()
        other.waiting = {key: list(each) for key, each in self.waiting.items()}
        other.out = list(self.out)
        return other

    def first(self, key: Any, value: Any, time: int) -> None:
        self.waiting.setdefault(key, []).append((value, time))

    def second(self, key: Any, value: Any, time: int) -> None:
        if self.waiting.get(key):
            self.out.append(("answered", self.waiting[key].pop(0)[0], value))

    def advance(self, watermark: int) -> None:
        for key, waiting in self.waiting.items():
            # In one advance, a timer that is due takes all whose time has come by then.
            for moment in sorted({time + WAIT_MS for _, time in waiting if time + WAIT_MS <= watermark}):
                over = [each for each in self.waiting[key] if each[1] + WAIT_MS <= moment]
                self.waiting[key] = [each for each in self.waiting[key] if each not in over]
                self.out += [("given up", value, moment) for value, _ in over]


ROW = st.tuples(st.sampled_from(["a", "b", 3]), st.integers(0, 60))
STEP = st.tuples(st.sampled_from(["first", "second", "advance"]), st.lists(ROW, min_size=1, max_size=4))


@settings(max_examples=100, deadline=None)
@given(commits=st.lists(st.tuples(st.lists(STEP, max_size=6), st.sampled_from(["", "abort", "kill"])), max_size=6))
def test_state_and_timers_of_two_inputs_against_the_model(commits: Any) -> None:
    lane, model = OneLane(op("keyed_co_process", {"process": Match()})), Model()
    number, watermark = 0, -1
    for steps, fault in commits:
        before, first_number, first_watermark = model.copy(), number, watermark
        for attempt in range(2 if fault else 1):
            model, number, watermark = before.copy(), first_number, first_watermark
            for kind, rows in steps:
                if kind == "advance":
                    watermark = max(watermark, rows[0][1])
                    lane.advance(watermark)
                    model.advance(watermark)
                    continue
                # No timer is registered in the past: such a one waits for the next watermark.
                numbered = [(key, (number := number + 1), max(time, watermark)) for key, time in rows]
                (lane.rows if kind == "first" else lane.second)(*numbered)
                for row in numbered:
                    (model.first if kind == "first" else model.second)(*row)
            if fault and attempt == 0:
                lane.abort() if fault == "abort" else lane.kill()
        lane.commit()
    lane.advance(MAX_WATERMARK)
    model.advance(MAX_WATERMARK)
    assert Counter(lane.values()) == Counter(model.out)
    assert lane.state_left() == {}
