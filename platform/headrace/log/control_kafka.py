"""The control log on Kafka: confluent-kafka in threads, awaited from asyncio.

    append           one idempotent producer; its poll thread resolves the futures
    tail             one consumer thread shared by all tails (control_tails)
    read             kept consumers in a small thread pool (control_reader)
    topics, offsets  an AdminClient, made anew after an error

No consumer group, no committed offsets: readers are assigned. Records are read uncommitted, because nobody
writes control topics in transactions and a stray one must hold up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from headrace.errors import UsageError
from headrace.log.control import ControlRecord, LogUnavailableError
from headrace.log.control_reader import Readers, left
from headrace.log.control_tails import Tails
from headrace.log.kafka_options import DISCONNECTED, client_options

log = structlog.get_logger(__name__)

READS_AT_ONCE_MAX = 4
CLOSE_TIMEOUT_S = 1.0
RETRY_PAUSE_S = 0.1
#: The producer itself gives a record up after this, longer than any append waits.
MESSAGE_TIMEOUT_MS = 30_000
QUEUED_RECORDS_MAX = 10_000

#: A topic just made, or a leader just elected, is not known everywhere at once; these pass.
SETTLING = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    }
)
#: An administrative client made before a broker's restart may answer these for ever; a new one does not.
STALE = frozenset({KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH})
K = TypeVar("K")
AdminCall = Callable[[AdminClient, float], Mapping[K, "Future[Any]"]]


class ControlKafka:
    """``ControlLog`` on real brokers. Make it inside a running event loop; ``close`` it there too."""

    def __init__(self, bootstrap: str, options: Mapping[str, str] | None = None) -> None:
        self._options = client_options(bootstrap, options)
        self._pool = ThreadPoolExecutor(READS_AT_ONCE_MAX, thread_name_prefix="control-read")
        self._readers = Readers(self._options, READS_AT_ONCE_MAX)
        self._appends = _Appends(self._options)
        self._tails = Tails(self._options)
        self._admin: AdminClient | None = None

    async def append(
        self, topic: str, partition: int, key: str, value: bytes | None, *, timeout_s: float = 10.0
    ) -> int:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return await self._appends.append(topic, partition, key, value, deadline - time.monotonic())
            except KafkaException as failure:
                error = failure.args[0]
                if error.code() not in SETTLING or time.monotonic() + RETRY_PAUSE_S > deadline:
                    raise LogUnavailableError(f"append to {topic}/{partition}: {error.str()}") from failure
                await asyncio.sleep(RETRY_PAUSE_S)

    async def partitions(self, topic: str, *, timeout_s: float = 10.0) -> int | None:
        return (await self._counts([topic], time.monotonic() + timeout_s))[topic]

    async def end_offset(self, topic: str, partition: int, *, timeout_s: float = 10.0) -> int:
        latest = {TopicPartition(topic, partition): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
        found = await self._each(
            lambda admin, left_s: admin.list_offsets(
                latest, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=left_s
            ),
            fine=None,
            deadline=time.monotonic() + timeout_s,
        )
        return int(next(iter(found.values())).offset)

    async def read(
        self, topic: str, partition: int, start: int, end: int, *, timeout_s: float = 30.0
    ) -> list[ControlRecord]:
        if end <= start:
            return []
        deadline = time.monotonic() + timeout_s
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._readers.read, topic, partition, start, end, deadline)

    async def tail(self, topic: str, partition: int, start: int) -> AsyncIterator[ControlRecord]:
        cursor = self._tails.join(topic, partition, start)
        try:
            while True:
                for record in await cursor.take():
                    yield record
        finally:
            self._tails.leave(cursor)

    async def ensure_topics(
        self, topics: dict[str, int], config: dict[str, dict[str, str]], *, timeout_s: float = 30.0
    ) -> None:
        deadline = time.monotonic() + timeout_s
        existing = await self._counts(list(topics), deadline)
        missing = [
            NewTopic(name, num_partitions=count, replication_factor=-1, config=config.get(name, {}))
            for name, count in topics.items()
            if existing[name] is None
        ]
        if missing:
            await self._each(
                lambda admin, left_s: admin.create_topics(missing, request_timeout=left_s),
                fine=KafkaError.TOPIC_ALREADY_EXISTS,
                deadline=deadline,
            )
            existing = await self._until_known(list(topics), deadline)
        for name, count in topics.items():
            if existing[name] != count:
                raise UsageError(
                    "topic-partitions-differ",
                    f"topic {name} has {existing[name]} partitions, not {count}",
                    hint="use another namespace, or delete the topic if nothing needs it",
                )

    async def delete_topics(self, names: list[str], *, timeout_s: float = 30.0) -> None:
        if names:
            await self._each(
                lambda admin, left_s: admin.delete_topics(names, request_timeout=left_s),
                fine=KafkaError.UNKNOWN_TOPIC_OR_PART,
                deadline=time.monotonic() + timeout_s,
            )

    async def close(self) -> None:
        for close in (self._appends.close, self._tails.close, self._readers.close):
            await asyncio.to_thread(close)  # not in the pool: reads that wait for a dead broker may fill it
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ---- topics

    async def _counts(self, names: list[str], deadline: float) -> dict[str, int | None]:
        """Partition counts by topic, None for one that does not exist."""
        described = await self._each(
            lambda admin, left_s: admin.describe_topics(TopicCollection(names), request_timeout=left_s),
            fine=KafkaError.UNKNOWN_TOPIC_OR_PART,
            deadline=deadline,
        )
        return {name: len(topic.partitions) if topic else None for name, topic in described.items()}

    async def _until_known(self, names: list[str], deadline: float) -> dict[str, int | None]:
        """Counts of topics just made, once every one of them is known."""
        while True:
            counts = await self._counts(names, deadline)
            if None not in counts.values():
                return counts
            left(deadline)
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _each(self, call: AdminCall[K], *, fine: int | None, deadline: float) -> dict[K, Any]:
        """Results of an admin call by its keys, None where it failed with ``fine``.

        Other passing errors: the whole call again, until the deadline.
        """
        while True:
            left_s = left(deadline)
            if self._admin is None:  # not "or": an idle client is false
                self._admin = AdminClient(dict(self._options))
            admin = self._admin
            futures = call(admin, left_s)
            answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()), return_exceptions=True)
            results: dict[K, Any] = {}
            failed: KafkaError | None = None
            for key, answer in zip(futures, answers, strict=True):
                if isinstance(answer, KafkaException) and answer.args[0].code() != fine:
                    failed = answer.args[0]
                elif isinstance(answer, BaseException) and not isinstance(answer, KafkaException):
                    raise answer
                else:
                    results[key] = None if isinstance(answer, KafkaException) else answer
            if failed is None:
                return results
            await self._after(failed, deadline)

    async def _after(self, error: KafkaError, deadline: float) -> None:
        """After a failed admin call: pause before the next try, or give up."""
        settling = error.code() in SETTLING
        log.debug("admin.again", error=error.name(), settling=settling)
        if not settling or error.code() in STALE:
            self._admin = None  # a client that lost its broker can stay deaf: take a new one
        passing = settling or error.retriable() or error.code() in DISCONNECTED
        if not passing or time.monotonic() + RETRY_PAUSE_S > deadline:
            raise LogUnavailableError(f"{error.name()}: {error.str()}")
        await asyncio.sleep(RETRY_PAUSE_S)


class _Appends:
    """The idempotent producer and the thread that serves its delivery reports.

    A producer with a fatal error is replaced; appends in flight on it fail with that error.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {
            **options,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "message.timeout.ms": MESSAGE_TIMEOUT_MS,
            "retry.backoff.ms": 50,
            "queue.buffering.max.messages": QUEUED_RECORDS_MAX,
        }
        self._producer = Producer(self._options)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="control-append", daemon=True)
        self._thread.start()

    async def append(self, topic: str, partition: int, key: str, value: bytes | None, timeout_s: float) -> int:
        """The record's offset. Raises KafkaException, or LogUnavailableError after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        producer = self._producer

        def delivered(error: KafkaError | None, message: Message) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, done, error, message.offset())

        try:
            producer.produce(topic, value, key, partition, on_delivery=delivered)
            async with asyncio.timeout(timeout_s):
                return await done
        except BufferError as error:
            raise LogUnavailableError(f"append to {topic}/{partition}: {QUEUED_RECORDS_MAX} records wait") from error
        except TimeoutError as error:
            raise LogUnavailableError(f"append to {topic}/{partition}: no answer in {timeout_s:.1f} s") from error
        except KafkaException as failure:
            if self._producer is producer and (
                failure.args[0].fatal() or failure.args[0].code() == KafkaError._FATAL
            ):
                log.warning("append.producer_replaced", error=str(failure))
                self._producer = Producer(self._options)
            raise

    def close(self) -> None:
        """Stop at once: whoever awaits its append has it; what nobody awaits need not arrive."""
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.2)


def _settle(done: asyncio.Future[int], error: KafkaError | None, offset: int | None) -> None:
    if done.done():  # the append gave up earlier
        return
    if error is not None:
        done.set_exception(KafkaException(error))
    else:
        done.set_result(-1 if offset is None else offset)
