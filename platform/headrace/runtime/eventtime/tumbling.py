"""Tumbling windows: which one a moment is in, and when it is over. Pure."""

from __future__ import annotations

from dataclasses import dataclass


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
