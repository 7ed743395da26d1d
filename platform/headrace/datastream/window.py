"""Windows and the assigners that put values into them. Event time only, in ms; the start is in, the end is not."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time

__all__ = ["TimeWindow", "TumblingEventTimeWindows", "Window", "WindowAssigner"]


class Window:
    """Base of windows."""


@dataclass(frozen=True, order=True, slots=True)
class TimeWindow(Window):
    """The span from ``start`` up to and without ``end``."""

    start: int
    end: int

    def max_timestamp(self) -> int:
        """The last moment that is in the window; its results have this event time."""
        return self.end - 1


class WindowAssigner:
    """Says which windows a value belongs to."""

    def params(self) -> dict[str, str | int]:
        """The assigner as it stands in a JobGraph."""
        raise NotImplementedError

    def __str__(self) -> str:
        return type(self).__name__


class TumblingEventTimeWindows(WindowAssigner):
    """Windows of one size, side by side, aligned to 1970 in UTC plus ``offset``."""

    def __init__(self, size_ms: int, offset_ms: int = 0) -> None:
        self.size_ms = size_ms
        self.offset_ms = offset_ms

    @classmethod
    def of(cls, size: Time | Duration, offset: Time | Duration | None = None) -> TumblingEventTimeWindows:
        """Windows of ``size``; ``offset`` moves their starts, e.g. ``Time.hours(-8)`` for days of UTC+8."""
        size_ms = milliseconds("the size of a window", size)
        offset_ms = 0 if offset is None else milliseconds("the offset of a window", offset)
        if size_ms <= 0:
            raise wrong(f"the size of a window must be above 0, not {size_ms} ms")
        if abs(offset_ms) >= size_ms:
            raise wrong(f"the offset of a window ({offset_ms} ms) must be smaller than its size ({size_ms} ms)")
        return cls(size_ms, offset_ms)

    def params(self) -> dict[str, str | int]:
        return {"kind": "tumbling_event_time", "size_ms": self.size_ms, "offset_ms": self.offset_ms}

    def __str__(self) -> str:
        return f"TumblingEventTimeWindows({self.size_ms} ms)"


def milliseconds(what: str, length: Time | Duration) -> int:
    """The length in ms; the user's line is named when it is no length."""
    if not isinstance(length, (Time, Duration)):
        raise wrong(f"{what} must be a Time or a Duration, such as Time.seconds(10), not {length!r}")
    if not isinstance(length.to_milliseconds(), int):
        raise wrong(f"{what} must be whole milliseconds, not {length.to_milliseconds()!r}")
    return length.to_milliseconds()
