"""Tumbling event-time windows of a keyed stream.

    accumulating   reduce or aggregate: one accumulator per key and window, whatever the number of elements
    collecting     a lone process: all elements of a key and window, kept until it fires

Namespaces of the tables are window starts, so that the windows a watermark reaches are found, fired and
dropped without looking at other keys. A window fires once when the watermark passes its last moment; with
allowed lateness it is kept longer, and each late element fires its key's window again. Elements later than
that are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.datastream.functions import AggregateFunction, ProcessWindowFunction
from headrace.datastream.window import TimeWindow
from headrace.graph.keys import key_of_state, state_key
from headrace.runtime.eventtime.tumbling import Tumbling
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import DueTimes
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Table

Late = Iterable[tuple[Any, int]]
NO_LATE: tuple[tuple[Any, int], ...] = ()


class _Context(ProcessWindowFunction.Context[TimeWindow]):
    def __init__(self, window: TimeWindow, watermark: int) -> None:
        self._window = window
        self._watermark = watermark

    def window(self) -> TimeWindow:
        return self._window

    def current_watermark(self) -> int:
        return self._watermark


@dataclass(frozen=True)
class Accumulation:
    """How a window's accumulator grows: ``first`` makes it of one value, ``add`` takes another."""

    first: Callable[[Any], Any]
    add: Callable[[Any, Any], Any]
    result: Callable[[Any], Any]


def of_reduce(reduce: Callable[[Any, Any], Any]) -> Accumulation:
    return Accumulation(first=lambda value: value, add=lambda value, acc: reduce(acc, value), result=isolated)


def of_aggregate(function: AggregateFunction) -> Accumulation:
    create, add = function.create_accumulator, function.add
    return Accumulation(first=lambda value: add(value, create()), add=add, result=function.get_result)


class WindowOperator:
    """The head of a vertex. ``emit(value, time_ms)`` takes what fires on a watermark."""

    def __init__(
        self,
        tumbling: Tumbling,
        values: Table,
        elements: Table,
        unfired: Table,
        *,
        accumulation: Accumulation | None,
        process: Callable[[Any, Any, Any], Iterable[Any]] | None,
        emit: Callable[[Any, int], None],
    ) -> None:
        """Tables: ``values`` {start: {key: accumulator}}, for collecting windows {start: {key: None}};
        ``elements`` {(start, key): {index: value}}; ``unfired`` {start: {key: None}}, used with lateness only."""
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self._tumbling = tumbling
        self._values, self._elements, self._unfired = values, elements, unfired
        self._accumulation = accumulation
        self._process = process
        self._emit = emit
        self._kept = DueTimes(values)
        self._due = DueTimes(unfired) if tumbling.lateness_ms else self._kept
        self.add_rows: Callable[[Sequence[Any], Sequence[Any], Sequence[int | None]], Late] = (
            self._collect if accumulation is None else self._accumulate
        )

    # ---- elements

    def _accumulate(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[int | None]) -> Late:
        assert self._accumulation is not None
        size, offset = self._tumbling.size_ms, self._tumbling.offset_ms
        first, add = self._accumulation.first, self._accumulation.add
        at: int | None = None
        space: dict[Any, Any] = {}
        undo: dict[Any, Any] = {}
        late: list[tuple[int, Any]] | None = None
        for key, value, time in zip(keys, values, times, strict=True):
            if time is None:
                raise _no_time(value)
            start = time - (time - offset) % size
            if start != at:
                if self._tumbling.gone(start, self.watermark):
                    self.late_dropped += 1
                    continue
                space, undo = self._values.enter(start)
                self._kept.add(start)
                at = start
            name = key if type(key) is str else state_key(key)
            acc = space.get(name, MISSING)
            if name not in undo:
                undo[name] = acc
                if acc is not MISSING:
                    acc = isolated(acc)  # add may change it in place; undo keeps the one before
            space[name] = first(value) if acc is MISSING else add(value, acc)
            if self._tumbling.lateness_ms and self._touch(start, name):
                late = late or []
                late.append((start, name))
        return NO_LATE if late is None else self._late_firings(late)

    def _collect(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[int | None]) -> Late:
        late: list[tuple[int, Any]] = []
        for key, value, time in zip(keys, values, times, strict=True):
            if time is None:
                raise _no_time(value)
            start = self._tumbling.start(time)
            if self._tumbling.gone(start, self.watermark):
                self.late_dropped += 1
                continue
            name = key if type(key) is str else state_key(key)
            self._values.put(start, name, None)
            self._kept.add(start)
            space, undo = self._elements.enter((start, name))
            index = len(space)
            undo.setdefault(index, MISSING)
            space[index] = value
            if self._tumbling.lateness_ms and self._touch(start, name):
                late.append((start, name))
        return self._late_firings(late) if late else NO_LATE

    def _touch(self, start: int, name: Any) -> bool:
        """With lateness: remember the key to fire; True when its window has fired already and must fire again."""
        if self._tumbling.last_moment(start) <= self.watermark:
            return True
        self._unfired.put(start, name, None)
        self._due.add(start)
        return False

    def _late_firings(self, late: list[tuple[int, Any]]) -> Late:
        """Each late element fires its window again: with the elements up to the end of this batch."""
        for start, name in dict.fromkeys(late):
            for value in self._fire(start, name):
                yield value, self._tumbling.last_moment(start)

    # ---- firing

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire and drop what the watermark passed; False when about ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        table = self._unfired if self._tumbling.lateness_ms else self._values
        fired = 0
        while (start := self._due.first()) is not None and self._tumbling.last_moment(start) <= watermark_ms:
            names = list(table.space(start))
            whole = fired + len(names) <= rows_max
            for name in names if whole else names[: rows_max - fired]:
                for value in self._fire(start, name):
                    self._emit(value, self._tumbling.last_moment(start))
                if not self._tumbling.lateness_ms:
                    self._forget_elements(start, name)
                if not whole:
                    table.delete(start, name)
            if not whole:
                return False
            fired += len(names)
            table.drop(start)
        if self._tumbling.lateness_ms:
            self._drop_gone(watermark_ms)
        return True

    def _drop_gone(self, watermark_ms: int) -> None:
        while (start := self._kept.first()) is not None and self._tumbling.gone(start, watermark_ms):
            for name in list(self._values.space(start)):
                self._forget_elements(start, name)
            self._values.drop(start)

    def _forget_elements(self, start: int, name: Any) -> None:
        if self._accumulation is None:
            self._elements.drop((start, name))

    def _fire(self, start: int, name: Any) -> Iterable[Any]:
        """The window function's outputs for one key and window."""
        if self._accumulation is not None:
            accumulator = self._values.get(start, name)
            results = [self._accumulation.result(accumulator)]
        else:
            space = self._elements.space((start, name))
            results = [isolated(space[index]) for index in range(len(space))]
        if self._process is None:
            return results
        window = TimeWindow(start, start + self._tumbling.size_ms)
        outputs = self._process(key_of_state(name), _Context(window, self.watermark), results)
        return () if outputs is None else outputs


def _no_time(value: Any) -> ValueError:
    return ValueError(
        f"a record without event time reached a window: {value!r:.200}; give the source a WatermarkStrategy "
        "with a timestamp assigner"
    )
