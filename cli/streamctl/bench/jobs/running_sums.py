"""Running sum per user; the job of the measurements `./dev bench recovery` and `restore`.

As examples/running_totals.py, but what is kept for each user is a small tuple.
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

parser = argparse.ArgumentParser()
parser.add_argument("--input", default="events")
parser.add_argument("--output", default="totals")
topics = parser.parse_args()

env = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder()
    .set_topics(topics.input)
    .set_group_id("running-sums")
    .set_starting_offsets(KafkaOffsetsInitializer.latest())
    .set_value_only_deserializer(JsonDeserializationSchema())
    .build()
)
sink = (
    KafkaSink.builder()
    .set_record_serializer(
        KafkaRecordSerializationSchema.builder()
        .set_topic(topics.output)
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    .build()
)
(
    env.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    .map(lambda event: (event["user"], event["amount"], event["id"], event["at"]))
    .key_by(lambda event: event[0])
    .reduce(lambda total, event: (event[0], total[1] + event[1], event[2], event[3]))
    .filter(lambda total: total[2] % 50 == 0)
    .map(lambda total: {"id": total[2], "amount": total[1], "at": total[3]})
    .sink_to(sink)
)
env.execute("running sums")
