"""Two-level tables {namespace: {key: value}} with undo: the keyed state of one lane.

A write changes the working dict at once. The frame of the running commit remembers, for each key it touches
first, what was there before; so the touched keys are the commit's change set, and an aborted commit is undone
without reading the log. At most two frames exist: the current one, and that of the commit in flight.

    write ─► current frame ──take_changes──► frame in flight ──committed──► forgotten
                  └──────────── rollback ─────────┘

Values must not be changed in place once they are in a table (``isolation`` makes the copies).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Final

from headrace.protocol.data import TableChange
from headrace.runtime.state import changes
from headrace.runtime.state.snapshot import Snapshot

Space = dict[Any, Any]


class _Missing:
    """Stands for "no value" where None is one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
NOTHING: Final[Space] = {}  #: the namespace that is not there; never written


class Frame:
    """What one commit replaced in one table, enough to put it back."""

    __slots__ = ("dropped", "grown", "undo")

    def __init__(self, undo: dict[Any, Space], dropped: dict[Any, tuple[Space, Space | None]], grown: int) -> None:
        self.undo = undo
        self.dropped = dropped
        self.grown = grown


class Table:
    """One named table. Hot loops take ``enter(namespace)`` once and work on its two dicts.

    ``spaces`` and ``undo`` are public for generated code; the pair from ``enter`` holds until the next
    ``drop`` of that namespace, ``take_changes`` or ``rollback``.
    """

    __slots__ = ("dropped", "entries", "entry_bytes", "in_flight", "name", "spaces", "undo")

    def __init__(self, name: str) -> None:
        self.name = name
        self.spaces: dict[Any, Space] = {}
        self.undo: dict[Any, Space] = {}
        self.dropped: dict[Any, tuple[Space, Space | None]] = {}
        self.in_flight: Frame | None = None
        self.entries = 0  #: as of the last closed frame
        self.entry_bytes = 64.0  #: running mean of what an entry takes pickled

    def get(self, namespace: Any, key: Any, default: Any = None) -> Any:
        return self.spaces.get(namespace, NOTHING).get(key, default)

    def space(self, namespace: Any) -> Space:
        """The entries of a namespace, to read only; empty when it does not exist."""
        return self.spaces.get(namespace, NOTHING)

    def enter(self, namespace: Any) -> tuple[Space, Space]:
        """(entries, undo) of a namespace for writing, both made if absent.

        Before the first write to a key in a frame: ``undo[key] = entries.get(key, MISSING)``.
        """
        space = self.spaces.get(namespace)
        if space is None:
            space = self.spaces[namespace] = {}
        undo = self.undo.get(namespace)
        if undo is None:
            undo = self.undo[namespace] = {}
        return space, undo

    def put(self, namespace: Any, key: Any, value: Any) -> None:
        undo = self.undo.get(namespace)
        if undo is None:
            undo = self.enter(namespace)[1]
        space = self.spaces[namespace]
        if key not in undo:
            undo[key] = space.get(key, MISSING)
        space[key] = value

    def delete(self, namespace: Any, key: Any) -> None:
        space = self.spaces.get(namespace)
        if space is None or key not in space:
            return
        undo = self.enter(namespace)[1]
        old = space.pop(key)
        if key not in undo:
            undo[key] = old

    def drop(self, namespace: Any) -> None:
        """Delete a namespace with all its keys: one operation here and in the log."""
        space = self.spaces.pop(namespace, None)
        if space is None:
            return
        undo = self.undo.pop(namespace, None)
        if namespace not in self.dropped:
            self.dropped[namespace] = (space, undo)

    def close_frame(self) -> tuple[list[tuple[Any, Space]], list[tuple[Any, list[Any] | None]]]:
        """(puts, deletes) of the current frame, which becomes the frame in flight.

        A namespace in both was dropped and written again: deletes come first.
        """
        puts: list[tuple[Any, Space]] = []
        deletes: list[tuple[Any, list[Any] | None]] = []
        grown = 0
        for namespace, (space, undo) in self.dropped.items():
            held = _size_before(space, undo)
            grown -= held
            if held:
                deletes.append((namespace, None))
        for namespace, undo in self.undo.items():
            space = self.spaces[namespace]
            put = _present(space, undo)
            replaced = len(undo) - _count_missing(undo)
            grown += len(put) - replaced
            if not space:
                del self.spaces[namespace]
                if replaced:
                    deletes.append((namespace, None))
                continue
            if put:
                puts.append((namespace, put))
            if len(put) < len(undo):
                gone = [key for key, old in undo.items() if old is not MISSING and key not in space]
                if gone:
                    deletes.append((namespace, gone))
        self.in_flight = Frame(self.undo, self.dropped, grown)
        self.undo, self.dropped = {}, {}
        self.entries += grown
        return puts, deletes

    def rollback(self, *, keep_in_flight: bool) -> None:
        self._restore(self.undo, self.dropped)
        self.undo, self.dropped = {}, {}
        frame, self.in_flight = self.in_flight, None
        if frame is not None and not keep_in_flight:
            self._restore(frame.undo, frame.dropped)
            self.entries -= frame.grown

    def _restore(self, undone: dict[Any, Space], dropped: dict[Any, tuple[Space, Space | None]]) -> None:
        for namespace, undo in undone.items():
            space = self.spaces.setdefault(namespace, {})
            _put_back(space, undo)
            if not space:
                del self.spaces[namespace]
        for namespace, (space, undo_before) in dropped.items():
            self.spaces.pop(namespace, None)
            if undo_before:
                _put_back(space, undo_before)
            if space:
                self.spaces[namespace] = space

    def absorb(self, puts: list[tuple[Any, Space]], deletes: list[tuple[Any, list[Any] | None]]) -> None:
        """Restore: apply changes read from the log, outside any frame."""
        for namespace, keys in deletes:
            space = self.spaces.get(namespace)
            if space is None:
                continue
            before = len(space)
            if keys is None:
                space = {}
            else:
                for key in keys:
                    space.pop(key, None)
            self.entries += len(space) - before
            if not space:
                del self.spaces[namespace]
        for namespace, put in puts:
            space = self.spaces.get(namespace)
            if space is None:
                self.spaces[namespace] = put
                self.entries += len(put)
            else:
                before = len(space)
                space.update(put)
                self.entries += len(space) - before

    def weigh(self, entries: int, size_bytes: int) -> None:
        """Learn from a pickle of ``entries`` entries how large an entry is."""
        if entries:
            self.entry_bytes += (size_bytes / entries - self.entry_bytes) * min(1.0, entries / 200)


def _present(space: Space, undo: Space) -> Space:
    """The touched keys that are there, with their values."""
    try:
        return dict(zip(undo, map(space.__getitem__, undo), strict=True))
    except KeyError:
        return {key: space[key] for key in undo if key in space}


def _count_missing(undo: Space) -> int:
    return sum(map(operator.is_, undo.values(), itertools.repeat(MISSING)))


def _size_before(space: Space, undo: Space | None) -> int:
    """How many keys the namespace had when the frame began."""
    if not undo:
        return len(space)
    return len(space) + sum(key not in space for key in undo) - _count_missing(undo)


def _put_back(space: Space, undo: Space) -> None:
    for key, old in undo.items():
        if old is MISSING:
            space.pop(key, None)
        else:
            space[key] = old


class Tables:
    """All state tables of one lane; see ``StateTables`` in runtime.ports for the contract with the lane loop.

    What is derived from state (``due``) must be made anew after a rollback or restore.
    """

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._in_flight = False
        self._snapshot: Snapshot | None = None
        self._assembly = changes.Assembly()

    def table(self, name: str) -> Table:
        """The table of that name, made if absent."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(name)
        return table

    def holds(self, name: str) -> bool:
        """Whether there is a table of that name with anything in it."""
        table = self._tables.get(name)
        return table is not None and bool(table.spaces)

    def take_changes(self) -> list[TableChange]:
        """Close the current frame: its changes, absolute. Raises UsageError for a value that cannot be pickled."""
        if self._in_flight:
            raise RuntimeError("take_changes while a commit is in flight")
        out: list[TableChange] = []
        for table in self._tables.values():
            if table.undo or table.dropped:
                puts, deletes = table.close_frame()
                if puts or deletes:
                    out += self._encode(table, puts, deletes)
        self._in_flight = True
        return out

    def committed(self) -> None:
        for table in self._tables.values():
            table.in_flight = None
        self._in_flight = False

    def rollback(self, *, keep_in_flight: bool) -> None:
        for table in self._tables.values():
            table.rollback(keep_in_flight=keep_in_flight)
        self._in_flight = False
        self._snapshot = None

    def apply(self, changes: Sequence[TableChange]) -> None:
        for change in changes:
            whole = self._assembly.add(change)
            if whole is not None:
                table = self.table(change.table)
                table.absorb(whole.puts, whole.deletes)
                table.weigh(sum(len(put) for _, put in whole.puts), whole.size_bytes)

    def clear(self) -> None:
        # The Table objects stay: whoever runs the operators holds them.
        for table in self._tables.values():
            table.spaces, table.undo, table.dropped, table.in_flight, table.entries = {}, {}, {}, None, 0
        self._in_flight = False
        self._snapshot = None
        self._assembly = changes.Assembly()

    def size_bytes(self) -> int:
        return int(sum(table.entries * table.entry_bytes for table in self._tables.values()))

    def begin_snapshot(self) -> None:
        self._snapshot = Snapshot(self._tables.values())

    def snapshot_chunk(self, bytes_max: int) -> tuple[list[TableChange], bool]:
        """Call it right after ``take_changes``: values are those of that commit's cut."""
        if self._snapshot is None:
            raise RuntimeError("snapshot_chunk without begin_snapshot")
        chunk = self._snapshot.chunk(bytes_max)
        last = self._snapshot.done
        if last:
            self._snapshot = None
        return chunk, last

    def abandon_snapshot(self) -> None:
        self._snapshot = None

    def _encode(
        self, table: Table, puts: list[tuple[Any, Space]], deletes: Iterable[tuple[Any, list[Any] | None]]
    ) -> list[TableChange]:
        out = changes.encode(table.name, puts, deletes)
        table.weigh(sum(len(put) for _, put in puts), sum(len(change.puts) for change in out))
        return out
