"""What the tests of the embedded servers ask of Kafka, with a bare client."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TIMEOUT_S = 30.0


def create_topic(bootstrap: str, name: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(TIMEOUT_S)


def produce(bootstrap: str, topic: str, values: list[str], *, partition: int = -1) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(TIMEOUT_S) == 0


def committed(bootstrap: str, topic: str) -> list[str]:
    """All values of partition 0 that a reader of committed records sees now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "test",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        values = []
        while True:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None, f"{topic} has no end within {TIMEOUT_S} s"
            if message.error() is not None:
                assert message.error().code() == -191, message.error()  # end of partition
                return values
            values.append(message.value().decode())
    finally:
        consumer.close()
