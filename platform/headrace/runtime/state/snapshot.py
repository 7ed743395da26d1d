"""The cursor of a fuzzy snapshot: visits every namespace that existed at its beginning, a budget at a time.

A chunk holds values as of the commit it travels with. That is enough: what changed or appeared after the
beginning is in the changes of later commits, and what vanished meanwhile is skipped here. The keys of a
namespace are listed when the cursor reaches it, so beginning costs one step per namespace, not per key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from headrace.protocol.data import TableChange
from headrace.runtime.state import changes

if TYPE_CHECKING:
    from headrace.runtime.state.tables import Table

#: Entries pickled at a time: the estimate of their size is corrected after each slice.
SLICE_ENTRIES = 2_000


class Snapshot:
    """One pass over all tables. ``done`` once everything was visited."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._visits = _visit([(table, tuple(table.spaces)) for table in tables if table.spaces])
        self._head = next(self._visits, None)  #: the next to visit: known, so that the last chunk can say so

    @property
    def done(self) -> bool:
        return self._head is None

    def chunk(self, bytes_max: int) -> list[TableChange]:
        """The next entries, about ``bytes_max`` bytes of them, as absolute puts."""
        out: list[TableChange] = []
        left = bytes_max
        while left > 0 and self._head is not None:
            table = self._head[0]
            puts, entries = self._slice(table, max(1, min(SLICE_ENTRIES, int(left / table.entry_bytes))))
            if entries:
                encoded = changes.encode(table.name, puts, ())
                size = sum(len(change.puts) for change in encoded)
                table.weigh(entries, size)
                left -= size
                out += encoded
        return out

    def _slice(self, table: Table, visits_max: int) -> tuple[list[tuple[Any, dict[Any, Any]]], int]:
        """(puts, how many entries they hold) of up to ``visits_max`` keys of one table."""
        puts: dict[Any, dict[Any, Any]] = {}
        entries = 0
        for _ in range(visits_max):
            if self._head is None or self._head[0] is not table:
                break
            _, namespace, key = self._head
            space = table.spaces.get(namespace)
            if space is not None and key in space:
                puts.setdefault(namespace, {})[key] = space[key]
                entries += 1
            self._head = next(self._visits, None)
        return list(puts.items()), entries


def _visit(todo: list[tuple[Table, tuple[Any, ...]]]) -> Iterator[tuple[Table, Any, Any]]:
    for table, namespaces in todo:
        for namespace in namespaces:
            for key in tuple(table.spaces.get(namespace, ())):
                yield table, namespace, key
