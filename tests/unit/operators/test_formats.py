"""Bytes of source records to values, a batch at a time; and which record could not be read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from headrace.common.types import Row
from headrace.runtime.operators.formats import UndecodableRecordError, locate, make_decoder

JSON = {"kind": "json", "tolerant": False}


def row_format(*fields: list[Any], tolerant: bool = False) -> dict[str, Any]:
    return {"kind": "json_row", "fields": list(fields), "tolerant": tolerant}


FORMATS: dict[str, tuple[dict[str, Any], bytes, Any]] = {
    "json": (JSON, b'{"a":[1,2.5,null,true,"\xc3\xbc"]}', {"a": [1, 2.5, None, True, "ü"]}),
    "json_row": (row_format(["a", "LONG"], ["b", "STRING"]), b'{"b":"x","other":[1],"a":1}', Row(a=1, b="x")),
    "string": ({"kind": "string"}, "ü".encode(), "ü"),
    "bytes": ({"kind": "bytes"}, b"\xff", b"\xff"),
}
BAD = {"json": b"{", "json_row": b'{"a":"one"}', "string": b"\xff\xfe"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_is_decoded_record_by_record(name: str) -> None:
    spec, raw, value = FORMATS[name]
    assert make_decoder(spec)([raw, raw]) == [value, value]
    assert make_decoder(spec)([]) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_without_value_is_none(name: str) -> None:
    spec, raw, value = FORMATS[name]
    assert make_decoder(spec)([raw, None, raw]) == [value, None, value]


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_cannot_be_read_is_located(name: str) -> None:
    spec, raw, _ = FORMATS[name]
    decode = make_decoder(spec)
    batch = [raw, None, BAD[name], raw]
    with pytest.raises((ValueError, TypeError)):
        decode(batch)
    error = locate(decode, batch, "flights/3", [10, 11, 14, 15])
    assert isinstance(error, UndecodableRecordError)
    assert (error.split, error.offset) == ("flights/3", 14)
    assert "flights/3 offset 14" in str(error) and repr(BAD[name]) in str(error)


@pytest.mark.parametrize("name", BAD)
def test_a_tolerant_format_leaves_out_what_it_cannot_read(name: str) -> None:
    spec, raw, value = FORMATS[name]
    assert make_decoder({**spec, "tolerant": True})([raw, BAD[name], None, raw]) == [value, None, None, value]


def test_a_long_record_is_shown_in_part() -> None:
    decode = make_decoder(JSON)
    error = locate(decode, [b"{" * 5_000], "t/0", [1])
    assert len(str(error)) < 300 and "5000 bytes" in str(error)


ROW_FIELDS: list[tuple[Any, bytes, Any]] = [
    ("STRING", b'"x"', "x"),
    ("BOOLEAN", b"true", True),
    ("SHORT", b"-3", -3),
    ("LONG", b"9007199254740993", 9007199254740993),
    ("BIG_INT", b"123456789012345678901234567890", 123456789012345678901234567890),
    ("FLOAT", b"1", 1.0),
    ("DOUBLE", b"2.5", 2.5),
    ("BIG_DEC", b"1.10", Decimal("1.10")),
    ("SQL_DATE", b'"2024-01-02"', dt.date(2024, 1, 2)),
    ("SQL_TIME", b'"10:11:12"', dt.time(10, 11, 12)),
    ("SQL_TIMESTAMP", b'"2024-01-02T10:11:12"', dt.datetime(2024, 1, 2, 10, 11, 12)),
    ("BYTES", b'"AAE="', b"\x00\x01"),
    ("PICKLED", b'{"a":[1]}', {"a": [1]}),
    ({"list": "LONG"}, b"[1,2]", [1, 2]),
    ({"map": ["STRING", "LONG"]}, b'{"a":1}', {"a": 1}),
    ({"tuple": ["LONG", "STRING"]}, b'[1,"x"]', (1, "x")),
    ({"row": [["n", "LONG"]]}, b'{"n":1}', Row(n=1)),
]


@pytest.mark.parametrize(("kind", "raw", "value"), ROW_FIELDS, ids=[str(field[0]) for field in ROW_FIELDS])
def test_every_declared_type_is_read_from_json(kind: Any, raw: bytes, value: Any) -> None:
    decode = make_decoder(row_format(["class", kind], ["next", "LONG"]))
    (row,) = decode([b'{"class":' + raw + b',"next":5}'])
    assert row == Row.of(["class", "next"], [value, 5])
    assert type(row["class"]) is type(value)


def test_missing_and_null_fields_are_none() -> None:
    decode = make_decoder(row_format(["a", "LONG"], ["b", {"row": [["n", "LONG"]]}]))
    assert decode([b'{"a":null}', b"{}"]) == [Row(a=None, b=None)] * 2


@pytest.mark.parametrize(
    ("kind", "raw"),
    [("LONG", b'"1"'), ("LONG", b"1.5"), ("STRING", b"1"), ("BOOLEAN", b"1"), ("SQL_DATE", b'"yesterday"')],
)
def test_a_field_of_another_type_is_refused_with_its_name(kind: str, raw: bytes) -> None:
    decode = make_decoder(row_format(["when", kind]))
    batch = [b'{"when":' + raw + b"}"]
    with pytest.raises((ValueError, TypeError)):
        decode(batch)
    assert "when" in str(locate(decode, batch, "t/0", [0]))
