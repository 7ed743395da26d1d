"""Fuzzy snapshots of a lane's state, spread over ordinary commits.

    commit n      begin mark; its offset is known only from this commit's delivery report
    commit n+1..  chunks: some keys with their values as of that commit's cut
    last          end mark, and from here on ``snapshot_from`` is the begin mark's offset

Replaying the log from the begin mark then meets every key: in a chunk, or in a change made since. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.protocol.data import LaneLogRecord
from headrace.runtime.ports import StateTables

MARK_NONE, MARK_BEGIN, MARK_END = 0, 1, 2
LOG_BYTES_MIN = 8_000_000
CHUNK_BYTES = 800_000


@dataclass
class SnapshotSchedule:
    """Decides what of a snapshot goes into the next commit."""

    tables: StateTables
    log_bytes_min: int = LOG_BYTES_MIN
    _log_bytes: int = 0
    _running: bool = False
    _begin_offset: int = -1

    def add_to(self, record: LaneLogRecord) -> None:
        """Write mark, chunk and ``snapshot_from`` into the record of the commit being built."""
        if not self._running:
            if self._log_bytes > max(self.log_bytes_min, self.tables.size_bytes()):
                self._running, self._begin_offset = True, -1
                self.tables.begin_snapshot()
                record.mark = MARK_BEGIN
            return
        if self._begin_offset < 0:
            return
        record.chunk, last = self.tables.snapshot_chunk(CHUNK_BYTES)
        if last:
            record.mark = MARK_END
            record.snapshot_from = self._begin_offset

    def committed(self, record: LaneLogRecord, log_bytes: int, offset: int) -> None:
        """The commit of ``record`` is durable; ``offset`` is its log record's, -1 when it is not known."""
        self._log_bytes += log_bytes
        if record.mark == MARK_BEGIN:
            if offset < 0:
                self.abandon()
                return
            self._begin_offset = offset
            self._log_bytes = 0
        elif record.mark == MARK_END:
            self._running = False

    def abandon(self) -> None:
        """A commit was undone or its outcome had to be looked up: begin anew at the next one."""
        if self._running:
            self._running, self._begin_offset = False, -1
            self._log_bytes = max(self._log_bytes, self.log_bytes_min + 1)
            self.tables.abandon_snapshot()

    def restored(self, log_bytes: int) -> None:
        """A restore replayed about this much log."""
        self.abandon()
        self._log_bytes = log_bytes
