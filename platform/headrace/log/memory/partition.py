"""One partition of the memory log: records, markers, the last stable offset. Not thread-safe by itself."""

from __future__ import annotations

from enum import Enum

Headers = list[tuple[str, bytes | None]]


class Outcome(Enum):
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Span:
    """The records of one producer in one partition between two of its markers."""

    __slots__ = ("first", "outcome")

    def __init__(self, first: int) -> None:
        self.first = first
        self.outcome = Outcome.OPEN


class Record:
    """A record, with the methods of confluent-kafka's Message. Markers are records too; nobody reads them."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp_ms", "_topic", "_value", "marker", "span")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        timestamp_ms: int,
        span: Span | None,
        marker: bool = False,
    ) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset
        self._key, self._value, self._headers, self._timestamp_ms = key, value, headers, timestamp_ms
        self.span, self.marker = span, marker

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return (1, self._timestamp_ms)  # 1: the time was given by the producer

    def error(self) -> None:
        return None

    def __repr__(self) -> str:
        what = "marker" if self.marker else f"{self._value!r}"
        return f"{self._topic}/{self._partition}@{self._offset}: {what}"


class Partition:
    def __init__(self, topic: str, index: int) -> None:
        self.topic, self.index = topic, index
        self.start = 0  #: first offset that still exists
        self._records: list[Record] = []
        self._open: dict[int, Span] = {}  #: producer id to its open span

    @property
    def end(self) -> int:
        return self.start + len(self._records)

    @property
    def stable_end(self) -> int:
        """Last stable offset: no record of an undecided transaction lies below it."""
        if not self._open:
            return self.end
        return max(self.start, min(span.first for span in self._open.values()))

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        timestamp_ms: int,
        producer: int | None,
    ) -> int:
        """Add a record, of a transaction when ``producer`` is given; its offset."""
        span = None
        if producer is not None:
            span = self._open.get(producer)
            if span is None:
                span = self._open[producer] = Span(self.end)
        offset = self.end
        self._records.append(Record(self.topic, self.index, offset, key, value, headers or None, timestamp_ms, span))
        return offset

    def mark(self, producer: int, committed: bool, timestamp_ms: int) -> None:
        """Write a marker: all of the producer's records since its last marker get this outcome.

        So a transaction whose marker was never written takes the outcome of its owner's next one.
        """
        span = self._open.pop(producer, None)
        if span is not None:
            span.outcome = Outcome.COMMITTED if committed else Outcome.ABORTED
        self._records.append(
            Record(self.topic, self.index, self.end, None, None, None, timestamp_ms, None, marker=True)
        )

    def fetch(self, position: int, messages_max: int, committed: bool) -> tuple[list[Record], int]:
        """Up to ``messages_max`` readable records from ``position`` on, and the position after them."""
        limit = self.stable_end if committed else self.end
        found: list[Record] = []
        while position < limit and len(found) < messages_max:
            low = position - self.start
            high = min(limit - self.start, low + messages_max - len(found))
            for record in self._records[low:high]:
                if not record.marker and not (
                    committed and record.span is not None and record.span.outcome is Outcome.ABORTED
                ):
                    found.append(record)
            position = self.start + high
        return found, position

    def delete_before(self, offset: int) -> None:
        if offset > self.start:
            del self._records[: offset - self.start]
            self.start = offset

    def offset_for_time(self, timestamp_ms: int) -> int:
        for record in self._records:
            if record.timestamp()[1] >= timestamp_ms:
                return record.offset()
        return self.end
