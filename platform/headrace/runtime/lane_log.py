"""The lane log: what a lane committed, written with every commit, read back at its start.

One record per commit, cut into parts of one transaction when it is large. The newest record is the lane's
committed position in everything; replaying from its ``snapshot_from`` rebuilds the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.log.lane import LaneConnection, LaneReader, Split
from headrace.protocol.data import LaneLogRecord, TableChange, decode_lane_log
from headrace.protocol.data import encode as encode_msgpack
from headrace.runtime.ports import MIN_WATERMARK

RECORD_BYTES_MAX = 900_000
RESTORE_WAIT_MS = 5
TAIL_FIRST = 64


class LaneLogError(Exception):
    """The lane log is not whole: starting on it could lose or double records."""


class UnresolvedTransactionError(Exception):
    """A transaction that nobody ends holds the log's last stable offset back."""


def empty_record() -> LaneLogRecord:
    """The committed state of a lane that never committed: c = -1."""
    return LaneLogRecord(
        version=1,
        c=-1,
        by="",
        positions={},
        stops={},
        seen={},
        sent={},
        split_watermarks={},
        lane_watermarks={},
        ended={},
        idle={},
        watermark=MIN_WATERMARK,
        finished=False,
        snapshot_from=-1,
        mark=0,
        part=0,
        parts=1,
        changes=[],
        chunk=[],
    )


def _part(
    record: LaneLogRecord, part: int, parts: int, changes: list[TableChange], chunk: list[TableChange]
) -> bytes:
    body = empty_record() if part else _copy(record)
    body.c, body.by, body.part, body.parts = record.c, record.by, part, parts
    body.changes, body.chunk = changes, chunk
    return encode_msgpack(body)


def _copy(record: LaneLogRecord) -> LaneLogRecord:
    return LaneLogRecord(*[getattr(record, field) for field in LaneLogRecord.__struct_fields__])


def encode_record(record: LaneLogRecord) -> list[bytes]:
    """The record as one or more messages, each below RECORD_BYTES_MAX as long as no single change is above."""
    groups: list[tuple[list[TableChange], list[TableChange]]] = [([], [])]
    size = len(_part(record, 0, 1, [], []))  # positions of many splits take room in the first message
    for in_chunk, changes in ((False, record.changes), (True, record.chunk)):
        for change in changes:
            change_bytes = len(change.puts) + len(change.deletes) + 100
            if size and size + change_bytes > RECORD_BYTES_MAX:
                groups.append(([], []))
                size = 0
            groups[-1][in_chunk].append(change)
            size += change_bytes
    return [_part(record, n, len(groups), *group) for n, group in enumerate(groups)]


@dataclass
class LaneLogPartition:
    """One lane's partition of its vertex's lane-log topic."""

    connection: LaneConnection
    topic: str
    lane: int

    @property
    def split(self) -> Split:
        return self.topic, self.lane

    def newest(self, reader: LaneReader, start: int, end: int, deadline: Deadline) -> LaneLogRecord | None:
        """The record of the last commit, without its changes' later parts; None when there is none."""
        span = TAIL_FIRST
        while True:
            first = max(start, end - span)
            found: LaneLogRecord | None = None

            def keep(record: LaneLogRecord, _offset: int) -> None:
                nonlocal found
                if record.part == 0:
                    found = record

            self.scan(reader, first, end, keep, deadline)
            if found is not None or first == start:
                return found
            span *= 16

    def scan(
        self,
        reader: LaneReader,
        start: int,
        end: int,
        each: Callable[[LaneLogRecord, int], None],
        deadline: Deadline,
    ) -> int:
        """Every committed record with start <= offset < end, whole or not at all; their bytes.

        ``end`` counts open transactions: reaching it proves that none is left unresolved.
        Raises UnresolvedTransactionError when the last stable offset stays below ``end``.
        """
        if start >= end:
            return 0
        reader.assign({self.split: start})
        size = 0
        while True:
            for message in reader.read(500, RESTORE_WAIT_MS / 1000):
                value = message.value()
                size += len(value)
                each(decode_lane_log(value), message.offset())
            if reader.end_offset_seen(self.split) >= end:
                return size
            if deadline.passed():
                raise UnresolvedTransactionError(
                    f"{self.topic}/{self.lane}: readable up to {reader.end_offset_seen(self.split)} of {end}: "
                    "a transaction of an earlier owner has not ended"
                )

    def restore(
        self,
        reader: LaneReader,
        newest: LaneLogRecord,
        start: int,
        end: int,
        apply: Callable[[list[TableChange]], None],
        deadline: Deadline,
    ) -> int:
        """Replay from ``newest.snapshot_from``; the bytes replayed.

        Raises LaneLogError when commits are missing.
        """
        first = newest.snapshot_from
        if first >= 0 and start > first:
            raise LaneLogError(f"{self.topic}/{self.lane} starts at {start}, its snapshot was at {first}")
        last_c: int | None = -1 if first < 0 else None

        def one(record: LaneLogRecord, offset: int) -> None:
            nonlocal last_c
            if record.part == 0:
                if last_c is not None and record.c != last_c + 1:
                    raise LaneLogError(f"{self.topic}/{self.lane} offset {offset}: c={record.c} follows c={last_c}")
                last_c = record.c
            apply(record.changes)
            apply(record.chunk)

        size = self.scan(reader, first if first >= 0 else start, end, one, deadline)
        if last_c != newest.c:
            raise LaneLogError(f"{self.topic}/{self.lane}: replay ended at c={last_c}, the log's end is c={newest.c}")
        return size


@dataclass
class Deadline:
    """A point in monotonic time."""

    at_s: float
    clock: Callable[[], float]

    def passed(self) -> bool:
        return self.clock() >= self.at_s
