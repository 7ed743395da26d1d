"""A Kafka source against real Kafka: a pattern, partitions that come later, dead letters, lag in ordinary tools."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from headrace.common import WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.json import JsonDeserializationSchema, JsonSerializationSchema
from headrace.in_process.executor import InProcessExecutor
from headrace.settings import Settings

pytestmark = pytest.mark.e2e
DEADLINE_S = 120.0


class Site:
    """Topics of one test on a real broker."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap, self.prefix = bootstrap, prefix
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self._opened: list[Consumer] = []

    def name(self, short: str) -> str:
        return f"{self.prefix}.{short}"

    def create(self, short: str, partitions: int) -> str:
        topic = self.name(short)
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(DEADLINE_S)
        return topic

    def grow(self, short: str, partitions: int) -> None:
        topic = self.name(short)
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(DEADLINE_S)

    def fill(self, short: str, values: list[bytes], partitions: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})  # a new one knows the newest partitions
        for number, value in enumerate(values):
            producer.produce(self.name(short), value, partition=number % partitions)
        assert producer.flush(DEADLINE_S) == 0

    def read(self, short: str, partitions: int = 1) -> Callable[[], list[Message]]:
        """Gives all committed records so far."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.name("test"),
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        self._opened.append(consumer)
        consumer.assign([TopicPartition(self.name(short), p, 0) for p in range(partitions)])
        found: list[Message] = []

        def so_far() -> list[Message]:
            found.extend(message for message in consumer.consume(500, 0.2) if message.error() is None)
            return found

        return so_far

    def lag(self, group: str) -> dict[tuple[str, int], int]:
        """As kafka-consumer-groups computes it: committed offset against end, for each partition with an offset."""
        answer = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        committed = answer[group].result(DEADLINE_S).topic_partitions
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name("lag")})
        try:
            return {
                (at.topic, at.partition): consumer.get_watermark_offsets(at, DEADLINE_S)[1] - at.offset
                for at in committed
            }
        finally:
            consumer.close()

    def close(self) -> None:
        for consumer in self._opened:
            consumer.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s"
        time.sleep(0.05)


@pytest.fixture
def site(kafka: str, namespace: str) -> Iterator[Site]:
    site = Site(kafka, namespace)
    yield site
    site.close()


def test_a_pattern_with_everything_that_may_happen_to_it(site: Site) -> None:
    numbers = [b"%d" % n for n in range(60)]
    site.create("orders-eu", 2)
    for topic in ("out", "bad"):
        site.create(topic, 1)
    site.fill("orders-eu", [*numbers[:20], b"{broken"], 2)
    group = site.name("group")
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(site.bootstrap)
        .set_topic_pattern(site.name("orders-.*").replace(".orders", r"\.orders"))
        .set_group_id(group)
        .set_starting_offsets(KafkaOffsetsInitializer.committed_offsets())
        .set_properties({"partition.discovery.interval.ms": "1000", "fetch.max.wait.ms": "20", "check.crcs": "true"})
        .set_dead_letter_topic(site.name("bad"))
        .set_value_only_deserializer(JsonDeserializationSchema())
        .build()
    )
    schema = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(site.name("out"))
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "orders")
    stream.sink_to(KafkaSink.builder().set_record_serializer(schema).build())
    with executor_installed(InProcessExecutor(Settings(bootstrap=site.bootstrap))):
        job = env.execute_async("orders")
    out, bad = site.read("out"), site.read("bad")
    try:
        until(lambda: len(out()) == 20 and len(bad()) == 1)
        assert dict(bad()[0].headers() or [])["headrace.error.topic"] == site.name("orders-eu").encode()
        until(lambda: set(site.lag(group).values()) == {0} and len(site.lag(group)) == 2)

        site.grow("orders-eu", 3)
        site.create("orders-us", 1)
        site.fill("orders-eu", numbers[20:40], 3)
        site.fill("orders-us", numbers[40:], 1)
        until(lambda: len(out()) >= 60)
        until(lambda: set(site.lag(group).values()) == {0} and len(site.lag(group)) == 4)
    finally:
        job.cancel().result(DEADLINE_S)
        job.get_job_execution_result().result(DEADLINE_S)
    assert Counter(msgspec.json.decode(message.value() or b"") for message in out()) == Counter(range(60))

    # What was not read when the job stopped is lag.
    site.fill("orders-us", numbers[:5], 1)
    assert site.lag(group)[site.name("orders-us"), 0] == 5
