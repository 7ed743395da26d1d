"""Windows on a grid: which ones a moment is in, when they are over, and rows put together by window. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

#: (window start, keys, values) of the rows of one window, in their order.
Group = tuple[int, Sequence[Any], Sequence[Any]]


@dataclass(frozen=True)
class Tumbling:
    """Windows [start, start + size), aligned to 1970 plus offset; times before 1970 are negative."""

    size_ms: int
    offset_ms: int = 0
    lateness_ms: int = 0

    def start(self, time_ms: int) -> int:
        return time_ms - (time_ms - self.offset_ms) % self.size_ms

    def last_moment(self, start: int) -> int:
        """The window fires when the watermark reaches this."""
        return start + self.size_ms - 1

    def gone(self, start: int, watermark_ms: int) -> bool:
        """Whether an element of this window is too late: the window and its lateness have passed."""
        return self.last_moment(start) + self.lateness_ms <= watermark_ms

    def late(self, time_ms: int, watermark_ms: int) -> bool:
        """Whether an element of this moment finds no window that it could be in."""
        return self.gone(self.start(time_ms), watermark_ms)

    def groups(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[int]) -> Iterable[Group]:
        """The rows by window; mostly all are in one."""
        if not times:
            return ()
        start = self.start(min(times))
        end = start + self.size_ms
        if max(times) < end:
            return ((start, keys, values),)
        groups: dict[int, tuple[list[Any], list[Any]]] = {}
        start = end = 0
        for key, value, time in zip(keys, values, times, strict=True):
            if not start <= time < end:
                start = self.start(time)
                end = start + self.size_ms
                its_keys, its_values = groups.setdefault(start, ([], []))
            its_keys.append(key)
            its_values.append(value)
        return [(start, *group) for start, group in groups.items()]


@dataclass(frozen=True)
class Sliding:
    """Windows [start, start + size), one each ``slide``: a moment is in several, or in none when slide > size."""

    size_ms: int
    slide_ms: int
    offset_ms: int = 0
    lateness_ms: int = 0

    def starts(self, time_ms: int) -> range:
        """The windows of a moment, the latest first."""
        latest = time_ms - (time_ms - self.offset_ms) % self.slide_ms
        return range(latest, time_ms - self.size_ms, -self.slide_ms)

    def last_moment(self, start: int) -> int:
        return start + self.size_ms - 1

    def gone(self, start: int, watermark_ms: int) -> bool:
        return self.last_moment(start) + self.lateness_ms <= watermark_ms

    def late(self, time_ms: int, watermark_ms: int) -> bool:
        """As Flink: all its windows are gone, and so is the moment with the allowed lateness."""
        if time_ms + self.lateness_ms > watermark_ms:
            return False
        return all(self.gone(start, watermark_ms) for start in self.starts(time_ms)[:1])

    def groups(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[int]) -> Iterable[Group]:
        """The rows by window, each row in all of its windows."""
        groups: dict[int, tuple[list[Any], list[Any]]] = {}
        panes: dict[int, list[tuple[list[Any], list[Any]]]] = {}  #: moments of one pane have the same windows
        pane_ms = gcd(self.size_ms, self.slide_ms)
        pane = end = 0
        its: list[tuple[list[Any], list[Any]]] = []
        for key, value, time in zip(keys, values, times, strict=True):
            if not pane <= time < end:
                pane = time - (time - self.offset_ms) % pane_ms
                end = pane + pane_ms
                found = panes.get(pane)
                its = found if found is not None else [groups.setdefault(s, ([], [])) for s in self.starts(pane)]
                panes[pane] = its
            for its_keys, its_values in its:
                its_keys.append(key)
                its_values.append(value)
        return [(start, *group) for start, group in groups.items()]


Aligned = Tumbling | Sliding
