"""The command line's connection to Kafka: few records, short deadlines, errors in plain words.

Every wait for the broker is bounded, and a broker that does not answer becomes an UnavailableError
("kafka-unreachable") within CONNECT_S.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from headrace.errors import UnavailableError, UsageError

T = TypeVar("T")

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
        self.options = options
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
                f"Kafka client options are wrong: {words(error)}",
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
            **self.options,
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
        if topic is None:
            return self._call(lambda: self._consumer.list_topics(timeout=timeout_s))
        return self._call(lambda: self._consumer.list_topics(topic, timeout=timeout_s))

    def _call(self, ask: Callable[[], T]) -> T:
        """``ask`` the broker, again while its answer is "not now" and CALL_S is not over.

        Raises UnavailableError in the words of the connection's last error, else of the call's.
        """
        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(CALL_S),
            wait=wait_fixed(0.1),
            reraise=True,
        )
        try:
            answer: T = retrying(ask)
        except KafkaException as error:
            raise unreachable(self.bootstrap, self._last_error or words(error)) from None
        return answer

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
        place = TopicPartition(topic, partition)
        return self._call(lambda: self._consumer.get_watermark_offsets(place, timeout=CALL_S))

    def assign(self, places: Iterable[tuple[str, int, int | None]]) -> None:
        """Read from now on these (topic, partition, offset); offset None means from the beginning."""
        self._consumer.assign(
            [TopicPartition(topic, p, OFFSET_BEGINNING if o is None else o) for topic, p, o in places]
        )

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        """Records that arrived; empty after ``timeout_s``. Errors of the connection show in ``down``."""
        messages = self._consumer.consume(1, timeout=timeout_s)  # more than one would wait for all of them
        if messages:
            messages += self._consumer.consume(records_max - 1, timeout=0)
        records = [_record(message) for message in messages if message.error() is None]
        if records:
            self._down = False
        return records

    def reader(self) -> Consumer:
        """A consumer of its own, of committed records, that says where a partition ends; the caller closes it."""
        config = {
            "group.id": "streamctl",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "isolation.level": "read_committed",
        }
        consumer = Consumer(self._config(config), logger=_quiet)
        self._call(lambda: consumer.list_topics(timeout=CALL_S))
        return consumer

    def send(self, topic: str, partition: int | None, records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Append (key, value) records; their (partition, offset) in order, acknowledged by all replicas.

        ``partition`` None leaves the choice to Kafka's default partitioner. Raises UnavailableError when the
        broker did not acknowledge within CALL_S; a record may still have arrived. Raises UsageError when it
        refused a record.
        """
        producer = self._open_producer()
        done: list[tuple[KafkaError | None, Message]] = []
        for key, value in records:
            producer.produce(
                topic,
                value=value,
                key=key,
                partition=-1 if partition is None else partition,
                on_delivery=lambda error, message: done.append((error, message)),
            )
        left = producer.flush(CALL_S + 1)
        refused = next((error for error, _ in done if error is not None), None)
        if refused is not None and refused.code() not in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
            raise UsageError("kafka-refused", f"Kafka refused a record for topic {topic}: {refused.str()}")
        if left or refused is not None:
            raise unreachable(self.bootstrap, self._last_error or "no acknowledgement in time")
        offsets = [(m.partition(), m.offset()) for _, m in done]
        return [(p if p is not None else -1, o if o is not None else -1) for p, o in offsets]

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; one that is gone already is fine. Raises UnavailableError, UsageError ("kafka-refused")."""
        admin = AdminClient(self._config({}), logger=_quiet)
        try:
            admin.delete_topics([topic], request_timeout=CALL_S)[topic].result(CALL_S)
        except KafkaException as error:
            code = error.args[0].code()
            if code in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
                raise unreachable(self.bootstrap, words(error)) from None
            if code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise UsageError("kafka-refused", f"Kafka did not delete topic {topic}: {words(error)}") from None

    def _open_producer(self) -> Producer:
        if self._producer is not None:
            return self._producer
        config = {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(CALL_S * 1000),
            "message.max.bytes": 1_000_000,
            "linger.ms": 0,
        }
        producer = Producer(self._config(config), logger=_quiet)
        # Without a broker known, the client would ask for its producer id again only after 500 ms.
        self._call(lambda: producer.list_topics(timeout=CALL_S))
        self._producer = producer
        return producer


def _record(message: Message) -> Record:
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        value=message.value() or b"",
    )


def words(error: KafkaException) -> str:
    """What a Kafka error says, without the name of the call that met it."""
    return str(error.args[0].str()).rpartition("Local: ")[2]


def _is_passing(error: BaseException) -> bool:
    """Whether the broker answered something that ends by itself, as while a new topic gets its leader."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )


def unreachable(bootstrap: str, reason: str) -> UnavailableError:
    return UnavailableError(
        "kafka-unreachable",
        f"Kafka at {bootstrap} does not answer: {reason}",
        hint="is the cluster up? `streamctl status` shows the local one; "
        "--bootstrap or HEADRACE_BOOTSTRAP names another",
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
