"""Tails of control topics: one thread and one consumer for all tails of a process.

A partition is read once however many tails follow it. A tail that starts below the shared position rewinds the
partition; every tail drops what it has seen. A tail whose queue is full is left behind without holding up the
others, and rewinds to its own position once it has drained.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.log.control import ControlRecord
from headrace.log.kafka_options import reader_options

log = structlog.get_logger(__name__)

QUEUE_MAX = 5_000
BATCH_MAX = 1_000
POLL_S = 0.05
RETRY_S = 0.5
METADATA_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0

Split = tuple[str, int]


class Cursor:
    """One tail: what it will read next, and what was read but not taken yet. Shared by loop and thread."""

    def __init__(self, split: Split, start: int, tails: Tails) -> None:
        self.split = split
        self.next = start
        self._tails = tails
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._records: deque[ControlRecord] = deque()
        self._behind = False

    async def take(self) -> list[ControlRecord]:
        """Records since the last call, in order; waits for at least one."""
        while not self._records:
            if self._behind:
                self._behind = False
                self._tails.rewind()
            self._ready.clear()
            if not self._records:
                await self._ready.wait()
        return [self._records.popleft() for _ in range(len(self._records))]

    def offer(self, record: ControlRecord) -> bool:
        """From the thread: True when the tail took a record it had not seen."""
        if record.offset < self.next or self._behind:
            return False
        if len(self._records) >= QUEUE_MAX:
            self._behind = True
            return False
        self._records.append(record)
        self.next = record.offset + 1
        return True

    def wake(self) -> None:
        """From the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ready.set)


class Tails:
    """All tails of one ControlLog. The thread starts with the first one."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = reader_options(options, wait_ms=100)
        self._lock = threading.Lock()
        self._cursors: dict[Split, list[Cursor]] = {}
        self._stale = False  #: the assignment no longer matches the cursors
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- from the event loop

    def join(self, topic: str, partition: int, start: int) -> Cursor:
        cursor = Cursor((topic, partition), start, self)
        with self._lock:
            self._cursors.setdefault(cursor.split, []).append(cursor)
            self._stale = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="control-tails", daemon=True)
                self._thread.start()
        return cursor

    def leave(self, cursor: Cursor) -> None:
        with self._lock:
            cursors = self._cursors[cursor.split]
            cursors.remove(cursor)
            if not cursors:
                del self._cursors[cursor.split]
                self._stale = True

    def rewind(self) -> None:
        with self._lock:
            self._stale = True

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    # ---- the thread

    def _run(self) -> None:
        while not self._closing.is_set():
            consumer = Consumer(self._options)
            try:
                self._serve(consumer)
            except KafkaException as error:
                log.debug("tails.reader_failed", error=str(error))
                self._closing.wait(RETRY_S)
            finally:
                consumer.close()
            with self._lock:
                self._stale = True

    def _serve(self, consumer: Consumer) -> None:
        known: set[str] = set()
        while not self._closing.is_set():
            with self._lock:
                stale, self._stale = self._stale, False
                starts = {split: min(c.next for c in cursors) for split, cursors in self._cursors.items()}
            if stale:
                for topic in {topic for topic, _ in starts} - known:
                    # Without its metadata an assigned topic is looked up on a timer, up to a second later.
                    consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S)
                    known.add(topic)
                consumer.assign([TopicPartition(topic, p, start) for (topic, p), start in starts.items()])
            first = consumer.poll(POLL_S)
            if first is not None:
                self._deliver([first, *consumer.consume(BATCH_MAX, 0)])

    def _deliver(self, messages: list[Message]) -> None:
        woken: set[Cursor] = set()
        for message in messages:
            error = message.error()
            if error is None:
                record = control_record(message)
                with self._lock:
                    cursors = list(self._cursors.get((record.topic, record.partition), ()))
                woken.update(cursor for cursor in cursors if cursor.offer(record))
            elif error.fatal():
                raise KafkaException(error)
            elif error.code() != KafkaError._PARTITION_EOF:
                log.debug("tails.read_error", error=str(error))
        for cursor in woken:
            cursor.wake()


def control_record(message: Message) -> ControlRecord:
    """A Kafka message as the port's record; a key that is not UTF-8 is kept readable, not exact."""
    return ControlRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=(message.key() or b"").decode(errors="replace"),
        value=message.value(),
        timestamp_ms=message.timestamp()[1],
    )
