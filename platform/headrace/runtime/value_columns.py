"""How the values of an exchange message are written: in one piece, or column by column.

    pickle    any values, whatever their types
    msgpack   any values of types that msgpack has; for edges that declare so
    columns   rows of a declared type: their names, then one list for each field. msgpack when all values are plain
              (str, bytes, int, float, bool, None), else pickle; the first byte tells which

Every way gives back what was put in: the same types, the same values. Pure.
"""

from __future__ import annotations

import pickle
from typing import Any

import msgspec

from headrace.common.typed_row import PLAIN, TypedRow, astuple, untyped_row_class
from headrace.protocol.data import encode as encode_msgpack
from headrace.runtime.state.isolation import dumps

_plain = PLAIN.issuperset
_PICKLED = b"\x80"

_decode_list = msgspec.msgpack.Decoder(list).decode


def encode_values(values: list[Any], codec: str) -> tuple[str, bytes]:
    """The codec that was used, and the bytes. Raises UsageError ``state-unpicklable``."""
    if codec == "msgpack":
        return codec, encode_msgpack(values)
    first = values[0]
    if isinstance(first, TypedRow) and len(set(map(type, values))) == 1:
        return "columns", _encode_columns(type(first), values)
    return "pickle", dumps(values)


def decode_values(codec: str, data: bytes) -> list[Any]:
    """What ``encode_values`` was given."""
    if codec == "pickle":
        return pickle.loads(data)  # type: ignore[no-any-return]
    if codec == "msgpack":
        return _decode_list(data)
    pickled = data[:1] == _PICKLED
    names, *columns = pickle.loads(data) if pickled else _decode_list(data)
    kind = untyped_row_class(tuple(names))
    if pickled:
        kind.all_plain = False
    return list(map(kind, *columns))


def _encode_columns(kind: type[TypedRow], rows: list[Any]) -> bytes:
    columns = [kind.__struct_fields__, *zip(*map(astuple, rows), strict=True)]
    if kind.all_plain or all(_plain(map(type, column)) for column in columns):
        try:
            return encode_msgpack(columns)
        except (OverflowError, UnicodeEncodeError):  # an int over 64 bits, half a surrogate pair
            pass
    return dumps(columns)
