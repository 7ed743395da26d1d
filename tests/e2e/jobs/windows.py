"""Count and sums per key in tumbling event-time windows: the job that the fault tests run.

    windows.py --input TOPIC --output TOPIC [--size-ms N]

In: {"k": key, "v": value, "t": event time in ms, "n": number}. Out, one record per key and window:
{"k": key, "start": window start, "count": records, "values": sum of v, "numbers": sum of n}.
"""

import argparse

from headrace.common import SimpleStringSchema, Time, WatermarkStrategy
from headrace.datastream import AggregateFunction, ProcessWindowFunction, StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.window import TumblingEventTimeWindows


class Totals(AggregateFunction):
    def create_accumulator(self):
        return 0, 0, 0

    def add(self, value, accumulator):
        count, values, numbers = accumulator
        return count + 1, values + value["v"], numbers + value["n"]

    def get_result(self, accumulator):
        return accumulator

    def merge(self, acc_a, acc_b):
        return tuple(a + b for a, b in zip(acc_a, acc_b, strict=True))


class KeyWindow(ProcessWindowFunction):
    def process(self, key, context, elements):
        for count, values, numbers in elements:
            yield {
                "k": key,
                "start": context.window().start,
                "count": count,
                "values": values,
                "numbers": numbers,
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--size-ms", type=int, default=500)
    arguments = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    source = (
        KafkaSource.builder()
        .set_topics(arguments.input)
        .set_group_id(f"windows-{arguments.input}")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )
    sink = (
        KafkaSink.builder()
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(arguments.output)
            .set_key_selector(lambda row: row["k"])
            .set_key_serialization_schema(SimpleStringSchema())
            .set_value_serialization_schema(JsonSerializationSchema())
            .build()
        )
        .build()
    )
    event_time = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda value, _: value["t"])
    (
        env.from_source(source, event_time, "records")
        .key_by(lambda record: record["k"])
        .window(TumblingEventTimeWindows.of(Time.milliseconds(arguments.size_ms)))
        .aggregate(Totals(), KeyWindow())
        .sink_to(sink)
    )
    env.execute("windows")


if __name__ == "__main__":
    main()
