"""How a trigger is called: its context, for one key and window at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.datastream.state import (
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    StateDescriptor,
    ValueStateDescriptor,
)
from headrace.datastream.trigger import Trigger, TriggerResult
from headrace.errors import UsageError
from headrace.runtime.state.due import Timers
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import MISSING


class _Context(Trigger.OnMergeContext):
    """One object for all calls, as it is valid during a call only."""

    def __init__(self, calls: TriggerCalls, store: TableStateStore, pane_key: CurrentKey) -> None:
        self._calls = calls
        self._store = store
        self._pane_key = pane_key
        self.parts: list[Any] = []  #: the windows that have become this one

    def get_current_processing_time(self) -> int:
        return self._calls.clock_ms()

    def get_current_watermark(self) -> int:
        return self._calls.watermark()

    def register_processing_time_timer(self, time: int) -> None:
        self._calls.processing_timers.register(int(time), self._pane_key.state_key)

    def register_event_time_timer(self, time: int) -> None:
        self._calls.timers.register(int(time), self._pane_key.state_key)
        if self._calls.registered is not None:
            self._calls.registered(int(time), self._pane_key.state_key[0])

    def delete_processing_time_timer(self, time: int) -> None:
        self._calls.processing_timers.delete(int(time), self._pane_key.state_key)

    def delete_event_time_timer(self, time: int) -> None:
        self._calls.timers.delete(int(time), self._pane_key.state_key)

    def get_partitioned_state(self, state_descriptor: StateDescriptor) -> Any:
        match state_descriptor:
            case ValueStateDescriptor():
                return self._store.get_state(state_descriptor)
            case ListStateDescriptor():
                return self._store.get_list_state(state_descriptor)
            case MapStateDescriptor():
                return self._store.get_map_state(state_descriptor)
            case ReducingStateDescriptor():
                return self._store.get_reducing_state(state_descriptor)
            case AggregatingStateDescriptor():
                return self._store.get_aggregating_state(state_descriptor)
        raise UsageError(
            "argument-invalid", f"get_partitioned_state() takes a StateDescriptor, not {state_descriptor!r:.80}"
        )

    def merge_partitioned_state(self, state_descriptor: StateDescriptor) -> None:
        state = self.get_partitioned_state(state_descriptor)
        window, key = self._pane_key.state_key
        for part in self.parts:
            self._pane_key.state_key = (part, key)
            match state_descriptor:
                case ReducingStateDescriptor():
                    self._move(window, key, state, state.get(), state.add)
                case ListStateDescriptor():
                    self._move(window, key, state, state.get() or None, state.add_all)
                case AggregatingStateDescriptor():
                    taken = state.take_accumulator()
                    taken = None if taken is MISSING else (taken,)
                    self._move(window, key, state, taken, lambda of: state.merge_accumulator(of[0]))
                case _:
                    self._pane_key.state_key = (window, key)
                    raise UsageError(
                        "argument-invalid",
                        f"merge_partitioned_state() cannot merge {state_descriptor!r}",
                        hint="list, reducing and aggregating state can be merged",
                    )

    def _move(self, window: Any, key: Any, state: Any, held: Any, put: Callable[[Any], None]) -> None:
        """What a merged window held goes to the window that it became; there is nothing when it is None."""
        state.clear()
        self._pane_key.state_key = (window, key)
        if held is not None:
            put(held)


class TriggerCalls:
    """The trigger of an operator. ``pane_key`` is what ``store`` goes by: (window, state key).

    ``registered`` is told of event-time timers while it is set.
    """

    def __init__(
        self,
        trigger: Trigger[Any, Any],
        store: TableStateStore,
        pane_key: CurrentKey,
        timers: Timers,
        processing_timers: Timers,
        watermark: Callable[[], int],
        clock_ms: Callable[[], int],
    ) -> None:
        self.name = type(trigger).__name__
        self.timers = timers
        self.processing_timers = processing_timers
        self.watermark = watermark
        self.clock_ms = clock_ms
        self.registered: Callable[[int, Any], None] | None = None
        self._trigger = trigger
        self._pane_key = pane_key
        self._context = _Context(self, store, pane_key)

    def on_element(self, value: Any, time: int, window: Any, key: Any) -> TriggerResult:
        self._pane_key.state_key = (window, key)
        return self._trigger.on_element(value, time, window, self._context)

    def on_event_time(self, time: int, window: Any, key: Any) -> TriggerResult:
        self._pane_key.state_key = (window, key)
        return self._trigger.on_event_time(time, window, self._context)

    def on_processing_time(self, time: int, window: Any, key: Any) -> TriggerResult:
        self._pane_key.state_key = (window, key)
        return self._trigger.on_processing_time(time, window, self._context)

    def on_merge(self, window: Any, parts: list[Any], key: Any) -> None:
        self._pane_key.state_key = (window, key)
        self._context.parts = parts
        self._trigger.on_merge(window, self._context)
        self._context.parts = []

    def clear(self, window: Any, key: Any) -> None:
        self._pane_key.state_key = (window, key)
        self._trigger.clear(window, self._context)
