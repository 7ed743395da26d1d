"""Whose fault an exception is: the operator's name, and the user's own frame first in what is shown."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.common.typeinfo import Types
from headrace.datastream.functions import AggregateFunction, KeyedProcessFunction, MapFunction, ProcessWindowFunction
from headrace.datastream.typed import TypeConversion
from headrace.graph.job_graph import Edge, Ship
from headrace.runtime.exchange import EdgeBuffer
from headrace.runtime.failures import describe
from headrace.runtime.ports import UserCodeError

WINDOW = {"assigner": {"kind": "tumbling_event_time", "size_ms": 10, "offset_ms": 0}, "allowed_lateness_ms": 0}


def broken_by_user(*_arguments: Any) -> Any:
    raise LookupError("broken here")


class BrokenTimer(KeyedProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> None:
        ctx.timer_service().register_event_time_timer(5)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterable[Any]:
        yield 1
        broken_by_user()


class BrokenGenerator(KeyedProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Iterable[Any]:
        yield 1
        broken_by_user()


class BrokenWindow(ProcessWindowFunction[Any, Any, Any, Any]):
    def process(self, key: Any, context: Any, elements: Any) -> Iterable[Any]:
        yield from broken_by_user()


class BrokenAggregate(AggregateFunction):
    def __init__(self, method: str) -> None:
        self.method = method

    def create_accumulator(self) -> Any:
        return broken_by_user() if self.method == "create_accumulator" else 0

    def add(self, value: Any, accumulator: Any) -> Any:
        return broken_by_user() if self.method == "add" else 1

    def get_result(self, accumulator: Any) -> Any:
        return broken_by_user() if self.method == "get_result" else 2

    def merge(self, acc_a: Any, acc_b: Any) -> Any:
        return 0


class BrokenOpen(MapFunction):
    def open(self, runtime_context: Any) -> None:
        broken_by_user()

    def map(self, value: Any) -> Any:
        return value


def source(*operators: Any) -> Callable[[], None]:
    return lambda: OneLane(op("collection_source"), *operators).source([1])


def keyed(*operators: Any) -> Callable[[], None]:
    def run() -> None:
        lane = OneLane(*operators)
        lane.rows(("a", 1, 1), ("a", 2, 2))
        lane.advance(100)

    return run


def window(name: str = "", **functions: Any) -> Any:
    return op("window", functions, name=name or "mine", evaluation=list(functions), **WINDOW)


FINE = op("map", {"map": lambda v: v}, name="fine")
SEVERAL = op("flat_map", {"flat_map": lambda v: [v, v]}, name="several")
TIMERS = op("keyed_process", {"process": BrokenTimer()}, name="mine")

CASES: dict[str, Callable[[], None]] = {
    "map": source(FINE, op("map", {"map": broken_by_user}, name="mine"), FINE),
    "filter": source(op("filter", {"filter": broken_by_user}, name="mine")),
    "flat_map": source(op("flat_map", {"flat_map": broken_by_user}, name="mine")),
    "flat_map generator": source(op("flat_map", {"flat_map": lambda v: map(broken_by_user, [v])}, name="mine")),
    "behind a flat_map": source(SEVERAL, op("map", {"map": broken_by_user}, name="mine")),
    "far behind": source(*[SEVERAL, FINE] * 8, op("map", {"map": broken_by_user}, name="mine")),
    "timestamps": source(op("timestamps", {"timestamp": broken_by_user}, name="mine", watermark=None)),
    "open": source(op("map", {"map": BrokenOpen()}, name="mine")),
    "reduce": keyed(op("reduce", {"reduce": broken_by_user}, name="mine")),
    "process generator": keyed(op("keyed_process", {"process": BrokenGenerator()}, name="mine"), FINE),
    "timer": keyed(TIMERS, FINE),
    "behind a timer": keyed(
        op("keyed_process", {"process": BrokenTimer()}, name="timers"),
        op("map", {"map": broken_by_user}, name="mine"),
    ),
    "window reduce": keyed(window(reduce=broken_by_user)),
    "window aggregate": keyed(window(aggregate=BrokenAggregate("add"))),
    "window accumulator": keyed(window(aggregate=BrokenAggregate("create_accumulator"))),
    "window result": keyed(window(aggregate=BrokenAggregate("get_result"))),
    "window process": keyed(window(process=BrokenWindow())),
    "behind a window": keyed(
        window("windows", reduce=lambda a, b: a), op("map", {"map": broken_by_user}, name="mine")
    ),
    "sink value": source(op("kafka_sink", {"value": broken_by_user}, name="mine", topic="t", value_format="json")),
    "sink key": source(
        op("kafka_sink", {"key": broken_by_user}, name="mine", topic="t", value_format="json", key_format="json")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_operator_is_named_and_the_users_frame_comes_first(case: str) -> None:
    with pytest.raises(UserCodeError, match="LookupError: broken here") as caught:
        CASES[case]()
    assert caught.value.operator == "mine"
    assert isinstance(caught.value.__cause__, LookupError)
    failure = describe(caught.value)
    assert failure.user and failure.error == "mine: LookupError: broken here"
    frames = [line for line in failure.traceback.splitlines() if line.startswith("  File ")]
    assert __file__ in frames[0], failure.traceback
    assert "broken_by_user" in frames[-1]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (operator.itemgetter("k"), "TypeError"),
        (int, "ValueError"),
        ("{:d}".format, "ValueError"),
        (TypeConversion(Types.ROW_NAMED(["a"], [Types.INT()])), "TypeError"),
    ],
)
def test_functions_without_a_frame_of_their_own_are_the_users_too(function: Any, error: str) -> None:
    lane = OneLane(op("collection_source"), FINE, op("map", {"map": function}, name="mine"))
    with pytest.raises(UserCodeError, match=error) as caught:
        lane.source(["text"])
    assert caught.value.operator == "mine"


@pytest.mark.parametrize(
    "operator_",
    [
        op("flat_map", {"flat_map": lambda v: 5}, name="mine"),
        op("kafka_sink", name="mine", topic="t", value_format="string"),
        op("kafka_sink", {"value": lambda v: object()}, name="mine", topic="t", value_format="json"),
    ],
)
def test_results_of_a_wrong_kind_are_laid_at_the_operator(operator_: Any) -> None:
    with pytest.raises(UserCodeError, match="TypeError|an iterable of values is wanted") as caught:
        OneLane(op("collection_source"), operator_).source([1])
    assert caught.value.operator == "mine"


def with_edge(key: Callable[[Any], Any]) -> OneLane:
    edge = Edge(id="e0", source="v1", operator=0, target="v2", ship=Ship.HASH, key="k")
    buffer = EdgeBuffer(edge, source_lane=0, target_lanes=2)
    buffer.set_key_selector(key)
    lane = OneLane(op("collection_source"), op("map", {"map": lambda v: v}, name="parse"))
    lane.edge_override = buffer
    lane.start()
    return lane


@pytest.mark.parametrize(("key", "error"), [(broken_by_user, "broken here"), (lambda v: {"no": "key"}, "dict")])
def test_a_key_selector_is_named_after_the_operator_before_it(key: Any, error: str) -> None:
    with pytest.raises(UserCodeError, match=error) as caught:
        with_edge(key).source([1])
    assert caught.value.operator == "key_by after parse"


def test_an_error_of_our_own_is_not_laid_at_the_user() -> None:
    lane = with_edge(lambda v: v)
    lane.edge_override.write = lane.edge_override._unkeyed  # raises RuntimeError in the exchange
    lane.start()
    with pytest.raises(RuntimeError, match="no key selector"):
        lane.source([1])


def test_state_that_cannot_be_kept_is_laid_at_the_function() -> None:
    class Keeps(BrokenGenerator):
        def open(self, runtime_context: Any) -> None:
            from headrace.datastream.state import ValueStateDescriptor

            self.state = runtime_context.get_state(ValueStateDescriptor("lock"))

        def process_element(self, value: Any, ctx: Any) -> None:
            import threading

            self.state.update({"lock": threading.Lock()})

    with pytest.raises(UserCodeError, match="cannot be kept as state") as caught:
        keyed(op("keyed_process", {"process": Keeps()}, name="mine"))()
    assert caught.value.operator == "mine"
