"""Committed offsets of consumer groups, read and written from outside the groups.

By one consumer per group that never joins it. The client's administrative requests for the same (list and alter
group offsets) must not be used: when a broker dies while one is under way, librdkafka 2.16 ends the whole process
("rd_kafka_enq_once_del_source_return: Assertion `eonce->refcnt > 0' failed"), seen in 10 of 20 broker kills.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from headrace.log.kafka_errors import client_log, kafka_error, log_error
from headrace.log.lane import LogError, Remedy, Split

#: A commit that finds no coordinator is given up by the client after this.
SESSION_TIMEOUT_MS = 6_000
#: Callbacks come out of polls; a poll returns after this at the latest.
POLL_S = 0.05

#: Answers that asking again does not change.
_HOPELESS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.OFFSET_METADATA_TOO_LARGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


class GroupOffsets:
    """One group. Thread-safe; one call at a time is under way, and each comes back at its deadline."""

    def __init__(self, group: str, options: Mapping[str, Any]) -> None:
        """``options``: librdkafka's, as every client of the process has them."""
        self._options = {
            "logger": client_log,
            **options,
            "group.id": group,
            "enable.auto.commit": False,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "isolation.level": "read_uncommitted",  # else an open transaction would hold answers back
            "on_commit": self._answered,
        }
        self._lock = threading.Lock()
        self._client: Consumer | None = None
        self._due = 0  #: commits that were not answered yet; answers come in order
        self._answer: tuple[KafkaError | None, list[TopicPartition]] = (None, [])

    def read(self, splits: Sequence[Split], timeout_s: float) -> dict[Split, tuple[int, str]]:
        """Offset and metadata of each split that has any. Raises LogError."""
        with self._lock:
            try:
                found = self._opened().committed([TopicPartition(*split) for split in splits], timeout=timeout_s)
                _require_no_error(found)
            except (KafkaException, SystemError) as raised:
                raise self._failed(kafka_error(raised)) from raised
        return {(at.topic, at.partition): (at.offset, at.metadata or "") for at in found if at.offset >= 0}

    def write(self, offsets: Mapping[Split, tuple[int, str]], timeout_s: float) -> None:
        """Set offset and metadata of these splits; others of the group stay. Raises LogError.

        A group with members refuses it: theirs is the last word.
        """
        wanted = [TopicPartition(*split, offset, text) for split, (offset, text) in offsets.items()]
        deadline = time.monotonic() + timeout_s
        with self._lock:
            try:
                client = self._opened()
                self._await_answers(client, deadline)  # of a call that gave up: not this one's
                client.commit(offsets=wanted, asynchronous=True)
                self._due += 1
                self._await_answers(client, deadline)
                error, found = self._answer
                if error is not None:
                    raise KafkaException(error)
                _require_no_error(found)
            except (KafkaException, SystemError) as raised:
                raise self._failed(kafka_error(raised)) from raised

    def _await_answers(self, client: Consumer, deadline: float) -> None:
        while self._due:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer in time"))
            client.poll(min(POLL_S, left_s))

    def _opened(self) -> Consumer:
        if self._client is None:
            self._client = Consumer(self._options)
        return self._client

    def _answered(self, error: KafkaError | None, found: list[TopicPartition]) -> None:
        self._due -= 1
        self._answer = error, found

    def _failed(self, error: KafkaError) -> LogError:
        return log_error(error, Remedy.REBUILD if error.code() in _HOPELESS else Remedy.RETRY)


def _require_no_error(found: Sequence[TopicPartition]) -> None:
    for at in found:
        if at.error is not None:
            raise KafkaException(at.error)
