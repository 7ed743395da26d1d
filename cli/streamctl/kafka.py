"""The command line's connection to Kafka: few records, short deadlines, errors in plain words.

Every wait for the broker is bounded, and a broker that does not answer becomes an UnavailableError
("kafka-unreachable") within CONNECT_S.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from headrace.errors import UnavailableError, UsageError

CONNECT_S = 4.0
CALL_S = 10.0

_quiet = logging.getLogger("streamctl.kafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


@dataclass(frozen=True)
class Record:
    """One record read."""

    topic: str
    partition: int
    offset: int
    value: bytes


class Connection:
    """One command's consumer and producer; ``close`` it, or use it as a context manager."""

    def __init__(self, bootstrap: str, options: dict[str, str]) -> None:
        self.bootstrap = bootstrap
        self._options = options
        self._last_error = ""
        self._down = False
        knock(bootstrap)
        try:
            self._consumer = Consumer(
                self._config(
                    {
                        "group.id": "streamctl",  # required by the client; nothing is ever committed
                        "enable.auto.commit": False,
                        "auto.offset.reset": "earliest",
                        "fetch.wait.max.ms": 100,
                    }
                ),
                logger=_quiet,
            )
        except KafkaException as error:
            raise UsageError(
                "kafka-options",
                f"Kafka client options are wrong: {error.args[0].str()}",
                hint="see HEADRACE_KAFKA in docs/cli.md",
            ) from None
        self._producer: Producer | None = None
        self._metadata(None, timeout_s=CONNECT_S)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def _config(self, more: dict[str, Any]) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": "streamctl",
            "socket.connection.setup.timeout.ms": 3000,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "allow.auto.create.topics": False,
            "error_cb": self._on_error,
            **self._options,
            **more,
        }

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error.str()
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True

    @property
    def down(self) -> bool:
        """Whether the client last said that no broker answers; ``answers`` asks again."""
        return self._down

    def answers(self, timeout_s: float = 2.0) -> bool:
        """Ask the broker now; True when it answered."""
        try:
            self._consumer.list_topics(timeout=timeout_s)
        except KafkaException:
            return False
        self._down = False
        return True

    def _metadata(self, topic: str | None, *, timeout_s: float) -> Any:
        try:
            if topic is None:
                return self._consumer.list_topics(timeout=timeout_s)
            return self._consumer.list_topics(topic, timeout=timeout_s)
        except KafkaException as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: KafkaException) -> UnavailableError:
        return unreachable(self.bootstrap, self._last_error or error.args[0].str())

    def partitions(self, topic: str) -> int | None:
        """Partition count of a topic, None when there is no such topic."""
        found = self._metadata(topic, timeout_s=CALL_S).topics[topic]
        if found.error is not None:
            if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                return None
            raise unreachable(self.bootstrap, found.error.str())
        return len(found.partitions)

    def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end offset of a partition, asked from the broker now."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CALL_S)
        except KafkaException as error:
            raise self._unreachable(error) from None
        return low, high

    def assign(self, places: Iterable[tuple[str, int, int | None]]) -> None:
        """Read from now on these (topic, partition, offset); offset None means from the beginning."""
        self._consumer.assign(
            [TopicPartition(topic, p, OFFSET_BEGINNING if o is None else o) for topic, p, o in places]
        )

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        """Records that arrived; empty after ``timeout_s``. Errors of the connection show in ``down``."""
        records = []
        for message in self._consumer.consume(records_max, timeout=timeout_s):
            if message.error() is None:
                records.append(_record(message))
        if records:
            self._down = False
        return records

    def send(self, topic: str, partition: int | None, records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Append (key, value) records; their (partition, offset) in order, acknowledged by all replicas.

        ``partition`` None leaves the choice to Kafka's default partitioner. Raises UnavailableError when the
        broker did not acknowledge within CALL_S; a record may still have arrived. Raises UsageError when it
        refused a record.
        """
        if self._producer is None:
            config = {
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": int(CALL_S * 1000),
                "message.max.bytes": 1_000_000,
                "linger.ms": 0,
            }
            options = self._config(config)
            self._producer = Producer(options, logger=_quiet)
        done: list[tuple[KafkaError | None, Message]] = []
        for key, value in records:
            self._producer.produce(
                topic,
                value=value,
                key=key,
                partition=-1 if partition is None else partition,
                on_delivery=lambda error, message: done.append((error, message)),
            )
        left = self._producer.flush(CALL_S + 1)
        refused = next((error for error, _ in done if error is not None), None)
        if refused is not None and refused.code() not in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
            raise UsageError("kafka-refused", f"Kafka refused a record for topic {topic}: {refused.str()}")
        if left or refused is not None:
            raise unreachable(self.bootstrap, self._last_error or "no acknowledgement in time")
        offsets = [(m.partition(), m.offset()) for _, m in done]
        return [(p if p is not None else -1, o if o is not None else -1) for p, o in offsets]


def _record(message: Message) -> Record:
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        value=message.value() or b"",
    )


def unreachable(bootstrap: str, reason: str) -> UnavailableError:
    return UnavailableError(
        "kafka-unreachable",
        f"Kafka at {bootstrap} does not answer: {reason}",
        hint="is the cluster up? `streamctl status` shows the local one; --bootstrap names another",
    )


def knock(bootstrap: str) -> None:
    """Try a TCP connection to the bootstrap servers, one after another, until one accepts.

    It costs a round trip and gives the operating system's own words for what is wrong. Raises
    UnavailableError when none accepts, UsageError when an address is not HOST:PORT.
    """
    reasons = []
    servers = [s.strip() for s in bootstrap.split(",") if s.strip()]
    for server in servers:
        host, port = host_port(server)
        try:
            socket.create_connection((host, port), timeout=CONNECT_S / len(servers)).close()
            return
        except OSError as error:
            reasons.append(error.strerror or str(error))
    if not servers:
        raise UsageError("kafka-address", "no Kafka address given", hint="write it as HOST:PORT")
    raise unreachable(bootstrap, "; ".join(dict.fromkeys(reasons)))


def host_port(server: str) -> tuple[str, int]:
    """Split one bootstrap server. IPv6 addresses stand in brackets."""
    host, _, port = server.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError("kafka-address", f"not a Kafka address: {server!r}", hint="write it as HOST:PORT")
    return host.strip("[]"), int(port)
