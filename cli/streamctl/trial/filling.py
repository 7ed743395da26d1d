"""Input of a trial: topics, filled before the job starts, every record acknowledged."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.errors import UnavailableError

CREATE_S = 30.0
FLUSH_S = 60.0


def create_topics(bootstrap: str, partitions: dict[str, int]) -> None:
    """Create topics with the broker's default replication. Raises UnavailableError with Kafka's reason."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, num_partitions=count) for name, count in partitions.items()]
    for name, future in admin.create_topics(wanted, operation_timeout=CREATE_S).items():
        error = future.exception(timeout=CREATE_S)
        if error is not None:
            raise UnavailableError("trial-topic", f"topic {name} was not created: {error}")


def fill(bootstrap: str, topic: str, records: Iterable[tuple[int, bytes]]) -> int:
    """Produce (partition, value) records with wall-clock timestamps; how many were acknowledged.

    Raises UnavailableError unless that is all of them.
    """
    acknowledged = 0
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        else:
            refused.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "log_level": 0,  # what matters is raised
            "linger.ms": 20,
            "batch.size": 500_000,
            "queue.buffering.max.messages": 200_000,
        }
    )
    sent = 0
    for partition, value in records:
        while True:
            try:
                producer.produce(topic, value=value, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
        if sent % 1000 == 0:
            producer.poll(0)
    producer.flush(FLUSH_S)
    if acknowledged != sent:
        reason = refused[0].str() if refused else "no answer in time"
        raise UnavailableError("trial-input", f"{sent - acknowledged} of {sent} records of {topic} failed: {reason}")
    return acknowledged
