"""Lines in capitals, those that end in 7, 8 or 9 left out; the job of the measurement `./dev bench stateless`."""

import argparse

from headrace.common import SimpleStringSchema, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)

parser = argparse.ArgumentParser()
parser.add_argument("--input", default="lines")
parser.add_argument("--output", default="loud-lines")
topics = parser.parse_args()

env = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder()
    .set_topics(topics.input)
    .set_group_id("loud-lines")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_bounded(KafkaOffsetsInitializer.latest())
    .set_value_only_deserializer(SimpleStringSchema())
    .build()
)
sink = (
    KafkaSink.builder()
    .set_record_serializer(
        KafkaRecordSerializationSchema.builder()
        .set_topic(topics.output)
        .set_value_serialization_schema(SimpleStringSchema())
        .build()
    )
    .build()
)
(
    env.from_source(source, WatermarkStrategy.no_watermarks(), "lines")
    .map(lambda line: line.upper())
    .filter(lambda line: line[-1] < "7")
    .sink_to(sink)
)
env.execute("loud lines")
