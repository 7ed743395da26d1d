"""Tails of control topics: one thread and one consumer for all tails of a process.

A partition is read once however many tails follow it. Its last records are kept, so that a tail that starts a
little behind (every JobMaster does, right after its claim) joins without disturbing the others; one that starts
further back rewinds the partition, and the others drop what they have seen. A tail whose queue is full is left
behind without holding up anybody, and goes on from its own position once it has drained.
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

#: A tail's queue, and what is kept of a partition: records and bytes at most.
QUEUE_MAX, QUEUE_BYTES_MAX = 5_000, 64_000_000
RECENT_MAX, RECENT_BYTES_MAX = 1_000, 4_000_000
BATCH_MAX = 1_000
POLL_S = 0.15
#: How long the broker may hold an empty fetch; a partition that is new here waits for that.
FETCH_WAIT_MS = 250
RETRY_S = 0.5
METADATA_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0

Split = tuple[str, int]


class _Queue:
    """Records in order, bounded by count and bytes."""

    def __init__(self) -> None:
        self.records: deque[ControlRecord] = deque()
        self.bytes = 0

    def push(self, record: ControlRecord) -> None:
        self.records.append(record)
        self.bytes += len(record.value or b"")

    def pop(self) -> ControlRecord:
        record = self.records.popleft()
        self.bytes -= len(record.value or b"")
        return record

    def full(self, records: int, bytes_: int) -> bool:
        return len(self.records) >= records or self.bytes >= bytes_


class Cursor:
    """One tail: what it reads next, and what was read but not taken yet. Guarded by the lock of its ``Tails``."""

    def __init__(self, split: Split, start: int, tails: Tails) -> None:
        self.split = split
        self.next = start
        self.behind = False
        self._tails = tails
        self._queue = _Queue()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    async def take(self) -> list[ControlRecord]:
        """Records since the last call, in order; waits for at least one."""
        while not (records := self._tails.drain(self)):
            await self._ready.wait()
        return records

    def offer(self, record: ControlRecord) -> None:
        """Under the lock."""
        if record.offset < self.next or self.behind:
            return
        if self._queue.full(QUEUE_MAX, QUEUE_BYTES_MAX):
            self.behind = True
            return
        self._queue.push(record)
        self.next = record.offset + 1

    def empty(self) -> list[ControlRecord]:
        """Under the lock: everything queued."""
        self._ready.clear()
        records, self._queue = list(self._queue.records), _Queue()
        return records

    def wake(self) -> None:
        """From the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ready.set)


class _Feed:
    """One partition: its tails, how far it was read, and its last records, which begin at ``recent_from``."""

    def __init__(self, start: int) -> None:
        self.cursors: list[Cursor] = []
        self.recent = _Queue()
        self.rewind(start)

    def rewind(self, start: int) -> None:
        self.position = self.recent_from = start
        self.recent = _Queue()
        self.moved = True  #: the consumer is still to be told

    def catch_up(self, cursor: Cursor) -> None:
        """Give a tail what it lacks, from what is kept, or by reading again."""
        if cursor.next < self.recent_from:
            self.rewind(cursor.next)
        for record in self.recent.records:
            cursor.offer(record)

    def take(self, record: ControlRecord) -> None:
        if self.moved or record.offset < self.position:  # of before the rewind
            return
        self.position = record.offset + 1
        while self.recent.full(RECENT_MAX, RECENT_BYTES_MAX):
            self.recent_from = self.recent.pop().offset + 1
        self.recent.push(record)
        for cursor in self.cursors:
            cursor.offer(record)


class Tails:
    """All tails of one ControlLog. The thread starts with the first one."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = reader_options(options, wait_ms=FETCH_WAIT_MS)
        self._lock = threading.Lock()
        self._feeds: dict[Split, _Feed] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- from the event loop

    def join(self, topic: str, partition: int, start: int) -> Cursor:
        cursor = Cursor((topic, partition), start, self)
        with self._lock:
            feed = self._feeds.setdefault(cursor.split, _Feed(start))
            feed.cursors.append(cursor)
            feed.catch_up(cursor)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="control-tails", daemon=True)
                self._thread.start()
        return cursor

    def leave(self, cursor: Cursor) -> None:
        with self._lock:
            feed = self._feeds[cursor.split]
            feed.cursors.remove(cursor)
            if not feed.cursors:
                del self._feeds[cursor.split]

    def drain(self, cursor: Cursor) -> list[ControlRecord]:
        """What is queued; a tail that was left behind is brought on."""
        with self._lock:
            records = cursor.empty()
            if cursor.behind:
                cursor.behind = False
                self._feeds[cursor.split].catch_up(cursor)
                records += cursor.empty()
            return records

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
                for feed in self._feeds.values():
                    feed.moved = True

    def _serve(self, consumer: Consumer) -> None:
        assigned: set[Split] = set()
        topics: set[str] = set()
        while not self._closing.is_set():
            with self._lock:
                gone = assigned - self._feeds.keys()
                moved = {split: feed.position for split, feed in self._feeds.items() if feed.moved}
            if gone or moved:
                leaving = gone | (assigned & moved.keys())
                if leaving:
                    consumer.incremental_unassign([TopicPartition(*split) for split in leaving])
                for topic in {topic for topic, _ in moved} - topics:
                    # Without its metadata an assigned topic is looked up on a timer, up to a second later.
                    consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S)
                    topics.add(topic)
                if moved:
                    consumer.incremental_assign([TopicPartition(*split, start) for split, start in moved.items()])
                assigned = (assigned - gone) | moved.keys()
                self._told(moved)
            first = consumer.poll(POLL_S)
            if first is not None:
                self._deliver([first, *consumer.consume(BATCH_MAX, 0)])

    def _told(self, moved: dict[Split, int]) -> None:
        """The consumer now reads these partitions from there, unless a tail has rewound one further since."""
        with self._lock:
            for split, start in moved.items():
                feed = self._feeds.get(split)
                if feed is not None and feed.position == start:
                    feed.moved = False

    def _deliver(self, messages: list[Message]) -> None:
        woken: set[Cursor] = set()
        with self._lock:
            for message in messages:
                error = message.error()
                if error is None:
                    record = control_record(message)
                    feed = self._feeds.get((record.topic, record.partition))
                    if feed is not None:
                        feed.take(record)
                        woken.update(feed.cursors)
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
