"""What a window makes of its values: an accumulator that grows, and the user's window function over its result.

    accumulating   reduce or aggregate: one accumulator per key and window, whatever the number of elements
    collecting     a lone process: all elements of a key and window, kept until the window is over

Accumulators belong to the table: user code may change them in place, so what leaves is a copy, and so is what
an aborted commit goes back to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from headrace.datastream.functions import AggregateFunction, KeyedStateStore, ProcessWindowFunction
from headrace.datastream.output_tag import OutputTag
from headrace.datastream.window import TimeWindow, Window
from headrace.errors import UsageError
from headrace.graph.keys import key_of_state
from headrace.runtime.operators.context import call_of
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.store import TableStateStore
from headrace.runtime.state.tables import Tables

#: What windows give while rows come in: (value, event time). A side output is (tag, value) in the value's place.
Fired = list[tuple[Any, int]]


@dataclass(frozen=True)
class Accumulation:
    """How a window's accumulator grows: ``first`` makes it of one value, ``add`` takes another, ``merge`` joins two.

    ``result`` gives a value that shares nothing with the accumulator.
    """

    first: Callable[[Any], Any]
    add: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]


def of_reduce(reduce: Callable[[Any, Any], Any]) -> Accumulation:
    return Accumulation(
        first=lambda value: value, add=lambda value, acc: reduce(acc, value), merge=reduce, result=isolated
    )


def of_aggregate(function: AggregateFunction) -> Accumulation:
    create, add, get_result = function.create_accumulator, function.add, function.get_result
    return Accumulation(
        first=lambda value: add(value, create()),
        add=add,
        merge=function.merge,
        result=lambda acc: isolated(get_result(acc)),
    )


class _NoWindowState:
    """Stands where a window's own state would be, in windows that merge."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"{name}() of window_state(): session windows merge and have no state; use global_state()")


class _Context(ProcessWindowFunction.Context[Any]):
    """One object for all calls, as it is valid during a call only."""

    def __init__(
        self,
        global_state: KeyedStateStore,
        window_state: Any,
        watermark: Callable[[], int],
        clock_ms: Callable[[], int],
    ) -> None:
        self.current_window: Window | None = None
        self._global = global_state
        self._of_window = window_state
        self._watermark = watermark
        self._clock_ms = clock_ms

    def window(self) -> Any:
        return self.current_window

    def current_watermark(self) -> int:
        return self._watermark()

    def current_processing_time(self) -> int:
        return self._clock_ms()

    def global_state(self) -> KeyedStateStore:
        return self._global

    def window_state(self) -> KeyedStateStore:
        return self._of_window  # type: ignore[no-any-return]


class Evaluation:
    """The functions of one window operator, for one key and window at a time.

    ``function``: a ProcessWindowFunction or f(key, context, elements), None to give results as they are.
    ``window_of`` makes the window that functions see of its start and end; of windows that are no span these are
    what the operator knows it by, and nothing.
    ``late_tag``: id of the side output that takes what comes too late, None to drop it.
    """

    def __init__(
        self,
        accumulation: Accumulation | None,
        function: Any,
        *,
        tables: Tables,
        uid: str,
        current: CurrentKey,
        clock_ms: Callable[[], int],
        late_tag: str | None = None,
        merging: bool = False,
        window_of: Callable[[Any, Any], Window] = TimeWindow,
    ) -> None:
        self.accumulation = accumulation
        self.watermark: Callable[[], int] = lambda: 0  #: what the context tells; set by the operator
        self.late_tag = None if late_tag is None else OutputTag(late_tag)
        self._window_of = window_of
        self._current = current
        self._window_key = CurrentKey()
        self._process = None if function is None else call_of(function, "process")
        self._clear = _clear_of(function)
        self.clears = self._clear is not None
        of_window: Any = (
            _NoWindowState() if merging else TableStateStore(tables, uid, self._window_key, "window-", clock_ms)
        )
        self._context = _Context(
            TableStateStore(tables, uid, current, clock_ms=clock_ms), of_window, lambda: self.watermark(), clock_ms
        )

    def outputs(self, key: Any, start: Any, end: Any, results: list[Any]) -> Iterable[Any]:
        """What the window of this state key gives for these results of its accumulator, or elements."""
        if self._process is None:
            return results
        self._enter(key, start, end)
        outputs: Iterable[Any] | None = self._process(key_of_state(key), self._context, results)
        return () if outputs is None else outputs

    def over(self, key: Any, start: Any, end: Any) -> None:
        """The window of this state key is no more; to be called when ``clears``."""
        assert self._clear is not None
        self._enter(key, start, end)
        self._clear(self._context)

    def _enter(self, key: Any, start: Any, end: Any) -> None:
        self._current.state_key = key
        self._window_key.state_key = (start, key)
        self._context.current_window = self._window_of(start, end)


def _clear_of(function: Any) -> Callable[[Any], None] | None:
    """The user's ``clear``; None when there is none, so that a window's end costs nothing."""
    clear = getattr(type(function), "clear", None)
    return None if clear is None or clear is ProcessWindowFunction.clear else function.clear


def event_time_missing() -> UsageError:
    return UsageError(
        "event-time-missing",
        "a record without event time reached a window",
        hint="give the source a WatermarkStrategy with a timestamp assigner, or call "
        "assign_timestamps_and_watermarks() before key_by()",
    )
