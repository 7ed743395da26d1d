"""Kafka source and sink as they stand in a JobGraph."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.common import ByteArraySchema, Row, SerializationSchema, SimpleStringSchema, Types, WatermarkStrategy
from headrace.datastream import KeySelector, StreamExecutionEnvironment
from headrace.datastream.connectors import DeliveryGuarantee
from headrace.datastream.connectors.kafka import (
    KafkaOffsetResetStrategy,
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaRecordSerializationSchemaBuilder,
    KafkaSink,
    KafkaSource,
    KafkaSourceBuilder,
    KafkaTopicPartition,
)
from headrace.datastream.formats.json import (
    JsonDeserializationSchema,
    JsonRowDeserializationSchema,
    JsonRowSerializationSchema,
    JsonSerializationSchema,
)
from headrace.graph.job_graph import OperatorKind

READING = Types.ROW_NAMED(["sensor", "tags"], [Types.STRING(), Types.LIST(Types.INT())])


def source() -> KafkaSourceBuilder:
    return KafkaSource.builder().set_topics("a", "b").set_value_only_deserializer(SimpleStringSchema())


def test_source_with_everything_set() -> None:
    built = (
        source()
        .set_bootstrap_servers("kafka:9092")
        .set_group_id("g")
        .set_starting_offsets(KafkaOffsetsInitializer.timestamp(1000))
        .set_bounded(KafkaOffsetsInitializer.latest())
        .build()
    )
    assert built.params() == {
        "topics": ["a", "b"],
        "group_id": "g",
        "starting": {"kind": "timestamp", "timestamp_ms": 1000, "reset": "earliest"},
        "bounded": {"kind": "latest", "reset": "latest"},
        "format": {"kind": "string"},
        "properties": {"bootstrap.servers": "kafka:9092"},
    }


def test_source_starts_at_the_earliest_record_and_never_ends_unless_told() -> None:
    params = source().build().params()
    assert params["starting"] == {"kind": "earliest", "reset": "earliest"}
    assert params["bounded"] is None
    assert params["group_id"] == ""


@pytest.mark.parametrize(
    ("offsets", "params"),
    [
        (KafkaOffsetsInitializer.latest(), {"kind": "latest", "reset": "latest"}),
        (KafkaOffsetsInitializer.committed_offsets(), {"kind": "committed", "reset": "earliest"}),
        (
            KafkaOffsetsInitializer.committed_offsets(KafkaOffsetResetStrategy.LATEST),
            {"kind": "committed", "reset": "latest"},
        ),
        (
            KafkaOffsetsInitializer.offsets({KafkaTopicPartition("a", 3): 7}, KafkaOffsetResetStrategy.LATEST),
            {"kind": "offsets", "offsets": {"a/3": 7}, "reset": "latest"},
        ),
    ],
)
def test_offsets(offsets: KafkaOffsetsInitializer, params: Any) -> None:
    assert source().set_starting_offsets(offsets).build().params()["starting"] == params


@pytest.mark.parametrize(
    ("schema", "format_"),
    [
        (SimpleStringSchema(), {"kind": "string"}),
        (ByteArraySchema(), {"kind": "bytes"}),
        (JsonDeserializationSchema(), {"kind": "json"}),
        (
            JsonRowDeserializationSchema.builder().type_info(READING).build(),
            {"kind": "json_row", "fields": [["sensor", "STRING"], ["tags", {"list": "INT"}]]},
        ),
    ],
)
def test_formats(schema: Any, format_: Any) -> None:
    assert source().set_value_only_deserializer(schema).build().params()["format"] == format_


def test_source_operator_carries_watermarks_and_the_timestamp_function() -> None:
    env = StreamExecutionEnvironment()

    def time_of(value: Any, _: int) -> int:
        return int(value)

    strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(time_of)
    stream = env.from_source(source().build(), strategy, "readings")
    program = env.program()
    (node,) = program.graph.nodes
    assert (node.kind, node.name) == (OperatorKind.KAFKA_SOURCE, "Source: readings")
    assert node.params["watermark"] == {"kind": "monotonous", "delay_ms": 0, "idleness_ms": None}
    assert program.functions[node.functions["timestamp"]].function is time_of
    assert stream.get_type() == Types.STRING()


class Upper(SerializationSchema):
    def serialize(self, value: Any) -> bytes | None:
        return str(value).upper().encode()


class Carrier(KeySelector):
    def get_key(self, value: Any) -> Any:
        return value["carrier"]


def serializer() -> KafkaRecordSerializationSchemaBuilder:
    return (
        KafkaRecordSerializationSchema.builder().set_topic("out").set_value_serialization_schema(SimpleStringSchema())
    )


def sink(builder: KafkaRecordSerializationSchemaBuilder) -> KafkaSink:
    return KafkaSink.builder().set_record_serializer(builder.build()).build()


def test_sink_of_plain_text_needs_no_function() -> None:
    built = sink(serializer())
    assert built.params() == {
        "topic": "out",
        "partitioner": "murmur2_random",
        "value_format": "string",
        "key_format": None,
        "properties": {},
    }
    assert built.functions() == {}


def test_sink_with_a_schema_of_the_users() -> None:
    built = sink(serializer().set_value_serialization_schema(Upper()).set_key_serialization_schema(Upper()))
    assert (built.params()["value_format"], built.params()["key_format"]) == ("bytes", "bytes")
    assert built.functions()["value"]("a") == built.functions()["key"]("a") == b"A"


def test_key_schema_alone_takes_the_whole_value() -> None:
    built = sink(serializer().set_key_serialization_schema(SimpleStringSchema()))
    assert built.params()["key_format"] == "string"
    assert built.functions()["key"]("a") == "a"


def test_key_selector_feeds_the_key_schema() -> None:
    plain = sink(serializer().set_key_selector(Carrier()).set_key_serialization_schema(SimpleStringSchema()))
    assert plain.functions()["key"]({"carrier": "UA"}) == "UA"
    own = sink(serializer().set_key_selector(lambda v: v["carrier"]).set_key_serialization_schema(Upper()))
    assert own.functions()["key"]({"carrier": "ua"}) == b"UA"


def test_headers_and_timestamp_are_functions_of_the_value() -> None:
    built = sink(serializer().set_header_provider(lambda v: {"h": v}).set_timestamp_provider(len))
    assert built.functions()["headers"](b"x") == {"h": b"x"}
    assert built.functions()["timestamp"]("abc") == 3


def test_every_guarantee_is_met_by_exactly_once() -> None:
    for guarantee in DeliveryGuarantee:
        KafkaSink.builder().set_delivery_guarantee(guarantee)


def test_json_of_rows() -> None:
    schema = JsonRowSerializationSchema.builder().with_type_info(READING).build()
    text = schema.serialize(("s1", [1, 2]))
    assert text is not None
    assert json.loads(text) == {"sensor": "s1", "tags": [1, 2]}
    to_plain = schema.transform()
    assert to_plain is not None
    assert to_plain(Row(tags=[1], sensor="s1")) == {"sensor": "s1", "tags": [1]}
    assert schema.serialize(None) is None


def test_json_of_any_value() -> None:
    schema = JsonSerializationSchema()
    assert schema.serialize({"row": Row(a=1)}) == b'{"row":{"a":1}}'
    assert schema.serialize(None) is None
    with pytest.raises(TypeError, match="object has no form in JSON"):
        schema.serialize(object())


def test_schemas_serialize_by_themselves() -> None:
    assert SimpleStringSchema().serialize("é") == b"\xc3\xa9"
    assert SimpleStringSchema().serialize(None) is None
    assert ByteArraySchema().serialize(bytearray(b"a")) == b"a"
    with pytest.raises(TypeError):
        SimpleStringSchema().serialize(5)
