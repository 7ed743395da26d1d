"""The transactional producer of a lane on Kafka.

What it adds to the client: one classification of errors, the refusal to commit a transaction that a record did
not enter, and topics that are looked up before the first record goes there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.log.kafka_errors import STEP_S, client_log, kafka_error, log_error
from headrace.log.lane import Delivery, LogError, Remedy


class KafkaProducer:
    """One transactional producer; see LaneProducer. Used by one thread at a time."""

    def __init__(self, options: dict[str, Any], partitions: Callable[[str, float], int | None]) -> None:
        self._client: Producer | None = Producer(options, logger=client_log)
        self._produce: Any = self._client.produce
        self._partitions = partitions
        self._topics: set[str] = set()
        self._timeout_s = options["transaction.timeout.ms"] / 1000
        self._dead: LogError | None = None  #: FENCED or REBUILD: the object can never work again
        self._broken: LogError | None = None  #: a produce of the open transaction failed: only abort is left

    def init(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        pause_s = 0.05
        client = self._alive()
        while True:
            step_s = max(0.1, min(STEP_S, deadline - time.monotonic()))
            try:
                # Metadata of all topics first: without it every second init_transactions loses half a second.
                if not self._topics:
                    self._topics = set(client.list_topics(timeout=step_s).topics)
                client.init_transactions(step_s)
                return
            except (KafkaException, SystemError) as raised:
                error = kafka_error(raised)
                if error.fatal():
                    raise self._failed(log_error(error)) from raised
                if time.monotonic() + pause_s >= deadline:
                    raise log_error(error, Remedy.RETRY) from raised
            time.sleep(pause_s)
            pause_s = min(0.5, pause_s * 2)

    def begin(self) -> None:
        self._call(self._alive().begin_transaction)
        self._broken = None

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = -1,
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp_ms: int = 0,
        delivery: Delivery | None = None,
    ) -> None:
        if topic not in self._topics:
            self._look_up(topic)
        report = None if delivery is None else _report(delivery)
        while True:
            try:
                self._produce(topic, value, key, partition, report, None, timestamp_ms, headers)
                return
            except BufferError:
                # Room comes with deliveries, or with their failure after the transaction's time-out.
                self._call(self._alive().poll, 0.02)
            except (KafkaException, SystemError) as raised:
                raise self._refused(raised) from raised
            except BaseException as raised:  # such as a value that is no bytes
                self._broken = LogError("_INVALID_ARG", f"record not taken: {raised}", Remedy.ABORT)
                raise

    def commit(self, timeout_s: float) -> None:
        if self._broken is not None:
            raise self._broken
        client = self._alive()
        self._call(client.commit_transaction, timeout_s)
        self._call(client.poll, 0)

    def abort(self, timeout_s: float) -> None:
        self._call(self._alive().abort_transaction, timeout_s)
        self._broken = None

    def close(self) -> None:
        self._dead = self._dead or LogError("_STATE", "producer closed", Remedy.REBUILD)
        self._produce = None
        self._client = None

    def _alive(self) -> Producer:
        if self._dead is not None:
            raise self._dead
        assert self._client is not None
        return self._client

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            function(*args)
        except (KafkaException, SystemError) as raised:
            raise self._failed(log_error(kafka_error(raised))) from raised

    def _failed(self, error: LogError) -> LogError:
        if error.remedy in (Remedy.FENCED, Remedy.REBUILD):
            # Later calls on a fatal client answer _FATAL or _STATE: the first error is the one that says why.
            self._dead = error
        return error

    def _refused(self, raised: BaseException) -> LogError:
        """A record did not enter the open transaction. The client would commit the rest without it."""
        if self._dead is not None:
            return self._dead
        error = kafka_error(raised)
        if error.fatal():
            return self._failed(log_error(error))
        self._broken = log_error(error, Remedy.ABORT)
        return self._broken

    def _look_up(self, topic: str) -> None:
        """A record for a missing topic would be taken, and then make the commit hang until its time-out."""
        self._alive()
        if self._partitions(topic, self._timeout_s) is None:
            self._broken = LogError("UNKNOWN_TOPIC_OR_PART", f"no topic {topic!r}", Remedy.ABORT)
            raise self._broken
        self._topics.add(topic)


def _report(delivery: Delivery) -> Callable[[KafkaError | None, Message], None]:
    def delivered(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            delivery.offset = offset

    return delivered
