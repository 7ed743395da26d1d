"""Watches this machine: CPU, memory, disk and network in windows of 5 s, and alerts when a mean crosses its limit.

    python examples/monitoring.py                           this machine, on this terminal, until Ctrl-C
    python examples/monitoring.py --synthetic 7             ten minutes of three made-up hosts at once, then the end
    streamctl submit examples/monitoring.py                 a TaskManager's machine; streamctl logs -f monitoring
    streamctl submit examples/monitoring.py -- --windows host-windows --alerts host-alerts
                                                            the same, to topics, which must exist

An alert is RAISED when a window's mean is above one limit and CLEARED when it is below a lower one; in between
nothing changes, so a value that swings around a limit does not flood anybody with alerts.
"""

import argparse
from functools import partial

from made_up_hosts import SERIES, measurement

from headrace.common import Time, TimestampAssigner, Types, WatermarkStrategy
from headrace.datastream import (
    AggregateFunction,
    KeyedProcessFunction,
    ProcessWindowFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from headrace.datastream.connectors.datagen import DataGeneratorSource
from headrace.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from headrace.datastream.formats.json import JsonSerializationSchema
from headrace.datastream.state import ValueStateDescriptor
from headrace.datastream.window import TumblingEventTimeWindows
from headrace_connectors.host_metrics import HostMetricsOptions, HostMetricsSource

#: Of each metric: raise an alert when the mean is above the first, clear it when it is below the second.
LIMITS = {
    "cpu_percent": (80, 60),
    "memory_percent": (90, 85),
    "disk_percent": (90, 85),
    "disk_written_bytes_per_s": (200e6, 100e6),
    "network_received_bytes_per_s": (100e6, 50e6),
}


class MeasuredAt(TimestampAssigner):
    def extract_timestamp(self, value, record_timestamp):
        return value["at"]


class MeanAndMax(AggregateFunction):
    def create_accumulator(self):
        return 0, 0.0, float("-inf")

    def add(self, value, accumulator):
        count, total, greatest = accumulator
        return count + 1, total + value["value"], max(greatest, value["value"])

    def get_result(self, accumulator):
        count, total, greatest = accumulator
        return total / count, greatest

    def merge(self, acc_a, acc_b):
        return acc_a[0] + acc_b[0], acc_a[1] + acc_b[1], max(acc_a[2], acc_b[2])


class WindowRow(ProcessWindowFunction):
    def process(self, key, context, elements):
        host, metric = key
        for mean, greatest in elements:
            window = context.window()
            yield {
                "host": host,
                "metric": metric,
                "start": window.start,
                "end": window.end,
                "mean": round(mean, 3),
                "max": greatest,
            }


class Alerts(KeyedProcessFunction):
    """Remembers of every host and metric whether an alert is raised."""

    def open(self, runtime_context: RuntimeContext):
        self.raised = runtime_context.get_state(ValueStateDescriptor("raised", Types.BOOLEAN()))

    def process_element(self, value, ctx):
        if value["metric"] not in LIMITS:
            return
        raise_above, clear_below = LIMITS[value["metric"]]
        if not self.raised.value() and value["mean"] > raise_above:
            self.raised.update(True)
            yield self.alert(value, "RAISED", raise_above)
        elif self.raised.value() and value["mean"] < clear_below:
            self.raised.clear()
            yield self.alert(value, "CLEARED", clear_below)

    def alert(self, window, state, limit):
        return {
            "state": state,
            "host": window["host"],
            "metric": window["metric"],
            "at": window["end"],
            "mean": window["mean"],
            "limit": limit,
        }


def source(options):
    if options.synthetic is None:
        return HostMetricsSource(HostMetricsOptions(interval_ms=options.interval_ms, layout="metric"))
    return DataGeneratorSource(partial(measurement, options.synthetic), count=600 * len(SERIES))


def send(rows, topic, label):
    """To a Kafka topic, or to the terminal when there is none."""
    if topic is None:
        return rows.print(label)
    serializer = KafkaRecordSerializationSchema.builder().set_topic(topic)
    serializer.set_value_serialization_schema(JsonSerializationSchema())
    return rows.sink_to(KafkaSink.builder().set_record_serializer(serializer.build()).build())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synthetic", type=int, metavar="SEED", help="made-up hosts instead of this one")
    parser.add_argument("--interval-ms", type=int, default=1000, help="time from one measurement to the next")
    parser.add_argument("--window-ms", type=int, default=5000, help="length of the windows")
    parser.add_argument("--windows", metavar="TOPIC", help="where windows go; else they are printed")
    parser.add_argument("--alerts", metavar="TOPIC", help="where alerts go; else they are printed")
    options = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    in_order = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(MeasuredAt())
    windows = (
        env.from_source(source(options), in_order, "measurements")
        .filter(lambda measured: measured["value"] is not None)  # a rate that this system does not count
        .key_by(lambda measured: (measured["host"], measured["metric"]))
        .window(TumblingEventTimeWindows.of(Time.milliseconds(options.window_ms)))
        .aggregate(MeanAndMax(), WindowRow())
        .name("windows")
    )
    alerts = windows.key_by(lambda row: (row["host"], row["metric"])).process(Alerts()).name("alerts")
    send(windows, options.windows, "window")
    send(alerts, options.alerts, "ALERT")
    env.execute("monitoring")


if __name__ == "__main__":
    main()
