"""Input of a source lane whose items travel with the job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.log.lane import LaneConnection, Message, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.ports import MIN_WATERMARK, Chain
from headrace.runtime.reading import Fetching


class CollectionInput:
    """Items that travel with the job, read by lane 0; the position is the index of the next item."""

    messages_max = 1
    fetching = Fetching()
    SPLIT = "collection"
    SLICE = 1_000

    def __init__(self, items: Sequence[Any], lane: int) -> None:
        self._items = items if lane == 0 else ()
        self._position = 0
        self._chain: Chain | None = None

    def attach(self, chain: Chain) -> None:
        self._chain = chain

    def resolve(self, connection: LaneConnection, record: LaneLogRecord, timeout_s: float) -> None:
        record.positions = {self.SPLIT: 0}

    def restore(self, record: LaneLogRecord) -> None:
        self._position = record.positions.get(self.SPLIT, 0)

    def record_into(self, record: LaneLogRecord) -> None:
        record.positions = {self.SPLIT: self._position}
        if self._chain is not None:
            record.split_watermarks = self._chain.split_watermarks()

    def assignment(self) -> Mapping[Split, int]:
        return {}

    def process(self, messages: Sequence[Message], chain: Chain) -> int:
        """Feeds the next slice; there are no messages."""
        batch = self._items[self._position : self._position + self.SLICE]
        if batch:
            chain.process_source(batch, [None] * len(batch), self.SPLIT)
            self._position += len(batch)
        return len(batch)

    def watermark(self, now_s: float) -> int:
        if self._chain is None or not self._items:
            return MIN_WATERMARK
        return self._chain.split_watermarks().get(self.SPLIT, MIN_WATERMARK)

    def idle(self, now_s: float) -> bool:
        return not self._items

    def holding(self, end_offsets: Mapping[Split, int]) -> str:
        return ""

    def ended(self, end_offsets: Mapping[Split, int]) -> bool:
        return self._position >= len(self._items)

    def took_up_splits(self) -> bool:
        return False

    def lag(self, end_offsets: Mapping[Split, int]) -> int | None:
        return len(self._items) - self._position

    def wait_s(self) -> float:
        return math.inf

    def close(self) -> None: ...
