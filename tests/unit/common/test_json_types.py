"""Declared types in JSON."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from headrace.common import Instant, Row, Types
from headrace.common.json_types import json_hook, json_type_of

INNER = Types.ROW_NAMED(["x"], [Types.INT()])
EVERYTHING = Types.ROW_NAMED(
    ["text", "day", "at", "when", "amount", "bytes", "list", "map", "pair", "inner", "any", "missing"],
    [
        Types.STRING(),
        Types.SQL_DATE(),
        Types.SQL_TIMESTAMP(),
        Types.INSTANT(),
        Types.BIG_DEC(),
        Types.PRIMITIVE_ARRAY(Types.BYTE()),
        Types.LIST(INNER),
        Types.MAP(Types.STRING(), Types.DOUBLE()),
        Types.TUPLE([Types.INT(), INNER]),
        Types.ROW_NAMED(["x", "day"], [INNER, Types.SQL_DATE()]),
        Types.PICKLED_BYTE_ARRAY(),
        Types.INT(),
    ],
)


def test_json_is_decoded_to_declared_types() -> None:
    decode = msgspec.json.Decoder(json_type_of(EVERYTHING.describe()), dec_hook=json_hook).decode
    text = """{
        "text": "a", "day": "2013-01-01", "at": "2013-01-01T05:00:00", "when": 1500, "amount": "1.50",
        "bytes": "/w==",
        "list": [{"x": 1, "y": 2}, null], "map": {"k": 1}, "pair": [1, {"x": null}],
        "inner": {"x": {"x": 3}, "day": "2013-12-31"}, "any": [1, "b"], "unknown": 5
    }"""
    assert decode(text) == Row(
        text="a",
        day=dt.date(2013, 1, 1),
        at=dt.datetime(2013, 1, 1, 5),
        when=Instant(1, 500_000_000),
        amount=Decimal("1.50"),
        bytes=b"\xff",
        list=[Row(x=1), None],
        map={"k": 1.0},
        pair=(1, Row(x=None)),
        inner=Row(x=Row(x=3), day=dt.date(2013, 12, 31)),
        any=[1, "b"],
        missing=None,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"text": 5}', "Expected `str | null`, got `int`"),
        ('{"inner": [1]}', "Expected `object`, got `list`"),
        ('{"inner": {"x": {"x": "3"}}}', "Expected `int | null`, got `str`"),
        ('{"when": "now"}', "Expected `int`, got `str`"),
    ],
)
def test_json_of_another_type_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        msgspec.json.decode(text, type=json_type_of(EVERYTHING.describe()), dec_hook=json_hook)
    assert says in str(caught.value)
