"""The contents of windows that a trigger decides about: what came into a window of a key and was not purged.

    table ``panes``          {window: {key: accumulator}}, of accumulating windows
    table ``pane-elements``  {(window, key): {index: value}}, of collecting windows
    table ``pane-merges``    {key: {window: the window that names its contents}}, of windows that merge

Merging puts all contents under the name of the earliest window, so that a session that grows moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headrace.datastream.assigner import MergingWindowAssigner
from headrace.runtime.operators.evaluation import Accumulation
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Table, Tables


class Panes:
    """Contents by window and state key. Without an accumulation all elements are kept."""

    def __init__(self, accumulation: Accumulation | None, tables: Tables, uid: str) -> None:
        self._accumulation = accumulation
        self._accumulators: Table = tables.table(f"{uid}/panes")
        self._elements: Table = tables.table(f"{uid}/pane-elements")

    def add(self, window: Any, key: Any, value: Any) -> None:
        if self._accumulation is None:
            self._append(window, key, (value,))
            return
        space, undo = self._accumulators.enter(window)
        accumulator = space.get(key, MISSING)
        if key not in undo:
            undo[key] = accumulator
            if accumulator is not MISSING:
                accumulator = isolated(accumulator)  # add may change it in place; undo keeps the one before
        # Windows that overlap share no object.
        first = accumulator is MISSING
        space[key] = (
            self._accumulation.first(isolated(value)) if first else self._accumulation.add(value, accumulator)
        )

    def results(self, window: Any, key: Any) -> list[Any] | None:
        """What a window function is given: the one result, or the elements; None for a window without contents."""
        if self._accumulation is None:
            space = self._elements.space((window, key))
            return isolated([space[index] for index in range(len(space))]) if space else None
        accumulator = self._accumulators.get(window, key, MISSING)
        return None if accumulator is MISSING else [self._accumulation.result(accumulator)]

    def clear(self, window: Any, key: Any) -> None:
        if self._accumulation is None:
            self._elements.drop((window, key))
        else:
            self._accumulators.delete(window, key)

    def merge(self, target: Any, key: Any, sources: Iterable[Any]) -> None:
        """Put the contents of ``sources`` after those of ``target``, in their order."""
        for source in sources:
            if self._accumulation is None:
                space = self._elements.space((source, key))
                self._append(target, key, [space[index] for index in range(len(space))])
                self._elements.drop((source, key))
            elif (taken := self._take(source, key)) is not MISSING:
                own = self._take(target, key)
                joined = taken if own is MISSING else self._accumulation.merge(own, taken)
                self._accumulators.put(target, key, joined)

    def _append(self, window: Any, key: Any, values: Sequence[Any]) -> None:
        if not values:
            return
        elements, replaced = self._elements.enter((window, key))
        for index, value in enumerate(values, len(elements)):
            replaced.setdefault(index, MISSING)
            elements[index] = value

    def _take(self, window: Any, key: Any) -> Any:
        """An accumulator off the table, free to change: undo keeps the one before."""
        accumulator = isolated(self._accumulators.get(window, key, MISSING))
        self._accumulators.delete(window, key)
        return accumulator


#: Called when windows of a key have become one: the window, those it took the place of.
Merged = Callable[[Any, list[Any]], None]


class MergingWindows:
    """The windows of each key that an assigner may merge, and the names of their contents."""

    def __init__(self, assigner: MergingWindowAssigner[Any, Any], panes: Panes, tables: Tables, uid: str) -> None:
        self._assigner = assigner
        self._panes = panes
        self._names: Table = tables.table(f"{uid}/pane-merges")

    def name(self, key: Any, window: Any) -> Any:
        """The window that names the contents of this one; None when the key has no such window."""
        return self._names.get(key, window)

    def add(self, key: Any, window: Any, merged: Merged) -> Any:
        """The window that this new one becomes part of; ``merged`` is called for each that others became."""
        known = list(self._names.space(key))
        merges = _Merges()
        self._assigner.merge_windows([*known, *([] if window in known else [window])], merges)
        result = window
        for merge_result, parts in merges.found:
            if window in parts:
                result = merge_result
            self._merge(key, merge_result, [part for part in parts if part in known], merged)
        if self.name(key, result) is None:
            self._names.put(key, result, result)
        return result

    def retire(self, key: Any, window: Any) -> None:
        self._names.delete(key, window)

    def _merge(self, key: Any, result: Any, parts: list[Any], merged: Merged) -> None:
        if not parts or parts == [result]:
            return  # a new window, alone; or one that falls into a window that is there
        names = [self.name(key, part) for part in parts]
        for part in parts:
            self._names.delete(key, part)
        self._names.put(key, result, names[0])
        self._panes.merge(names[0], key, names[1:])
        merged(result, [part for part in parts if part != result])


class _Merges(MergingWindowAssigner.MergeCallback[Any]):
    """What an assigner says is to merge."""

    def __init__(self) -> None:
        self.found: list[tuple[Any, list[Any]]] = []

    def merge(self, to_be_merged: Iterable[Any], merge_result: Any) -> None:
        self.found.append((merge_result, list(to_be_merged)))
