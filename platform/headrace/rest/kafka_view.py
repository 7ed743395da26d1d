"""Look-ups in Kafka for answers: what topics hold, how far groups have read, the last records of a job.

Reads only. It has clients of its own, so that no amount of looking holds up a JobMaster's reading; they are made at
the first look. Blocking calls run in two threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from headrace.errors import UnavailableError
from headrace.log.control import ControlRecord, LogUnavailableError
from headrace.log.control_tails import control_record
from headrace.log.kafka_options import client_options, reader_options

CALL_S = 5.0
THREADS = 2
LOOKS_AT_ONCE_MAX = 16
#: A partition is searched backwards in windows that grow, so far and no further.
WINDOW_RECORDS, WINDOW_GROWTH = 200, 4
SEARCH_RECORDS_MAX = 20_000
SEARCH_BYTES_MAX = 8_000_000
PREFETCH_KB = 16_384
BATCH_MAX = 500
POLL_S = 0.5

Split = tuple[str, int]
K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """Records in order, oldest first. ``complete``: nothing that was looked for lies further back."""

    records: list[ControlRecord]
    complete: bool


class KafkaView:
    """One connection; use it from one event loop, and ``close`` it there."""

    def __init__(self, bootstrap: str, options: Mapping[str, str] | None = None) -> None:
        self._options = client_options(bootstrap, options)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rest-kafka")
        self._admin: AdminClient | None = None
        self._looking = 0

    async def partitions(self, topics: Iterable[str]) -> dict[str, int | None]:
        """Partition counts, None for a topic that does not exist. Raises LogUnavailableError, UnavailableError."""
        names = TopicCollection(sorted(set(topics)))
        found = await self._ask(
            lambda admin: admin.describe_topics(names, request_timeout=CALL_S), KafkaError.UNKNOWN_TOPIC_OR_PART
        )
        return {name: len(topic.partitions) if topic else None for name, topic in found.items()}

    async def end_offsets(self, splits: Iterable[Split]) -> dict[Split, int]:
        """The offsets that the next records will have; a partition that went away is left out."""
        latest = {TopicPartition(*split): OffsetSpec.latest() for split in splits}  # type: ignore[no-untyped-call]
        if not latest:
            return {}
        found = await self._ask(
            lambda admin: admin.list_offsets(
                latest, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_S
            ),
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
        return {(tp.topic, tp.partition): result.offset for tp, result in found.items() if result is not None}

    async def committed(self, group: str, splits: Iterable[Split]) -> dict[Split, int]:
        """Offsets that a group has committed, where it has. Raises LogUnavailableError, UnavailableError."""
        return await self._in_thread(f"offsets of group {group}", _committed, self._options, group, list(splits))

    async def last(
        self,
        topic: str,
        partition: int,
        weight: Callable[[ControlRecord], int],
        enough: int,
    ) -> Found:
        """The newest records whose ``weight`` is not 0, until their weights come to ``enough``.

        ``weight`` is called in a thread. Looks at SEARCH_RECORDS_MAX records and keeps SEARCH_BYTES_MAX at most.
        Raises LogUnavailableError, UnavailableError ("rest-busy").
        """
        search = _Search(self._options, topic, partition, weight, enough)
        return await self._in_thread(f"read of {topic}/{partition}", search.run)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._admin = None

    def _enter(self) -> None:
        if self._looking >= LOOKS_AT_ONCE_MAX:
            raise UnavailableError(
                "rest-busy", f"{LOOKS_AT_ONCE_MAX} look-ups in Kafka are under way", hint="ask again in a moment"
            )
        self._looking += 1

    async def _in_thread(self, what: str, call: Callable[..., T], *arguments: Any) -> T:
        self._enter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)
        except KafkaException as error:
            raise LogUnavailableError(f"{what}: {error.args[0].str()}") from error
        finally:
            self._looking -= 1

    async def _ask(self, call: Callable[[AdminClient], Mapping[K, Future[Any]]], fine: int) -> dict[K, Any]:
        """Results by key, None where the call failed with ``fine``."""
        self._enter()
        try:
            if self._admin is None:  # not "or": an idle client is false
                self._admin = AdminClient(dict(self._options))
            admin = self._admin
            futures = call(admin)
            answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()), return_exceptions=True)
        except KafkaException as error:
            self._admin = None
            raise LogUnavailableError(error.args[0].str()) from error
        finally:
            self._looking -= 1
        results: dict[K, Any] = {}
        for key, answer in zip(futures, answers, strict=True):
            if isinstance(answer, KafkaException) and answer.args[0].code() != fine:
                self._admin = None  # a client that lost its broker can stay deaf: take a new one
                raise LogUnavailableError(answer.args[0].str()) from answer
            if isinstance(answer, BaseException) and not isinstance(answer, KafkaException):
                raise answer
            results[key] = None if isinstance(answer, KafkaException) else answer
        return results


def _committed(options: Mapping[str, Any], group: str, splits: list[Split]) -> dict[Split, int]:
    """By a consumer that never joins: the admin client's request for this can end the process when a broker dies."""
    consumer = Consumer(reader_options(options, wait_ms=5) | {"group.id": group})
    try:
        found = consumer.committed([TopicPartition(*split) for split in splits], timeout=CALL_S)
    finally:
        consumer.close()
    return {(tp.topic, tp.partition): tp.offset for tp in found if tp.error is None and tp.offset >= 0}


class _Search:
    """One search backwards through a partition, in one thread with one consumer."""

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        partition: int,
        weight: Callable[[ControlRecord], int],
        enough: int,
    ) -> None:
        self._options = reader_options(options, wait_ms=5) | {"queued.max.messages.kbytes": PREFETCH_KB}
        self._split = TopicPartition(topic, partition)
        self._weight = weight
        self._lacking = enough
        self._room = SEARCH_BYTES_MAX
        self._found: list[ControlRecord] = []

    def run(self) -> Found:
        deadline = time.monotonic() + CALL_S
        consumer = Consumer(self._options)
        try:
            # Without its metadata an assigned topic is looked up on a timer, up to a second later.
            consumer.list_topics(self._split.topic, timeout=CALL_S)
            low, high = consumer.get_watermark_offsets(self._split, timeout=CALL_S)
            position, window = high, WINDOW_RECORDS
            while position > low and self._lacking > 0:
                if high - position >= SEARCH_RECORDS_MAX or time.monotonic() > deadline:
                    return Found(self._found, complete=False)
                start = max(low, position - window)
                whole = self._read(consumer, start, position, deadline)
                if not whole:
                    return Found(self._found, complete=False)
                position, window = start, window * WINDOW_GROWTH
            return Found(self._found, complete=position <= low)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, start: int, end: int, deadline: float) -> bool:
        """Put what is wanted of this window before what was found; False when it had to be cut short."""
        window: list[ControlRecord] = []
        cut = False
        consumer.assign([TopicPartition(self._split.topic, self._split.partition, start)])
        position = start
        while position < end:
            if time.monotonic() > deadline:
                return False
            first = consumer.poll(POLL_S)
            for message in [first, *consumer.consume(BATCH_MAX, 0)] if first is not None else []:
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    position = max(position, message.offset() or 0)
                    continue
                record = control_record(message)
                position = record.offset + 1
                if record.offset >= end or not (weight := self._weight(record)):
                    continue
                window.append(record)
                self._lacking -= weight
                self._room -= len(record.value or b"")
                while self._room < 0 and window:  # the newest are kept
                    self._room += len(window.pop(0).value or b"")
                    cut = True
        self._found = window + self._found
        return not cut
