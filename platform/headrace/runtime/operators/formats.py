"""Bytes of source topics to records, and records to bytes of sink topics; whole batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.common.typed_row import PLAIN, astuple, can_be_typed, row_class
from headrace.common.types import Row

Decode = Callable[[Sequence[bytes | None]], list[Any]]

#: What decoders raise for bytes that they cannot read; RecursionError for JSON nested too deep.
REFUSALS = (ValueError, TypeError, RecursionError)


class UndecodableRecordError(Exception):
    """A source record is not what the format says. The lane cannot pass it: a restart meets it again."""

    def __init__(self, split: str, offset: int, reason: str) -> None:
        super().__init__(f"{split} offset {offset}: {reason}")
        self.split, self.offset, self.reason = split, offset, reason


def _each(decode: Callable[[bytes], Any]) -> Decode:
    """None (a record without a value) stays None."""

    def batch(values: Sequence[bytes | None]) -> list[Any]:
        try:
            return [decode(value) for value in values]  # type: ignore[arg-type]
        except TypeError:
            return [None if value is None else decode(value) for value in values]

    return batch


def _text(value: bytes) -> str:
    return str(value, "utf-8")


def _tolerant(decode: Decode) -> Decode:
    """What cannot be read becomes None, which sources leave out."""

    def batch(values: Sequence[bytes | None]) -> list[Any]:
        try:
            return decode(values)
        except REFUSALS:
            return [_or_none(decode, value) for value in values]

    return batch


def _or_none(decode: Decode, value: bytes | None) -> Any:
    try:
        return decode([value])[0]
    except REFUSALS:
        return None


def make_decoder(spec: Any) -> Decode:
    """The decoder for a format of docs/internals/operators.md, for a batch at a time.

    A record without a value becomes None; so does one that cannot be read when the format is ``tolerant``, else
    ValueError or TypeError is raised and ``locate`` says where.
    """
    decode = _decoder(spec)
    return _tolerant(decode) if spec.get("tolerant") else decode


def _decoder(spec: Any) -> Decode:
    match spec["kind"]:
        case "json":
            return _each(msgspec.json.Decoder().decode)
        case "json_row":
            return _each(_row_decoder(spec["fields"]))
        case "string":
            return _each(_text)
        case "bytes":
            return list
        case kind:
            raise ValueError(f"unknown format {kind!r}")


def locate(
    decode: Decode, values: Sequence[bytes | None], split: str, offsets: Sequence[int]
) -> UndecodableRecordError:
    """After ``decode`` refused a batch: which record it was, and why."""
    for value, offset in zip(values, offsets, strict=True):
        try:
            decode([value])
        except REFUSALS as error:
            return UndecodableRecordError(split, offset, f"{error} in {_excerpt(value)}")
    raise AssertionError("a batch was refused, but none of its records")


def _excerpt(value: bytes | None) -> str:
    text = "a record without a value" if value is None else repr(value[:80])
    return text if value is None or len(value) <= 80 else f"{text}... ({len(value)} bytes)"


def _row_decoder(fields: Sequence[Sequence[Any]]) -> Callable[[bytes], Any]:
    """Only the declared fields are decoded, straight into their types; a missing field is None."""
    from headrace.common.json_types import json_hook, json_type_of

    names = tuple(str(name) for name, _ in fields)
    annotations = [json_type_of(kind) | None for _, kind in fields]
    if can_be_typed(names):
        plain = all(json_type_of(kind) in PLAIN for _, kind in fields)
        return msgspec.json.Decoder(row_class(names, annotations, all_plain=plain), dec_hook=json_hook).decode
    slots = [f"f{n}" for n in range(len(names))]
    struct = msgspec.defstruct(
        "JsonRow",
        [(slot, annotation, None) for slot, annotation in zip(slots, annotations, strict=True)],
        rename=dict(zip(slots, names, strict=True)).get,
        gc=False,
    )
    decode = msgspec.json.Decoder(struct, dec_hook=json_hook).decode
    of = Row.of

    def row(value: bytes) -> Row:
        return of(names, astuple(decode(value)))

    return row


_json = msgspec.json.Encoder(enc_hook=lambda value: _json_value(value), decimal_format="number").encode


def _json_value(value: Any) -> Any:
    if isinstance(value, Row):
        return value.as_dict() if value.field_names() is not None else list(value)
    raise TypeError(f"a value of type {type(value).__qualname__} has no JSON form")


def make_encoder(kind: str | None) -> Callable[[Any], bytes | None]:
    """The serializer of a sink's key or value: json, string or bytes; None for None."""
    match kind:
        case "json":
            return lambda value: None if value is None else _json(value)
        case "string":
            return _encode_text
        case "bytes":
            return _encode_bytes
        case None:
            return lambda value: None
        case other:
            raise ValueError(f"unknown format {other!r}")


def make_line_encoder(spec: Any) -> Callable[[Any], bytes]:
    """A record of a file as the engine writes it: str(value) in a charset, or JSON, and a line end."""
    match spec["kind"]:
        case "text":
            charset = spec["charset"]
            return lambda value: f"{value}\n".encode(charset)
        case "json":
            return lambda value: _json(value) + b"\n"
        case kind:
            raise ValueError(f"unknown form of records {kind!r}")


def _encode_text(value: Any) -> bytes | None:
    if value is None:
        return None
    if type(value) is not str and not isinstance(value, str):
        raise TypeError(f"this sink writes text; it was given a {type(value).__qualname__}: map it to str first")
    return value.encode()


def _encode_bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"this sink writes bytes; it was given a {type(value).__qualname__}")
