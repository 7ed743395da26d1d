"""Sinks: Kafka records and printed lines."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.common.types import Row
from headrace.runtime.ports import UserCodeError


def written(values: list[Any], functions: dict[str, Any] | None = None, **params: Any) -> list[tuple[Any, ...]]:
    lane = OneLane(
        op("collection_source"), op("kafka_sink", functions, topic="out", **{"value_format": "json", **params})
    )
    lane.source(values, [77] * len(values))
    return lane.sink.records


def test_a_record_has_only_what_was_asked_for() -> None:
    assert written([{"a": 1}]) == [("out", None, b'{"a":1}', None, None)]


def test_key_headers_and_timestamp_come_from_the_value() -> None:
    functions = {
        "key": lambda v: v["k"],
        "value": lambda v: v["n"],
        "headers": lambda v: {"kind": b"x", "none": None},
        "timestamp": lambda v: 5,
    }
    (record,) = written([{"k": "a", "n": 3}], functions, key_format="string")
    assert record == ("out", b"a", b"3", [("kind", b"x"), ("none", None)], 5)


def test_headers_may_be_pairs_or_none() -> None:
    assert written([1], {"headers": lambda v: [("a", b"1"), ("a", b"2")]})[0][3] == [("a", b"1"), ("a", b"2")]
    assert written([1], {"headers": lambda v: None})[0][3] is None


def test_none_is_a_record_without_value_in_every_format() -> None:
    for kind in ("json", "string", "bytes"):
        assert written([None], value_format=kind)[0][2] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Row(a=1, b="x"), {"a": 1, "b": "x"}),
        ({"row": Row(a=Row(b=2))}, {"row": {"a": {"b": 2}}}),
        (Row(1, "x"), [1, "x"]),
        ([1, (2, 3)], [1, [2, 3]]),
        ({"d": Decimal("1.50")}, {"d": 1.5}),
        (dt.date(2024, 1, 2), "2024-01-02"),
        ("ü", "ü"),
        (True, True),
    ],
)
def test_json_of_what_programs_hold(value: Any, expected: Any) -> None:
    assert json.loads(written([value])[0][2]) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("string", "ü", "ü".encode()), ("bytes", b"\x00", b"\x00"), ("bytes", bytearray(b"ab"), b"ab")],
)
def test_text_and_bytes(kind: str, value: Any, expected: bytes) -> None:
    assert written([value], value_format=kind)[0][2] == expected


@pytest.mark.parametrize(("kind", "value"), [("string", 5), ("string", b"x"), ("bytes", "x"), ("bytes", 5)])
def test_a_value_of_another_kind_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(UserCodeError, match=type(value).__qualname__):
        written([value], value_format=kind)


@pytest.mark.parametrize(
    ("label", "lane", "lanes", "line"),
    [
        ("", 0, 1, "('a', 1)"),
        ("", 2, 4, "3> ('a', 1)"),
        ("flights", 0, 1, "flights> ('a', 1)"),
        ("flights", 1, 4, "flights:2> ('a', 1)"),
    ],
)
def test_print_has_flinks_form(label: str, lane: int, lanes: int, line: str) -> None:
    one = OneLane(op("collection_source"), op("print", label=label), lane=lane, lanes=lanes)
    one.source([("a", 1)])
    assert one.printed == [line]


@pytest.mark.parametrize(
    "value", [None, True, Row(a=1), "text", {"a": "b"}, dt.datetime(2024, 1, 2), Decimal("1.50")]
)
def test_print_writes_the_text_of_any_value(value: Any) -> None:
    one = OneLane(op("collection_source"), op("print", label=""))
    one.source([value])
    assert one.printed == [str(value)]
