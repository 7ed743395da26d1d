"""Programs from their first line to their results, run by the runtime's own lanes on the memory log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.golden import programs

from headrace.common import (
    ByteArraySchema,
    Duration,
    Row,
    SerializationSchema,
    SimpleStringSchema,
    Time,
    Types,
    WatermarkStrategy,
)
from headrace.datastream import (
    KeyedProcessFunction,
    MapFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    TimeWindow,
    TumblingEventTimeWindows,
    WindowFunction,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import (
    JsonDeserializationSchema,
    JsonRowDeserializationSchema,
    JsonSerializationSchema,
)
from headrace.datastream.state import MapStateDescriptor, ReducingStateDescriptor, ValueStateDescriptor

from .memory_world import MemoryWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MemoryWorld]:
    world = MemoryWorld(tmp_path)
    with executor_installed(world):
        yield world


def environment(parallelism: int = 2) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)


def source(topic: str, schema: Any = None) -> KafkaSource:
    builder = KafkaSource.builder().set_topics(topic).set_bounded(KafkaOffsetsInitializer.latest())
    return builder.set_value_only_deserializer(schema or JsonDeserializationSchema()).build()


def sink(topic: str) -> KafkaSink:
    serializer = KafkaRecordSerializationSchema.builder().set_topic(topic)
    serializer.set_value_serialization_schema(JsonSerializationSchema())
    return KafkaSink.builder().set_record_serializer(serializer.build()).build()


def test_word_count(world: MemoryWorld) -> None:
    programs.word_count(env := environment(1))
    assert env.execute().status == "FINISHED"
    assert world.printed() == [
        "Row(word='be', count=1)",
        "Row(word='be', count=2)",
        "Row(word='not', count=1)",
        "Row(word='or', count=1)",
        "Row(word='to', count=1)",
        "Row(word='to', count=2)",
    ]


def test_the_flights_program_joins_every_day_with_its_name(world: MemoryWorld) -> None:
    day = 86_400_000
    flights = [
        {"carrier": carrier, "time_ms": at * day + 5, "delay": delay}
        for at in range(3)
        for carrier, delay in (("UA", 1.0), ("UA", 3.0), ("AA", 5.0))
    ]
    world.topic("flights", flights)
    world.topic("carriers", [{"carrier": "AA", "name": "American"}, {"carrier": "UA", "name": "United"}])
    world.topic("delays")
    programs.flights(env := environment())
    env.execute("flights")
    records = [(key, value) for key, value in world.records("delays") if "day" in value]
    expected = [
        (carrier.encode(), {"carrier": carrier, "day": at * day, "flights": n, "mean": mean, "worst": worst})
        for at in range(3)
        for carrier, n, mean, worst in (("AA", 1, 5.0, 5.0), ("UA", 2, 2.0, 3.0))
    ]
    assert sorted(records, key=str) == sorted(expected, key=str)


def test_union_and_several_outputs(world: MemoryWorld) -> None:
    programs.union(env := environment())
    env.execute()
    assert world.printed() == sorted(f"twice> {n}" for n in (1, 2, 3, 1, 2, 3))


def test_outputs_over_edges_of_every_kind(world: MemoryWorld) -> None:
    programs.outputs(env := environment())
    env.execute()
    lines = [line.split("> ") for line in world.printed()]
    by_label: dict[str, list[int]] = {}
    for label, number in lines:
        by_label.setdefault(label.split(":")[0], []).append(int(number))
    numbers = list(range(1, 9))
    assert sorted(by_label["chained"]) == sorted(by_label["apart"]) == numbers
    assert sorted(by_label["each"]) == sorted([*range(9)] * 4)
    assert sorted(by_label["most"]) == sorted(by_label["fewer"]) == list(range(9))
    assert {label for label, _ in lines if label.startswith("each")} == {f"each:{lane}" for lane in range(1, 5)}


@dataclass
class Reading:
    """A class of the user's, as record and as state."""

    sensor: str
    value: int


class Largest(MapFunction):
    """A MapFunction with keyed state."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.largest = runtime_context.get_state(ValueStateDescriptor("largest"))

    def map(self, value: Reading) -> tuple[str, int]:
        before = self.largest.value()
        if before is None or value.value > before.value:
            self.largest.update(value)
        largest = self.largest.value() or value
        return value.sensor, largest.value


def test_keyed_map_function_holds_state_of_the_users_class(world: MemoryWorld) -> None:
    env = environment()
    readings = [Reading("a", 1), Reading("b", 7), Reading("a", 3), Reading("a", 2)]
    env.from_collection(readings).key_by(lambda reading: reading.sensor).map(
        Largest(), Types.ROW_NAMED(["sensor", "largest"], [Types.STRING(), Types.INT()])
    ).map(lambda row: f"{row.sensor}{row.largest}").print()
    env.execute()
    assert sorted(line.split("> ")[1] for line in world.printed()) == ["a1", "a3", "a3", "b7"]


class PerWindow(WindowFunction[Any, Any, str, TimeWindow]):
    def apply(self, key: str, window: TimeWindow, inputs: Iterable[Any]) -> Iterable[Any]:
        yield {"key": key, "start": window.start, "values": sorted(row.v for row in inputs)}


def test_declared_json_rows_in_windows(world: MemoryWorld) -> None:
    row = Types.ROW_NAMED(["k", "v", "t"], [Types.STRING(), Types.INT(), Types.LONG()])
    world.topic("in", [{"k": "ab"[n % 2], "v": n, "t": n * 100, "more": "left out"} for n in range(10)])
    world.topic("out")
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(1))
    env = environment()
    (
        env.from_source(
            source("in", JsonRowDeserializationSchema.builder().type_info(row).build()),
            strategy.with_timestamp_assigner(lambda value, _: value.t),
            "in",
        )
        .key_by(lambda value: value.k, Types.STRING())
        .window(TumblingEventTimeWindows.of(Time.milliseconds(500)))
        .apply(PerWindow())
        .sink_to(sink("out"))
    )
    env.execute()
    expected = [
        {"key": "a", "start": 0, "values": [0, 2, 4]},
        {"key": "a", "start": 500, "values": [6, 8]},
        {"key": "b", "start": 0, "values": [1, 3]},
        {"key": "b", "start": 500, "values": [5, 7, 9]},
    ]
    assert sorted((value for _, value in world.records("out")), key=str) == expected


class Reminder(KeyedProcessFunction):
    """Every kind of state, and a timer."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.seen = runtime_context.get_map_state(MapStateDescriptor("seen", Types.INT(), Types.INT()))
        self.total = runtime_context.get_reducing_state(ReducingStateDescriptor("total", lambda a, b: a + b))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any] | None:
        self.seen[value] = (self.seen[value] or 0) + 1
        self.total.add(value)
        ctx.timer_service().register_event_time_timer(1000)
        return None

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[Any]:
        yield ctx.get_current_key(), timestamp, dict(self.seen.items()), self.total.get()


def test_timers_fire_at_the_end_of_the_input(world: MemoryWorld) -> None:
    env = environment()
    env.from_collection([1, 2, 3, 2]).key_by(lambda n: n % 2 == 0).process(Reminder()).print()
    env.execute()
    lines = sorted(line.split("> ")[1] for line in world.printed())
    assert lines == ["(False, 1000, {1: 1, 3: 1}, 4)", "(True, 1000, {2: 2}, 4)"]


class Shout(SerializationSchema):
    def serialize(self, value: Any) -> bytes | None:
        return f'"{value.upper()}"'.encode()


def test_sink_with_key_headers_and_a_schema_of_the_users(world: MemoryWorld) -> None:
    world.topic("out", partitions=1)
    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("out")
        .set_key_selector(len)
        .set_key_serialization_schema(JsonSerializationSchema())
        .set_value_serialization_schema(Shout())
        .set_header_provider(lambda value: {"first": value[:1].encode()})
        .build()
    )
    env = environment(1)
    env.from_collection(["one", "three"]).sink_to(KafkaSink.builder().set_record_serializer(serializer).build())
    env.execute()
    assert world.records("out") == [(b"3", "ONE"), (b"5", "THREE")]
    headers = [record.headers() for record in world.broker.read_all("out", committed=True)]
    assert headers == [[("first", b"o")], [("first", b"t")]]


@pytest.mark.parametrize(
    ("schema", "values"),
    [(SimpleStringSchema(), ['"a"', '"b"']), (ByteArraySchema(), ["b'\"a\"'", "b'\"b\"'"])],
    ids=["string", "bytes"],
)
def test_plain_formats(world: MemoryWorld, schema: Any, values: list[str]) -> None:
    world.topic("in", ["a", "b"])
    env = environment(1)
    env.from_source(source("in", schema), WatermarkStrategy.no_watermarks(), "in").print()
    env.execute()
    assert world.printed() == values


def test_rows_are_summed_by_name_and_by_position(world: MemoryWorld) -> None:
    env = environment(1)
    rows = env.from_collection([Row(k="a", n=1), Row(k="a", n=2)])
    rows.key_by(lambda row: row.k).sum("n").print("name")
    rows.key_by(lambda row: row.k).max_by(1).print("position")
    env.execute()
    assert world.printed() == [
        "name> Row(k='a', n=1)",
        "name> Row(k='a', n=3)",
        "position> Row(k='a', n=1)",
        "position> Row(k='a', n=2)",
    ]


def test_the_program_in_the_documentation(world: MemoryWorld) -> None:
    page = (Path(__file__).parents[3] / "docs" / "programs.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "programs.md", "exec"), {"__name__": "programs"})
    assert world.printed() == sorted(["('to', 1)", "('be', 1)", "('or', 1)", "('not', 1)", "('to', 2)", "('be', 2)"])
