"""Windows, and what a window assigner is. The assigners that come with Headrace are in ``window``.

A window of a program's own is a value: it must be equal to and hash like its copies, and be picklable, as it names
the state of its elements. Times are in ms; a window's start is in it, its end is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from headrace.datastream.functions import RuntimeContext
    from headrace.datastream.trigger import Trigger

T = TypeVar("T")
W = TypeVar("W")
W2 = TypeVar("W2")

#: ``max_timestamp`` of windows that no moment ends.
ENDLESS: Final = 9_223_372_036_854_775_807


class Window(ABC):
    """Base of windows."""

    @abstractmethod
    def max_timestamp(self) -> int:
        """The last moment that is in the window, in ms; 2**63 - 1 for one that no moment ends."""


@dataclass(frozen=True, order=True, slots=True)
class TimeWindow(Window):
    """The span from ``start`` up to and without ``end``."""

    start: int
    end: int

    def max_timestamp(self) -> int:
        """The last moment that is in the window; its results have this event time."""
        return self.end - 1

    def intersects(self, other: TimeWindow) -> bool:
        """Whether the two overlap or touch."""
        return self.start <= other.end and other.start <= self.end

    def cover(self, other: TimeWindow) -> TimeWindow:
        """The least window that holds both."""
        return TimeWindow(min(self.start, other.start), max(self.end, other.end))

    @staticmethod
    def get_window_start_with_offset(timestamp: int, offset: int, window_size: int) -> int:
        """The start of the window that a moment is in, on a grid of ``window_size`` from 1970 plus ``offset``."""
        return timestamp - (timestamp - offset) % window_size

    @staticmethod
    def merge_windows(
        windows: Iterable[TimeWindow], callback: MergingWindowAssigner.MergeCallback[TimeWindow]
    ) -> None:
        """Make one of each group of windows that overlap or touch."""
        group: list[TimeWindow] = []
        whole: TimeWindow | None = None
        for window in sorted(windows):
            if whole is not None and whole.intersects(window):
                whole = whole.cover(window)
                group.append(window)
                continue
            if whole is not None and len(group) > 1:
                callback.merge(group, whole)
            group, whole = [window], window
        if whole is not None and len(group) > 1:
            callback.merge(group, whole)


@dataclass(frozen=True, order=True, slots=True)
class CountWindow(Window):
    """A window of so many elements of a key; ``id`` counts the key's windows from 0."""

    id: int

    def max_timestamp(self) -> int:
        return ENDLESS


@dataclass(frozen=True, slots=True)
class GlobalWindow(Window):
    """The one window of all elements of a key."""

    @staticmethod
    def get() -> GlobalWindow:
        return GlobalWindow()

    def max_timestamp(self) -> int:
        return ENDLESS


class WindowAssigner(ABC, Generic[T, W]):
    """Says which windows a value belongs to.

    One object serves all keys of a lane: what it remembers of a key belongs in state.
    """

    class WindowAssignerContext(ABC):
        @abstractmethod
        def get_current_processing_time(self) -> int:
            """The time of day in ms since 1970 in UTC."""

        @abstractmethod
        def get_runtime_context(self) -> RuntimeContext:
            """Gives state of the key in progress, apart from that of the window function."""

    @abstractmethod
    def assign_windows(
        self, element: T, timestamp: int, context: WindowAssigner.WindowAssignerContext
    ) -> Collection[W]:
        """The windows of one value; none drops it. ``timestamp``: its event time in ms, -2**63 when it has none."""

    @abstractmethod
    def get_default_trigger(self, env: Any) -> Trigger[T, W]:
        """The trigger for windows that are not given one by ``trigger()``; called while the program is built."""

    def get_window_serializer(self) -> Any:
        """Never called: windows are kept as the picklable values they are."""
        return None

    @abstractmethod
    def is_event_time(self) -> bool:
        """Whether windows end, and values are late, by the watermark; else by the time of day."""


class MergingWindowAssigner(WindowAssigner[T, W]):
    """An assigner whose windows merge, such as those of sessions."""

    class MergeCallback(ABC, Generic[W2]):
        @abstractmethod
        def merge(self, to_be_merged: Iterable[W2], merge_result: W2) -> None:
            """These windows become that one."""

    @abstractmethod
    def merge_windows(self, windows: Iterable[W], callback: MergingWindowAssigner.MergeCallback[W]) -> None:
        """Say by ``callback`` which of a key's windows become one; called for each window of each value."""
