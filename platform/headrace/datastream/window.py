"""The window assigners that come with Headrace, and by their PyFlink names triggers and windows with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time
from headrace.common.typeinfo import Types
from headrace.datastream.assigner import (
    CountWindow,
    GlobalWindow,
    MergingWindowAssigner,
    TimeWindow,
    Window,
    WindowAssigner,
)
from headrace.datastream.durations import milliseconds, positive_milliseconds
from headrace.datastream.state import ValueStateDescriptor
from headrace.datastream.transformation import checked_function
from headrace.datastream.trigger import (
    ContinuousEventTimeTrigger,
    ContinuousProcessingTimeTrigger,
    CountTrigger,
    EventTimeTrigger,
    NeverTrigger,
    ProcessingTimeTrigger,
    PurgingTrigger,
    Trigger,
    TriggerResult,
)
from headrace.datastream.window_serializers import (
    CountWindowSerializer,
    GlobalWindowSerializer,
    TimeWindowSerializer,
)
from headrace.errors import UsageError

__all__ = [
    "ContinuousEventTimeTrigger",
    "ContinuousProcessingTimeTrigger",
    "CountSlidingWindowAssigner",
    "CountTrigger",
    "CountTumblingWindowAssigner",
    "CountWindow",
    "CountWindowSerializer",
    "DynamicEventTimeSessionWindows",
    "DynamicProcessingTimeSessionWindows",
    "EventTimeSessionWindows",
    "EventTimeTrigger",
    "GlobalWindow",
    "GlobalWindowSerializer",
    "GlobalWindows",
    "MergingWindowAssigner",
    "NeverTrigger",
    "ProcessingTimeSessionWindows",
    "ProcessingTimeTrigger",
    "PurgingTrigger",
    "SessionWindowTimeGapExtractor",
    "SlidingEventTimeWindows",
    "SlidingProcessingTimeWindows",
    "TimeWindow",
    "TimeWindowSerializer",
    "Trigger",
    "TriggerResult",
    "TumblingEventTimeWindows",
    "TumblingProcessingTimeWindows",
    "Window",
    "WindowAssigner",
]


class BuiltInAssigner(WindowAssigner[Any, Any]):
    """Assigners that the runtime knows; without a trigger of the program's it has faster ways than calling them."""

    def params(self) -> dict[str, str | int]:
        """The assigner as it stands in a JobGraph."""
        raise NotImplementedError

    def functions(self) -> dict[str, Any]:
        """The user's functions it needs, by role."""
        return {}

    def __str__(self) -> str:
        return type(self).__name__


class _ByEventTime(BuiltInAssigner):
    def get_default_trigger(self, env: Any) -> Trigger[Any, Any]:
        return EventTimeTrigger()

    def get_window_serializer(self) -> TimeWindowSerializer:
        return TimeWindowSerializer()

    def is_event_time(self) -> bool:
        return True

    def _moment(self, timestamp: int, context: WindowAssigner.WindowAssignerContext) -> int:
        return timestamp


class _ByProcessingTime(BuiltInAssigner):
    def get_default_trigger(self, env: Any) -> Trigger[Any, Any]:
        return ProcessingTimeTrigger()

    def get_window_serializer(self) -> TimeWindowSerializer:
        return TimeWindowSerializer()

    def is_event_time(self) -> bool:
        return False

    def _moment(self, timestamp: int, context: WindowAssigner.WindowAssignerContext) -> int:
        return context.get_current_processing_time()


class SessionWindowTimeGapExtractor(ABC):
    """Gives each value a gap of its own: after so long without another value its session is over."""

    @abstractmethod
    def extract(self, element: Any) -> int:
        """The gap in ms, above 0."""


class _Tumbling(BuiltInAssigner):
    kind: str
    _moment: Callable[[int, WindowAssigner.WindowAssignerContext], int]

    def __init__(self, size_ms: int, offset_ms: int = 0) -> None:
        self.size_ms = size_ms
        self.offset_ms = offset_ms

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "size_ms": self.size_ms, "offset_ms": self.offset_ms}

    def assign_windows(
        self, element: Any, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> list[TimeWindow]:
        moment = self._moment(timestamp, context)
        start = TimeWindow.get_window_start_with_offset(moment, self.offset_ms, self.size_ms)
        return [TimeWindow(start, start + self.size_ms)]

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.size_ms} ms)"


class TumblingEventTimeWindows(_ByEventTime, _Tumbling):
    """Windows of one size, side by side, aligned to 1970 in UTC plus ``offset``."""

    kind = "tumbling_event_time"

    @classmethod
    def of(cls, size: Time | Duration, offset: Time | Duration | None = None) -> TumblingEventTimeWindows:
        """Windows of ``size``; ``offset`` moves their starts, e.g. ``Time.hours(-8)`` for days of UTC+8."""
        return cls(*_size_and_offset(size, offset))


class TumblingProcessingTimeWindows(_ByProcessingTime, _Tumbling):
    """As TumblingEventTimeWindows, by the time of day when a value is processed; no watermark is needed.

    A window fires once its end has passed, within about a commit interval. Windows open at the end of the input do
    not fire. After a failure values may come into other windows than before it.
    """

    kind = "tumbling_processing_time"

    @classmethod
    def of(cls, size: Time | Duration, offset: Time | Duration | None = None) -> TumblingProcessingTimeWindows:
        """Windows of ``size``; ``offset`` moves their starts."""
        return cls(*_size_and_offset(size, offset))


class _Sliding(BuiltInAssigner):
    kind: str
    _moment: Callable[[int, WindowAssigner.WindowAssignerContext], int]

    def __init__(self, size_ms: int, slide_ms: int, offset_ms: int = 0) -> None:
        self.size_ms = size_ms
        self.slide_ms = slide_ms
        self.offset_ms = offset_ms

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "size_ms": self.size_ms, "slide_ms": self.slide_ms, "offset_ms": self.offset_ms}

    def assign_windows(
        self, element: Any, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> list[TimeWindow]:
        moment = self._moment(timestamp, context)
        latest = TimeWindow.get_window_start_with_offset(moment, self.offset_ms, self.slide_ms)
        starts = range(latest, moment - self.size_ms, -self.slide_ms)
        return [TimeWindow(start, start + self.size_ms) for start in starts]

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.size_ms} ms each {self.slide_ms} ms)"


class SlidingEventTimeWindows(_ByEventTime, _Sliding):
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


class SlidingProcessingTimeWindows(_ByProcessingTime, _Sliding):
    """As SlidingEventTimeWindows, by the time of day; see TumblingProcessingTimeWindows."""

    kind = "sliding_processing_time"

    @classmethod
    def of(
        cls, size: Time | Duration, slide: Time | Duration, offset: Time | Duration | None = None
    ) -> SlidingProcessingTimeWindows:
        """Windows of ``size``, each ``slide`` after the one before; ``offset`` moves their starts."""
        return cls(*_size_slide_and_offset(size, slide, offset))


class _Sessions(BuiltInAssigner, MergingWindowAssigner[Any, Any]):
    kind: str
    _moment: Callable[[int, WindowAssigner.WindowAssignerContext], int]

    def __init__(self, gap: int | SessionWindowTimeGapExtractor | Callable[[Any], int]) -> None:
        self.gap = gap

    def params(self) -> dict[str, str | int]:
        return {"kind": self.kind, "gap_ms": self.gap} if isinstance(self.gap, int) else {"kind": self.kind}

    def functions(self) -> dict[str, Any]:
        return {} if isinstance(self.gap, int) else {"gap": self.gap}

    def assign_windows(
        self, element: Any, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> list[TimeWindow]:
        moment = self._moment(timestamp, context)
        return [TimeWindow(moment, moment + self._gap_of(element))]

    def _gap_of(self, element: Any) -> int:
        if isinstance(self.gap, int):
            return self.gap
        extract = self.gap.extract if isinstance(self.gap, SessionWindowTimeGapExtractor) else self.gap
        return checked_gap(extract(element), element)

    def merge_windows(
        self, windows: Iterable[TimeWindow], callback: MergingWindowAssigner.MergeCallback[TimeWindow]
    ) -> None:
        TimeWindow.merge_windows(windows, callback)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.gap} ms)" if isinstance(self.gap, int) else type(self).__name__


class EventTimeSessionWindows(_ByEventTime, _Sessions):
    """A window for each stretch of a key's activity: it ends when no value came for the gap.

    A session begins with its first value and ends a gap after its last. Sessions that overlap or touch, as a late
    value between them makes them, become one; after ``aggregate`` the function's ``merge`` joins their accumulators,
    after ``reduce`` the function itself.
    """

    kind = "session_event_time"

    @classmethod
    def with_gap(cls, size: Time | Duration) -> EventTimeSessionWindows:
        """Sessions that are over when nothing came for ``size``."""
        return cls(positive_milliseconds("the gap of a session", size))

    @classmethod
    def with_dynamic_gap(
        cls, time_gap_extractor: SessionWindowTimeGapExtractor | Callable[[Any], int]
    ) -> EventTimeSessionWindows:
        """Sessions that are over when nothing came for as long as their values say, in ms."""
        return cls(_extractor("with_dynamic_gap", time_gap_extractor))


class ProcessingTimeSessionWindows(_ByProcessingTime, _Sessions):
    """As EventTimeSessionWindows, by the time of day; see TumblingProcessingTimeWindows."""

    kind = "session_processing_time"

    @classmethod
    def with_gap(cls, size: Time | Duration) -> ProcessingTimeSessionWindows:
        """Sessions that are over when nothing came for ``size``."""
        return cls(positive_milliseconds("the gap of a session", size))

    @classmethod
    def with_dynamic_gap(
        cls, time_gap_extractor: SessionWindowTimeGapExtractor | Callable[[Any], int]
    ) -> ProcessingTimeSessionWindows:
        """Sessions that are over when nothing came for as long as their values say, in ms."""
        return cls(_extractor("with_dynamic_gap", time_gap_extractor))


class DynamicEventTimeSessionWindows(EventTimeSessionWindows):
    """EventTimeSessionWindows by the name that PyFlink gives those with a gap for each value."""


class DynamicProcessingTimeSessionWindows(ProcessingTimeSessionWindows):
    """ProcessingTimeSessionWindows by the name that PyFlink gives those with a gap for each value."""


class CountSlidingWindowAssigner(BuiltInAssigner):
    """Windows of ``window_size`` elements of a key, a new one each ``window_slide`` elements.

    A window fires with its last element, and only when it is full; the rest at the end never fires. Results have the
    event time of the element that filled their window.
    """

    def __init__(self, window_size: int, window_slide: int) -> None:
        self.window_size = _elements("the size of a count window", window_size)
        self.window_slide = _elements("the slide of a count window", window_slide)
        self._count = ValueStateDescriptor("count", Types.LONG())

    @classmethod
    def of(cls, window_size: int, window_slide: int) -> CountSlidingWindowAssigner:
        return cls(window_size, window_slide)

    def params(self) -> dict[str, str | int]:
        return {"kind": "count", "size": self.window_size, "slide": self.window_slide}

    def assign_windows(
        self, element: Any, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> list[CountWindow]:
        count = context.get_runtime_context().get_state(self._count)
        position: int = count.value() or 0
        count.update(position + 1)
        first = max(0, (position - self.window_size) // self.window_slide + 1)
        return [CountWindow(number) for number in range(first, position // self.window_slide + 1)]

    def get_default_trigger(self, env: Any) -> Trigger[Any, Any]:
        return CountTrigger(self.window_size)

    def get_window_serializer(self) -> CountWindowSerializer:
        return CountWindowSerializer()

    def is_event_time(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.window_size} each {self.window_slide})"


class CountTumblingWindowAssigner(CountSlidingWindowAssigner):
    """Windows of ``window_size`` elements of a key, one after the other; see CountSlidingWindowAssigner."""

    def __init__(self, window_size: int) -> None:
        super().__init__(window_size, window_size)

    @classmethod
    def of(cls, window_size: int) -> CountTumblingWindowAssigner:  # type: ignore[override]  # as PyFlink has it
        return cls(window_size)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.window_size})"


class GlobalWindows(WindowAssigner[Any, GlobalWindow]):
    """One window for all elements of a key. It never ends: give it a trigger, or nothing comes out of it."""

    @staticmethod
    def create() -> GlobalWindows:
        return GlobalWindows()

    def assign_windows(
        self, element: Any, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> list[GlobalWindow]:
        return [GlobalWindow()]

    def get_default_trigger(self, env: Any) -> Trigger[Any, GlobalWindow]:
        return NeverTrigger()

    def get_window_serializer(self) -> GlobalWindowSerializer:
        return GlobalWindowSerializer()

    def is_event_time(self) -> bool:
        return False

    def __str__(self) -> str:
        return "GlobalWindows"


def checked_gap(gap_ms: Any, value: Any) -> int:
    """What an extractor gave for a value. Raises UsageError for what is no number of milliseconds above 0."""
    if not isinstance(gap_ms, int) or gap_ms <= 0:
        raise UsageError(
            "session-gap-invalid",
            f"the gap of a session must be whole milliseconds above 0; the extractor gave {gap_ms!r:.100} "
            f"for {value!r:.200}",
            hint="return an int from SessionWindowTimeGapExtractor.extract()",
        )
    return gap_ms


def _elements(what: str, number: int) -> int:
    if type(number) is not int or number <= 0:
        raise wrong(f"{what} must be a number of elements above 0, not {number!r:.60}")
    return number


def _extractor(method: str, extractor: Any) -> Any:
    return checked_function(method, extractor, SessionWindowTimeGapExtractor, lambdas=not isinstance(extractor, type))


def _size_and_offset(size: Time | Duration, offset: Time | Duration | None) -> tuple[int, int]:
    size_ms = positive_milliseconds("the size of a window", size)
    offset_ms = 0 if offset is None else milliseconds("the offset of a window", offset)
    if abs(offset_ms) >= size_ms:
        raise wrong(f"the offset of a window ({offset_ms} ms) must be smaller than its size ({size_ms} ms)")
    return size_ms, offset_ms


def _size_slide_and_offset(
    size: Time | Duration, slide: Time | Duration, offset: Time | Duration | None
) -> tuple[int, int, int]:
    size_ms = positive_milliseconds("the size of a window", size)
    slide_ms = positive_milliseconds("the slide of a window", slide)
    offset_ms = 0 if offset is None else milliseconds("the offset of a window", offset)
    if abs(offset_ms) >= slide_ms:
        raise wrong(f"the offset of a window ({offset_ms} ms) must be smaller than its slide ({slide_ms} ms)")
    return size_ms, slide_ms, offset_ms
