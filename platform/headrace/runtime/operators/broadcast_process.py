"""BroadcastProcessFunction and KeyedBroadcastProcessFunction: a stream beside one that every lane gets whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.datastream.functions import KeyedBroadcastProcessFunction, KeyedStateFunction
from headrace.datastream.state import BroadcastState, MapStateDescriptor, ReadOnlyBroadcastState
from headrace.datastream.time_domain import TimeDomain
from headrace.datastream.timerservice import TimerService
from headrace.graph.keys import key_of_state, state_key
from headrace.runtime.operators.co_process import OnElement, TimesOnly
from headrace.runtime.operators.keyed_process import KeyedProcessOperator
from headrace.runtime.state.broadcast import BroadcastStates
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore


class _NoKey:
    """In the place of a key where there is none: keyed state cannot be reached with it."""

    def __hash__(self) -> int:
        raise RuntimeError("no key is in progress for a broadcast element: use ctx.apply_to_keyed_state()")


NO_KEY = _NoKey()


class _Context(KeyedBroadcastProcessFunction.OnTimerContext):
    """Of the elements of the stream, and of timers; one object for all calls."""

    def __init__(self, states: BroadcastStates, current: CurrentKey, service: TimerService) -> None:
        self._states = states
        self._current = current
        self._service = service
        self.time: int | None = None
        self.domain = TimeDomain.EVENT_TIME

    def timestamp(self) -> int | None:
        return self.time

    def current_processing_time(self) -> int:
        return self._service.current_processing_time()

    def current_watermark(self) -> int:
        return self._service.current_watermark()

    def get_broadcast_state(self, state_descriptor: MapStateDescriptor) -> ReadOnlyBroadcastState[Any, Any]:
        return self._states.readable(state_descriptor)

    def get_current_key(self) -> Any:
        return key_of_state(self._current.state_key)

    def timer_service(self) -> TimerService:
        return self._service

    def time_domain(self) -> TimeDomain:
        return self.domain


class _BroadcastContext(KeyedBroadcastProcessFunction.Context):
    """Of the elements of the broadcast stream. ``store`` is None for a stream without keys."""

    def __init__(self, states: BroadcastStates, current: CurrentKey, service: TimerService, store: Any) -> None:
        self._states = states
        self._current = current
        self._service = service
        self._store: TableStateStore | None = store
        self.time: int | None = None

    def timestamp(self) -> int | None:
        return self.time

    def current_processing_time(self) -> int:
        return self._service.current_processing_time()

    def current_watermark(self) -> int:
        return self._service.current_watermark()

    def get_broadcast_state(self, state_descriptor: MapStateDescriptor) -> BroadcastState[Any, Any]:
        return self._states.writable(state_descriptor)

    def apply_to_keyed_state(
        self, state_descriptor: Any, function: KeyedStateFunction | Callable[[Any, Any], None]
    ) -> None:
        if self._store is None:
            raise RuntimeError("apply_to_keyed_state() needs a keyed stream: call key_by() before connect()")
        process = function.process if isinstance(function, KeyedStateFunction) else function
        state = self._store.state_of(state_descriptor)
        for key in self._store.keys_of(state_descriptor):
            self._current.state_key = key
            process(key_of_state(key), state)
        self._current.state_key = NO_KEY


class BroadcastProcessOperator:
    """Without keys. ``inputs``: what takes an element of the stream, and of the broadcast stream."""

    def __init__(
        self, function: Any, states: BroadcastStates, watermark: Callable[[], int], clock_ms: Callable[[], int]
    ) -> None:
        current, service = CurrentKey(), TimesOnly(watermark, clock_ms)
        context = _Context(states, current, service)
        broadcast_context = _BroadcastContext(states, current, service, None)

        def element(_key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
            context.time = time_ms
            return function.process_element(value, context)  # type: ignore[no-any-return]

        self.inputs: tuple[OnElement, OnElement] = element, _broadcast_input(function, broadcast_context, current)


class KeyedBroadcastProcessOperator(KeyedProcessOperator):
    """With keys: state and timers for elements of the stream, and for timers."""

    def __init__(
        self,
        function: Any,
        states: BroadcastStates,
        store: TableStateStore,
        timers: Any,
        processing_timers: Any,
        current: CurrentKey,
        emit: Callable[[Any, int | None], None],
        clock_ms: Callable[[], int],
    ) -> None:
        super().__init__(function, timers, processing_timers, current, emit, clock_ms)
        service = self._context.timer_service()
        context = _Context(states, current, service)
        self._context: Any = context
        broadcast_context = _BroadcastContext(states, current, service, store)

        def element(key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
            current.state_key = key if type(key) is str else state_key(key)
            context.time = time_ms
            return function.process_element(value, context)  # type: ignore[no-any-return]

        self.inputs: tuple[OnElement, OnElement] = element, _broadcast_input(function, broadcast_context, current)


def _broadcast_input(function: Any, context: _BroadcastContext, current: CurrentKey) -> OnElement:
    def element(_key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
        current.state_key = NO_KEY
        context.time = time_ms
        return function.process_broadcast_element(value, context)  # type: ignore[no-any-return]

    return element
