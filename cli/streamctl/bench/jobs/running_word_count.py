"""How often each word came so far, after every word; the job of the measurement `./dev bench w2`."""

import argparse

from headrace.common import SimpleStringSchema, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema

parser = argparse.ArgumentParser()
parser.add_argument("--input", default="words")
parser.add_argument("--output", default="word-counts")
topics = parser.parse_args()

env = StreamExecutionEnvironment.get_execution_environment()
source = (
    KafkaSource.builder()
    .set_topics(topics.input)
    .set_group_id("word-count")
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
        .set_key_selector(lambda row: row["word"])
        .set_key_serialization_schema(SimpleStringSchema())
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    .build()
)
(
    env.from_source(source, WatermarkStrategy.no_watermarks(), "words")
    .map(lambda record: (record["word"], 1))
    .key_by(lambda pair: pair[0])
    .reduce(lambda a, b: (a[0], a[1] + b[1]))
    .map(lambda pair: {"word": pair[0], "count": pair[1]})
    .sink_to(sink)
)
env.execute("running word count")
