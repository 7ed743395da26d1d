"""Outputs of an at-least-once lane: they leave at once, through an idempotent producer beside the transactions.

Packed messages are numbered so that their order tells which start of the lane they belong to: the number of the
lane-log commit that opened the start, then a sequence. A reader takes a higher start as a new beginning and
drops what still comes from an older one. A commit waits until everything sent before it is acknowledged, so what
a commit covers has reached the log; what came after it may come again after a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headrace.log.lane import PlainProducer
from headrace.runtime.commit import SinkRecord

SEQUENCE_BITS = 32


class DirectOutput:
    """The way out of one start of a lane; closed and replaced by every rewind."""

    def __init__(self, producer: PlainProducer) -> None:
        self._producer = producer
        self._number = -1

    def open(self, commit: int) -> None:
        """The first commit of this start stands: numbers are now above those of every start before."""
        self._number = commit << SEQUENCE_BITS

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def send(self, messages: Iterable[tuple[str, int, bytes]], records: Iterable[SinkRecord]) -> None:
        """Raises LogError with ABORT when a record is refused: rewind."""
        for topic, partition, value in messages:
            self._producer.produce(topic, value, partition=partition)
        for record in records:
            self._producer.produce(
                record.topic,
                record.value,
                key=record.key,
                headers=record.headers,
                timestamp_ms=record.timestamp_ms or 0,
            )

    def cut(self) -> Callable[[float], None]:
        """A wait until all that was sent up to now is acknowledged; see PlainProducer."""
        return self._producer.cut()

    def close(self) -> None:
        self._producer.close()


def same_start(a: int, b: int) -> bool:
    """Whether two numbers come from one start of their lane."""
    return a >> SEQUENCE_BITS == b >> SEQUENCE_BITS
