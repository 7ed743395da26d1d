"""Triggers: when a window gives its results, how often, and whether it keeps its elements after that.

A trigger is asked for each element that comes into a window, and at each time it has registered for that window.
What it answers is done at once. One trigger object serves all keys and windows of a lane; what it remembers of a
window belongs in the state of its context, and ``clear`` must remove it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from headrace.common.call_site import wrong
from headrace.common.time import Duration, Time
from headrace.common.typeinfo import Types
from headrace.datastream.durations import positive_milliseconds
from headrace.datastream.state import ReducingStateDescriptor, StateDescriptor

T = TypeVar("T")
W = TypeVar("W")


class TriggerResult(Enum):
    """What becomes of the window. A window without elements gives nothing, whatever its trigger says."""

    CONTINUE = (False, False)  #: nothing
    FIRE_AND_PURGE = (True, True)  #: it gives its results, and its elements are removed
    FIRE = (True, False)  #: it gives its results, and keeps its elements
    PURGE = (False, True)  #: its elements are removed; it gives nothing

    def is_fire(self) -> bool:
        return self.value[0]

    def is_purge(self) -> bool:
        return self.value[1]


class Trigger(ABC, Generic[T, W]):
    """Base of triggers. ``clear`` and ``on_merge`` take back what the trigger holds for a window that is gone."""

    class TriggerContext(ABC):
        """Time, timers and state of one key and window; valid during the call only."""

        @abstractmethod
        def get_current_processing_time(self) -> int:
            """The time of day in ms since 1970 in UTC; it never goes back while a lane runs."""

        @abstractmethod
        def get_current_watermark(self) -> int:
            """The watermark in ms, -2**63 before the first."""

        @abstractmethod
        def register_processing_time_timer(self, time: int) -> None:
            """Call ``on_processing_time`` when the clock has passed ``time``; once, however often registered."""

        @abstractmethod
        def register_event_time_timer(self, time: int) -> None:
            """Call ``on_event_time`` when the watermark has reached ``time``; with the next, if it has already."""

        @abstractmethod
        def delete_processing_time_timer(self, time: int) -> None:
            """Take a timer back; the one that ends the window too, if that is at the same time."""

        @abstractmethod
        def delete_event_time_timer(self, time: int) -> None:
            """Take a timer back; the one that ends the window too, if that is at the same time."""

        @abstractmethod
        def get_partitioned_state(self, state_descriptor: StateDescriptor) -> Any:
            """State of this key and window, apart from that of the window function."""

    class OnMergeContext(TriggerContext):
        @abstractmethod
        def merge_partitioned_state(self, state_descriptor: StateDescriptor) -> None:
            """Put the state of the merged windows together as that of the new one: list, reducing or aggregating."""

    @abstractmethod
    def on_element(self, element: T, timestamp: int, window: W, ctx: Trigger.TriggerContext) -> TriggerResult:
        """Called for each element after it came into the window. ``timestamp``: -2**63 when it has none."""

    @abstractmethod
    def on_processing_time(self, time: int, window: W, ctx: Trigger.TriggerContext) -> TriggerResult:
        """Called at a processing-time timer of the window, also at the one that ends it."""

    @abstractmethod
    def on_event_time(self, time: int, window: W, ctx: Trigger.TriggerContext) -> TriggerResult:
        """Called at an event-time timer of the window, also at the one that ends it."""

    def can_merge(self) -> bool:
        """Whether ``on_merge`` is implemented, so that the trigger can be used with session windows."""
        return False

    @abstractmethod
    def on_merge(self, window: W, ctx: Trigger.OnMergeContext) -> None:
        """Called when windows have become ``window``; ``clear`` is called for each of them afterwards."""

    @abstractmethod
    def clear(self, window: W, ctx: Trigger.TriggerContext) -> None:
        """Called when the window is over: remove its state and timers."""


class EventTimeTrigger(Trigger[T, Any]):
    """Fires when the watermark passes the end of the window, then at once for each late element."""

    @staticmethod
    def create() -> EventTimeTrigger[Any]:
        return EventTimeTrigger()

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        if window.max_timestamp() <= ctx.get_current_watermark():
            return TriggerResult.FIRE
        ctx.register_event_time_timer(window.max_timestamp())
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.FIRE if time == window.max_timestamp() else TriggerResult.CONTINUE

    def can_merge(self) -> bool:
        return True

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        if window.max_timestamp() > ctx.get_current_watermark():
            ctx.register_event_time_timer(window.max_timestamp())

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        ctx.delete_event_time_timer(window.max_timestamp())


class ProcessingTimeTrigger(Trigger[T, Any]):
    """Fires when the clock passes the end of the window."""

    @staticmethod
    def create() -> ProcessingTimeTrigger[Any]:
        return ProcessingTimeTrigger()

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        ctx.register_processing_time_timer(window.max_timestamp())
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.FIRE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def can_merge(self) -> bool:
        return True

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        if window.max_timestamp() > ctx.get_current_processing_time():
            ctx.register_processing_time_timer(window.max_timestamp())

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        ctx.delete_processing_time_timer(window.max_timestamp())


class _Continuous(Trigger[T, Any]):
    """The next firing of a window is state of it: the least of those of the windows that merge."""

    def __init__(self, interval: int) -> None:
        if type(interval) is not int or interval <= 0:
            raise wrong(f"the interval of a trigger must be milliseconds above 0, not {interval!r:.60}")
        self.interval = interval
        self._next = ReducingStateDescriptor("fire-time", min, Types.LONG())

    def _begin(self, now: int, window: Any, ctx: Trigger.TriggerContext, register: Callable[[int], None]) -> None:
        """At an element: the next multiple of the interval is the next firing, if there is none yet."""
        state = ctx.get_partitioned_state(self._next)
        if state.get() is None:
            self._plan(now - now % self.interval, window, state, register)

    def _fires(self, time: int, window: Any, ctx: Trigger.TriggerContext, register: Callable[[int], None]) -> bool:
        """At a timer: whether it is the next firing; the one after it is registered then."""
        state = ctx.get_partitioned_state(self._next)
        if state.get() != time:
            return False
        state.clear()
        if time < window.max_timestamp():
            self._plan(time, window, state, register)
        return True

    def _plan(self, time: int, window: Any, state: Any, register: Callable[[int], None]) -> None:
        following = min(time + self.interval, window.max_timestamp())
        state.add(following)
        register(following)

    def _merged(self, ctx: Trigger.OnMergeContext, register: Callable[[int], None]) -> None:
        ctx.merge_partitioned_state(self._next)
        following = ctx.get_partitioned_state(self._next).get()
        if following is not None:
            register(following)

    def _forget(self, ctx: Trigger.TriggerContext, delete: Callable[[int], None]) -> None:
        state = ctx.get_partitioned_state(self._next)
        following = state.get()
        if following is not None:
            delete(following)
            state.clear()

    def can_merge(self) -> bool:
        return True


class ContinuousEventTimeTrigger(_Continuous[T]):
    """Fires each time the watermark passes a multiple of the interval, and at the end of the window."""

    @staticmethod
    def of(interval: Time | Duration) -> ContinuousEventTimeTrigger[Any]:
        return ContinuousEventTimeTrigger(positive_milliseconds("the interval of a trigger", interval))

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        if window.max_timestamp() <= ctx.get_current_watermark():
            return TriggerResult.FIRE
        ctx.register_event_time_timer(window.max_timestamp())
        self._begin(timestamp, window, ctx, ctx.register_event_time_timer)
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        if time == window.max_timestamp():
            return TriggerResult.FIRE
        fires = self._fires(time, window, ctx, ctx.register_event_time_timer)
        return TriggerResult.FIRE if fires else TriggerResult.CONTINUE

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        self._merged(ctx, ctx.register_event_time_timer)

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        ctx.delete_event_time_timer(window.max_timestamp())
        self._forget(ctx, ctx.delete_event_time_timer)


class ContinuousProcessingTimeTrigger(_Continuous[T]):
    """Fires each time the clock passes a multiple of the interval, up to the end of the window."""

    @staticmethod
    def of(interval: Time | Duration) -> ContinuousProcessingTimeTrigger[Any]:
        return ContinuousProcessingTimeTrigger(positive_milliseconds("the interval of a trigger", interval))

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        self._begin(ctx.get_current_processing_time(), window, ctx, ctx.register_processing_time_timer)
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        fires = self._fires(time, window, ctx, ctx.register_processing_time_timer)
        return TriggerResult.FIRE if fires else TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        self._merged(ctx, ctx.register_processing_time_timer)

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        self._forget(ctx, ctx.delete_processing_time_timer)


def _sum(a: int, b: int) -> int:
    return a + b


class CountTrigger(Trigger[T, Any]):
    """Fires with each ``window_size``-th element of a window; sessions that merge add their counts."""

    def __init__(self, window_size: int) -> None:
        if type(window_size) is not int or window_size <= 0:
            raise wrong(f"CountTrigger takes a number of elements above 0, not {window_size!r:.60}")
        self._window_size = window_size
        self._count = ReducingStateDescriptor("count", _sum, Types.LONG())

    @staticmethod
    def of(window_size: int) -> CountTrigger[Any]:
        return CountTrigger(window_size)

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        count = ctx.get_partitioned_state(self._count)
        count.add(1)
        if count.get() < self._window_size:
            return TriggerResult.CONTINUE
        count.clear()
        return TriggerResult.FIRE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def can_merge(self) -> bool:
        return True

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        ctx.merge_partitioned_state(self._count)

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        ctx.get_partitioned_state(self._count).clear()


class PurgingTrigger(Trigger[T, Any]):
    """Fires when another trigger does, and removes the window's elements each time."""

    def __init__(self, nested_trigger: Trigger[T, Any]) -> None:
        if not isinstance(nested_trigger, Trigger):
            raise wrong(f"PurgingTrigger takes a Trigger, such as CountTrigger.of(10), not {nested_trigger!r:.80}")
        self.nested_trigger = nested_trigger

    @staticmethod
    def of(nested_trigger: Trigger[Any, Any]) -> PurgingTrigger[Any]:
        return PurgingTrigger(nested_trigger)

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return _purging(self.nested_trigger.on_element(element, timestamp, window, ctx))

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return _purging(self.nested_trigger.on_processing_time(time, window, ctx))

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return _purging(self.nested_trigger.on_event_time(time, window, ctx))

    def can_merge(self) -> bool:
        return self.nested_trigger.can_merge()

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        self.nested_trigger.on_merge(window, ctx)

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        self.nested_trigger.clear(window, ctx)


def _purging(result: TriggerResult) -> TriggerResult:
    fires = isinstance(result, TriggerResult) and result.is_fire()  # what is no result is refused by the operator
    return TriggerResult.FIRE_AND_PURGE if fires else result


class NeverTrigger(Trigger[T, Any]):
    """Never fires: what GlobalWindows have unless they are given another."""

    def on_element(self, element: T, timestamp: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_processing_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_event_time(self, time: int, window: Any, ctx: Trigger.TriggerContext) -> TriggerResult:
        return TriggerResult.CONTINUE

    def on_merge(self, window: Any, ctx: Trigger.OnMergeContext) -> None:
        """Nothing is held."""

    def clear(self, window: Any, ctx: Trigger.TriggerContext) -> None:
        """Nothing is held."""
