"""Windows on a grid, tumbling or sliding, of a keyed stream. By event time, or by the time of day.

Namespaces of the tables are window starts, so that the windows a watermark reaches are found, fired and
dropped without looking at other keys. A window fires once when the watermark passes its last moment; with
allowed lateness it is kept longer, and each late element fires its key's window again. Elements later than
that go to the side output for late data, or are dropped and counted.

How a window's values become results is in ``evaluation``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from headrace.graph.keys import state_key
from headrace.runtime.eventtime.aligned import Aligned, Sliding
from headrace.runtime.operators.evaluation import Evaluation, Fired, event_time_missing
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import DueTimes
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Table, Tables


class WindowOperator:
    """The head of a vertex. ``emit(value, time_ms)`` takes what fires on a watermark.

    Tables: ``window`` {start: {key: accumulator}}, for collecting windows {start: {key: None}};
    ``window-elements`` {(start, key): {index: value}}; ``window-due`` {start: {key: None}}, with lateness only:
    the keys that have still to fire on time.
    """

    def __init__(
        self, windows: Aligned, tables: Tables, uid: str, evaluation: Evaluation, emit: Callable[[Any, int], None]
    ) -> None:
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self._windows = windows
        self._lateness = windows.lateness_ms > 0
        #: A value is the first accumulator of each of its windows: they must not be one object.
        self._copies = isinstance(windows, Sliding) and evaluation.accumulation is not None
        #: A moment may be in no window: whether it is late shows in no group.
        self._gaps = isinstance(windows, Sliding) and windows.slide_ms > windows.size_ms
        self._values: Table = tables.table(f"{uid}/window")
        self._elements: Table = tables.table(f"{uid}/window-elements")
        self._unfired: Table = tables.table(f"{uid}/window-due") if self._lateness else self._values
        self._kept = DueTimes(self._values)
        self._due = DueTimes(self._unfired) if self._lateness else self._kept
        self._evaluation = evaluation
        self._accumulation = evaluation.accumulation
        evaluation.watermark = lambda: self.watermark
        self._emit = emit

    # ---- elements

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]) -> Fired:
        """Take the rows of one message; what late elements made fire, and those too late for all."""
        if None in times:
            raise event_time_missing()
        put = self._collect if self._accumulation is None else self._accumulate
        fired: Fired = []
        look_for_late = self._gaps
        for start, its_keys, its_values in self._windows.groups(keys, values, times):
            if self._windows.gone(start, self.watermark):
                look_for_late = True
                continue
            if self._copies:
                its_values = list(map(isolated, its_values))
            self._kept.add(start)
            if not self._lateness:
                put(start, its_keys, its_values)
            elif self._windows.last_moment(start) > self.watermark:
                put(start, its_keys, its_values)
                self._remember(start, its_keys)
            else:
                waiting = self._unfired.space(start)  # while a long firing is cut in pieces: fires with the rest
                for key, value in zip(its_keys, its_values, strict=True):
                    put(start, (key,), (value,))
                    if _state_key(key) not in waiting:
                        fired += self._fire(start, _state_key(key))
        if look_for_late:
            fired += self._late(values, times)
        return fired

    def _late(self, values: Sequence[Any], times: Sequence[int]) -> Fired:
        """The rows that are in no window any more: dropped and counted, or out on the side."""
        late, tag = self._windows.late, self._evaluation.late_tag
        rows = [(value, time) for value, time in zip(values, times, strict=True) if late(time, self.watermark)]
        if tag is None:
            self.late_dropped += len(rows)
            return []
        return [((tag, value), time) for value, time in rows]

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

    def due(self, watermark_ms: int) -> bool:
        """Whether this watermark fires something."""
        start = self._due.first()
        return start is not None and self._windows.last_moment(start) <= watermark_ms

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire and drop what the watermark passed; False when about ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        last_moment = self._windows.last_moment
        room = rows_max
        while (start := self._due.first()) is not None and last_moment(start) <= watermark_ms:
            if room <= 0:
                return False
            room -= self._fire_window(start, room)
        while (
            self._lateness and (start := self._kept.first()) is not None and self._windows.gone(start, watermark_ms)
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
        results: list[Any]
        if self._accumulation is not None:
            results = [self._accumulation.result(self._values.get(start, key))]
        else:
            space = self._elements.space((start, key))
            results = isolated([space[index] for index in range(len(space))])
        last = self._windows.last_moment(start)
        return [(value, last) for value in self._evaluation.outputs(key, start, last + 1, results)]

    def _forget(self, start: int, key: Any) -> None:
        """The window of this key is over."""
        if self._accumulation is None:
            self._elements.drop((start, key))
        if self._evaluation.clears:
            self._evaluation.over(key, start, self._windows.last_moment(start) + 1)


def _state_key(key: Any) -> Any:
    return key if type(key) is str else state_key(key)
