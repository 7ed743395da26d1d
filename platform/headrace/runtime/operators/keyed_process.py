"""KeyedProcessFunction: elements and timers of one key at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.datastream.functions import KeyedProcessFunction
from headrace.datastream.time_domain import TimeDomain
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
        return self._operator.clock_ms()

    def register_event_time_timer(self, timestamp: int) -> None:
        self._operator.timers.register(int(timestamp), self._operator.current.state_key)

    def delete_event_time_timer(self, timestamp: int) -> None:
        self._operator.timers.delete(int(timestamp), self._operator.current.state_key)

    def register_processing_time_timer(self, timestamp: int) -> None:
        self._operator.processing_timers.register(int(timestamp), self._operator.current.state_key)

    def delete_processing_time_timer(self, timestamp: int) -> None:
        self._operator.processing_timers.delete(int(timestamp), self._operator.current.state_key)


class _Context(KeyedProcessFunction.OnTimerContext):
    """One object for all calls, as it is valid during a call only."""

    __slots__ = ("_operator", "_service", "domain", "time")

    def __init__(self, operator: KeyedProcessOperator) -> None:
        self._operator = operator
        self._service = _TimerService(operator)
        self.time: int | None = None
        self.domain = TimeDomain.EVENT_TIME

    def get_current_key(self) -> Any:
        return key_of_state(self._operator.current.state_key)

    def timestamp(self) -> int | None:
        return self.time

    def time_domain(self) -> TimeDomain:
        return self.domain

    def timer_service(self) -> TimerService:
        return self._service


class KeyedProcessOperator:
    """The head of a vertex; ``emit`` takes what timers give."""

    late_dropped = 0

    def __init__(
        self,
        function: KeyedProcessFunction,
        timers: Timers,
        processing_timers: Timers,
        current: CurrentKey,
        emit: Callable[[Any, int | None], None],
        clock_ms: Callable[[], int],
    ) -> None:
        self.timers = timers
        self.processing_timers = processing_timers
        self.current = current
        self.clock_ms = clock_ms
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
        self._context.domain = TimeDomain.EVENT_TIME
        for _ in range(rows_max):
            timer = self.timers.pop(watermark_ms)
            if timer is None:
                return True
            self._fire(*timer, timer[0])
        return False

    def tick(self, rows_max: int) -> bool:
        """Fire the timers that the clock has passed, ``rows_max`` at most; False when there is none."""
        passed_ms = self.clock_ms() - 1  # a moment has passed when the clock shows the next
        timer = self.processing_timers.pop(passed_ms)
        if timer is None:
            return False
        self._context.domain = TimeDomain.PROCESSING_TIME
        while timer is not None and rows_max > 0:
            self._fire(*timer, None)
            rows_max -= 1
            timer = self.processing_timers.pop(passed_ms) if rows_max else None
        return True

    def _fire(self, time_ms: int, key: Any, event_time_ms: int | None) -> None:
        self.current.state_key = key
        self._context.time = time_ms
        outputs = self._function.on_timer(time_ms, self._context)
        if outputs is not None:
            for value in outputs:
                self._emit(value, event_time_ms)
