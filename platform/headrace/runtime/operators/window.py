"""Tumbling event-time windows of a keyed stream.

    accumulating   reduce or aggregate: one accumulator per key and window, whatever the number of elements
    collecting     a lone process: all elements of a key and window, kept until the window is over

Namespaces of the tables are window starts, so that the windows a watermark reaches are found, fired and
dropped without looking at other keys. A window fires once when the watermark passes its last moment; with
allowed lateness it is kept longer, and each late element fires its key's window again. Elements later than
that are dropped and counted.

Accumulators belong to the table: user code may change them in place, so what leaves is a copy, and so is what
an aborted commit goes back to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from headrace.datastream.functions import AggregateFunction, KeyedStateStore, ProcessWindowFunction
from headrace.datastream.window import TimeWindow
from headrace.errors import UsageError
from headrace.graph.keys import key_of_state, state_key
from headrace.runtime.eventtime.tumbling import Tumbling
from headrace.runtime.operators.context import call_of
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import DueTimes
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.keyed import CurrentKey, TableStateStore
from headrace.runtime.state.tables import MISSING, Table, Tables

Fired = list[tuple[Any, int]]


@dataclass(frozen=True)
class Accumulation:
    """How a window's accumulator grows: ``first`` makes it of one value, ``add`` takes another.

    ``result`` gives a value that shares nothing with the accumulator.
    """

    first: Callable[[Any], Any]
    add: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]


def of_reduce(reduce: Callable[[Any, Any], Any]) -> Accumulation:
    return Accumulation(first=lambda value: value, add=lambda value, acc: reduce(acc, value), result=isolated)


def of_aggregate(function: AggregateFunction) -> Accumulation:
    create, add, get_result = function.create_accumulator, function.add, function.get_result
    return Accumulation(
        first=lambda value: add(value, create()), add=add, result=lambda acc: isolated(get_result(acc))
    )


class _Context(ProcessWindowFunction.Context[TimeWindow]):
    """One object for all calls, as it is valid during a call only."""

    def __init__(self, operator: WindowOperator, tables: Tables, uid: str) -> None:
        self._operator = operator
        self.current_window: TimeWindow | None = None
        self._global = TableStateStore(tables, uid, operator.current)
        self._of_window = TableStateStore(tables, uid, operator.window_key, "window-")

    def window(self) -> TimeWindow:
        assert self.current_window is not None
        return self.current_window

    def current_watermark(self) -> int:
        return self._operator.watermark

    def global_state(self) -> KeyedStateStore:
        """State of the key, shared by its windows."""
        return self._global

    def window_state(self) -> KeyedStateStore:
        """State of this key and window; ``clear(context)`` of the function must remove it."""
        return self._of_window


class WindowOperator:
    """The head of a vertex. ``emit(value, time_ms)`` takes what fires on a watermark.

    ``function``: a ProcessWindowFunction or f(key, context, elements), None to give results as they are.

    Tables: ``window`` {start: {key: accumulator}}, for collecting windows {start: {key: None}};
    ``window-elements`` {(start, key): {index: value}}; ``window-due`` {start: {key: None}}, with lateness only:
    the keys that have still to fire on time.
    """

    def __init__(
        self,
        tumbling: Tumbling,
        tables: Tables,
        uid: str,
        current: CurrentKey,
        *,
        accumulation: Accumulation | None,
        function: Any,
        emit: Callable[[Any, int], None],
    ) -> None:
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self.current = current
        self.window_key = CurrentKey()
        self._tumbling = tumbling
        self._lateness = tumbling.lateness_ms > 0
        self._values: Table = tables.table(f"{uid}/window")
        self._elements: Table = tables.table(f"{uid}/window-elements")
        self._unfired: Table = tables.table(f"{uid}/window-due") if self._lateness else self._values
        self._kept = DueTimes(self._values)
        self._due = DueTimes(self._unfired) if self._lateness else self._kept
        self._accumulation = accumulation
        self._process = None if function is None else call_of(function, "process")
        self._clear = getattr(function, "clear", None)
        self._context = _Context(self, tables, uid)
        self._emit = emit

    # ---- elements

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[int | None]) -> Fired:
        """Take the rows of one message; what late elements made fire comes back as (value, time)."""
        put = self._collect if self._accumulation is None else self._accumulate
        fired: Fired = []
        for start, its_keys, its_values in self._by_window(keys, values, times):
            if self._tumbling.gone(start, self.watermark):
                self.late_dropped += len(its_keys)
                continue
            self._kept.add(start)
            if not self._lateness:
                put(start, its_keys, its_values)
            elif self._tumbling.last_moment(start) > self.watermark:
                put(start, its_keys, its_values)
                self._remember(start, its_keys)
            else:
                waiting = self._unfired.space(start)  # while a long firing is cut in pieces: fires with the rest
                for key, value in zip(its_keys, its_values, strict=True):
                    put(start, (key,), (value,))
                    if _state_key(key) not in waiting:
                        fired += self._fire(start, _state_key(key))
        return fired

    def _by_window(
        self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]
    ) -> Iterable[tuple[int, Sequence[Any], Sequence[Any]]]:
        """(window start, keys, values), the order kept within each window; mostly all rows are in one."""
        if None in times:
            raise _no_event_time()
        if not times:
            return ()
        start = self._tumbling.start(min(times))
        end = start + self._tumbling.size_ms
        if max(times) < end:
            return ((start, keys, values),)
        groups: dict[int, tuple[list[Any], list[Any]]] = {}
        start = end = 0
        for key, value, time in zip(keys, values, times, strict=True):
            if not start <= time < end:
                start = self._tumbling.start(time)
                end = start + self._tumbling.size_ms
                its_keys, its_values = groups.setdefault(start, ([], []))
            its_keys.append(key)
            its_values.append(value)
        return [(start, *group) for start, group in groups.items()]

    def _accumulate(self, start: int, keys: Sequence[Any], values: Sequence[Any]) -> None:
        assert self._accumulation is not None
        first, add = self._accumulation.first, self._accumulation.add
        space, undo = self._values.enter(start)
        for key, value in zip(keys, values, strict=True):
            if type(key) is not str:
                key = state_key(key)
            acc = space.get(key, MISSING)
            if key not in undo:
                undo[key] = acc
                if acc is not MISSING:
                    acc = isolated(acc)  # add may change it in place; undo keeps the one before
            space[key] = first(value) if acc is MISSING else add(value, acc)

    def _collect(self, start: int, keys: Sequence[Any], values: Sequence[Any]) -> None:
        space, undo = self._values.enter(start)
        enter = self._elements.enter
        for key, value in zip(keys, values, strict=True):
            if type(key) is not str:
                key = state_key(key)
            if key not in space:
                undo.setdefault(key, MISSING)
                space[key] = None
            elements, replaced = enter((start, key))
            index = len(elements)
            replaced.setdefault(index, MISSING)
            elements[index] = value

    def _remember(self, start: int, keys: Sequence[Any]) -> None:
        """With lateness: these keys have still to fire on time."""
        self._due.add(start)
        space, undo = self._unfired.enter(start)
        for key in dict.fromkeys(map(_state_key, keys)):
            if key not in space:
                undo.setdefault(key, MISSING)
                space[key] = None

    # ---- firing

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire and drop what the watermark passed; False when about ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        last_moment = self._tumbling.last_moment
        room = rows_max
        while (start := self._due.first()) is not None and last_moment(start) <= watermark_ms:
            if room <= 0:
                return False
            room -= self._fire_window(start, room)
        while (
            self._lateness and (start := self._kept.first()) is not None and self._tumbling.gone(start, watermark_ms)
        ):
            for key in self._values.space(start):
                self._forget(start, key)
            self._values.drop(start)
        return True

    def _fire_window(self, start: int, keys_max: int) -> int:
        """Fire up to ``keys_max`` keys of a window and take them off the table of what is due; how many."""
        table, emit = self._unfired, self._emit
        space = table.space(start)
        keys = list(islice(space, keys_max))
        whole = len(keys) == len(space)
        for key in keys:
            for value, time in self._fire(start, key):
                emit(value, time)
            if not self._lateness:
                self._forget(start, key)
            if not whole:
                table.delete(start, key)
        if whole:
            table.drop(start)
        return len(keys)

    def _fire(self, start: int, key: Any) -> Fired:
        """What the window of one key gives now."""
        last = self._tumbling.last_moment(start)
        results: list[Any]
        if self._accumulation is not None:
            results = [self._accumulation.result(self._values.get(start, key))]
        else:
            space = self._elements.space((start, key))
            results = isolated([space[index] for index in range(len(space))])
        if self._process is None:
            return [(value, last) for value in results]
        self._enter(start, key)
        outputs = self._process(key_of_state(key), self._context, results)
        return [] if outputs is None else [(value, last) for value in outputs]

    def _forget(self, start: int, key: Any) -> None:
        """The window of this key is over."""
        if self._accumulation is None:
            self._elements.drop((start, key))
        if self._clear is not None:
            self._enter(start, key)
            self._clear(self._context)

    def _enter(self, start: int, key: Any) -> None:
        self.current.state_key = key
        self.window_key.state_key = (start, key)
        self._context.current_window = TimeWindow(start, start + self._tumbling.size_ms)


def _state_key(key: Any) -> Any:
    return key if type(key) is str else state_key(key)


def _no_event_time() -> UsageError:
    return UsageError(
        "event-time-missing",
        "a record without event time reached a window",
        hint="give the source a WatermarkStrategy with a timestamp assigner, or call "
        "assign_timestamps_and_watermarks() before key_by()",
    )
