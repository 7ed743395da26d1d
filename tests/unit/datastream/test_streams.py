"""Streams: the operators that calls add to a program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from headrace.common import Configuration, Duration, Row, Time, TimestampAssigner, Types, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    DataStream,
    FilterFunction,
    FlatMapFunction,
    KeyedProcessFunction,
    KeySelector,
    MapFunction,
    ProcessFunction,
    ProcessWindowFunction,
    ReduceFunction,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    WindowFunction,
)
from headrace.datastream.program import Program
from headrace.graph.job_graph import OperatorKind, Ship
from headrace.graph.stream_graph import Chaining, StreamNode


class Double(MapFunction):
    def map(self, value: Any) -> Any:
        return value * 2


class Twice(FlatMapFunction):
    def flat_map(self, value: Any) -> Iterable[Any]:
        return [value, value]


class Odd(FilterFunction):
    def filter(self, value: Any) -> bool:
        return bool(value % 2)


class Add(ReduceFunction):
    def reduce(self, value1: Any, value2: Any) -> Any:
        return value1 + value2


class Itself(KeySelector):
    def get_key(self, value: Any) -> Any:
        return value


class Pass(ProcessFunction):
    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterable[Any]:
        yield value


class KeyedPass(KeyedProcessFunction):
    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any]:
        yield value


class Count(AggregateFunction):
    def create_accumulator(self) -> int:
        return 0

    def add(self, value: Any, accumulator: int) -> int:
        return accumulator + 1

    def get_result(self, accumulator: int) -> int:
        return accumulator

    def merge(self, acc_a: int, acc_b: int) -> int:
        return acc_a + acc_b


class Applied(WindowFunction[Any, Any, Any, TimeWindow]):
    def apply(self, key: Any, window: TimeWindow, inputs: Iterable[Any]) -> Iterable[Any]:
        return [(key, window.start, window.end, list(inputs))]


class Processed(ProcessWindowFunction[Any, Any, Any, TimeWindow]):
    def process(
        self, key: Any, context: ProcessWindowFunction.Context[TimeWindow], elements: Iterable[Any]
    ) -> Iterable[Any]:
        return elements


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment()


@pytest.fixture
def numbers(env: StreamExecutionEnvironment) -> DataStream:
    return env.from_collection([1, 2])


def last(env: StreamExecutionEnvironment) -> StreamNode:
    return env.program().graph.nodes[-1]


def function(program: Program, role: str) -> Any:
    """The function object of the program's last operator in a role."""
    return program.functions[program.graph.nodes[-1].functions[role]].function


@pytest.mark.parametrize(
    ("method", "given", "kind", "name"),
    [
        ("map", Double(), OperatorKind.MAP, "Map: Double"),
        ("map", str, OperatorKind.MAP, "Map: str"),
        ("map", lambda value: value, OperatorKind.MAP, "Map"),
        ("flat_map", Twice(), OperatorKind.FLAT_MAP, "FlatMap: Twice"),
        ("filter", Odd(), OperatorKind.FILTER, "Filter: Odd"),
        ("filter", bool, OperatorKind.FILTER, "Filter: bool"),
        ("process", Pass(), OperatorKind.PROCESS, "Process: Pass"),
    ],
)
def test_an_operator_holds_the_function_as_it_was_given(
    env: StreamExecutionEnvironment, numbers: DataStream, method: str, given: Any, kind: OperatorKind, name: str
) -> None:
    getattr(numbers, method)(given)
    assert (last(env).kind, last(env).name) == (kind, name)
    assert function(env.program(), method) is given


def test_name_uid_parallelism_and_chaining_go_to_the_operator_just_added(env: StreamExecutionEnvironment) -> None:
    stream = env.from_collection([1]).map(str).name("text").uid("u").set_parallelism(3).disable_chaining()
    node = last(env)
    assert (node.name, node.uid, node.parallelism, node.lanes) == ("text", "u", 3, 3)
    assert node.chaining is Chaining.NEVER
    assert stream.get_name() == "text"
    stream.start_new_chain()
    assert last(env).chaining is Chaining.HEAD


def test_lanes_are_for_operators_without_their_own_parallelism(env: StreamExecutionEnvironment) -> None:
    env.configure(Configuration({"pipeline.lanes": "8", "parallelism.default": "2"}))
    env.from_collection([1]).map(str).map(str).set_parallelism(3)
    assert [(node.parallelism, node.lanes) for node in env.program().graph.nodes] == [(1, 1), (2, 8), (3, 3)]


@pytest.mark.parametrize("ship", [Ship.REBALANCE, Ship.BROADCAST, Ship.FORWARD])
def test_partitioning_is_on_the_edge(env: StreamExecutionEnvironment, numbers: DataStream, ship: Ship) -> None:
    getattr(numbers, ship.value)().map(str)
    assert [edge.ship for edge in last(env).inputs] == [ship]


def test_key_selector_is_on_the_edge_and_shared_by_united_streams(
    env: StreamExecutionEnvironment, numbers: DataStream
) -> None:
    selector = Itself()
    numbers.union(env.from_collection([3])).key_by(selector).reduce(Add())
    first, second = last(env).inputs
    assert first.ship is second.ship is Ship.HASH
    assert first.key == second.key
    assert env.program().functions[str(first.key)].function is selector


def test_a_union_of_keyed_streams_has_no_key(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    keyed = numbers.key_by(Itself())
    keyed.union(numbers.key_by(Itself())).map(str)
    assert [edge.ship for edge in last(env).inputs] == [None, None]


def test_declared_key_type_coerces_keys(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    numbers.key_by(lambda value: value, Types.DOUBLE()).reduce(max)
    program = env.program()
    selector = program.functions[str(last(env).inputs[0].key)].function
    assert type(selector.get_key(1)) is float
    with pytest.raises(TypeError, match=r"'x' \(a str\) is not of the declared type DOUBLE"):
        selector.get_key("x")


@pytest.mark.parametrize(
    ("method", "given", "value", "results"),
    [
        ("map", Double(), 3, [6]),
        ("flat_map", Twice(), 3, [3, 3]),
        ("filter", Odd(), 3, [3]),
        ("filter", Odd(), 2, []),
    ],
)
def test_function_classes_on_a_keyed_stream_become_keyed_so_that_they_can_hold_state(
    env: StreamExecutionEnvironment, numbers: DataStream, method: str, given: Any, value: Any, results: list[Any]
) -> None:
    opened: list[object] = []
    given.open = opened.append
    getattr(numbers.key_by(Itself()), method)(given)
    assert last(env).kind is OperatorKind.KEYED_PROCESS
    keyed = function(env.program(), "process")
    keyed.open("context")
    assert opened == ["context"]
    assert list(keyed.process_element(value, None)) == results
    assert last(env).name.endswith(type(given).__name__)


def test_plain_callables_on_a_keyed_stream_stay_plain(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    numbers.key_by(Itself()).map(str)
    assert last(env).kind is OperatorKind.MAP
    assert [edge.ship for edge in last(env).inputs] == [Ship.HASH]


@pytest.mark.parametrize("op", ["sum", "min", "max", "min_by", "max_by"])
def test_running_aggregations(env: StreamExecutionEnvironment, numbers: DataStream, op: str) -> None:
    getattr(numbers.key_by(Itself()), op)()
    assert last(env).params == {"op": op, "field": 0}
    getattr(numbers.key_by(Itself()), op)("count")
    assert last(env).params == {"op": op, "field": "count"}
    assert last(env).kind is OperatorKind.AGGREGATE


@pytest.mark.parametrize(
    ("call", "evaluation"),
    [
        (lambda windows: windows.reduce(Add()), ["reduce"]),
        (lambda windows: windows.reduce(max, Processed()), ["reduce", "process"]),
        (lambda windows: windows.reduce(max, Applied()), ["reduce", "process"]),
        (lambda windows: windows.aggregate(Count()), ["aggregate"]),
        (lambda windows: windows.aggregate(Count(), Processed()), ["aggregate", "process"]),
        (lambda windows: windows.process(Processed()), ["process"]),
        (lambda windows: windows.apply(Applied()), ["process"]),
    ],
)
def test_windows(env: StreamExecutionEnvironment, numbers: DataStream, call: Any, evaluation: list[str]) -> None:
    windows = numbers.key_by(Itself()).window(TumblingEventTimeWindows.of(Time.seconds(10), Time.seconds(-2)))
    call(windows.allowed_lateness(500))
    assert last(env).kind is OperatorKind.WINDOW
    assert last(env).params == {
        "assigner": {"kind": "tumbling_event_time", "size_ms": 10_000, "offset_ms": -2_000},
        "evaluation": evaluation,
        "allowed_lateness_ms": 500,
    }
    assert list(last(env).functions) == evaluation


def test_a_window_function_is_written_as_a_process_window_function(
    env: StreamExecutionEnvironment, numbers: DataStream
) -> None:
    class Context(ProcessWindowFunction.Context[TimeWindow]):
        def window(self) -> TimeWindow:
            return TimeWindow(0, 10)

        def current_watermark(self) -> int:
            return 9

        def current_processing_time(self) -> int:
            raise NotImplementedError

        def global_state(self) -> Any:
            raise NotImplementedError

        def window_state(self) -> Any:
            raise NotImplementedError

    numbers.key_by(Itself()).window(TumblingEventTimeWindows.of(Duration.of_millis(10))).apply(Applied())
    assert function(env.program(), "process").process("k", Context(), iter([1, 2])) == [("k", 0, 10, [1, 2])]
    assert last(env).name == "TumblingEventTimeWindows(10 ms): Applied"


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        (WatermarkStrategy.no_watermarks(), None),
        (
            WatermarkStrategy.for_monotonous_timestamps(),
            {"kind": "monotonous", "delay_ms": 0, "idleness_ms": None},
        ),
        (
            WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(5)).with_idleness(
                Duration.of_minutes(1)
            ),
            {"kind": "bounded_out_of_orderness", "delay_ms": 5_000, "idleness_ms": 60_000},
        ),
    ],
)
def test_watermarks(
    env: StreamExecutionEnvironment, numbers: DataStream, strategy: WatermarkStrategy, params: Any
) -> None:
    class Assigner(TimestampAssigner):
        def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
            return int(value)

    numbers.assign_timestamps_and_watermarks(strategy)
    assert (last(env).kind, last(env).params) == (OperatorKind.TIMESTAMPS, {"watermark": params})
    assert last(env).functions == {}
    assigner = Assigner()
    numbers.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(assigner))
    assert function(env.program(), "timestamp") is assigner
    assert strategy.assigner is None, "strategies are immutable"


def test_declared_row_type_names_the_fields_of_results(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    row = Types.ROW_NAMED(["n", "text"], [Types.INT(), Types.STRING()])
    stream = numbers.map(lambda n: (n, str(n)), row).uid("rows")
    assert stream.get_type() == row
    stream.filter(lambda r: r.n > 1)
    nodes = env.program().graph.nodes
    assert [node.name for node in nodes[1:]] == ["Map", "to ROW<n: INT, text: STRING>", "Filter"]
    assert [node.uid for node in nodes[1:]] == ["rows", "rows.type", None]
    assert [edge.source for node in nodes[1:] for edge in node.inputs] == [0, 1, 2]
    convert = env.program().functions[nodes[2].functions["map"]].function
    assert convert.map((1, "1")) == Row(n=1, text="1")


def test_other_declared_types_add_nothing(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    assert numbers.map(str, Types.STRING()).get_type() == Types.STRING()
    assert len(env.program().graph.nodes) == 2


def test_collection_of_a_declared_row_type_is_made_of_rows(env: StreamExecutionEnvironment) -> None:
    env.from_collection(((n, "x") for n in range(2)), Types.ROW_NAMED(["n", "x"], [Types.INT(), Types.STRING()]))
    assert function(env.program(), "items") == [Row(n=0, x="x"), Row(n=1, x="x")]
    assert last(env).params == {"count": 2}


def test_each_operator_has_a_copy_of_its_own_of_a_shared_function(
    env: StreamExecutionEnvironment, numbers: DataStream
) -> None:
    shared = Double()
    numbers.map(shared).map(shared)
    first, second = (node.functions["map"] for node in env.program().graph.nodes[1:])
    assert first != second


def test_print_keeps_its_label(env: StreamExecutionEnvironment, numbers: DataStream) -> None:
    numbers.print("seen").name("p").uid("u").set_parallelism(2)
    assert (last(env).kind, last(env).params, last(env).uid) == (OperatorKind.PRINT, {"label": "seen"}, "u")
