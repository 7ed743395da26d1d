"""Session windows of a keyed stream: they grow with their elements, and merge when they overlap or touch.

An element opens the window [time, time + gap). Windows of its key that overlap it or touch it become one with it,
also one that has fired already and is kept for its lateness. A session fires when the watermark passes its last
moment; a late element that leaves it in the past fires it again at once, one that moves its end ahead of the
watermark lets it fire once more on time. An element too late even after merging goes to the side output for late
data, or is dropped and counted.

    table ``sessions``         {key: {start: (end, fired, accumulator)}}
    table ``window-elements``  {(segment, key): {index: value}}, of collecting windows

The accumulator of a collecting window is the tuple of its segments, each the start of a session that has merged
into it; so merging moves no elements. What is due, and the order of a key's sessions, is derived from the tables.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headrace.datastream.window import checked_gap
from headrace.graph.keys import state_key
from headrace.runtime.operators.evaluation import Evaluation, Fired, event_time_missing
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Space, Table, Tables

#: The agenda may hold this many entries more than twice the sessions before it is made anew.
STALE_MAX = 1_000


class Session(NamedTuple):
    """``fired``: it gave its results and is kept for late elements."""

    end: int
    fired: bool
    accumulator: Any


def fixed_gap(gap_ms: int) -> Callable[[Any], int]:
    return lambda _value: gap_ms


def dynamic_gap(extract: Callable[[Any], Any]) -> Callable[[Any], int]:
    """The user's gap, checked. Raises UsageError for what is no number of milliseconds."""
    return lambda value: checked_gap(extract(value), value)


class _Agenda:
    """When to look at which session; an entry may be stale, or be there twice."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Any, int]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, time: int, key: Any, start: int) -> None:
        self._count += 1  # decides between equal times: keys of different types have no order
        heapq.heappush(self._heap, (time, self._count, key, start))

    def due(self, time: int) -> bool:
        return bool(self._heap) and self._heap[0][0] <= time

    def pop(self) -> tuple[int, Any, int]:
        time, _, key, start = heapq.heappop(self._heap)
        return time, key, start


class SessionOperator:
    """The head of a vertex. ``emit(value, time_ms)`` takes what fires on a watermark."""

    def __init__(
        self,
        gap_of: Callable[[Any], int],
        lateness_ms: int,
        tables: Tables,
        uid: str,
        evaluation: Evaluation,
        emit: Callable[[Any, int], None],
    ) -> None:
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self._gap_of = gap_of
        self._lateness_ms = lateness_ms
        self._table: Table = tables.table(f"{uid}/sessions")
        self._elements: Table = tables.table(f"{uid}/window-elements")
        self._evaluation = evaluation
        self._accumulation = evaluation.accumulation
        evaluation.watermark = lambda: self.watermark
        self._emit = emit
        self._behind = True  #: what the watermark has passed may not have fired yet
        self._starts: dict[Any, list[int]] = {
            key: sorted(space) for key, space in self._table.spaces.items() if space
        }
        self._sessions = sum(map(len, self._starts.values()))
        self._agenda = self._new_agenda()

    # ---- elements

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]) -> Fired:
        """Take the rows of one message; what late elements made fire, and those too late for all."""
        if None in times:
            raise event_time_missing()
        fired: Fired = []
        gap_of, all_starts, spaces = self._gap_of, self._starts, self._table.spaces
        for key, value, time in zip(keys, values, times, strict=True):
            if type(key) is not str:
                key = state_key(key)
            if self._behind:
                fired += self._settle(key)
            end = time + gap_of(value)
            starts = all_starts.get(key)
            if starts is not None and starts[-1] <= time:
                session: Session = spaces[key][starts[-1]]
                if time <= session.end and not session.fired:
                    self._extend(key, starts[-1], session, value, end)
                    continue
            self._add(key, value, time, end, fired)
        if len(self._agenda) > 2 * self._sessions + STALE_MAX:
            self._agenda = self._new_agenda()
        return fired

    def _extend(self, key: Any, start: int, session: Session, value: Any, end: int) -> None:
        """The most common case: the element falls into its key's last session, which has still to fire."""
        space, undo = self._table.enter(key)
        accumulator = session.accumulator
        if start not in undo:
            undo[start] = session
            accumulator = isolated(accumulator)
        if self._accumulation is None:
            self._keep(key, accumulator[-1], value)
        else:
            accumulator = self._accumulation.add(value, accumulator)
        space[start] = Session(max(end, session.end), False, accumulator)

    def _add(self, key: Any, value: Any, start: int, end: int, fired: Fired) -> None:
        space = self._table.space(key)
        starts = self._starts.get(key, [])
        high = low = bisect_right(starts, end)
        while low and space[starts[low - 1]].end >= start:
            low -= 1
        if low == high and self._gone(end):
            self._late(value, start, fired)
            return
        space, undo = self._table.enter(key)
        touched = [(at, self._take(space, undo, at)) for at in starts[low:high]]
        was_fired = False
        if touched:
            start, end = min(start, touched[0][0]), max(end, touched[-1][1].end)
            was_fired = touched[0][1].fired
        fires_now = end - 1 <= self.watermark
        session = Session(end, fires_now, self._grown(key, [part for _, part in touched], value, start))
        undo.setdefault(start, MISSING)
        space[start] = session
        if not touched or touched[0][0] != start or was_fired != fires_now:
            self._agenda.add(self._next_look(session), key, start)
        starts[low:high] = [start]
        self._starts[key] = starts
        self._sessions += 1 - len(touched)
        if fires_now:
            fired += self._results(key, start, session)

    def _take(self, space: Space, undo: Space, start: int) -> Session:
        """A session off the table, its accumulator free to change: undo keeps the one before."""
        session: Session = space.pop(start)
        if start in undo:
            return session
        undo[start] = session
        return session._replace(accumulator=isolated(session.accumulator))

    def _grown(self, key: Any, parts: list[Session], value: Any, start: int) -> Any:
        """The accumulator of the sessions that became one, in the order of their starts, and the new value."""
        if self._accumulation is None:
            segments = tuple(segment for part in parts for segment in part.accumulator) or (start,)
            self._keep(key, segments[-1], value)
            return segments
        if not parts:
            return self._accumulation.first(value)
        accumulator = parts[0].accumulator
        for part in parts[1:]:
            accumulator = self._accumulation.merge(accumulator, part.accumulator)
        return self._accumulation.add(value, accumulator)

    def _keep(self, key: Any, segment: int, value: Any) -> None:
        elements, replaced = self._elements.enter((segment, key))
        index = len(elements)
        replaced.setdefault(index, MISSING)
        elements[index] = value

    def _late(self, value: Any, time: int, fired: Fired) -> None:
        if self._evaluation.late_tag is None:
            self.late_dropped += 1
        else:
            fired.append(((self._evaluation.late_tag, value), time))

    def _settle(self, key: Any) -> Fired:
        """A long firing is cut in pieces, or a restart came between: this key's part of it comes first."""
        fired: Fired = []
        space = self._table.space(key)
        starts = self._starts.get(key)
        if not starts or space[starts[0]].end - 1 > self.watermark:
            return fired
        for start in list(starts):
            if space[start].end - 1 > self.watermark:
                break  # and so do all that come after it
            if self._next_look(space[start]) <= self.watermark:
                fired += self._come_due(key, start, space[start])
        return fired

    # ---- firing

    def due(self, watermark_ms: int) -> bool:
        """Whether this watermark may fire something."""
        return self._agenda.due(watermark_ms)

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Fire and drop what the watermark passed; False when ``rows_max`` firings were reached first."""
        self.watermark = watermark_ms
        self._behind = True
        emit = self._emit
        for _ in range(rows_max):
            if not self._agenda.due(watermark_ms):
                self._behind = False
                return True
            time, key, start = self._agenda.pop()
            session: Session | None = self._table.get(key, start)
            if session is None:
                continue
            if self._next_look(session) > time:  # it grew; in its turn, as sessions fire in the order of their ends
                self._agenda.add(self._next_look(session), key, start)
                continue
            for value, time_ms in self._come_due(key, start, session):
                emit(value, time_ms)
        return False

    def _come_due(self, key: Any, start: int, session: Session) -> Fired:
        """Fire the session if it has not; keep it for its lateness, or drop it."""
        results: Fired = []
        if not session.fired:
            results = self._results(key, start, session)
            if not self._gone(session.end):
                space, undo = self._table.enter(key)
                session = self._take(space, undo, start)._replace(fired=True)
                space[start] = session
        if self._gone(session.end):
            self._forget(key, start, session)
        else:
            self._agenda.add(self._next_look(session), key, start)
        return results

    def _results(self, key: Any, start: int, session: Session) -> Fired:
        results: list[Any]
        if self._accumulation is not None:
            results = [self._accumulation.result(session.accumulator)]
        else:
            results = []
            for segment in session.accumulator:
                space = self._elements.space((segment, key))
                results += [space[index] for index in range(len(space))]
            results = isolated(results)
        last = session.end - 1
        return [(value, last) for value in self._evaluation.outputs(key, start, session.end, results)]

    def _forget(self, key: Any, start: int, session: Session) -> None:
        self._table.delete(key, start)
        if self._accumulation is None:
            for segment in session.accumulator:
                self._elements.drop((segment, key))
        starts = self._starts[key]
        del starts[bisect_left(starts, start)]
        if not starts:
            del self._starts[key]
        self._sessions -= 1
        if self._evaluation.clears:
            self._evaluation.over(key, start, session.end)

    def _gone(self, end: int) -> bool:
        return end - 1 + self._lateness_ms <= self.watermark

    def _next_look(self, session: Session) -> int:
        """When the session fires, or goes when it has fired."""
        return session.end - 1 + (self._lateness_ms if session.fired else 0)

    def _new_agenda(self) -> _Agenda:
        agenda = _Agenda()
        for key, space in self._table.spaces.items():
            for start, session in space.items():
                agenda.add(self._next_look(session), key, start)
        return agenda
