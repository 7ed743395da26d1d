"""Declared types in JSON: what msgspec decodes a described type (``TypeInformation.describe``) to.

A decoder is made with ``json_type_of(description)`` and ``json_hook`` as its dec_hook.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec

from headrace.common.time import Instant
from headrace.common.types import Row


class _StandIn(type):
    """A type that msgspec does not know, and so hands to the hook; it then asks whether the result is one."""

    result: type
    annotations: dict[str, Any]  #: of a row's fields

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.result)


_JSON: dict[str, Any] = {
    "STRING": str,
    "BOOLEAN": bool,
    "BYTE": int,
    "SHORT": int,
    "INT": int,
    "LONG": int,
    "BIG_INT": int,
    "FLOAT": float,
    "DOUBLE": float,
    "CHAR": str,
    "BIG_DEC": Decimal,
    "SQL_DATE": dt.date,
    "SQL_TIME": dt.time,
    "SQL_TIMESTAMP": dt.datetime,
    "INSTANT": _StandIn("Milliseconds", (), {"result": Instant}),
    "BYTES": bytes,
    "PICKLED": Any,
}


def json_type_of(description: Any) -> Any:
    """The annotation of a described type. Raises ValueError for a description of another making.

    Parts of a value may be null. A row inside a value is a JSON object; fields that are missing are None. A date,
    time or timestamp is ISO 8601 text, bytes are base64, an instant is a number of milliseconds.
    """
    match description:
        case str() if description in _JSON:
            return _JSON[description]
        case {"row": [*fields]}:
            annotations = {name: json_type_of(field) | None for name, field in fields}
            return _StandIn("Object", (), {"result": Row, "annotations": annotations})
        case {"tuple": [*fields]}:
            return tuple[tuple(json_type_of(field) | None for field in fields)]  # type: ignore[misc]
        case {"list": elem}:
            return list[json_type_of(elem) | None]  # type: ignore[misc]
        case {"map": [key, value]}:
            return dict[json_type_of(key), json_type_of(value) | None]  # type: ignore[misc]
    raise ValueError(f"{description!r} describes no type")


def json_hook(kind: Any, value: Any) -> Any:
    """Rows inside a value, and instants. Raises ValueError for a value that is neither."""
    if kind.result is Instant and type(value) is int:
        return Instant.of_epoch_milli(value)
    if kind.result is Row and isinstance(value, dict):
        convert = msgspec.convert
        values = [convert(value.get(name), each, dec_hook=json_hook) for name, each in kind.annotations.items()]
        return Row.of(list(kind.annotations), values)
    expected = "object" if kind.result is Row else "int"
    raise ValueError(f"Expected `{expected}`, got `{type(value).__name__}`")
