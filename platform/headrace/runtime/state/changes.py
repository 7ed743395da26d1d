"""A commit's changes and snapshot chunks as TableChange records, and back.

Puts are pickled once per table and commit. A record stays below about ``CHANGE_BYTES_MAX``: many entries are
cut into several records, a single larger value into continued ones (``more``), which the reader joins again.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from headrace.errors import UsageError
from headrace.protocol.data import TableChange
from headrace.runtime.state.isolation import dumps

CHANGE_BYTES_MAX = 800_000

Puts = list[tuple[Any, dict[Any, Any]]]
Deletes = list[tuple[Any, list[Any] | None]]


class Changes(NamedTuple):
    """The decoded form of one whole change; deletes come before puts."""

    puts: Puts
    deletes: Deletes
    size_bytes: int


def encode(table: str, puts: Puts, deletes: Iterable[tuple[Any, list[Any] | None]]) -> list[TableChange]:
    """Changes of one table, all deletes before all puts. Raises UsageError naming the table for bad values."""
    out = [TableChange(table, b"", blob) for blob in _delete_blobs(list(deletes))]
    for blob in _put_blobs(table, puts):
        pieces = [blob[at : at + CHANGE_BYTES_MAX] for at in range(0, len(blob), CHANGE_BYTES_MAX)]
        out += [TableChange(table, piece, b"", more=n < len(pieces)) for n, piece in enumerate(pieces, 1)]
    if len(out) == 2 and out[0].deletes and out[1].puts and len(out[0].deletes) + len(out[1].puts) < CHANGE_BYTES_MAX:
        return [TableChange(table, out[1].puts, out[0].deletes)]
    return out


class Assembly:
    """Joins continued changes, table by table, in log order."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[bytes]] = {}

    def add(self, change: TableChange) -> Changes | None:
        """The change as a whole, or None while pieces are missing."""
        puts = change.puts
        if change.more or change.table in self._pieces:
            pieces = self._pieces.setdefault(change.table, [])
            pieces.append(puts)
            if change.more:
                return None
            puts = b"".join(self._pieces.pop(change.table))
        return Changes(
            pickle.loads(puts) if puts else [],
            pickle.loads(change.deletes) if change.deletes else [],
            len(puts),
        )


def _put_blobs(table: str, puts: Puts) -> list[bytes]:
    if not puts:
        return []
    try:
        blob = dumps(puts)
    except UsageError as error:
        raise _named(table, puts, error) from error
    if len(blob) <= CHANGE_BYTES_MAX:
        return [blob]
    entries = sum(len(put) for _, put in puts)
    if entries == 1:
        return [blob]
    share = -(-entries // (len(blob) // (CHANGE_BYTES_MAX * 7 // 8) + 1))
    return [piece for part in _cut(puts, max(1, share)) for piece in _put_blobs(table, part)]


def _cut(puts: Puts, share: int) -> list[Puts]:
    """Parts of at most ``share`` entries, in order."""
    parts: list[Puts] = [[]]
    room = share
    for namespace, put in puts:
        items = iter(put.items())
        left = len(put)
        while left:
            if not room:
                parts.append([])
                room = share
            taken = dict(islice(items, min(room, left)))
            parts[-1].append((namespace, taken))
            room -= len(taken)
            left -= len(taken)
    return parts


def _delete_blobs(deletes: Deletes) -> list[bytes]:
    if not deletes:
        return []
    blob = dumps(deletes)
    if len(blob) <= CHANGE_BYTES_MAX:
        return [blob]
    if len(deletes) > 1:
        half = len(deletes) // 2
        return _delete_blobs(deletes[:half]) + _delete_blobs(deletes[half:])
    namespace, keys = deletes[0]
    if keys is None or len(keys) == 1:
        return [blob]
    half = len(keys) // 2
    return _delete_blobs([(namespace, keys[:half])]) + _delete_blobs([(namespace, keys[half:])])


def _named(table: str, puts: Sequence[tuple[Any, dict[Any, Any]]], error: UsageError) -> UsageError:
    """The same error, naming the state and the key of the first value that cannot be pickled."""
    for _, put in puts:
        for key, value in put.items():
            try:
                dumps(value)
            except UsageError as first:
                return UsageError(first.code, f"state {table!r}, key {key!r}: {first.message}", hint=first.hint)
    return UsageError(error.code, f"state {table!r}: {error.message}", hint=error.hint)
