"""Divides by a field of each record; a zero in the input makes the user's own function raise.

raising.py --input TOPIC --output TOPIC
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


def share(record):
    return {"share": 100 / record["parts"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    source = (
        KafkaSource.builder()
        .set_topics(arguments.input)
        .set_group_id("raising")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )
    sink = (
        KafkaSink.builder()
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(arguments.output)
            .set_value_serialization_schema(JsonSerializationSchema())
            .build()
        )
        .build()
    )
    env.from_source(source, WatermarkStrategy.no_watermarks(), "parts").map(share).sink_to(sink)
    env.execute("raising")


if __name__ == "__main__":
    main()
