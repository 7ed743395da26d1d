"""Triggers, global windows and windows over whole streams, from the program to its results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from headrace.common import Time, WatermarkStrategy
from headrace.datastream import (
    AllWindowFunction,
    CountTrigger,
    DataStream,
    EventTimeSessionWindows,
    GlobalWindows,
    NeverTrigger,
    ProcessAllWindowFunction,
    ProcessWindowFunction,
    PurgingTrigger,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
)
from headrace.errors import UsageError

FIVE = TumblingEventTimeWindows.of(Time.milliseconds(5))


class Listed(ProcessWindowFunction[Any, Any, Any, Any]):
    def process(self, key: Any, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        yield key, list(elements)


class AllListed(ProcessAllWindowFunction[Any, Any, Any]):
    def process(self, context: Any, elements: Iterable[Any]) -> Iterable[Any]:
        yield context.window().start, list(elements)


class Applied(AllWindowFunction[Any, Any, Any]):
    def apply(self, window: Any, inputs: Iterable[Any]) -> Iterable[Any]:
        yield window.start, list(inputs)


def numbers(parallelism: int = 1) -> DataStream:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(parallelism)
    times = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n, _: n)
    timed = env.from_collection([1, 2, 3, 6, 7, 8, 11]).assign_timestamps_and_watermarks(times)
    timed._settings("set_parallelism").set_parallelism(1)
    return timed


def test_a_counted_and_purged_global_window() -> None:
    windows = numbers().key_by(lambda n: "a").window(GlobalWindows.create())
    results = windows.trigger(PurgingTrigger.of(CountTrigger.of(3))).process(Listed())
    assert list(results.execute_and_collect()) == [("a", [1, 2, 3]), ("a", [6, 7, 8])]


def test_a_counted_window_of_time_keeps_its_elements() -> None:
    results = numbers().key_by(lambda n: "a").window(FIVE).trigger(CountTrigger.of(2)).process(Listed())
    assert list(results.execute_and_collect()) == [("a", [1, 2]), ("a", [6, 7])]


@pytest.mark.parametrize("function", [AllListed(), Applied()])
def test_a_whole_stream_in_windows_is_one_lane_at_any_parallelism(function: Any) -> None:
    windows = numbers(3).window_all(FIVE)
    results = windows.process(function) if isinstance(function, AllListed) else windows.apply(function)
    assert sorted(results.execute_and_collect()) == [(0, [1, 2, 3]), (5, [6, 7, 8]), (10, [11])]


def test_a_whole_stream_is_reduced_and_its_windows_may_have_triggers() -> None:
    results = numbers(2).window_all(FIVE).trigger(CountTrigger.of(3)).reduce(lambda a, b: a + b, AllListed())
    assert sorted(results.execute_and_collect()) == [(0, [6]), (5, [21])]


def test_window_all_cannot_be_made_parallel() -> None:
    with pytest.raises(UsageError, match="at most 1 lane"):
        numbers(2).window_all(FIVE).process(AllListed()).set_parallelism(2)


def test_sessions_refuse_a_trigger_that_cannot_merge() -> None:
    sessions = numbers().key_by(lambda n: n).window(EventTimeSessionWindows.with_gap(Time.seconds(1)))
    with pytest.raises(UsageError, match="NeverTrigger"):
        sessions.trigger(NeverTrigger())
    with pytest.raises(UsageError, match="takes a Trigger"):
        sessions.trigger("count")  # type: ignore[arg-type]
