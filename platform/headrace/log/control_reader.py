"""Bounded reads of control topics: from one offset to another, on readers that are kept for the next read.

A read of one record takes some 2 ms on a kept reader, 20 to 40 ms on a new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace.log.control import ControlRecord, LogUnavailableError
from headrace.log.control_tails import control_record
from headrace.log.kafka_options import DISCONNECTED, reader_options

BATCH_MAX = 1000
#: Without its metadata an assigned topic is looked up on a timer, up to a second later; this old it still counts.
METADATA_S = 60.0


class Readers:
    """Readers that nobody uses now, at most ``kept`` of them. Called from any thread."""

    def __init__(self, options: Mapping[str, Any], kept: int) -> None:
        self._options = reader_options(options, wait_ms=5)
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []

    def read(self, topic: str, partition: int, start: int, end: int, deadline: float) -> list[ControlRecord]:
        """Every record with start <= offset < end. Raises LogUnavailableError at ``deadline`` (monotonic)."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        reader = reader or _Reader(self._options)
        sound = False
        try:
            records = reader.read(topic, partition, start, end, deadline)
            sound = True
            return records
        except KafkaException as error:
            raise LogUnavailableError(f"read of {topic}/{partition}: {error.args[0].str()}") from error
        finally:
            with self._lock:
                keep = sound and len(self._idle) < self._kept
                if keep:
                    self._idle.append(reader)
            if not keep:
                reader.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._kept = self._idle, [], 0
        for reader in idle:
            reader.close()


class _Reader:
    """One consumer; used by one thread at a time."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._consumer = Consumer(dict(options))
        self._known: dict[str, float] = {}  #: topic to when its metadata was asked for

    def read(self, topic: str, partition: int, start: int, end: int, deadline: float) -> list[ControlRecord]:
        if time.monotonic() - self._known.get(topic, -METADATA_S) >= METADATA_S:
            self._consumer.list_topics(topic, timeout=left(deadline))
            self._known[topic] = time.monotonic()
        self._consumer.assign([TopicPartition(topic, partition, start)])
        records: list[ControlRecord] = []
        while True:
            first = self._consumer.poll(left(deadline))
            batch = [first, *self._consumer.consume(BATCH_MAX, 0)] if first is not None else []
            for message in batch:
                position = _position(message)
                if message.error() is None and position <= end:
                    records.append(control_record(message))
                if position >= end:
                    self._consumer.unassign()
                    return records

    def close(self) -> None:
        self._consumer.close()


def _position(message: Message) -> int:
    """The offset that reading has reached with this message or end-of-partition event."""
    offset = message.offset() or 0
    error = message.error()
    if error is None:
        return offset + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return offset
    if error.fatal() or (not error.retriable() and error.code() not in DISCONNECTED):
        raise KafkaException(error)
    return -1


def left(deadline: float) -> float:
    """Seconds until then. Raises LogUnavailableError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise LogUnavailableError("no answer before the deadline")
    return seconds
