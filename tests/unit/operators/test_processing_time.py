"""Windows and timers by the time of day, with a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operators.one_lane import OneLane, op
from tests.unit.operators.window_cases import EVALUATIONS, canonical

from headrace.datastream.functions import KeyedProcessFunction, ProcessWindowFunction, RuntimeContext
from headrace.datastream.state import ValueStateDescriptor
from headrace.datastream.time_domain import TimeDomain
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK

ASSIGNERS: dict[str, dict[str, Any]] = {
    "tumbling": {"size_ms": 10, "offset_ms": 3},
    "sliding": {"size_ms": 10, "slide_ms": 4, "offset_ms": 0},
    "session": {"gap_ms": 7},
}


class Clock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


def window(assigner: str, domain: str, evaluation: str) -> Any:
    functions = EVALUATIONS[evaluation][0]
    params = {"kind": f"{assigner}_{domain}_time", **ASSIGNERS[assigner]}
    return op("window", functions, assigner=params, evaluation=list(functions))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    steps=st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99)), max_size=4) | st.integers(1, 25)),
    seed=st.integers(0, 9),
)
@pytest.mark.parametrize("evaluation", ["reduce", "aggregate", "process"])
@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_windows_do_what_those_of_event_time_do_when_the_watermark_is_the_clock(
    assigner: str, evaluation: str, steps: list[Any], seed: int
) -> None:
    """Elements of event times that play no part; kills right after commits change nothing."""
    rng, clock = random.Random(seed), Clock()
    lane = OneLane(window(assigner, "processing", evaluation), clock_ms=clock)
    plain = OneLane(window(assigner, "event", evaluation))
    for step in [*steps, 100]:
        if isinstance(step, list):
            lane.rows(*[(key, value, rng.choice([None, 5])) for key, value in step])
            plain.rows(*[(key, value, clock.ms) for key, value in step])
        else:
            clock.ms += step
            lane.chain.due()
            plain.advance(clock.ms - 1)
        if rng.random() < 0.3:
            lane.commit()
            lane.kill()

    def results(one: OneLane) -> list[str]:
        return canonical(row for row in one.out() if not (isinstance(row[0], tuple) and row[0][1] == "at"))

    assert results(lane) == results(plain)
    assert lane.state_left() == {} and not lane.chain.due()


def test_the_end_of_the_input_fires_no_window_of_the_time_of_day() -> None:
    clock = Clock()
    lane = OneLane(window("tumbling", "processing", "reduce"), clock_ms=clock)
    lane.rows(("a", 1, None))
    lane.advance(MAX_WATERMARK)
    assert lane.out() == [] and not lane.chain.due()


def test_a_clock_that_goes_back_opens_no_window_anew() -> None:
    clock = Clock()
    lane = OneLane(window("tumbling", "processing", "process"), clock_ms=clock)
    lane.rows(("a", 1, None))
    clock.ms = 1_050
    assert lane.chain.due()
    clock.ms = 1_000
    lane.rows(("a", 2, None))
    clock.ms = 1_100
    assert lane.chain.due()
    assert [value[1:] for value in lane.values() if value[1] != "at"] == [(993, 1_003, [1]), (1_043, 1_053, [2])]


def test_window_functions_see_the_watermark_and_the_clock() -> None:
    class Times(ProcessWindowFunction[Any, Any, Any, Any]):
        def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
            yield context.current_watermark(), context.current_processing_time()

    clock = Clock()
    params = {"kind": "tumbling_processing_time", "size_ms": 10, "offset_ms": 0}
    lane = OneLane(op("window", {"process": Times()}, assigner=params, evaluation=["process"]), clock_ms=clock)
    lane.rows(("a", 1, 5))
    clock.ms = 1_010
    lane.chain.due()
    lane.rows(("a", 1, 5))
    lane.advance(77)
    clock.ms = 1_021
    lane.chain.due()
    assert lane.out() == [((MIN_WATERMARK, 1_010), 1_009), ((77, 1_021), 1_019)]


class Alarm(KeyedProcessFunction):
    """An alarm ten ms after the last element of a key, unless an event-time timer comes first."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.at = runtime_context.get_state(ValueStateDescriptor("at"))

    def process_element(self, value: Any, ctx: Any) -> Iterable[Any] | None:
        timers = ctx.timer_service()
        if (before := self.at.value()) is not None:
            timers.delete_processing_time_timer(before)
        at = timers.current_processing_time() + 10
        self.at.update(at)
        timers.register_processing_time_timer(at)
        timers.register_event_time_timer(50)
        return None

    def on_timer(self, timestamp: int, ctx: Any) -> Iterable[Any]:
        yield ctx.get_current_key(), timestamp, ctx.timestamp(), ctx.time_domain()


def test_timers_of_both_domains() -> None:
    clock = Clock()
    lane = OneLane(op("keyed_process", {"process": Alarm()}), clock_ms=clock)
    lane.rows(("a", 1, 5), ("b", 1, 5))
    clock.ms = 1_005
    lane.rows(("a", 1, 5))
    lane.commit()
    lane.kill()
    clock.ms = 1_010
    assert not lane.chain.due()  # a timer fires when its moment has passed
    clock.ms = 1_011
    assert lane.chain.due() and not lane.chain.due()
    clock.ms = 1_016
    assert lane.chain.due()
    lane.advance(50)
    assert lane.out()[:2] == [
        (("b", 1_010, 1_010, TimeDomain.PROCESSING_TIME), None),
        (("a", 1_015, 1_015, TimeDomain.PROCESSING_TIME), None),
    ]
    assert canonical(lane.out()[2:]) == canonical(((k, 50, 50, TimeDomain.EVENT_TIME), 50) for k in "ab")


def test_many_timers_fire_over_several_turns_and_a_restart_loses_none() -> None:
    clock = Clock()
    lane = OneLane(op("keyed_process", {"process": Alarm()}), clock_ms=clock)
    lane.rows(*[(f"k{n}", n, 5) for n in range(25_000)])
    clock.ms += 11
    turns = 0
    while lane.chain.due():
        turns += 1
        lane.commit()
        lane.kill()
    assert turns == 3
    assert sorted(value[0] for value in lane.values()) == sorted(f"k{n}" for n in range(25_000))
