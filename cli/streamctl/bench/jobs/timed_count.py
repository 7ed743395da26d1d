"""Views per user in windows of ten seconds, by state and timers; the job of the measurement `./dev bench process`."""

import argparse
from collections.abc import Iterator
from typing import Any

from headrace.common import Duration, SimpleStringSchema, Types, WatermarkStrategy
from headrace.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.state import ValueStateDescriptor

WINDOW_MS = 10_000


class TimedCount(KeyedProcessFunction):
    """Counts of the windows that are open, by their start; a timer at the end of each gives its count."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.counts = runtime_context.get_state(ValueStateDescriptor("counts", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> None:
        start = value["ts"] // WINDOW_MS * WINDOW_MS
        counts = self.counts.value() or {}
        counts[start] = counts.get(start, 0) + 1
        self.counts.update(counts)
        ctx.timer_service().register_event_time_timer(start + WINDOW_MS - 1)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[dict[str, Any]]:
        counts = self.counts.value() or {}
        start = timestamp + 1 - WINDOW_MS
        yield {"user": ctx.get_current_key(), "start": start, "count": counts.pop(start)}
        if counts:
            self.counts.update(counts)
        else:
            self.counts.clear()


parser = argparse.ArgumentParser()
parser.add_argument("--input", default="events")
parser.add_argument("--output", default="counts")
topics = parser.parse_args()

env = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder()
    .set_topics(topics.input)
    .set_group_id("timed-count")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_bounded(KafkaOffsetsInitializer.latest())
    .set_value_only_deserializer(JsonDeserializationSchema())
    .build()
)
sink = (
    KafkaSink.builder()
    .set_record_serializer(
        KafkaRecordSerializationSchema.builder()
        .set_topic(topics.output)
        .set_key_selector(lambda row: row["user"])
        .set_key_serialization_schema(SimpleStringSchema())
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    .build()
)
event_time = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(1)).with_timestamp_assigner(
    lambda event, _: event["ts"]
)
(
    env.from_source(source, event_time, "events")
    .filter(lambda event: event["kind"] == "view")
    .key_by(lambda event: event["user"])
    .process(TimedCount())
    .sink_to(sink)
)
env.execute("timed count")
