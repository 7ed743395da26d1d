"""What lanes say when windows wait for a watermark that does not come: who holds it, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.common import Duration, Time, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment, TumblingEventTimeWindows, TumblingProcessingTimeWindows
from headrace.datastream.connectors.kafka import KafkaSource
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonDeserializationSchema
from headrace.testing.stepped import SteppedCluster

T = 1_700_000_000_000


def windowed(keyed: Any, assigner: Any = TumblingEventTimeWindows) -> None:
    keyed.window(assigner.of(Time.seconds(1))).reduce(lambda a, b: a).print()


def reasons(strategy: WatermarkStrategy, then: Callable[[Any], None] = windowed) -> dict[str, str]:
    """Of each lane, a minute after all records of partition 0 were read; partition 1 has none."""
    cluster = SteppedCluster(3)
    cluster.topic("bids", 2)
    for n in range(50):
        cluster.broker.append("bids", b'{"k": "a", "t": %d}' % (T + n * 100), partition=0)
    with executor_installed(cluster):
        env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(1)
        reader = KafkaSource.builder().set_topics("bids").set_value_only_deserializer(JsonDeserializationSchema())
        then(env.from_source(reader.build(), strategy, "bids").key_by(lambda v: v["k"]))
        env.execute_async()
    job = cluster.jobs[-1]
    job.run(lambda: sum(lane.records_in for lane in job.lanes.values()) >= 100)
    until_ms = cluster.time.now_ms() + 60_000
    job.run(lambda: cluster.time.now_ms() >= until_ms)
    return {name: lane.reason for name, lane in job.lanes.items()}


def times() -> WatermarkStrategy:
    return WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda v, _: v["t"])


def test_a_silent_partition_is_named() -> None:
    told = reasons(times())
    assert told["v1/0"].startswith("watermark held by idle partition 1 of topic bids: no record yet")
    assert told["v2/0"] == "watermark held by lane v1/0: none yet"


def test_with_idleness_nothing_waits_for_it() -> None:
    assert "partition 1" not in reasons(times().with_idleness(Duration.of_seconds(1)))["v1/0"]


def test_windows_without_any_watermark_strategy_say_so() -> None:
    told = reasons(WatermarkStrategy.no_watermarks())
    assert "no source before these windows has a WatermarkStrategy" in told["v2/0"] and told["v1/0"] == ""


def test_a_strategy_after_the_source_is_one() -> None:
    def later(keyed: Any) -> None:
        windowed(keyed.map(lambda v: v).assign_timestamps_and_watermarks(times()).key_by(lambda v: v["k"]))

    assert "WatermarkStrategy" not in "".join(reasons(WatermarkStrategy.no_watermarks(), later).values())


def test_windows_of_processing_time_wait_for_no_watermark() -> None:
    told = reasons(WatermarkStrategy.no_watermarks(), lambda keyed: windowed(keyed, TumblingProcessingTimeWindows))
    assert set(told.values()) == {""}
