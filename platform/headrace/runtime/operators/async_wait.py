"""AsyncDataStream: rows whose results come later, from coroutines of the user's.

    add_rows ─► waiting ─► begun (at most ``capacity``) ─► results ─► emit, in the order that the mode allows
    advance  ─► the watermark waits behind the rows that came before it

Rows lie in segments with a watermark behind each. Only the first segment emits: ordered, as its rows came;
unordered, as their results come. So no watermark overtakes a row, and none is held back by rows behind it.

A row counts as read when it is here: it is state until its results have left, and is begun anew after a restart.
One whose results leave before the next commit costs the lane log nothing. All but ``Calls`` is in the lane's thread.

    table "<uid>/async"   "rows"       ─► number ─► (value, event time)
                          "watermark"  ─► ""     ─► the watermark that has left
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

from headrace.runtime.ports import MIN_WATERMARK, Pending
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import Table

ROWS, WATERMARK = "rows", "watermark"


class Outcome(NamedTuple):
    """How the call for a row ended: with results, or with an error of the user's."""

    number: int
    results: list[Any]
    error: BaseException | None = None


class Calls(Protocol):
    """Runs the user's coroutines beside the lane."""

    def begin(self, rows: Sequence[tuple[int, Any]]) -> None:
        """Call the function for each (number, value)."""

    def ended(self) -> list[Outcome]:
        """What has ended since the last time, in that order."""


class _Row:
    __slots__ = ("number", "results", "segment", "time_ms")

    def __init__(self, number: int, time_ms: int | None, segment: _Segment) -> None:
        self.number = number
        self.time_ms = time_ms
        self.segment = segment
        self.results: list[Any] | None = None


class _Segment:
    """Rows between two watermarks; ``watermark_ms`` comes behind them, None while they still come."""

    __slots__ = ("ended", "rows", "watermark_ms")

    def __init__(self) -> None:
        self.rows: dict[int, _Row] = {}
        self.ended: list[_Row] = []  #: got their results since ``_ready`` asked
        self.watermark_ms: int | None = None


class AsyncWaitOperator:
    """The head of a vertex; ``emit`` takes the results. ``open`` it before anything else."""

    def __init__(
        self, calls: Calls, table: Table, emit: Callable[[Any, int | None], None], *, ordered: bool, capacity: int
    ) -> None:
        self.watermark = MIN_WATERMARK  #: what has left
        self._calls = calls
        self._table = table
        self._emit = emit
        self._ordered = ordered
        self._capacity = capacity
        self._segments = deque([_Segment()])
        self._waiting: deque[tuple[int, Any]] = deque()
        self._begun: dict[int, _Row] = {}  #: called, and their results have not left
        self._rows: dict[int, _Row] = {}  #: all that are here
        self._next = 0

    def open(self) -> None:
        """Take up the rows that an earlier attempt had here; whatever watermark comes is behind all of them."""
        self.watermark = self._table.get(WATERMARK, "", MIN_WATERMARK)
        for number, (value, time_ms) in sorted(self._table.space(ROWS).items()):
            self._take(number, isolated(value), time_ms)
        self._begin()

    def pending(self) -> Pending:
        if not self._rows:
            return Pending.NONE
        return Pending.FULL if self._waiting or len(self._begun) >= self._capacity else Pending.SOME

    def add_rows(self, values: Sequence[Any], times: Sequence[int | None]) -> None:
        """Take the rows of one message; those beyond the capacity wait here."""
        for value, time_ms in zip(values, times, strict=True):
            number = self._next
            self._table.put(ROWS, number, (isolated(value), time_ms))  # the user may change what he is given
            self._take(number, value, time_ms)
        self._begin()

    def advance(self, watermark_ms: int) -> None:
        """The watermark comes behind all rows that are here."""
        last = self._segments[-1]
        if last.rows:
            last.watermark_ms = watermark_ms
            self._segments.append(_Segment())
        elif len(self._segments) > 1:
            self._segments[-2].watermark_ms = watermark_ms
        else:
            self._leave(watermark_ms)

    def drain(self) -> bool:
        """Emit what has its results and its turn; False when nothing left. Raises what a call has failed with."""
        for outcome in self._calls.ended():
            if outcome.error is not None:
                raise outcome.error
            row = self._begun[outcome.number]
            row.results = outcome.results
            row.segment.ended.append(row)
        left = self._release()
        self._begin()
        return left

    def _take(self, number: int, value: Any, time_ms: int | None) -> None:
        segment = self._segments[-1]
        self._rows[number] = segment.rows[number] = _Row(number, time_ms, segment)
        self._waiting.append((number, value))
        self._next = number + 1

    def _begin(self) -> None:
        room = min(self._capacity - len(self._begun), len(self._waiting))
        if room <= 0:
            return
        rows = [self._waiting.popleft() for _ in range(room)]
        for number, _ in rows:
            self._begun[number] = self._rows[number]
        self._calls.begin(rows)

    def _release(self) -> bool:
        left = False
        while True:
            segment = self._segments[0]
            for row in self._ready(segment):
                left = True
                del segment.rows[row.number], self._begun[row.number], self._rows[row.number]
                self._table.delete(ROWS, row.number)
                for value in row.results or ():
                    self._emit(value, row.time_ms)
            if segment.rows or segment.watermark_ms is None:
                return left
            self._segments.popleft()
            self._leave(segment.watermark_ms)
            left = True

    def _ready(self, segment: _Segment) -> list[_Row]:
        """Whose turn it is."""
        ended, segment.ended = segment.ended, []
        if not (ended and self._ordered):
            return ended
        return list(takewhile(lambda row: row.results is not None, segment.rows.values()))

    def _leave(self, watermark_ms: int) -> None:
        if watermark_ms > self.watermark:
            self.watermark = watermark_ms
            self._table.put(WATERMARK, "", watermark_ms)
