"""Which namespaces of a table are due: an index of times, derived from the table and never stored.

Timers are namespaced by their time, windows by their start, so what a watermark reaches is found without
looking at keys.
"""

from __future__ import annotations

import heapq
from typing import Any

from headrace.runtime.state.tables import Table

#: The heap may hold this many times that are gone before it is built anew.
STALE_MAX = 1_000


class DueTimes:
    """The namespaces of a table, integers, least first. To be made anew after a rollback or restore."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._heap: list[int] = []
        self._known: set[int] = set()
        self._build()

    def _build(self) -> None:
        self._heap = list(self._table.spaces)
        self._known = set(self._heap)
        heapq.heapify(self._heap)

    def add(self, time: int) -> None:
        """A namespace was or is about to be written."""
        if time not in self._known:
            if len(self._heap) > 2 * len(self._table.spaces) + STALE_MAX:
                self._build()
            self._known.add(time)
            heapq.heappush(self._heap, time)

    def first(self) -> int | None:
        """The least namespace that holds anything, None when there is none."""
        heap, spaces = self._heap, self._table.spaces
        while heap:
            if spaces.get(heap[0]):
                return heap[0]
            self._known.discard(heapq.heappop(heap))
        return None


class Timers:
    """Event-time timers of all keys: one for each key and time. To be made anew after a rollback or restore."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._due = DueTimes(table)
        self._time: int | None = None
        self._keys: list[Any] = []  #: of ``_time``, still to fire; the last one first

    def register(self, timestamp: int, state_key: Any) -> None:
        if state_key not in self._table.space(timestamp):
            self._table.put(timestamp, state_key, None)
            self._due.add(timestamp)

    def delete(self, timestamp: int, state_key: Any) -> None:
        self._table.delete(timestamp, state_key)

    def pop(self, watermark: int) -> tuple[int, Any] | None:
        """Take the next timer at or below the watermark: (time, state key). Times rise; None when none is due."""
        while True:
            first = self._due.first()
            if first is None or first > watermark:
                return None
            if first != self._time or not self._keys:
                self._time, self._keys = first, list(self._table.space(first))[::-1]
            space = self._table.space(first)
            while self._keys:
                key = self._keys.pop()
                if key in space:
                    self._table.delete(first, key)
                    return first, key

    def due(self, watermark: int) -> list[tuple[int, Any]]:
        """The timers at or below the watermark, in the order of their times; they stay."""
        first = self._due.first()
        if first is None or first > watermark:
            return []
        times = sorted(time for time in self._table.spaces if time <= watermark)
        return [(time, key) for time in times for key in self._table.space(time)]

    def holds(self, timestamp: int, state_key: Any) -> bool:
        return state_key in self._table.space(timestamp)
