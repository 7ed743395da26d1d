"""Broadcast state: maps that a lane keeps of a broadcast stream, in one table each, of no key.

    table ``<uid>/broadcast/<name>``   {"": {key: value}}

As with keyed state, handles give copies and keep copies.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from headrace.datastream.state import BroadcastState, MapStateDescriptor, ReadOnlyBroadcastState
from headrace.errors import UsageError
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import Table, Tables


class TableReadOnlyBroadcastState(ReadOnlyBroadcastState[Any, Any]):
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, key: Any) -> Any:
        return isolated(self._table.get("", key))

    def contains(self, key: Any) -> bool:
        return key in self._table.space("")

    def items(self) -> list[tuple[Any, Any]]:
        return [(key, isolated(value)) for key, value in self._table.space("").items()]

    def keys(self) -> list[Any]:
        return list(self._table.space(""))

    def values(self) -> list[Any]:
        return [isolated(value) for value in self._table.space("").values()]

    def is_empty(self) -> bool:
        return not self._table.space("")


class TableBroadcastState(TableReadOnlyBroadcastState, BroadcastState[Any, Any]):
    def put(self, key: Any, value: Any) -> None:
        self._table.put("", key, isolated(value))

    def put_all(self, dict_value: dict[Any, Any]) -> None:
        for key, value in dict_value.items():
            self.put(key, value)

    def remove(self, key: Any) -> None:
        self._table.delete("", key)

    def clear(self) -> None:
        self._table.drop("")


class BroadcastStates:
    """The broadcast states of one operator, by the names that ``broadcast()`` was given."""

    def __init__(self, tables: Tables, uid: str, names: Collection[str]) -> None:
        found = {name: tables.table(f"{uid}/broadcast/{name}") for name in names}
        self._writable = {name: TableBroadcastState(table) for name, table in found.items()}
        self._readable = {name: TableReadOnlyBroadcastState(table) for name, table in found.items()}

    def writable(self, descriptor: MapStateDescriptor) -> TableBroadcastState:
        return self._writable[self._known(descriptor)]

    def readable(self, descriptor: MapStateDescriptor) -> TableReadOnlyBroadcastState:
        return self._readable[self._known(descriptor)]

    def _known(self, descriptor: MapStateDescriptor) -> str:
        name = descriptor.get_name()
        if name not in self._writable:
            raise UsageError(
                "broadcast-state-unknown",
                f"broadcast state {name!r} is asked for, but broadcast() was given {', '.join(self._writable)}",
                hint="give the descriptor to broadcast() too, and mind its name",
            )
        return name
