"""Interval join: pairs of a left and a right row of one key whose event times are within bounds.

Each side keeps its rows in a table by time bucket, numbered as they came, so that a row is one entry written once,
and a bucket that the watermark has passed goes as one:

    tables ``left``, ``right``    {bucket: {number: (state key, event time, value)}}

Partners are found in an index {bucket: {state key: [row]}} of the same row objects, which is derived from the tables
and made anew with the operator. Buckets are about half as wide as the interval: a row looks into three of them,
and a side keeps rows for half an interval longer than it must.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headrace.datastream.functions import ProcessJoinFunction
from headrace.datastream.output_tag import OutputTag
from headrace.errors import UsageError
from headrace.graph.keys import state_key
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.due import DueTimes
from headrace.runtime.state.isolation import ATOMS, isolated
from headrace.runtime.state.keyed import CurrentKey
from headrace.runtime.state.tables import MISSING, Table, Tables

#: Narrower buckets would cost more than the rows in them.
BUCKET_MIN_MS = 100

Row = tuple[Any, int, Any]


class _Side:
    """One side's rows. ``lower`` and ``upper``: where partners of a row are, from its event time.

    ``kept_ms``: how long after its event time a row may find a partner.
    """

    def __init__(self, table: Table, width_ms: int, lower_ms: int, upper_ms: int, late_tag: str | None) -> None:
        self.table = table
        self.width_ms = width_ms
        self.lower_ms, self.upper_ms = lower_ms, upper_ms
        self.kept_ms = max(0, upper_ms)
        self.late_tag = None if late_tag is None else OutputTag(late_tag)
        self.due = DueTimes(table)
        self.index: dict[int, dict[Any, list[Row]]] = {}
        for bucket, rows in table.spaces.items():
            keys = self.index[bucket] = {}
            # By number: after a restore the dict may be in another order.
            for number in range(len(rows)):
                row = rows[number]
                keys.setdefault(row[0], []).append(row)

    def drop(self, watermark_ms: int) -> None:
        """Forget the buckets in which no row can find a partner any more: one at the watermark is not late."""
        while (bucket := self.due.first()) is not None:
            if (bucket + 1) * self.width_ms - 1 + self.kept_ms >= watermark_ms:
                return
            self.table.drop(bucket)
            self.index.pop(bucket, None)


class _Context(ProcessJoinFunction.Context):
    """One object for all calls, as it is valid during a call only."""

    __slots__ = ("left_ms", "right_ms")

    def __init__(self) -> None:
        self.left_ms = self.right_ms = 0

    def get_left_timestamp(self) -> int:
        return self.left_ms

    def get_right_timestamp(self) -> int:
        return self.right_ms

    def get_timestamp(self) -> int:
        return max(self.left_ms, self.right_ms)


class IntervalJoinOperator:
    """The head of a vertex. Bounds are inclusive: left at t, right from t + lower to t + upper."""

    def __init__(
        self,
        function: ProcessJoinFunction[Any, Any, Any],
        lower_ms: int,
        upper_ms: int,
        *,
        tables: Tables,
        uid: str,
        current: CurrentKey,
        late_tags: tuple[str | None, str | None] = (None, None),
    ) -> None:
        width_ms = max(BUCKET_MIN_MS, (upper_ms - lower_ms) // 2 + 1)
        self.watermark = MIN_WATERMARK
        self.late_dropped = 0
        self._sides = (
            _Side(tables.table(f"{uid}/left"), width_ms, lower_ms, upper_ms, late_tags[0]),
            _Side(tables.table(f"{uid}/right"), width_ms, -upper_ms, -lower_ms, late_tags[1]),
        )
        self._process = function.process_element
        self._context = _Context()
        self._current = current

    def add_rows(
        self, number: int, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]
    ) -> Iterator[tuple[Any, int]]:
        """Take the rows of one message of a side; what their pairs give, pair by pair.

        To be taken to its end before the next call.
        """
        if None in times:
            raise _event_time_missing()
        mine, others = self._sides[number], self._sides[1 - number].index
        watermark, width = self.watermark, mine.width_ms
        lower, upper = mine.lower_ms, mine.upper_ms
        pairs = self._pairs
        at = None  # the bucket that the next four belong to
        space: dict[int, Row] = {}
        undo: dict[int, Any] = {}
        index: dict[Any, list[Row]] = {}
        looked_at: list[dict[Any, list[Row]]] = []
        for key, time, value in zip(keys, times, values, strict=True):
            if time < watermark:
                yield from self._late(mine, value, time)
                continue
            if type(key) is not str:
                key = state_key(key)
            row = key, time, value
            bucket = time // width
            if bucket != at:
                at = bucket
                space, undo = mine.table.enter(bucket)
                mine.due.add(bucket)
                index = mine.index.setdefault(bucket, {})
                # Every bucket that a row of this one may have partners in.
                first, last = bucket * width + lower, (bucket + 1) * width - 1 + upper
                span = range(first // width, last // width + 1)
                looked_at = [others[n] for n in span if n in others]
            count = len(space)
            undo[count] = MISSING
            space[count] = row
            same = index.get(key)
            if same is None:
                index[key] = [row]
            else:
                same.append(row)
            for partners in looked_at:
                found = partners.get(key)
                if found is not None:
                    yield from pairs(number, row, found)

    def _pairs(self, number: int, row: Row, found: list[Row]) -> Iterator[tuple[Any, int]]:
        """What the pairs of a row with those of the same key that are within the bounds give."""
        key, time, value = row
        side, context, process = self._sides[number], self._context, self._process
        first, last = time + side.lower_ms, time + side.upper_ms
        shared = type(value) in ATOMS
        self._current.state_key = key
        for _, other_time, other in found:
            if not first <= other_time <= last:
                continue
            # The rows stay in the tables: what the function may change is a copy.
            mine = value if shared else isolated(value)
            if type(other) not in ATOMS:
                other = isolated(other)
            if number:
                context.left_ms, context.right_ms = other_time, time
                outputs = process(other, mine, context)
            else:
                context.left_ms, context.right_ms = time, other_time
                outputs = process(mine, other, context)
            if outputs is not None:
                later = time if time > other_time else other_time
                for output in outputs:
                    yield output, later

    def _late(self, side: _Side, value: Any, time: int) -> list[tuple[Any, int]]:
        if side.late_tag is None:
            self.late_dropped += 1
            return []
        return [((side.late_tag, value), time)]

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Nothing fires; rows without hope go."""
        self.watermark = watermark_ms
        for side in self._sides:
            side.drop(watermark_ms)
        return True


def _event_time_missing() -> UsageError:
    return UsageError(
        "event-time-missing",
        "a record without event time reached an interval join",
        hint="give both sources a WatermarkStrategy with a timestamp assigner, or call "
        "assign_timestamps_and_watermarks() before key_by()",
    )
