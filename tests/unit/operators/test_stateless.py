"""Operators without state: each alone, in chains, and in trees; and the code that is generated for them."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.common.watermark_strategy import TimestampAssigner
from headrace.datastream.functions import (
    FilterFunction,
    FlatMapFunction,
    KeySelector,
    MapFunction,
    ProcessFunction,
    RuntimeContext,
)
from headrace.datastream.state import ValueStateDescriptor
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, UserCodeError

COLLECTION = op("collection_source")
DELAY_5 = {"kind": "bounded_out_of_orderness", "delay_ms": 5}


def run(*operators: Any, values: Iterable[Any], taps: Any = None) -> OneLane:
    lane = OneLane(COLLECTION, *operators, taps=taps)
    lane.source(list(values))
    return lane


class Doubled(MapFunction):
    def map(self, value: Any) -> Any:
        return value * 2


class Even(FilterFunction):
    def filter(self, value: Any) -> bool:
        return value % 2 == 0


class Words(FlatMapFunction):
    def flat_map(self, value: Any) -> Iterable[Any] | None:
        return value.split() if value else None


class Stamped(ProcessFunction):
    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterable[Any] | None:
        yield value, ctx.timestamp()
        yield "again"


@pytest.mark.parametrize("function", [lambda v: v * 2, Doubled()])
def test_map_gives_one_value_for_each(function: Any) -> None:
    assert run(op("map", {"map": function}), values=[1, 2, 3]).values() == [2, 4, 6]


@pytest.mark.parametrize("function", [lambda v: v % 2 == 0, Even()])
def test_filter_keeps_what_is_true(function: Any) -> None:
    assert run(op("filter", {"filter": function}), values=range(5)).values() == [0, 2, 4]


@pytest.mark.parametrize("function", [lambda v: v.split() if v else None, Words()])
def test_flat_map_gives_any_number_or_none(function: Any) -> None:
    lane = run(op("flat_map", {"flat_map": function}), values=["a b", "", "c"])
    assert lane.values() == ["a", "b", "c"]


def test_process_sees_the_event_time_and_outputs_keep_it() -> None:
    lane = OneLane(COLLECTION, op("process", {"process": Stamped()}))
    lane.source(["x", "y"], [7, None])
    assert lane.out() == [(("x", 7), 7), ("again", 7), (("y", None), None), ("again", None)]


def test_a_chain_runs_record_by_record_in_order() -> None:
    seen: list[Any] = []

    def note(where: str) -> Any:
        return op("map", {"map": lambda v: seen.append((where, v)) or v})

    run(note("first"), op("flat_map", {"flat_map": lambda v: [v, v + 10]}), note("last"), values=[1, 2])
    assert seen == [
        *[("first", 1), ("last", 1), ("last", 11)],
        *[("first", 2), ("last", 2), ("last", 12)],
    ]


def test_a_tree_gives_each_branch_every_value() -> None:
    lane = run(
        op("map", {"map": lambda v: v + 1}),
        op("filter", {"filter": lambda v: v > 2}, input=1),
        op("flat_map", {"flat_map": lambda v: [v] * v}, input=1),
        op("filter", {"filter": lambda v: v < 2}, input=1),
        op("map", {"map": str}, input=1),
        values=[0, 1, 2],
        taps=[1, 2, 3, 4, 5],
    )
    assert lane.values(1) == [1, 2, 3]
    assert lane.values(2) == [3]
    assert lane.values(3) == [1, 2, 2, 3, 3, 3]
    assert lane.values(4) == [1]
    assert lane.values(5) == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["map", "filter", "flat_map"])
def test_chains_of_any_length_run(kind: str) -> None:
    """Longer than Python lets for statements and blocks nest."""
    functions: dict[str, Any] = {"map": lambda v: v + 1, "filter": lambda v: True, "flat_map": lambda v: (v + 1,)}
    lane = run(*[op(kind, {kind: functions[kind]}) for _ in range(150)], values=[0, 1])
    assert lane.values() == ([0, 1] if kind == "filter" else [150, 151])


def test_operators_nobody_reads_still_run() -> None:
    seen: list[Any] = []
    run(
        op("flat_map", {"flat_map": lambda v: (seen.append((v, n)) for n in range(2))}),
        op("filter", {"filter": lambda v: True}),
        values=[1],
        taps=[],
    )
    assert seen == [(1, 0), (1, 1)]


def test_a_vertex_fed_by_an_exchange_without_keys() -> None:
    lane = OneLane(op("map", {"map": lambda v: v + 1}))
    lane.unkeyed((1, 10), (2, None))
    assert lane.out() == [(2, 10), (3, None)]


def test_batches_may_be_empty() -> None:
    lane = run(op("map", {"map": str}), values=[])
    assert lane.out() == []


def test_a_kafka_record_without_value_is_left_out_and_a_none_in_a_collection_is_not() -> None:
    kafka = OneLane(op("kafka_source", watermark=None), op("map", {"map": lambda v: v}))
    kafka.source([1, None, 2], [5, 6, 7])
    assert kafka.out() == [(1, 5), (2, 7)]
    assert run(op("map", {"map": lambda v: v}), values=[None]).values() == [None]


# ---- event time


class Field(TimestampAssigner):
    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        return value["t"] if "t" in value else record_timestamp


@pytest.mark.parametrize("assigner", [Field(), Field().extract_timestamp])
def test_a_source_keeps_a_watermark_for_each_split(assigner: Any) -> None:
    lane = OneLane(op("kafka_source", {"timestamp": assigner}, watermark=DELAY_5))
    assert lane.chain.split_watermarks() == {}
    lane.source([{"t": 100}, {"t": 90}, {}], [1, 2, 95], "a/0")
    lane.source([{"t": 50}], [3], "a/1")
    assert lane.chain.split_watermarks() == {"a/0": 94, "a/1": 44}
    assert [t for _, t in lane.out()] == [100, 90, 95, 50]
    again = OneLane(op("kafka_source", {"timestamp": assigner}, watermark=DELAY_5))
    again.chain.restore_split_watermarks({"a/0": 94, "a/1": 44})
    again.source([{"t": 60}], [0], "a/0")
    assert again.chain.split_watermarks() == {"a/0": 94, "a/1": 44}


def test_without_a_strategy_the_record_time_is_the_event_time_and_there_is_no_watermark() -> None:
    lane = OneLane(op("kafka_source", watermark=None))
    lane.source([{"t": 1}], [77])
    assert lane.out() == [({"t": 1}, 77)]
    assert lane.chain.split_watermarks() == {}


def test_a_record_without_time_gives_the_assigner_the_least_time() -> None:
    given: list[int] = []
    lane = OneLane(COLLECTION, op("timestamps", {"timestamp": lambda v, t: given.append(t) or 5}, watermark=None))
    lane.source([1], [None])
    assert given == [MIN_WATERMARK] and lane.out() == [(1, 5)]


@pytest.mark.parametrize(("given", "taken"), [(7.0, 7), (True, 1)])
def test_whole_numbers_of_other_types_are_times(given: Any, taken: int) -> None:
    lane = OneLane(COLLECTION, op("timestamps", {"timestamp": lambda v, t: given}, watermark=DELAY_5))
    lane.source([1])
    ((_, time),) = lane.out()
    assert type(time) is int and time == taken


@pytest.mark.parametrize("given", [7.5, "2024-01-01", None, float("nan")])
def test_what_is_no_time_is_refused_in_plain_words(given: Any) -> None:
    lane = OneLane(
        COLLECTION, op("timestamps", {"timestamp": lambda v, t: given}, name="my times", watermark=DELAY_5)
    )
    with pytest.raises(UserCodeError, match="timestamp assigner gave") as caught:
        lane.source([1])
    assert caught.value.operator == "my times"


def test_timestamps_start_watermarks_of_their_own_for_what_follows_them() -> None:
    lane = OneLane(
        op("map", {"map": lambda v: v}),
        op("timestamps", {"timestamp": lambda v, t: v}, watermark=DELAY_5),
        op("map", {"map": lambda v: v}),
        op("timestamps", {"timestamp": lambda v, t: v}, watermark=None),
    )
    lane.unkeyed((100, 1), (70, 2))
    assert lane.chain.output_watermark(0) == MIN_WATERMARK
    lane.advance(1_000)
    assert [lane.chain.output_watermark(n) for n in range(4)] == [1_000, 94, 94, MIN_WATERMARK]
    lane.advance(MAX_WATERMARK)
    assert [lane.chain.output_watermark(n) for n in range(4)] == [MAX_WATERMARK] * 4


def test_timestamps_go_on_from_their_watermark_after_a_restart_and_back_after_an_abort() -> None:
    lane = OneLane(op("timestamps", {"timestamp": lambda v, t: v}, watermark=DELAY_5))
    lane.unkeyed((100, None))
    lane.commit()
    lane.kill()
    assert lane.chain.output_watermark(0) == 94
    lane.unkeyed((200, None))
    assert lane.chain.output_watermark(0) == 194
    lane.abort()
    assert lane.chain.output_watermark(0) == 94


# ---- opening and closing


def test_functions_are_opened_with_their_place_and_closed_once_in_the_end() -> None:
    calls: list[Any] = []

    class Watched(MapFunction):
        def open(self, runtime_context: RuntimeContext) -> None:
            calls.append(("open", runtime_context.get_index_of_this_subtask(), runtime_context.get_task_name()))
            calls.append(runtime_context.get_task_name_with_subtasks())

        def map(self, value: Any) -> Any:
            calls.append(value)
            return value

        def close(self) -> None:
            calls.append("close")

    lane = OneLane(COLLECTION, op("map", {"map": Watched()}), lane=2, lanes=4)
    lane.source([1])
    lane.chain.close()
    lane.chain.close()
    assert calls == [("open", 2, "test"), "test (3/4)", 1, "close"]


def test_a_failure_in_close_is_logged_and_the_others_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    class Closing(MapFunction):
        def __init__(self, name: str) -> None:
            self.name = name

        def map(self, value: Any) -> Any:
            return value

        def close(self) -> None:
            closed.append(self.name)
            raise RuntimeError(f"{self.name} cannot close")

    lane = OneLane(COLLECTION, op("map", {"map": Closing("a")}), op("map", {"map": Closing("b")}))
    lane.chain.close()
    assert sorted(closed) == ["a", "b"]
    assert "a cannot close" in caplog.text and "b cannot close" in caplog.text


def test_state_outside_of_a_keyed_stream_is_refused_by_name() -> None:
    class Wants(MapFunction):
        def open(self, runtime_context: RuntimeContext) -> None:
            runtime_context.get_state(ValueStateDescriptor("n"))

        def map(self, value: Any) -> Any:
            return value

    with pytest.raises(UserCodeError, match="key_by") as caught:
        OneLane(COLLECTION, op("map", {"map": Wants()}, name="my map"))
    assert caught.value.operator == "my map"


def test_key_selectors_of_the_output_edges_are_opened_too() -> None:
    opened: list[str] = []

    class Carrier(KeySelector):
        def open(self, runtime_context: RuntimeContext) -> None:
            opened.append("key")

        def get_key(self, value: Any) -> Any:
            return value

    lane = OneLane(COLLECTION)
    lane._functions["edge key"] = Carrier()
    lane.start()
    assert opened == ["key"]


# ---- the generated code


def test_the_generated_source_can_be_read_and_is_known_to_tracebacks() -> None:
    lane = run(op("filter", {"filter": lambda v: v}), op("map", {"map": str}), values=[1])
    assert "def process_source(values, times, split):" in lane.chain.source
    shown = linecache.getline("<headrace v1/0>", 1)
    assert shown.startswith("def ") and shown in lane.chain.source


def test_restarts_do_not_pile_up_source() -> None:
    before = len(linecache.cache)
    lane = run(op("map", {"map": str}), values=[1])
    for _ in range(20):
        lane.start()
    assert len(linecache.cache) <= before + 1
