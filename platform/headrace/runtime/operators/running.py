"""Running reduce and running aggregates of a keyed stream: each record gives the new value of its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.common.types import Row
from headrace.graph.keys import state_key
from headrace.runtime.state.isolation import isolated
from headrace.runtime.state.tables import MISSING, Table


def running_reduce(table: Table, reduce: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """f(key, value) -> the new reduced value. Stored and emitted values are never one mutable object."""

    def step(key: Any, value: Any) -> Any:
        at = key if type(key) is str else state_key(key)
        old = table.get("", at, MISSING)
        new = value if old is MISSING else reduce(isolated(old), value)
        table.put("", at, new)
        return isolated(new)

    return step


def _read(value: Any, field: Any) -> Any:
    return value[field] if isinstance(value, Row | dict | tuple | list) else value


def _with(value: Any, field: int | str, replaced: Any) -> Any:
    """A copy of the record with one field replaced; the bare number when the record is one."""
    if isinstance(value, Row):
        values = list(value)
        names = value.field_names()
        values[names.index(field) if isinstance(field, str) and names is not None else int(field)] = replaced
        return Row.of(names, values)
    if isinstance(value, dict):
        return {**value, field: replaced}
    if isinstance(value, tuple | list):
        values = list(value)
        values[int(field)] = replaced
        return tuple(values) if isinstance(value, tuple) else values
    return replaced


def aggregation(op: str, field: int | str) -> Callable[[Any, Any], Any]:
    """The reduce function of sum, min, max (the first record with that field replaced), min_by, max_by."""

    def by_sum(a: Any, b: Any) -> Any:
        return _with(a, field, _read(a, field) + _read(b, field))

    def by_min(a: Any, b: Any) -> Any:
        return _with(a, field, min(_read(a, field), _read(b, field)))

    def by_max(a: Any, b: Any) -> Any:
        return _with(a, field, max(_read(a, field), _read(b, field)))

    def least(a: Any, b: Any) -> Any:
        return b if _read(b, field) < _read(a, field) else a

    def greatest(a: Any, b: Any) -> Any:
        return b if _read(b, field) > _read(a, field) else a

    known = {"sum": by_sum, "min": by_min, "max": by_max, "min_by": least, "max_by": greatest}
    if op not in known:
        raise ValueError(f"unknown aggregate {op!r}")
    return known[op]
