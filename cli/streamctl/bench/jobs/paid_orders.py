"""Orders with their payments, not further apart than the bound; the job of the measurement `./dev bench join`."""

import argparse
from collections.abc import Iterator
from typing import Any

from headrace.common import Duration, WatermarkStrategy
from headrace.datastream import KeyedStream, ProcessJoinFunction, StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema


class Paid(ProcessJoinFunction[Any, Any, Any]):
    def process_element(self, left: Any, right: Any, ctx: ProcessJoinFunction.Context) -> Iterator[dict[str, Any]]:
        yield {"order": left["order"], "cents": right["cents"], "after_ms": right["ts"] - left["ts"]}


parser = argparse.ArgumentParser()
parser.add_argument("--orders", default="orders")
parser.add_argument("--payments", default="payments")
parser.add_argument("--output", default="paid")
parser.add_argument("--bound-ms", type=int, default=10_000)
arguments = parser.parse_args()

env = StreamExecutionEnvironment.get_execution_environment()
event_time = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(1)).with_timestamp_assigner(
    lambda event, _: event["ts"]
)


def by_order(topic: str) -> KeyedStream:
    source = (
        KafkaSource.builder()
        .set_topics(topic)
        .set_group_id("paid-orders")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )
    return env.from_source(source, event_time, topic).key_by(lambda event: event["order"])


serializer = KafkaRecordSerializationSchema.builder().set_topic(arguments.output)
serializer.set_value_serialization_schema(JsonSerializationSchema())
sink = KafkaSink.builder().set_record_serializer(serializer.build()).build()
bound_ms = arguments.bound_ms
(
    by_order(arguments.orders)
    .interval_join(by_order(arguments.payments))
    .between(Duration.of_millis(-bound_ms), Duration.of_millis(bound_ms))
    .process(Paid())
    .sink_to(sink)
)
env.execute("paid orders")
