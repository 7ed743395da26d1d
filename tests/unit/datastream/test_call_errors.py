"""Calls that cannot work: the error says what was written, where, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.common import Configuration, Duration, SimpleStringSchema, Time, Types, WatermarkStrategy
from headrace.datastream import (
    DataStream,
    KeyedProcessFunction,
    KeyedStream,
    MapFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonRowDeserializationSchema, JsonRowSerializationSchema
from headrace.datastream.state import ValueStateDescriptor
from headrace.errors import UsageError

HERE = Path(__file__).name
Env = StreamExecutionEnvironment


class Double(MapFunction):
    def map(self, value: Any) -> Any:
        return value * 2


def numbers() -> DataStream:
    return Env().from_collection([1])


def keyed() -> KeyedStream:
    return numbers().key_by(str)


def options(**values: str) -> Configuration:
    return Configuration({key.replace("__", "-").replace("_", "."): value for key, value in values.items()})


CALLS: list[tuple[Callable[[], object], str, str, str]] = [
    # the call, its error code, what the message says, what the hint says
    (lambda: numbers().map("x"), "function-invalid", "map() takes a MapFunction or a callable, not 'x'", ""),  # type: ignore[arg-type]
    (
        lambda: numbers().map(Double),  # type: ignore[arg-type]
        "function-invalid",
        "map() takes a MapFunction or a callable, not the class Double",
        "make an instance: Double()",
    ),
    (
        lambda: numbers().filter(Double()),  # type: ignore[arg-type]
        "function-invalid",
        "filter() takes a FilterFunction or a callable, not <",
        "",
    ),
    (lambda: numbers().process(len), "function-invalid", "process() takes a ProcessFunction, not <built-in", ""),  # type: ignore[arg-type]
    (
        lambda: keyed().process(KeyedProcessFunction),  # type: ignore[arg-type]
        "function-invalid",
        "process() takes a KeyedProcessFunction, not the class KeyedProcessFunction",
        "make an instance",
    ),
    (
        lambda: numbers().key_by("carrier"),  # type: ignore[arg-type]
        "function-invalid",
        "key_by() takes a KeySelector or a callable, not 'c",
        "",
    ),
    (lambda: numbers().key_by(str, str), "argument-invalid", "must come from Types, such as Types.STRING()", ""),  # type: ignore[arg-type]
    (lambda: numbers().map(str, str), "argument-invalid", "must come from Types, such as Types.STRING()", ""),  # type: ignore[arg-type]
    (
        lambda: keyed().rebalance(),
        "keyed-stream-partitioning",
        "rebalance() after key_by(): the key decides",
        "before key_by()",
    ),
    (lambda: keyed().broadcast(), "keyed-stream-partitioning", "broadcast() after key_by()", ""),
    (lambda: keyed().forward(), "keyed-stream-partitioning", "forward() after key_by()", ""),
    (lambda: keyed().uid("x"), "argument-invalid", "uid() belongs right after the operator it is for", ""),
    (lambda: numbers().union(numbers()), "argument-invalid", "union() of streams from two environments", ""),
    (lambda: numbers().union([1]), "argument-invalid", "union() takes streams, not [1]", ""),  # type: ignore[arg-type]
    (lambda: numbers().rebalance().name("x"), "argument-invalid", "name() belongs right after the operator", ""),
    (lambda: numbers().name(""), "argument-invalid", "a name must be a str of 1 to 500 characters, not ''", ""),
    (lambda: numbers().uid("x" * 201), "argument-invalid", "a uid must be a str of 1 to 200 characters", ""),
    (
        lambda: numbers().map(str).set_parallelism(65),
        "parallelism-invalid",
        "parallelism must be a whole number from 1 to 64, not 65",
        "",
    ),
    (lambda: Env().set_parallelism(0), "parallelism-invalid", "from 1 to 64, not 0", ""),
    (lambda: Env().set_parallelism(True), "parallelism-invalid", "from 1 to 64, not True", ""),
    (
        lambda: numbers().set_parallelism(2),
        "parallelism-invalid",
        "'Source: Collection' runs in at most 1 lane, not 2",
        "operators after it may run in parallel",
    ),
    (lambda: keyed().sum(-1), "argument-invalid", "sum() takes the index or the name of a field, not -1", ""),
    (lambda: keyed().max_by(None), "argument-invalid", "max_by() takes the index or the name", ""),  # type: ignore[arg-type]
    (lambda: keyed().window(Time.seconds(1)), "argument-invalid", "window() takes a window assigner, such as", ""),  # type: ignore[arg-type]
    (lambda: TumblingEventTimeWindows.of(5), "argument-invalid", "the size of a window must be a Time", ""),  # type: ignore[arg-type]
    (lambda: TumblingEventTimeWindows.of(Time.seconds(0)), "argument-invalid", "must be above 0, not 0 ms", ""),
    (
        lambda: TumblingEventTimeWindows.of(Time.seconds(1), Time.hours(1)),
        "argument-invalid",
        "the offset of a window (3600000 ms) must be smaller than its size (1000 ms)",
        "",
    ),
    (
        lambda: WatermarkStrategy.for_bounded_out_of_orderness(5),  # type: ignore[arg-type]
        "argument-invalid",
        "takes a Duration, such as Duration.of_seconds(5), not 5",
        "",
    ),
    (
        lambda: WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(-1)),
        "argument-invalid",
        "out-of-orderness must not be negative",
        "",
    ),
    (
        lambda: WatermarkStrategy.no_watermarks().with_timestamp_assigner("t"),  # type: ignore[arg-type]
        "argument-invalid",
        "takes a TimestampAssigner or a callable f(value, record_timestamp), not 't'",
        "",
    ),
    (lambda: numbers().assign_timestamps_and_watermarks(None), "argument-invalid", "takes a WatermarkStrategy", ""),  # type: ignore[arg-type]
    (
        lambda: numbers().sink_to(KafkaSink.builder()),  # type: ignore[arg-type]
        "argument-invalid",
        "sink_to() takes a Sink, such as a KafkaSink, not <",
        "call .build() on the builder",
    ),
    (
        lambda: Env().from_source(KafkaSource.builder(), WatermarkStrategy.no_watermarks(), "s"),  # type: ignore[arg-type]
        "argument-invalid",
        "from_source() takes a Source",
        "call .build() on the builder",
    ),
    (lambda: Env().from_collection("abc"), "argument-invalid", "takes a list or another iterable, not 'abc'", ""),
    (lambda: Env().from_collection(5), "argument-invalid", "takes a list or another iterable, not 5", ""),  # type: ignore[arg-type]
    (
        lambda: Env().from_collection([(1, 2)], Types.ROW_NAMED(["a"], [Types.INT()])),
        "argument-invalid",
        "from_collection(): (1, 2) (a tuple) is not of the declared type ROW<a: INT>",
        "",
    ),
    (lambda: Env().execute(), "job-empty", "the program has no operators to execute", "make streams"),
    (
        lambda: Env(options(pipeline_lanes="many")),
        "option-invalid",
        "pipeline.lanes is 'many'; it must be a whole number",
        "",
    ),
    (
        lambda: Env(options(restart__strategy_type="later")),
        "option-invalid",
        "restart-strategy.type is 'later'; it can be exponential-delay, fixed-delay or none",
        "",
    ),
    (lambda: ValueStateDescriptor(""), "argument-invalid", "a state's name must be a non-empty str, not ''", ""),
    (lambda: SimpleStringSchema("latin-1"), "argument-invalid", "knows UTF-8 only, not 'latin-1'", "ByteArraySchema"),
    # Kafka
    (
        lambda: KafkaSource.builder().set_topics("a b"),
        "argument-invalid",
        "'a b' is no topic name",
        "letters, digits",
    ),
    (lambda: KafkaSource.builder().set_topics(""), "argument-invalid", "set_topics(): '' is no topic name", ""),
    (lambda: KafkaSource.builder().build(), "connector-incomplete", "a KafkaSource needs topics", "set_topics"),
    (
        lambda: KafkaSource.builder().set_topics("t").build(),
        "connector-incomplete",
        "the KafkaSource of t needs a deserializer",
        "set_value_only_deserializer",
    ),
    (
        lambda: KafkaSource.builder().set_bootstrap_servers("kafka"),
        "argument-invalid",
        "set_bootstrap_servers() takes host:port, or several of them with commas, not 'kafka'",
        "",
    ),
    (
        lambda: KafkaSource.builder().set_bounded(KafkaOffsetsInitializer.earliest()),
        "argument-invalid",
        "set_bounded() takes latest(), committed_offsets(), timestamp() or offsets(), not earliest()",
        "",
    ),
    (
        lambda: KafkaSource.builder().set_value_only_deserializer(JsonRowDeserializationSchema.builder()),  # type: ignore[arg-type]
        "argument-invalid",
        "takes one of the deserialization schemas",
        "call .build() on the builder",
    ),
    (lambda: KafkaOffsetsInitializer.timestamp(1.5), "argument-invalid", "timestamp() takes milliseconds", ""),  # type: ignore[arg-type]
    (lambda: KafkaSink.builder().build(), "connector-incomplete", "a KafkaSink needs a record serializer", ""),
    (
        lambda: KafkaRecordSerializationSchema.builder().build(),
        "connector-incomplete",
        "a record serializer needs a topic",
        "",
    ),
    (
        lambda: KafkaRecordSerializationSchema.builder().set_topic("t").build(),
        "connector-incomplete",
        "the record serializer of topic t needs a value schema",
        "",
    ),
    (
        lambda: JsonRowSerializationSchema.builder().with_type_info(Types.INT()),
        "argument-invalid",
        "a Row type from Types.ROW_NAMED(names, types) is needed, not INT",
        "",
    ),
]


@pytest.mark.parametrize(("call", "code", "says", "hint"), CALLS, ids=[says for _, _, says, _ in CALLS])
def test_a_wrong_call_is_named_at_the_users_line(call: Callable[[], object], code: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code == code
    place = re.search(rf"\(([^()]*{HERE}):(\d+)\)$", caught.value.message)
    assert place is not None, caught.value.message
    first = call.__code__.co_firstlineno
    helpers = {numbers.__code__.co_firstlineno + 1, keyed.__code__.co_firstlineno + 1}
    assert int(place[2]) not in helpers
    assert first <= int(place[2]) <= first + 4


def test_every_code_has_its_page() -> None:
    pages = Path(__file__).parents[3] / "docs" / "errors"
    codes = {code for _, code, _, _ in CALLS} | {
        "forward-unequal",
        "function-not-picklable",
        "kafka-other-cluster",
        "key-unsupported",
        "no-executor",
        "uid-repeated",
    }
    assert [code for code in sorted(codes) if not (pages / f"{code}.md").is_file()] == []
