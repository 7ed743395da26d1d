"""Count windows of a keyed stream: window n of a key holds its elements from n * slide up to n * slide + size.

A window fires with its last element and is gone; one that never fills never fires. Event time plays no part: what
a window gives has the event time of the element that filled it.

    table ``count``            {"": {key: how many elements came}}
    table ``window``           {key: {n: accumulator}}
    table ``window-elements``  {(n, key): {index: value}}, of collecting windows
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.graph.keys import state_key
from headrace.runtime.operators.evaluation import Evaluation, Fired
from headrace.runtime.ports import MIN_WATERMARK
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Table, Tables


class CountOperator:
    """The head of a vertex."""

    late_dropped = 0  #: nothing is late

    def __init__(self, size: int, slide: int, tables: Tables, uid: str, evaluation: Evaluation) -> None:
        self.watermark = MIN_WATERMARK
        self._size = size
        self._slide = slide
        self._counts: Table = tables.table(f"{uid}/count")
        self._table: Table = tables.table(f"{uid}/window")
        self._elements: Table = tables.table(f"{uid}/window-elements")
        self._evaluation = evaluation
        self._accumulation = evaluation.accumulation
        evaluation.watermark = lambda: self.watermark

    def add_rows(self, keys: Sequence[Any], values: Sequence[Any], times: Sequence[Any]) -> Fired:
        """Take the rows of one message; what the windows gave that they filled."""
        fired: Fired = []
        size, slide = self._size, self._slide
        for key, value, time in zip(keys, values, times, strict=True):
            if type(key) is not str:
                key = state_key(key)
            position: int = self._counts.get("", key, 0)
            self._counts.put("", key, position + 1)
            first = max(0, (position - size) // slide + 1)
            for number in range(first, position // slide + 1):
                self._add(key, number, value)
                if position == number * slide + size - 1:
                    fired += [(output, time) for output in self._fire(key, number)]
        return fired

    def advance(self, watermark_ms: int, rows_max: int) -> bool:
        """Nothing waits for event time."""
        self.watermark = watermark_ms
        return True

    def _add(self, key: Any, number: int, value: Any) -> None:
        if self._accumulation is None:
            elements, replaced = self._elements.enter((number, key))
            index = len(elements)
            replaced.setdefault(index, MISSING)
            elements[index] = value
            return
        space, undo = self._table.enter(key)
        accumulator = space.get(number, MISSING)
        if number not in undo:
            undo[number] = accumulator
            if accumulator is not MISSING:
                accumulator = isolated(accumulator)  # add may change it in place; undo keeps the one before
        if accumulator is MISSING:
            space[number] = self._accumulation.first(isolated(value))  # windows that overlap share no object
        else:
            space[number] = self._accumulation.add(value, accumulator)

    def _fire(self, key: Any, number: int) -> list[Any]:
        """What the full window gives; it is gone then."""
        if self._accumulation is None:
            space = self._elements.space((number, key))
            results = isolated([space[index] for index in range(len(space))])
            self._elements.drop((number, key))
        else:
            results = [self._accumulation.result(self._table.get(key, number))]
            self._table.delete(key, number)
        outputs = list(self._evaluation.outputs(key, number, number, results))
        if self._evaluation.clears:
            self._evaluation.over(key, number, number)
        return outputs
