"""The lane log under test: what the contract tests ask of real Kafka and of the memory log alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.log.lane import LaneConnection, LaneProducer, LaneReader, Message
from headrace.log.memory import MemoryBroker

DEADLINE_S = 20.0


class Server(Protocol):
    """What the tests need beside the port: topics, and records from outside any transaction."""

    def create(self, topic: str, partitions: int) -> None: ...

    def append(self, topic: str, value: bytes, partition: int, timestamp_ms: int) -> None: ...


class KafkaServer:
    def __init__(self, bootstrap: str) -> None:
        base: dict[str, Any] = {"bootstrap.servers": bootstrap, "error_cb": lambda _error: None}
        self._admin = AdminClient(base)
        self._plain = Producer({**base, "linger.ms": 0, "enable.idempotence": True})

    def create(self, topic: str, partitions: int) -> None:
        self._admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(DEADLINE_S)

    def append(self, topic: str, value: bytes, partition: int, timestamp_ms: int) -> None:
        failures: list[Any] = []
        self._plain.produce(
            topic,
            value,
            partition=partition,
            timestamp=timestamp_ms,
            on_delivery=lambda error, _message: failures.append(error) if error else None,
        )
        assert self._plain.flush(DEADLINE_S) == 0
        assert not failures


class MemoryServer:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def create(self, topic: str, partitions: int) -> None:
        self._broker.create_topics({topic: partitions})

    def append(self, topic: str, value: bytes, partition: int, timestamp_ms: int) -> None:
        self._broker.append(topic, value, partition=partition, timestamp_ms=timestamp_ms)


@dataclass
class LogUnderTest:
    kind: str
    connection: LaneConnection
    server: Server
    namespace: str
    opened: list[LaneProducer | LaneReader] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def name(self) -> str:
        """A new topic name, transactional id or group."""
        return f"{self.namespace}-{next(self._numbers)}"

    def topic(self, partitions: int = 1) -> str:
        name = self.name()
        self.server.create(name, partitions)
        return name

    def append(self, topic: str, *values: bytes, partition: int = 0, timestamp_ms: int = 0) -> None:
        for value in values:
            self.server.append(topic, value, partition, timestamp_ms)

    def producer(self, transactional_id: str | None = None, timeout_s: float = 20.0) -> LaneProducer:
        """A producer after init."""
        producer = self.connection.producer(transactional_id or self.name(), timeout_s)
        self.opened.append(producer)
        producer.init(DEADLINE_S)
        return producer

    def commit(self, producer: LaneProducer, topic: str, *values: bytes, partition: int = 0) -> None:
        """One transaction with these records."""
        producer.begin()
        for value in values:
            producer.produce(topic, value, partition=partition)
        producer.commit(DEADLINE_S)

    def reader(self, topic: str, position: int = 0, *, partition: int = 0, committed: bool = True) -> LaneReader:
        """A reader of one partition."""
        reader = self.bare_reader(committed=committed)
        reader.assign({(topic, partition): position})
        return reader

    def bare_reader(self, *, committed: bool = True) -> LaneReader:
        reader = self.connection.reader(committed=committed, wait_ms=5)
        self.opened.append(reader)
        return reader

    def visible(self, topic: str, partition: int = 0, *, committed: bool = True, position: int = 0) -> list[Any]:
        """Values that a fresh reader sees, when all transactions of the partition have ended.

        A commit returns before its markers are written; this waits for them.
        """
        reader = self.reader(topic, position, partition=partition, committed=committed)
        _, end = self.connection.bounds(topic, partition, DEADLINE_S)
        found: list[Any] = []

        def ended() -> bool:
            found.extend(m.value() for m in reader.read(500, 0.02))
            return reader.end_offset_seen((topic, partition)) >= end

        until(ended)
        return found


def read_to_end(reader: LaneReader, splits: set[tuple[str, int]]) -> list[Message]:
    """Everything until the reader is at the end of all splits."""
    found: list[Message] = []

    def ended() -> bool:
        found.extend(reader.read(500, 0.02))
        return reader.at_end() >= splits

    until(ended)
    return found


def read_some(reader: LaneReader, count: int) -> list[Message]:
    """At least ``count`` messages."""
    found: list[Message] = []

    def enough() -> bool:
        found.extend(reader.read(500, 0.02))
        return len(found) >= count

    until(enough)
    return found


def until(condition: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Until the condition holds; fails the test at the deadline. The condition itself waits a little."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.001)
