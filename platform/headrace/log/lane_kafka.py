"""The lane log port on Apache Kafka, by confluent-kafka.

What it adds to the client: settings that were measured, one classification of errors, end-of-partition
bookkeeping, refusal of what would commit half a transaction, and calls that always come back.

A call that the client library itself never returns from is not covered here: the worker's watchdog ends it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from headrace.log.lane import Delivery, LogError, PositionLostError, Remedy, Split

T = TypeVar("T")

#: Longest single wait inside a call that is repeated until its own deadline.
STEP_S = 5.0
#: Largest record a lane may write; exchange and lane-log topics are created with the same limit.
MESSAGE_BYTES_MAX = 1_000_000
#: Local queue of one producer, in records and kbytes: one transaction must fit.
QUEUE_RECORDS_MAX, QUEUE_KBYTES_MAX = 500_000, 262_144
#: After a wait for the first message: how long a reader gathers those that come with it.
GATHER_S = 0.002
#: Prefetched by one reader, in kbytes over all its partitions' queues.
PREFETCH_KBYTES_MAX = 32_768

#: Errors of a reader's partition that the client cures by itself.
_CURED = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
#: Answers that asking again does not change.
_HOPELESS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.OFFSET_METADATA_TOO_LARGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
#: The client prints its last words to stderr whatever log_level says, unless it has a logger. Its errors reach
#: the caller as LogError, so this logger keeps them from the terminal; handlers may be added for debugging.
_client_log = logging.getLogger("headrace.log.librdkafka")
_client_log.addHandler(logging.NullHandler())
_client_log.propagate = False


def remedy(error: KafkaError) -> Remedy:
    """What a lane does about an error of a transactional call."""
    if error.fatal():
        return Remedy.FENCED if error.code() == KafkaError._FENCED else Remedy.REBUILD
    if error.txn_requires_abort():
        return Remedy.ABORT
    return Remedy.RETRY if error.retriable() else Remedy.REBUILD


def log_error(error: KafkaError, cure: Remedy | None = None) -> LogError:
    """The port's error for the client's; ``cure`` overrides the general classification."""
    return LogError(error.name(), error.str(), cure or remedy(error))


def kafka_error(raised: BaseException) -> KafkaError:
    """The client's error inside what one of its calls raised.

    A callback that runs while a fatal error is raised turns it into SystemError; the cause is kept in it.
    """
    cause = raised.__cause__ if isinstance(raised, SystemError) else raised
    if isinstance(cause, KafkaException) and cause.args and isinstance(cause.args[0], KafkaError):
        return cause.args[0]
    return KafkaError(KafkaError._FAIL, str(raised))


def _heard(_error: KafkaError) -> None:
    """error_cb: without one a fatal error is raised out of whichever call polls next. Calls report their own."""


class KafkaProducer:
    """One transactional producer; see LaneProducer. Used by one thread at a time."""

    def __init__(self, options: dict[str, Any], partitions: Callable[[str, float], int | None]) -> None:
        self._client: Producer | None = Producer(options, logger=_client_log)
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


_error_of = Message.error


class KafkaReader:
    """One reader; see LaneReader. Used by one thread at a time."""

    def __init__(self, options: dict[str, Any], bounds: Callable[[str, int, float], tuple[int, int]]) -> None:
        self._client = Consumer(options, logger=_client_log)
        self._consume = self._client.consume
        self._bounds = bounds
        self._topics: set[str] = set()
        self._started: dict[Split, int] = {}  #: the positions given to assign
        self._ends: dict[Split, int] = {}  #: offset of the last end-of-partition event
        self._at_end: set[Split] = set()
        self._moved = False  #: messages came since _at_end was last compared with the positions
        self._failure: Exception | None = None  #: came behind messages that were handed out first

    def assign(self, positions: Mapping[Split, int]) -> None:
        for topic in {topic for topic, _ in positions} - self._topics:
            self._look_up(topic, {p for t, p in positions if t == topic})
        self._ends.clear()
        self._at_end.clear()
        self._moved = False
        self._failure = None
        self._started = dict(positions)
        self._client.assign([TopicPartition(*split, offset) for split, offset in positions.items()])

    def read(self, messages_max: int, timeout_s: float) -> list[Message]:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        try:
            messages = self._consume(messages_max, 0)
            if not messages and timeout_s > 0:
                # consume() waits its whole time for messages_max messages; asking for one returns with the first.
                messages = self._consume(1, timeout_s)
                if messages:
                    messages += self._consume(messages_max - 1, GATHER_S)
        except (KafkaException, SystemError) as raised:
            raise log_error(kafka_error(raised), Remedy.REBUILD) from raised
        if not messages:
            return messages
        self._moved = True
        if any(map(_error_of, messages)):  # 40 ns a message; the only work here that grows with them
            messages = [m for m in messages if (error := m.error()) is None or self._event(error, m)]
            if not messages and self._failure is not None:
                return self.read(0, 0)
        return messages

    def at_end(self) -> set[Split]:
        if self._moved and self._at_end:
            splits = [TopicPartition(topic, partition) for topic, partition in self._at_end]
            for at in self._client.position(splits):
                split = (at.topic, at.partition)
                if at.offset > self._ends[split]:
                    self._at_end.discard(split)
        self._moved = False
        return set(self._at_end)

    def end_offset_seen(self, split: Split) -> int:
        return self._ends.get(split, -1)

    def close(self) -> None:
        self._client.close()

    def _look_up(self, topic: str, partitions: set[int]) -> None:
        """Fill the metadata cache: without it the first fetch waits for the client's one-second timer.

        No broker: passed over, reading starts when one answers. No such topic: the client would wait for it.
        """
        try:
            found = self._client.list_topics(topic, timeout=STEP_S).topics[topic]
        except KafkaException:
            return
        if found.error is not None:
            raise log_error(found.error, Remedy.REBUILD)
        if missing := partitions - set(found.partitions):
            raise LogError("_UNKNOWN_PARTITION", f"{topic} has no partition {min(missing)}", Remedy.REBUILD)
        self._topics.add(topic)

    def _event(self, error: KafkaError, message: Message) -> bool:
        """Take one event out of a batch; always False, so that it drops out of it."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            return False  # about brokers or the unused group: the client goes on trying
        split, code = (topic, partition), error.code()
        if code == KafkaError._PARTITION_EOF:
            self._ends[split] = offset
            self._at_end.add(split)
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._out_of_range(split, offset)
        elif code not in _CURED:
            self._failure = log_error(error, Remedy.REBUILD)
        return False

    def _out_of_range(self, split: Split, position: int) -> None:
        """The client gave a position up. Ask the broker before calling records lost."""
        try:
            first, end = self._bounds(*split, STEP_S)
        except LogError as failure:
            self._failure = failure
            return
        if not first <= position <= end:
            self._failure = PositionLostError(*split, position)
            return
        # The client has stopped this partition for good and refuses a seek: all are assigned anew where they are.
        positions = self._client.position([TopicPartition(*split) for split in self._started])
        for at in positions:
            if at.offset < 0:  # nothing was read from it yet
                at.offset = self._started[at.topic, at.partition]
        self._client.assign(positions)


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
        self._lock = threading.Lock()  #: guards the two clients below; never held during a call
        self._asker: Consumer | None = None
        self._admin: AdminClient | None = None

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

    def reader(self, *, committed: bool = True, wait_ms: int = 50) -> KafkaReader:
        return KafkaReader(self._reader_options(committed, wait_ms), self.bounds)

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

    def delete_before(self, offsets: Mapping[Split, int], timeout_s: float) -> None:
        wanted = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        if wanted:
            self._order(lambda admin, step_s: admin.delete_records(wanted, request_timeout=step_s), timeout_s)

    def commit_hints(self, group: str, hints: Mapping[Split, tuple[int, str]], timeout_s: float) -> None:
        wanted = [TopicPartition(t, p, offset, text) for (t, p), (offset, text) in hints.items()]
        if not wanted:
            return
        asked = [ConsumerGroupTopicPartitions(group, wanted)]
        answer = self._order(
            lambda admin, step_s: admin.alter_consumer_group_offsets(asked, request_timeout=step_s), timeout_s
        )
        for at in answer[group].topic_partitions:
            if at.error is not None:
                raise log_error(at.error)

    def hints(self, group: str, splits: Sequence[Split], timeout_s: float) -> dict[Split, tuple[int, str]]:
        if not splits:
            return {}
        asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(*split) for split in splits])]
        answer = self._order(
            lambda admin, step_s: admin.list_consumer_group_offsets(asked, request_timeout=step_s), timeout_s
        )
        found: dict[Split, tuple[int, str]] = {}
        for at in answer[group].topic_partitions:
            if at.error is not None:
                raise log_error(at.error)
            if at.offset >= 0:
                found[at.topic, at.partition] = (at.offset, at.metadata or "")
        return found

    def close(self) -> None:
        with self._lock:
            self._asker = self._admin = None

    def _reader_options(self, committed: bool, wait_ms: int) -> dict[str, Any]:
        return {
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
            "queued.min.messages": 50_000,
            "group.id": "headrace",  # demanded by the client, never joined
            **self._base,
            "fetch.wait.max.ms": wait_ms,
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
                    self._asker = Consumer(self._reader_options(False, 50), logger=_client_log)
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
                self._admin = AdminClient(self._base, logger=_client_log)
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
