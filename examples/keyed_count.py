"""Views per user in windows of ten seconds; the job of the measurement `./dev bench w1`.

    streamctl submit examples/keyed_count.py -p 2 -- --input events --output counts
    python examples/keyed_count.py      the same in this process, with the Kafka of streamctl up

The input holds {"user": "u00042", "kind": "view", "ts": 1700000000000, ...}; other kinds than "view" are left out.
The result has one record per user and window. With --typed, records are Rows of the three declared fields.
"""

import argparse

from headrace.common import Duration, SimpleStringSchema, Time, TimestampAssigner, Types, WatermarkStrategy
from headrace.datastream import AggregateFunction, ProcessWindowFunction, StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import (
    JsonDeserializationSchema,
    JsonRowDeserializationSchema,
    JsonSerializationSchema,
)
from headrace.datastream.window import TumblingEventTimeWindows

EVENT = Types.ROW_NAMED(["user", "kind", "ts"], [Types.STRING(), Types.STRING(), Types.LONG()])


class EventTime(TimestampAssigner):
    def extract_timestamp(self, value, record_timestamp):
        return value["ts"]


class Count(AggregateFunction):
    def create_accumulator(self):
        return 0

    def add(self, value, accumulator):
        return accumulator + 1

    def get_result(self, accumulator):
        return accumulator

    def merge(self, acc_a, acc_b):
        return acc_a + acc_b


class UserWindow(ProcessWindowFunction):
    def process(self, key, context, elements):
        for count in elements:
            yield {"user": key, "start": context.window().start, "count": count}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", default="events")
    parser.add_argument("--output", default="counts")
    parser.add_argument("--typed", action="store_true", help="decode the declared fields only")
    topics = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    typed = JsonRowDeserializationSchema.builder().type_info(EVENT).build()
    source = (
        KafkaSource.builder()
        .set_topics(topics.input)
        .set_group_id("keyed-count")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(typed if topics.typed else JsonDeserializationSchema())
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
        EventTime()
    )
    (
        env.from_source(source, event_time, "events")
        .filter(lambda event: event["kind"] == "view")
        .key_by(lambda event: event["user"])
        .window(TumblingEventTimeWindows.of(Time.seconds(10)))
        .aggregate(Count(), UserWindow())
        .sink_to(sink)
    )
    env.execute("keyed count")


if __name__ == "__main__":
    main()
