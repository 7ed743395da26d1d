"""Numbers in a row, as a polled source: number sequences, and the indexes of generated records.

The numbers are dealt to as many splits as the source has lanes; a split's position is its next number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from headrace.datastream.connectors.polling import Batch, PollingSource, SplitReader

BATCH_MAX = 1_000
#: A reader that fell behind its rate makes up for this much time at most.
BEHIND_MAX_MS = 1_000


class SequenceSource(PollingSource):
    """``start`` up to ``end`` (None: for ever), at ``rate_per_s`` over all splits (None: without a limit)."""

    def __init__(self, start: int, end: int | None, rate_per_s: float | None) -> None:
        self._start = start
        self._end = end
        self._rate_per_s = rate_per_s

    def splits(self, lanes: int) -> Iterable[str]:
        return [f"{i}/{lanes}" for i in range(lanes)]

    def lane_of(self, split: str, lanes: int) -> int:
        return int(split.partition("/")[0]) % lanes

    def open(self, split: str, position: Any) -> SplitReader:
        first, step = map(int, split.split("/"))
        rate = None if self._rate_per_s is None else self._rate_per_s / step
        return SequenceReader(self._start + first if position is None else position, self._end, step, rate)


class SequenceReader(SplitReader):
    """``next_number``, and every ``step``-th number after it."""

    def __init__(self, next_number: int, end: int | None, step: int, rate_per_s: float | None) -> None:
        self._next = next_number
        self._end = end
        self._step = step
        self._per_ms = None if rate_per_s is None else rate_per_s / 1000
        self._began_ms: int | None = None  #: when the rate began to count
        self._made = 0  #: since then

    def next_batch(self, now_ms: int) -> Batch | None:
        if self._end is not None and self._next > self._end:
            return None
        stop = self._next + self._allowed(now_ms) * self._step
        if self._end is not None:
            stop = min(stop, self._end + 1)
        numbers = range(self._next, stop, self._step)
        self._next += len(numbers) * self._step
        self._made += len(numbers)
        return Batch(numbers, self._next)

    def next_awake(self) -> int | None:
        if self._per_ms is None or self._began_ms is None:
            return None
        return self._began_ms + math.ceil(self._made / self._per_ms)

    def _allowed(self, now_ms: int) -> int:
        """How many numbers are due by now: the first at once, each further one a period later."""
        if self._per_ms is None:
            return BATCH_MAX
        due_ms = self.next_awake()
        if due_ms is None or self._began_ms is None:
            self._began_ms = now_ms
        elif now_ms - due_ms > BEHIND_MAX_MS:
            self._began_ms, self._made = now_ms - BEHIND_MAX_MS, 0
        due = int((now_ms - self._began_ms) * self._per_ms + 1e-6) + 1 - self._made
        return max(0, min(BATCH_MAX, due))
