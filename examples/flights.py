"""Departure delays per airline and day: a keyed event-time window, then the airline's name from a second topic.

    streamctl submit examples/flights.py -p 2 -- --flights flights --airlines airlines --days carrier-days
    python examples/flights.py          the same in this process, with the Kafka of streamctl up

The flights topic holds {"time_hour": "2013-01-01T10:00:00Z", "carrier": "UA", "dep_delay": 2, ...}, the airlines
topic {"carrier": "UA", "name": "United Air Lines Inc."}. The result has one record per airline and UTC day.
"""

import argparse
from datetime import UTC, datetime

from headrace.common import Duration, SimpleStringSchema, Time, TimestampAssigner, Types, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    KeyedProcessFunction,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.datastream.state import ListStateDescriptor, ValueStateDescriptor
from headrace.datastream.window import TumblingEventTimeWindows


class ScheduledHour(TimestampAssigner):
    """Event time of a flight: the hour it was to leave."""

    def extract_timestamp(self, value, record_timestamp):
        return int(datetime.fromisoformat(value["time_hour"]).timestamp() * 1000)


class Delays(AggregateFunction):
    """Number of flights, sum and maximum of their delays in minutes."""

    def create_accumulator(self):
        return 0, 0, None

    def add(self, value, accumulator):
        flights, total, worst = accumulator
        delay = value["dep_delay"]
        return flights + 1, total + delay, delay if worst is None else max(worst, delay)

    def get_result(self, accumulator):
        return accumulator

    def merge(self, acc_a, acc_b):
        return acc_a[0] + acc_b[0], acc_a[1] + acc_b[1], max(acc_a[2], acc_b[2])


class CarrierDay(ProcessWindowFunction):
    """The row of one airline and day."""

    def process(self, key, context, elements):
        for flights, total, worst in elements:
            day = datetime.fromtimestamp(context.window().start / 1000, UTC)
            yield {
                "carrier": key,
                "day": day.strftime("%Y-%m-%d"),
                "flights": flights,
                "mean_delay": total / flights,
                "worst_delay": worst,
            }


class AirlineName(KeyedProcessFunction):
    """Adds the airline's name to its rows; rows that come before the name wait for it."""

    def open(self, runtime_context: RuntimeContext):
        self.name = runtime_context.get_state(ValueStateDescriptor("name", Types.STRING()))
        self.waiting = runtime_context.get_list_state(ListStateDescriptor("waiting", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value, ctx):
        if "name" in value:
            self.name.update(value["name"])
            for row in self.waiting.get():
                yield {**row, "name": value["name"]}
            self.waiting.clear()
        elif self.name.value() is not None:
            yield {**value, "name": self.name.value()}
        else:
            self.waiting.add(value)


def kafka_source(topic):
    """Everything in the topic now, then the end."""
    return (
        KafkaSource.builder()
        .set_topics(topic)
        .set_group_id("flights")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flights", default="flights")
    parser.add_argument("--airlines", default="airlines")
    parser.add_argument("--days", default="carrier-days")
    topics = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    in_order = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_hours(1))
    flights = env.from_source(
        kafka_source(topics.flights), in_order.with_timestamp_assigner(ScheduledHour()), "flights"
    )
    airlines = env.from_source(kafka_source(topics.airlines), WatermarkStrategy.no_watermarks(), "airlines")
    days = (
        flights.key_by(lambda flight: flight["carrier"])
        .window(TumblingEventTimeWindows.of(Time.days(1)))
        .aggregate(Delays(), CarrierDay())
        .name("delays per carrier and day")
    )
    sink = (
        KafkaSink.builder()
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(topics.days)
            .set_key_selector(lambda row: row["carrier"])
            .set_key_serialization_schema(SimpleStringSchema())
            .set_value_serialization_schema(JsonSerializationSchema())
            .build()
        )
        .build()
    )
    days.union(airlines).key_by(lambda row: row["carrier"]).process(AirlineName()).name("airline name").sink_to(sink)
    env.execute("flights")


if __name__ == "__main__":
    main()
