"""Input of a source lane whose splits are polled: generated records, files, connectors.

What a lane knows of its splits is a state table, so that a commit holds only what changed in it, however many
splits there are:

    "" ─► split name ─► (position, ended)

A split enters the table with the commit after its discovery, and stays there when it has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from headrace.datastream.connectors.polling import PollingSource, SplitReader
from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.operators.formats import UndecodableRecordError
from headrace.runtime.ports import MIN_WATERMARK, Chain, UserCodeError
from headrace.runtime.reading import Fetching
from headrace.runtime.split_idleness import SplitIdleness
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import Table

T = TypeVar("T")

#: Between two looks at splits that had nothing.
WAIT_S_MIN, WAIT_S_MAX = 0.005, 0.1

log = logging.getLogger(__name__)


class _Opened(NamedTuple):
    reader: SplitReader
    awake_ms: int


class PollingInput:
    """The splits of one lane; see Inputs. Asks open splits in turn, one batch for each call of ``process``."""

    messages_max = 1
    fetching = Fetching()

    def __init__(
        self,
        source: PollingSource,
        table: Table,
        *,
        name: str,
        lane: int,
        lanes: int,
        idleness_ms: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """``name``: the operator's, for errors. ``clock_ms``: the time of day."""
        self._source = source
        self._table = table
        self._name = name
        self._lane, self._lanes = lane, lanes
        self._clock_ms = clock_ms
        self._idleness = SplitIdleness(idleness_ms)
        self._chain: Chain | None = None
        self._open: dict[str, _Opened] = {}  #: in the order in which they are asked
        self._waiting: list[str] = []  #: not ended and not open, the next one last
        self._discover_ms = 0
        self._passed = MIN_WATERMARK  #: the greatest of splits that have ended

    def attach(self, chain: Chain) -> None:
        self._chain = chain

    # ---- positions

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        """Nothing: ``restore`` finds the splits of a lane that never committed."""

    def restore(self, record: LaneLogRecord) -> None:
        self.close()
        known = self._table.space("")
        self._waiting = sorted((split for split, (_, ended) in known.items() if not ended), reverse=True)
        if record.c < 0 or self._source.discovery_interval_ms is not None:
            self._discover(self._clock_ms())

    def record_into(self, record: LaneLogRecord) -> None:
        """Positions are in the table; watermarks of splits that have ended mean nothing any more."""
        if self._chain is not None:
            known = self._chain.split_watermarks()
            record.split_watermarks = {split: known[split] for split in self._open if split in known}

    def _discover(self, now_ms: int) -> None:
        known = self._table.space("")
        found = {
            split
            for split in self._call(self._source.splits, self._lanes)
            if split not in known and self._source.lane_of(split, self._lanes) == self._lane
        }
        for split in found:
            self._table.put("", split, (None, False))
        self._waiting = sorted(found, reverse=True) + self._waiting
        self._discover_ms = now_ms + (self._source.discovery_interval_ms or 0)

    # ---- reading

    def assignment(self) -> Mapping[Split, int]:
        return {}

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        """Feed the next batch that any split has; there are no messages."""
        now_ms = self._clock_ms()
        if self._source.discovery_interval_ms is not None and now_ms >= self._discover_ms:
            self._discover(now_ms)
        asked: set[str] = set()
        while True:
            self._open_waiting()
            split = next((split for split in self._open if split not in asked), None)
            if split is None:
                return 0
            asked.add(split)
            rows = self._next_batch(split, chain, now_ms)
            if rows:
                return rows

    def _open_waiting(self) -> None:
        while self._waiting and len(self._open) < self._source.open_splits_max:
            split = self._waiting.pop()
            position, _ = self._table.get("", split)
            self._open[split] = _Opened(self._call(self._source.open, split, isolated(position)), 0)

    def _next_batch(self, split: str, chain: Chain, now_ms: int) -> int:
        reader, awake_ms = self._open[split]
        if now_ms < awake_ms:
            return 0
        batch = self._call(reader.next_batch, now_ms)
        if batch is None:
            self._end(split, reader, chain)
            return 0
        if batch.position != self._table.get("", split)[0]:
            self._table.put("", split, (isolated(batch.position), False))
        del self._open[split]  # asked last from now on
        self._open[split] = _Opened(reader, self._call(reader.next_awake) or 0)
        rows = len(batch.records)
        if rows:
            self._idleness.heard(split)
            chain.process_source(batch.records, [None] * rows if batch.times is None else batch.times, split)
        if batch.last:
            self._end(split, reader, chain)
        return rows

    def _end(self, split: str, reader: SplitReader, chain: Chain) -> None:
        self._table.put("", split, (self._table.get("", split)[0], True))
        del self._open[split]
        self._passed = max(self._passed, chain.split_watermarks().get(split, MIN_WATERMARK))
        self._call(reader.close)

    def _call(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call the source's code; what it raises gets the operator's name."""
        try:
            return call(*arguments)
        except UndecodableRecordError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a connector raises is reported as its own
            raise UserCodeError(self._name, error) from error

    def wait_s(self) -> float:
        """Until the first open split wants to be asked again; none when all have ended."""
        if self.ended({}):
            return 0.0
        soonest = min((opened.awake_ms for opened in self._open.values()), default=0)
        return max(WAIT_S_MIN, (soonest - self._clock_ms()) / 1000) if soonest else WAIT_S_MAX

    def close(self) -> None:
        while self._open:
            split, opened = self._open.popitem()
            try:
                opened.reader.close()
            except Exception:  # noqa: BLE001 - a connector's code; the lane goes on or ends, whatever it says
                log.exception("close() of split %s of %s", split, self._name)

    # ---- event time

    def watermark(self, now_s: float) -> int:
        """The least of all splits that have not ended; one that waits to be opened holds it back.

        When all that are known have ended, the greatest that any of them had.
        """
        if self._chain is None or self._waiting:
            return MIN_WATERMARK
        if not self._open:
            return self._passed
        idle = self._idleness.idle(self._open, now_s)
        known = self._chain.split_watermarks()
        return min((known.get(s, MIN_WATERMARK) for s in self._open if s not in idle), default=MIN_WATERMARK)

    def idle(self, now_s: float) -> bool:
        if self._waiting:
            return False
        return len(self._idleness.idle(self._open, now_s)) == len(self._open)

    def holding(self, end_offsets: Mapping[Split, int]) -> str:
        known = {} if self._chain is None else self._chain.split_watermarks()
        least = min(self._open, key=lambda split: known.get(split, MIN_WATERMARK), default=None)
        return "" if least is None or not known else f"split {least} of {self._name}"

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        return self._source.discovery_interval_ms is None and not self._open and not self._waiting

    def took_up_splits(self) -> bool:
        return False  # of those that a reader is assigned

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        return None
