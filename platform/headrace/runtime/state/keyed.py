"""Keyed state as users see it, over the tables: handles that read and write the key in progress.

A handle gives copies and keeps copies (``isolation``): what a user changes in place counts only when it is set.
Handles are made once and used for every key, so they hold no key of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from headrace.datastream.functions import AggregateFunction
from headrace.datastream.state import AggregatingState, ListState, MapState, ReducingState, ValueState
from headrace.runtime.state.isolation import ATOMS, isolated
from headrace.runtime.state.tables import MISSING, Table


class CurrentKey:
    """The key in progress in its form for tables; set by the operator before user code runs."""

    __slots__ = ("state_key",)

    def __init__(self) -> None:
        self.state_key: Any = None


class TableValueState(ValueState[Any]):
    def __init__(self, table: Table, current: CurrentKey) -> None:
        self._table = table
        self._current = current

    def value(self) -> Any:
        space = self._table.spaces.get("")
        if space is None:
            return None
        value = space.get(self._current.state_key)
        return value if type(value) in ATOMS else isolated(value)

    def update(self, value: Any) -> None:
        self._table.put("", self._current.state_key, value if type(value) in ATOMS else isolated(value))

    def clear(self) -> None:
        self._table.delete("", self._current.state_key)


class TableListState(ListState[Any]):
    """Entries are numbered from 0, so that adding one writes one."""

    def __init__(self, table: Table, current: CurrentKey) -> None:
        self._table = table
        self._current = current

    def get(self) -> list[Any]:
        space = self._table.space(self._current.state_key)
        # By number: after a restore the dict may be in another order.
        values = [space[index] for index in range(len(space))]
        return isolated(values) if values else values

    def add(self, value: Any) -> None:
        self._append(isolated(value))

    def add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self._append(isolated(value))

    def update(self, values: Iterable[Any]) -> None:
        kept = [isolated(value) for value in values]
        self.clear()
        for value in kept:
            self._append(value)

    def clear(self) -> None:
        self._table.drop(self._current.state_key)

    def _append(self, value: Any) -> None:
        space, undo = self._table.enter(self._current.state_key)
        index = len(space)
        undo.setdefault(index, MISSING)
        space[index] = value


class TableMapState(MapState[Any, Any]):
    def __init__(self, table: Table, current: CurrentKey) -> None:
        self._table = table
        self._current = current

    def get(self, key: Any) -> Any:
        return isolated(self._table.get(self._current.state_key, key))

    def put(self, key: Any, value: Any) -> None:
        self._table.put(self._current.state_key, key, isolated(value))

    def put_all(self, dict_value: Any) -> None:
        for key, value in dict(dict_value).items():
            self.put(key, value)

    def remove(self, key: Any) -> None:
        self._table.delete(self._current.state_key, key)

    def contains(self, key: Any) -> bool:
        return key in self._table.space(self._current.state_key)

    def items(self) -> list[tuple[Any, Any]]:
        space = self._table.space(self._current.state_key)
        return [(key, isolated(value)) for key, value in space.items()]

    def keys(self) -> list[Any]:
        return list(self._table.space(self._current.state_key))

    def values(self) -> list[Any]:
        return [isolated(value) for value in self._table.space(self._current.state_key).values()]

    def is_empty(self) -> bool:
        return not self._table.space(self._current.state_key)

    def clear(self) -> None:
        self._table.drop(self._current.state_key)


class TableReducingState(ReducingState[Any]):
    def __init__(self, table: Table, current: CurrentKey, reduce: Callable[[Any, Any], Any]) -> None:
        self._table = table
        self._current = current
        self._reduce = reduce

    def get(self) -> Any:
        return isolated(self._table.get("", self._current.state_key))

    def add(self, value: Any) -> None:
        key = self._current.state_key
        old = self._table.get("", key, MISSING)
        new = value if old is MISSING else self._reduce(isolated(old), value)
        self._table.put("", key, isolated(new))

    def clear(self) -> None:
        self._table.delete("", self._current.state_key)


class TableAggregatingState(AggregatingState[Any, Any]):
    def __init__(self, table: Table, current: CurrentKey, function: AggregateFunction) -> None:
        self._table = table
        self._current = current
        self._function = function

    def get(self) -> Any:
        accumulator = self._table.get("", self._current.state_key, MISSING)
        return None if accumulator is MISSING else self._function.get_result(isolated(accumulator))

    def add(self, value: Any) -> None:
        key = self._current.state_key
        space, undo = self._table.enter("")
        accumulator = space.get(key, MISSING)
        if key not in undo:
            undo[key] = accumulator
            accumulator = isolated(accumulator) if accumulator is not MISSING else accumulator
        if accumulator is MISSING:
            accumulator = self._function.create_accumulator()
        # The accumulator is the table's own from here on: no copy for each element.
        space[key] = self._function.add(value, accumulator)

    def take_accumulator(self) -> Any:
        """Remove it; MISSING when there is none."""
        accumulator = isolated(self._table.get("", self._current.state_key, MISSING))
        self.clear()
        return accumulator

    def merge_accumulator(self, accumulator: Any) -> None:
        """Join another one to that of the key."""
        key = self._current.state_key
        own = self._table.get("", key, MISSING)
        joined = accumulator if own is MISSING else self._function.merge(isolated(own), accumulator)
        self._table.put("", key, joined)

    def clear(self) -> None:
        self._table.delete("", self._current.state_key)
