"""Running reduce and running aggregates of a keyed stream: each record gives the new value of its key.

The reduction itself is generated code on the dicts of one table (``source_code``); here is what it calls for
sum, min, max, min_by and max_by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.common.types import Row
from headrace.errors import UsageError

Reduce = Callable[[Any, Any], Any]
#: What has fields; anything else is aggregated as it is.
RECORDS: Any = (tuple, dict, Row, list)


def aggregation(op: str, field: int | str) -> Reduce:
    """The reduce function of sum, min, max (the first record with that field replaced), min_by, max_by."""

    def read(record: Any) -> Any:
        if not isinstance(record, RECORDS):
            return record
        try:
            return record[field]
        except (LookupError, TypeError):
            raise UsageError(
                "aggregate-field-missing",
                f"{op}({field!r}): a record of type {type(record).__qualname__} has no such field: {record!r:.200}",
            ) from None

    def by_sum(a: Any, b: Any) -> Any:
        return _with(a, field, read(a) + read(b))

    def by_min(a: Any, b: Any) -> Any:
        least = read(b)
        return _with(a, field, least) if least < read(a) else a

    def by_max(a: Any, b: Any) -> Any:
        greatest = read(b)
        return _with(a, field, greatest) if greatest > read(a) else a

    def min_by(a: Any, b: Any) -> Any:
        return b if read(b) < read(a) else a

    def max_by(a: Any, b: Any) -> Any:
        return b if read(b) > read(a) else a

    known = {"sum": by_sum, "min": by_min, "max": by_max, "min_by": min_by, "max_by": max_by}
    if op not in known:
        raise ValueError(f"unknown aggregate {op!r}")
    return known[op]


def _with(record: Any, field: Any, replaced: Any) -> Any:
    """A copy of the record with one field, which it has, replaced; the bare number when the record is one."""
    if type(record) is tuple:
        return (*record[:field], replaced, *record[field + 1 :])
    if isinstance(record, Row):
        copy = Row.of(record.field_names(), record[:])
        copy[field] = replaced
        return copy
    if isinstance(record, dict):
        return {**record, field: replaced}
    if isinstance(record, tuple | list):
        values = list(record)
        values[field] = replaced
        if isinstance(record, list):
            return values
        make = getattr(record, "_make", tuple)  # a named tuple stays one
        return make(values)
    return replaced
