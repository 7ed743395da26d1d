"""Prints and counts shares per key; a record with no parts makes the user's own function raise.

shares.py --input TOPIC --output TOPIC

In: {"k": key, "parts": number, "t": event time in ms}. Out: {"k": key, "share": sum of 100 / parts}.
"""

import argparse

from headrace.common import Duration, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema


def share(record):
    print(f"{record['k']} has {record['parts']} parts")
    return {"k": record["k"], "share": 100 / record["parts"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    source = (
        KafkaSource.builder()
        .set_topics(arguments.input)
        .set_group_id(f"shares-{arguments.input}")
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
    event_time = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(1)).with_timestamp_assigner(
        lambda record, _: record["t"]
    )
    (
        env.from_source(source, event_time, "shares")
        .map(share)
        .key_by(lambda row: row["k"])
        .reduce(lambda a, b: {"k": a["k"], "share": a["share"] + b["share"]})
        .sink_to(sink)
    )
    env.execute("shares")


if __name__ == "__main__":
    main()
