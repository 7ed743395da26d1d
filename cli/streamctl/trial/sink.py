"""What a job wrote for others: every committed record of a topic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, TopicPartition

from headrace import clock
from headrace.errors import UnavailableError

QUIET_S = 20.0


class SinkWatch:
    """Counts committed records of a topic while a job writes them."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._rows = 0
        self._consumer = _consumer(bootstrap, {"fetch.wait.max.ms": 10})
        partitions = self._consumer.list_topics(topic, timeout=QUIET_S).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, p, 0) for p in partitions])

    def poll(self) -> int:
        """How many have become visible so far; does not wait."""
        self._rows += sum(message.error() is None for message in self._consumer.consume(5000, timeout=0))
        return self._rows

    def close(self) -> None:
        self._consumer.close()


class SinkRows:
    """Committed records of topics as they come."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._consumer = _consumer(bootstrap, {"fetch.wait.max.ms": 10})
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in topics
                for partition in self._consumer.list_topics(topic, timeout=QUIET_S).topics[topic].partitions
            ]
        )

    def take(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """(topic, value) of those that became visible, waiting at most ``timeout_s`` for the first."""
        messages = self._consumer.consume(1, timeout=timeout_s)
        if messages:
            messages += self._consumer.consume(5000, timeout=0)
        return [(message.topic() or "", message.value() or b"") for message in messages if message.error() is None]

    def close(self) -> None:
        self._consumer.close()


def read_committed(bootstrap: str, topic: str) -> Iterator[tuple[bytes | None, bytes]]:
    """(key, value) of every committed record up to the end that the topic has now, partition order.

    Raises UnavailableError when the broker sends nothing for QUIET_S before the end.
    """
    consumer = _consumer(bootstrap, {"enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(topic, timeout=QUIET_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        open_partitions = set(partitions)
        heard_s = clock.monotonic_s()
        while open_partitions:
            messages = consumer.consume(5000, timeout=0.1)
            if messages:
                heard_s = clock.monotonic_s()
            elif clock.monotonic_s() - heard_s > QUIET_S:
                raise UnavailableError("trial-sink", f"Kafka sent nothing of topic {topic} for {QUIET_S:.0f} s")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message.key(), message.value() or b""
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
    finally:
        consumer.close()


def _consumer(bootstrap: str, options: dict[str, str | int | bool]) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trial",
            "log_level": 0,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            **options,
        }
    )
