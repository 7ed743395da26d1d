"""Windows and the assigners that put values into them. Times are in ms; a window's start is in, its end is not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time
from headrace.datastream.transformation import checked_function

__all__ = [
    "CountSlidingWindowAssigner",
    "CountTumblingWindowAssigner",
    "CountWindow",
    "EventTimeSessionWindows",
    "MergingWindowAssigner",
    "ProcessingTimeSessionWindows",
    "SessionWindowTimeGapExtractor",
    "SlidingEventTimeWindows",
    "SlidingProcessingTimeWindows",
    "TimeWindow",
    "TumblingEventTimeWindows",
    "TumblingProcessingTimeWindows",
    "Window",
    "WindowAssigner",
]


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


@dataclass(frozen=True, order=True, slots=True)
class CountWindow(Window):
    """A window of so many elements of a key; ``id`` counts the key's windows from 0."""

    id: int


class WindowAssigner:
    """Says which windows a value belongs to."""

    def params(self) -> dict[str, str | int]:
        """The assigner as it stands in a JobGraph."""
        raise NotImplementedError

    def functions(self) -> dict[str, Any]:
        """The user's functions it needs, by role."""
        return {}

    def __str__(self) -> str:
        return type(self).__name__


class MergingWindowAssigner(WindowAssigner):
    """An assigner whose windows merge, such as those of sessions."""


class SessionWindowTimeGapExtractor(ABC):
    """Gives each value a gap of its own: after so long without another value its session is over."""

    @abstractmethod
    def extract(self, element: Any) -> int:
        """The gap in ms, above 0."""


class _Tumbling(WindowAssigner):
    kind: str

    def __init__(self, size_ms: int, offset_ms: int = 0) -> None:
        self.size_ms = size_ms
        self.offset_ms = offset_ms

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "size_ms": self.size_ms, "offset_ms": self.offset_ms}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.size_ms} ms)"


class TumblingEventTimeWindows(_Tumbling):
    """Windows of one size, side by side, aligned to 1970 in UTC plus ``offset``."""

    kind = "tumbling_event_time"

    @classmethod
    def of(cls, size: Time | Duration, offset: Time | Duration | None = None) -> TumblingEventTimeWindows:
        """Windows of ``size``; ``offset`` moves their starts, e.g. ``Time.hours(-8)`` for days of UTC+8."""
        return cls(*_size_and_offset(size, offset))


class TumblingProcessingTimeWindows(_Tumbling):
    """As TumblingEventTimeWindows, by the time of day when a value is processed; no watermark is needed.

    A window fires once its end has passed, within about a commit interval. Windows open at the end of the input do
    not fire. After a failure values may come into other windows than before it.
    """

    kind = "tumbling_processing_time"

    @classmethod
    def of(cls, size: Time | Duration, offset: Time | Duration | None = None) -> TumblingProcessingTimeWindows:
        """Windows of ``size``; ``offset`` moves their starts."""
        return cls(*_size_and_offset(size, offset))


class _Sliding(WindowAssigner):
    kind: str

    def __init__(self, size_ms: int, slide_ms: int, offset_ms: int = 0) -> None:
        self.size_ms = size_ms
        self.slide_ms = slide_ms
        self.offset_ms = offset_ms

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "size_ms": self.size_ms, "slide_ms": self.slide_ms, "offset_ms": self.offset_ms}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.size_ms} ms each {self.slide_ms} ms)"


class SlidingEventTimeWindows(_Sliding):
    """Windows of one size, a new one each ``slide``, aligned to 1970 in UTC plus ``offset``.

    A value is in size / slide windows, and costs as much state and work as that; in none, when it falls between
    windows further apart than their size.
    """

    kind = "sliding_event_time"

    @classmethod
    def of(
        cls, size: Time | Duration, slide: Time | Duration, offset: Time | Duration | None = None
    ) -> SlidingEventTimeWindows:
        """Windows of ``size``, each ``slide`` after the one before; ``offset`` moves their starts."""
        return cls(*_size_slide_and_offset(size, slide, offset))


class SlidingProcessingTimeWindows(_Sliding):
    """As SlidingEventTimeWindows, by the time of day; see TumblingProcessingTimeWindows."""

    kind = "sliding_processing_time"

    @classmethod
    def of(
        cls, size: Time | Duration, slide: Time | Duration, offset: Time | Duration | None = None
    ) -> SlidingProcessingTimeWindows:
        """Windows of ``size``, each ``slide`` after the one before; ``offset`` moves their starts."""
        return cls(*_size_slide_and_offset(size, slide, offset))


class _Sessions(MergingWindowAssigner):
    kind: str

    def __init__(self, gap: int | SessionWindowTimeGapExtractor | Callable[[Any], int]) -> None:
        self.gap = gap

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "gap_ms": self.gap} if isinstance(self.gap, int) else {"kind": self.kind}

    def functions(self) -> dict[str, Any]:
        return {} if isinstance(self.gap, int) else {"gap": self.gap}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.gap} ms)" if isinstance(self.gap, int) else type(self).__name__


class EventTimeSessionWindows(_Sessions):
    """A window for each stretch of a key's activity: it ends when no value came for the gap.

    A session begins with its first value and ends a gap after its last. Sessions that overlap or touch, as a late
    value between them makes them, become one; after ``aggregate`` the function's ``merge`` joins their accumulators,
    after ``reduce`` the function itself.
    """

    kind = "session_event_time"

    @classmethod
    def with_gap(cls, size: Time | Duration) -> EventTimeSessionWindows:
        """Sessions that are over when nothing came for ``size``."""
        return cls(_positive("the gap of a session", size))

    @classmethod
    def with_dynamic_gap(
        cls, time_gap_extractor: SessionWindowTimeGapExtractor | Callable[[Any], int]
    ) -> EventTimeSessionWindows:
        """Sessions that are over when nothing came for as long as their values say, in ms."""
        return cls(_extractor("with_dynamic_gap", time_gap_extractor))


class ProcessingTimeSessionWindows(_Sessions):
    """As EventTimeSessionWindows, by the time of day; see TumblingProcessingTimeWindows."""

    kind = "session_processing_time"

    @classmethod
    def with_gap(cls, size: Time | Duration) -> ProcessingTimeSessionWindows:
        """Sessions that are over when nothing came for ``size``."""
        return cls(_positive("the gap of a session", size))

    @classmethod
    def with_dynamic_gap(
        cls, time_gap_extractor: SessionWindowTimeGapExtractor | Callable[[Any], int]
    ) -> ProcessingTimeSessionWindows:
        """Sessions that are over when nothing came for as long as their values say, in ms."""
        return cls(_extractor("with_dynamic_gap", time_gap_extractor))


class CountSlidingWindowAssigner(WindowAssigner):
    """Windows of ``window_size`` elements of a key, a new one each ``window_slide`` elements.

    A window fires with its last element, and only when it is full; the rest at the end never fires. Results have the
    event time of the element that filled their window.
    """

    def __init__(self, window_size: int, window_slide: int) -> None:
        self.window_size = _elements("the size of a count window", window_size)
        self.window_slide = _elements("the slide of a count window", window_slide)

    def params(self) -> dict[str, str | int]:
        return {"kind": "count", "size": self.window_size, "slide": self.window_slide}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.window_size} each {self.window_slide})"


class CountTumblingWindowAssigner(CountSlidingWindowAssigner):
    """Windows of ``window_size`` elements of a key, one after the other; see CountSlidingWindowAssigner."""

    def __init__(self, window_size: int) -> None:
        super().__init__(window_size, window_size)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.window_size})"


def _elements(what: str, number: int) -> int:
    if type(number) is not int or number <= 0:
        raise wrong(f"{what} must be a number of elements above 0, not {number!r:.60}")
    return number


def _extractor(method: str, extractor: Any) -> Any:
    return checked_function(method, extractor, SessionWindowTimeGapExtractor, lambdas=not isinstance(extractor, type))


def _size_and_offset(size: Time | Duration, offset: Time | Duration | None) -> tuple[int, int]:
    size_ms = _positive("the size of a window", size)
    offset_ms = 0 if offset is None else milliseconds("the offset of a window", offset)
    if abs(offset_ms) >= size_ms:
        raise wrong(f"the offset of a window ({offset_ms} ms) must be smaller than its size ({size_ms} ms)")
    return size_ms, offset_ms


def _size_slide_and_offset(
    size: Time | Duration, slide: Time | Duration, offset: Time | Duration | None
) -> tuple[int, int, int]:
    size_ms = _positive("the size of a window", size)
    slide_ms = _positive("the slide of a window", slide)
    offset_ms = 0 if offset is None else milliseconds("the offset of a window", offset)
    if abs(offset_ms) >= slide_ms:
        raise wrong(f"the offset of a window ({offset_ms} ms) must be smaller than its slide ({slide_ms} ms)")
    return size_ms, slide_ms, offset_ms


def _positive(what: str, length: Time | Duration) -> int:
    length_ms = milliseconds(what, length)
    if length_ms <= 0:
        raise wrong(f"{what} must be above 0, not {length_ms} ms")
    return length_ms


def milliseconds(what: str, length: Time | Duration) -> int:
    """The length in ms; the user's line is named when it is no length."""
    if not isinstance(length, (Time, Duration)):
        raise wrong(f"{what} must be a Time or a Duration, such as Time.seconds(10), not {length!r}")
    if not isinstance(length.to_milliseconds(), int):
        raise wrong(f"{what} must be whole milliseconds, not {length.to_milliseconds()!r}")
    return length.to_milliseconds()
