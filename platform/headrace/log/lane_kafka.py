"""The lane log port on Apache Kafka, by confluent-kafka.

Holds the settings that were measured, and the questions and orders of a lane: each comes back at its deadline.
A call that the client library itself never returns from is not covered: the worker's watchdog ends that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.log.group_offsets import GroupOffsets
from headrace.log.kafka_errors import STEP_S, client_log, kafka_error, log_error
from headrace.log.lane import LogError, Remedy, Split
from headrace.log.lane_kafka_plain import KafkaPlainProducer
from headrace.log.lane_kafka_producer import KafkaProducer
from headrace.log.lane_kafka_reader import KafkaReader

T = TypeVar("T")

#: Largest record a lane may write; exchange and lane-log topics are created with the same limit.
MESSAGE_BYTES_MAX = 1_000_000
#: Local queue of one producer, in records and kbytes: one transaction must fit.
QUEUE_RECORDS_MAX, QUEUE_KBYTES_MAX = 500_000, 262_144
#: Prefetched by one reader, in kbytes over all its partitions' queues.
PREFETCH_KBYTES_MAX = 32_768

#: Answers that asking again does not change.
_HOPELESS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


def _heard(_error: KafkaError) -> None:
    """error_cb: without one a fatal error is raised out of whichever call polls next. Calls report their own."""


class KafkaLaneConnection:
    """What a worker opens once; see LaneConnection. Thread-safe.

    ``kafka``: more librdkafka options for every client (TLS, SASL, tuning). Those that correctness rests on
    (isolation, positions, idempotence) cannot be overridden.
    """

    def __init__(self, bootstrap: str, kafka: dict[str, str] | None = None, client_id: str = "headrace") -> None:
        self._base: dict[str, Any] = {
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "socket.nagle.disable": True,
            "log_level": 0,
            **(kafka or {}),
            "bootstrap.servers": bootstrap,
            "client.id": client_id,
            "error_cb": _heard,
        }
        self._lock = threading.Lock()  #: guards the clients below; never held during a call
        self._asker: Consumer | None = None
        self._admin: AdminClient | None = None
        self._groups: dict[str, GroupOffsets] = {}  #: one per source's group and job: as many as these

    def producer(self, transactional_id: str, transaction_timeout_s: float = 20.0) -> KafkaProducer:
        options = {
            "linger.ms": 0,
            "batch.size": MESSAGE_BYTES_MAX,
            "compression.type": "lz4",
            "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
            **self._base,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "partitioner": "murmur2_random",
            "transactional.id": transactional_id,
            "transaction.timeout.ms": round(transaction_timeout_s * 1000),
        }
        return KafkaProducer(options, self.partitions)

    def plain_producer(self) -> KafkaPlainProducer:
        return KafkaPlainProducer(
            {
                "linger.ms": 2,
                "batch.size": MESSAGE_BYTES_MAX,
                "compression.type": "lz4",
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
                "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
                **self._base,
                "message.max.bytes": MESSAGE_BYTES_MAX,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
            }
        )

    def reader(
        self,
        *,
        committed: bool = True,
        wait_ms: int = 50,
        gather_bytes: int = 1,
        options: Mapping[str, str] | None = None,
    ) -> KafkaReader:
        gather = {"fetch.min.bytes": str(gather_bytes), **(options or {})}
        return KafkaReader(self._reader_options(committed, wait_ms, gather), self.bounds)

    def bounds(self, topic: str, partition: int, timeout_s: float) -> tuple[int, int]:
        split = TopicPartition(topic, partition)

        def ask(consumer: Consumer, step_s: float) -> tuple[int, int]:
            answer = consumer.get_watermark_offsets(split, timeout=step_s, cached=False)
            if answer is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"bounds of {topic}/{partition}"))
            return answer

        return self._ask(ask, timeout_s)

    def offsets_for_time(self, splits: Sequence[Split], timestamp_ms: int, timeout_s: float) -> dict[Split, int]:
        if not splits:
            return {}
        wanted = [TopicPartition(topic, partition, timestamp_ms) for topic, partition in splits]

        def ask(consumer: Consumer, step_s: float) -> dict[Split, int]:
            found = consumer.offsets_for_times(wanted, timeout=step_s)
            for at in found:
                if at.error is not None:
                    raise KafkaException(at.error)
            return {(at.topic, at.partition): at.offset for at in found}

        offsets = self._ask(ask, timeout_s)
        for (topic, partition), offset in offsets.items():
            if offset < 0:  # no record is that young
                offsets[topic, partition] = self.bounds(topic, partition, timeout_s)[1]
        return offsets

    def partitions(self, topic: str, timeout_s: float) -> int | None:
        def ask(consumer: Consumer, step_s: float) -> int | None:
            found = consumer.list_topics(topic, timeout=step_s).topics.get(topic)
            if found is None:
                return None
            if found.error is None:
                return len(found.partitions)
            if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                return None
            raise KafkaException(found.error)

        return self._ask(ask, timeout_s)

    def topics(self, timeout_s: float) -> dict[str, int]:
        def ask(consumer: Consumer, step_s: float) -> dict[str, int]:
            found = consumer.list_topics(timeout=step_s).topics
            return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

        return self._ask(ask, timeout_s)

    def delete_before(self, offsets: Mapping[Split, int], timeout_s: float) -> None:
        wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        if wanted:
            self._order(lambda admin, step_s: admin.delete_records(wanted, request_timeout=step_s), timeout_s)

    def commit_hints(self, group: str, hints: Mapping[Split, tuple[int, str]], timeout_s: float) -> None:
        if hints:
            self._group(group).write(hints, timeout_s)

    def hints(self, group: str, splits: Sequence[Split], timeout_s: float) -> dict[Split, tuple[int, str]]:
        return self._group(group).read(splits, timeout_s) if splits else {}

    def close(self) -> None:
        with self._lock:
            self._asker = self._admin = None
            self._groups.clear()

    def _group(self, group: str) -> GroupOffsets:
        with self._lock:
            return self._groups.setdefault(group, GroupOffsets(group, self._base))

    def _reader_options(
        self, committed: bool, wait_ms: int, options: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return {
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
            "queued.min.messages": 16_000,
            "group.id": "headrace",  # demanded by the client, never joined
            **self._base,
            "fetch.wait.max.ms": wait_ms,
            **(options or {}),
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }

    def _ask(self, question: Callable[[Consumer, float], T], timeout_s: float) -> T:
        """Ask until it is answered or the deadline has passed; a client that failed is not asked again."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                if self._asker is None:
                    self._asker = Consumer(self._reader_options(False, 50), logger=client_log)
                asker = self._asker
            step_s = max(0.1, min(STEP_S, deadline - time.monotonic()))
            try:
                return question(asker, step_s)
            except (KafkaException, SystemError) as raised:
                # Another thread may be inside the same client: dropped, not closed.
                with self._lock:
                    if self._asker is asker:
                        self._asker = None
                error = kafka_error(raised)
                if error.code() in _HOPELESS:
                    raise log_error(error, Remedy.REBUILD) from raised
                if time.monotonic() + 0.1 >= deadline:
                    raise log_error(error, Remedy.RETRY) from raised
            time.sleep(0.1)

    def _order(self, order: Callable[[AdminClient, float], dict[Any, Any]], timeout_s: float) -> dict[Any, Any]:
        """One administrative request, its answers by key. Not repeated; a client that failed is not used again."""
        with self._lock:
            if self._admin is None:
                self._admin = AdminClient(self._base, logger=client_log)
            admin = self._admin  # held: the answers of a collected client never come
        try:
            return {key: future.result(timeout_s + 1) for key, future in order(admin, timeout_s).items()}
        except (KafkaException, SystemError, TimeoutError) as raised:
            with self._lock:
                if self._admin is admin:
                    self._admin = None
            if isinstance(raised, TimeoutError):
                raise LogError("_TIMED_OUT", f"no answer in {timeout_s:g} s", Remedy.RETRY) from raised
            error = kafka_error(raised)
            cure = Remedy.REBUILD if error.code() in _HOPELESS else Remedy.RETRY
            raise log_error(error, cure) from raised
