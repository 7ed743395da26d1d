"""Running total per user: filter, key_by, reduce; every fiftieth total goes to a topic. Two hops, for latency.

    streamctl submit examples/running_totals.py -p 2 -- --input events --output totals
    python examples/running_totals.py   the same in this process, with the Kafka of streamctl up

The events are {"id": 50, "user": "u1", "amount": 12, ...}; the job reads what comes after its start and has no end.
"""

import argparse

from headrace.common import WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", default="events")
    parser.add_argument("--output", default="totals")
    topics = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    source = (
        KafkaSource.builder()
        .set_topics(topics.input)
        .set_group_id("running-totals")
        .set_starting_offsets(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )
    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(topics.output)
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    (
        env.from_source(source, WatermarkStrategy.no_watermarks(), "events")
        .filter(lambda event: event["amount"] > 0)
        .key_by(lambda event: event["user"])
        .reduce(lambda total, event: {**event, "amount": total["amount"] + event["amount"]})
        .filter(lambda total: total["id"] % 50 == 0)
        .sink_to(KafkaSink.builder().set_record_serializer(serializer).build())
    )
    env.execute("running totals")


if __name__ == "__main__":
    main()
