"""Keys of keyed streams: which values may be one, their canonical bytes, and the lane they belong to.

The set is closed: None, bool, int of any size, float, str, bytes, Decimal, date, time, datetime, and tuple or
Row of these. Types are exact; a subclass is refused, because it may compare or hash as it likes. Keys of
different types are different keys: True, 1, 1.0 and Decimal(1) are four. Within a type, equal keys have equal
bytes and different keys have different bytes:

    float      -0.0 is 0.0, and there is one NaN
    Decimal    by number: 1.0 is 1.00, -0 is 0, one NaN
    datetime   with an offset: the instant, read back as UTC; without one: a type of its own; no ``fold``
    time       without an offset only: with one it names no point
    Row        names count: Row(a=1) is neither Row(1) nor Row(b=1)

Encoding: a tag byte, then a body whose length the tag or a length in front of it tells; so a key can be cut out
of a longer buffer, and no encoded key is the beginning of another. Lengths and counts are varints (7 bits a
byte, low first).

    tag  type       body                          tag  type             body
    N    None       -                             d    Decimal          length, its text
    T F  bool       -                             D    date             4 bytes, proleptic ordinal
    i    int        8 bytes, two's complement     h    time             8 bytes, microseconds of the day
    I    larger int length, two's complement      n    naive datetime   8 bytes, microseconds since 1970
    f    float      8 bytes, IEEE 754             z    aware datetime   8 bytes, the same in UTC
    s    str        length, UTF-8                 t    tuple            count, its items
    b    bytes      length, itself                r R  Row without and with names: count, (name, value)s

Numbers are big-endian. The bytes are part of the wire format: key groups, lane logs and savepoints depend on
them, and tests/golden/keys.json holds them fixed. Pure, and imported by every slot worker: keep it light.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from headrace.common.typed_row import TypedRow
from headrace.common.types import Row

KEY_GROUPS = 128  #: fixed for life: part of the wire format
KEY_BYTES_MAX = 65_536
KEY_DEPTH_MAX = 32

_LONG = struct.Struct(">cq").pack
_DOUBLE = struct.Struct(">cd").pack
_ORDINAL = struct.Struct(">ci").pack
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)
_NAN = _DOUBLE(b"f", float("nan"))[:1] + bytes.fromhex("7ff8000000000000")
_SHORT = tuple(b"s" + bytes([length]) for length in range(128))


class UnsupportedKeyError(TypeError):
    """A key selector returned what cannot be a key. The message names the type and what to use instead."""

    code = "key-unsupported"


def encode(key: Any) -> bytes:
    """The canonical bytes of a key. Raises UnsupportedKeyError for a type or size outside the closed set."""
    if type(key) is str and len(key) < 32:  # the common case: at most 127 bytes of UTF-8
        try:
            body = key.encode()
        except UnicodeEncodeError:
            raise _surrogate(key) from None
        return _SHORT[len(body)] + body
    data = _encode(key, 0)
    if len(data) > KEY_BYTES_MAX:
        raise UnsupportedKeyError(
            f"a key of {len(data)} bytes (type {type(key).__name__}) is over {KEY_BYTES_MAX}; key by a digest of it"
        )
    return data


def decode(data: bytes) -> Any:
    """The key that ``data`` encodes, in normal form. Raises ValueError for bytes that encode no key."""
    try:
        key, end = _decode(data, 0)
    except (ValueError, IndexError, struct.error, ArithmeticError) as error:
        raise ValueError(f"not an encoded key: {data[:40]!r}") from error
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow an encoded key: {data[:40]!r}")
    return key


def state_key(key: Any) -> str | bytes:
    """The key as state tables hold it: a str as itself, any other key as its canonical bytes."""
    return key if type(key) is str else encode(key)


def key_of_state(key: str | bytes) -> Any:
    """The user's key (in normal form) back from ``state_key``."""
    return key if type(key) is str else decode(key)  # type: ignore[arg-type]


def key_group(encoded: bytes) -> int:
    """The key group, 0 to 127, of an encoded key. Never changes for a key."""
    return zlib.crc32(encoded) % KEY_GROUPS


def lane_of_group(group: int, lanes: int) -> int:
    """The lane that owns a key group in a vertex of ``lanes`` lanes: contiguous ranges of groups."""
    return group * lanes // KEY_GROUPS


# ---- encoding


def _encode(key: Any, depth: int) -> bytes:
    encoder = _ENCODERS.get(type(key))
    if encoder is None:
        if isinstance(key, TypedRow):  # each declared type has a class of its own
            return _row(key, depth)
        raise UnsupportedKeyError(f"{_type_name(key)} cannot be a key; {_advice(key)}")
    return encoder(key, depth)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int(key: int, _depth: int) -> bytes:
    if -0x8000_0000_0000_0000 <= key <= 0x7FFF_FFFF_FFFF_FFFF:
        return _LONG(b"i", key)
    length = (key if key >= 0 else ~key).bit_length() // 8 + 1
    return b"I" + _varint(length) + key.to_bytes(length, "big", signed=True)


def _float(key: float, _depth: int) -> bytes:
    return _NAN if key != key else _DOUBLE(b"f", key + 0.0)  # -0.0 + 0.0 is 0.0


def _str(key: str, _depth: int) -> bytes:
    try:
        body = key.encode()
    except UnicodeEncodeError:
        raise _surrogate(key) from None
    return b"s" + _varint(len(body)) + body


def _bytes(key: bytes, _depth: int) -> bytes:
    return b"b" + _varint(len(key)) + key


def _decimal(key: Decimal, _depth: int) -> bytes:
    body = _decimal_text(key).encode("ascii")
    return b"d" + _varint(len(body)) + body


def _decimal_text(key: Decimal) -> str:
    # Not Decimal.normalize(), which rounds to the context's precision.
    sign, digits, exponent = key.as_tuple()
    if isinstance(exponent, str):
        return "NaN" if exponent in "nN" else "-Infinity" if sign else "Infinity"
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    if not short:
        return "0"
    return f"{'-' if sign else ''}{short}E{exponent + len(text) - len(short)}"


def _date(key: date, _depth: int) -> bytes:
    return _ORDINAL(b"D", key.toordinal())


def _time(key: time, _depth: int) -> bytes:
    if key.tzinfo is not None:
        raise UnsupportedKeyError(
            "a time with an offset cannot be a key: it names no point in time; key by a datetime, or by "
            "key.replace(tzinfo=None)"
        )
    seconds = (key.hour * 60 + key.minute) * 60 + key.second
    return _LONG(b"h", seconds * 1_000_000 + key.microsecond)


def _datetime(key: datetime, _depth: int) -> bytes:
    offset = key.utcoffset()
    since = key.replace(tzinfo=None) - _EPOCH
    if offset is None:
        return _LONG(b"n", since // _MICROSECOND)
    since -= offset
    if not datetime.min - _EPOCH <= since <= datetime.max - _EPOCH:
        raise UnsupportedKeyError(f"{key!r} cannot be a key: in UTC it is outside the years 1 to 9999")
    return _LONG(b"z", since // _MICROSECOND)


def _deeper(key: Any, depth: int) -> int:
    if depth >= KEY_DEPTH_MAX:
        raise UnsupportedKeyError(f"a {type(key).__name__} nested over {KEY_DEPTH_MAX} deep cannot be a key")
    return depth + 1


def _tuple(key: tuple[Any, ...], depth: int) -> bytes:
    depth = _deeper(key, depth)
    return b"t" + _varint(len(key)) + b"".join([_encode(item, depth) for item in key])


def _row(key: Row | TypedRow, depth: int) -> bytes:
    depth = _deeper(key, depth)
    values = [_encode(item, depth) for item in key]
    names = key.field_names()
    if names is None:
        return b"r" + _varint(len(key)) + b"".join(values)
    pairs = zip(names, values, strict=True)
    return b"R" + _varint(len(key)) + b"".join([_encode(name, depth) + value for name, value in pairs])


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    type(None): lambda _key, _depth: b"N",
    bool: lambda key, _depth: b"T" if key else b"F",
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    Decimal: _decimal,
    date: _date,
    time: _time,
    datetime: _datetime,
    tuple: _tuple,
    Row: _row,
}


# ---- refusals


def _type_name(key: Any) -> str:
    kind = type(key)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(key: Any) -> str:
    if isinstance(key, Enum):
        return "use its .value or .name"
    for base, call in _CONVERSIONS:
        if isinstance(key, base):
            return f"use {call}"
    return "a key is None, bool, int, float, str, bytes, Decimal, date, time, datetime, or a tuple or Row of these"


#: First match wins: datetime before date.
_CONVERSIONS: tuple[tuple[type, str], ...] = (
    (dict, "tuple(sorted(key.items())), or one of its fields"),
    (list, "tuple(key)"),
    (tuple, "tuple(key)"),
    (set, "tuple(sorted(key))"),
    (frozenset, "tuple(sorted(key))"),
    (bytearray, "bytes(key)"),
    (memoryview, "bytes(key)"),
    (str, "str(key)"),
    (bytes, "bytes(key)"),
    (int, "int(key)"),
    (float, "float(key)"),
    (Decimal, "Decimal(key)"),
    (datetime, "datetime.fromisoformat(key.isoformat())"),
    (date, "date.fromisoformat(key.isoformat())"),
    (timedelta, "key / timedelta(microseconds=1) or another number"),
    (Row, "Row(*key)"),
)


def _surrogate(key: str) -> UnsupportedKeyError:
    return UnsupportedKeyError(f"{key!r:.60} cannot be a key: it holds half of a surrogate pair, so it is not text")


# ---- decoding


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _body(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _number(data, at)
    if at + length > len(data):
        raise IndexError
    return data[at : at + length], at + length


def _long(data: bytes, at: int) -> tuple[int, int]:
    return struct.unpack_from(">q", data, at)[0], at + 8


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    tag = data[at : at + 1]
    at += 1
    match tag:
        case b"N":
            return None, at
        case b"T" | b"F":
            return tag == b"T", at
        case b"i":
            return _long(data, at)
        case b"f":
            return struct.unpack_from(">d", data, at)[0], at + 8
        case b"D":
            return date.fromordinal(struct.unpack_from(">i", data, at)[0]), at + 4
        case b"n" | b"z" | b"h":
            return _decode_time(tag, data, at)
        case b"t" | b"r" | b"R":
            return _decode_items(tag, data, at)
    body, end = _body(data, at)
    match tag:
        case b"s":
            return body.decode(), end
        case b"b":
            return body, end
        case b"I":
            return int.from_bytes(body, "big", signed=True), end
        case b"d":
            return Decimal(body.decode("ascii")), end
    raise ValueError(f"{tag!r} is no tag of an encoded key")


def _decode_time(tag: bytes, data: bytes, at: int) -> tuple[Any, int]:
    micros, at = _long(data, at)
    moment = _EPOCH + micros * _MICROSECOND
    if tag == b"h":
        return moment.time(), at
    return (moment if tag == b"n" else moment.replace(tzinfo=UTC)), at


def _decode_items(tag: bytes, data: bytes, at: int) -> tuple[Any, int]:
    count, at = _number(data, at)
    names: list[str] = []
    items: list[Any] = []
    for _ in range(count):
        if tag == b"R":
            name, at = _decode(data, at)
            names.append(name)
        item, at = _decode(data, at)
        items.append(item)
    if tag == b"t":
        return tuple(items), at
    return Row.of(names if tag == b"R" else None, items), at
