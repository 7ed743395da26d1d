"""CoProcessFunction and KeyedCoProcessFunction: two inputs, told apart by the method that is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from headrace.datastream.functions import CoProcessFunction
from headrace.datastream.timerservice import TimerService
from headrace.graph.keys import state_key
from headrace.runtime.operators.keyed_process import KeyedProcessOperator

#: One element of an input: (key, value, event time) to what the function gives. The key is None without one.
OnElement = Callable[[Any, Any, int | None], Iterable[Any] | None]


class TimesOnly(TimerService):
    """The timer service where there is no key: tells times, has no timers."""

    def __init__(self, watermark: Callable[[], int], clock_ms: Callable[[], int]) -> None:
        self._watermark = watermark
        self._clock_ms = clock_ms

    def current_watermark(self) -> int:
        return self._watermark()

    def current_processing_time(self) -> int:
        return self._clock_ms()

    def register_event_time_timer(self, timestamp: int) -> NoReturn:
        self._refuse()

    def delete_event_time_timer(self, timestamp: int) -> NoReturn:
        self._refuse()

    def register_processing_time_timer(self, timestamp: int) -> NoReturn:
        self._refuse()

    def delete_processing_time_timer(self, timestamp: int) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError("timers belong to keys: call key_by() on the connected streams before this function")


class _Context(CoProcessFunction.Context):
    __slots__ = ("_service", "time")

    def __init__(self, service: TimerService) -> None:
        self._service = service
        self.time: int | None = None

    def timestamp(self) -> int | None:
        return self.time

    def timer_service(self) -> TimerService:
        return self._service


class CoProcessOperator:
    """Without keys. ``inputs``: what takes an element of each input."""

    def __init__(self, function: Any, watermark: Callable[[], int], clock_ms: Callable[[], int]) -> None:
        self._context = _Context(TimesOnly(watermark, clock_ms))
        self.inputs = self._input(function.process_element1), self._input(function.process_element2)

    def _input(self, process: Callable[..., Iterable[Any] | None]) -> OnElement:
        context = self._context

        def call(_key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
            context.time = time_ms
            return process(value, context)

        return call


class KeyedCoProcessOperator(KeyedProcessOperator):
    """With keys: both inputs share the state and the timers of a key."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        super().__init__(function, *arguments)
        self.inputs = self._input(function.process_element1), self._input(function.process_element2)

    def _input(self, process: Callable[..., Iterable[Any] | None]) -> OnElement:
        context, current = self._context, self.current

        def call(key: Any, value: Any, time_ms: int | None) -> Iterable[Any] | None:
            current.state_key = key if type(key) is str else state_key(key)
            context.time = time_ms
            return process(value, context)

        return call
