"""KeyedProcessFunction: elements and event-time timers of one key at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.clock import now_ms
from headrace.datastream.functions import KeyedProcessFunction
from headrace.datastream.timerservice import TimerService
from headrace.graph.keys import key_of_state, state_key
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import Timers
from headrace.runtime.state.keyed import CurrentKey


class _TimerService(TimerService):
    def __init__(self, operator: KeyedProcessOperator) -> None:
        self._operator = operator

    def current_watermark(self) -> int:
        return self._operator.watermark

    def current_processing_time(self) -> int:
        """Wall-clock ms. There are no processing-time timers."""
        return now_ms()

    def register_event_time_timer(self, timestamp: int) -> None:
        self._operator.timers.register(int(timestamp), self._operator.current.state_key)

    def delete_event_time_timer(self, timestamp: int) -> None:
        self._operator.timers.delete(int(timestamp), self._operator.current.state_key)


class _Context(KeyedProcessFunction.OnTimerContext):
    """One object for all calls, as it is valid during a call only."""

    __slots__ = ("_operator", "_service", "time")

    def __init__(self, operator: KeyedProcessOperator) -> None:
        self._operator = operator
        self._service = _TimerService(operator)
        self.time: int | None = None

    def get_current_key(self) -> Any:
        return key_of_state(self._operator.current.state_key)

    def timestamp(self) -> int | None:
        return self.time

    def timer_service(self) -> TimerService:
        return self._service


class KeyedProcessOperator:
    """The head of a vertex; ``emit`` takes what timers give."""

    def __init__(
        self, function: KeyedProcessFunction, timers: Timers, current: CurrentKey, emit: Callable[[Any, int], None]
    ) -> None:
        self.timers = timers
        self.current = current
        self.watermark = MIN_WATERMARK
        self._function = function
        self._context = _Context(self)
        self._emit = emit

    def process(self, key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
        """One element; the caller takes the outputs before the next call."""
        self.current.state_key = key if type(key) is str else state_key(key)
        self._context.time = time_ms
        return self._function.process_element(value, self._context)

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire timers up to the watermark; False when ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        for _ in range(rows_max):
            timer = self.timers.pop(watermark_ms)
            if timer is None:
                return True
            time_ms, self.current.state_key = timer
            self._context.time = time_ms
            outputs = self._function.on_timer(time_ms, self._context)
            if outputs is not None:
                for value in outputs:
                    self._emit(value, time_ms)
        return False
