"""Running reduce and aggregates per key."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
from tests.unit.operators.one_lane import OneLane, op

from headrace.common.types import Row
from headrace.datastream.functions import ReduceFunction
from headrace.runtime.ports import UserCodeError

Price = namedtuple("Price", "name amount")


class Summed(ReduceFunction):
    def reduce(self, value1: Any, value2: Any) -> Any:
        return value1 + value2


@pytest.mark.parametrize("function", [lambda a, b: a + b, Summed()])
def test_reduce_emits_each_new_value_with_the_time_of_the_record(function: Any) -> None:
    lane = OneLane(op("reduce", {"reduce": function}))
    lane.rows(("a", 1, 10), ("b", 5, 20), ("a", 2, 5), (1, 7, None))
    lane.rows(("a", 3, 30), (1, 1, 1))
    assert lane.out() == [(1, 10), (5, 20), (3, 5), (7, None), (6, 30), (8, 1)]


def test_keys_of_different_types_are_different_keys() -> None:
    lane = OneLane(op("reduce", {"reduce": lambda a, b: a + b}))
    lane.rows(*[(key, 1, 0) for key in (1, 1.0, True, "1", b"1", (1,))] * 2)
    assert lane.values() == [1] * 6 + [2] * 6


def test_none_is_a_value_like_another() -> None:
    lane = OneLane(op("reduce", {"reduce": lambda a, b: (a, b)}))
    lane.rows(("a", None, 0), ("a", 1, 0))
    assert lane.values() == [None, (None, 1)]


def test_a_reduce_that_changes_its_value_in_place_does_not_change_what_left() -> None:
    def add(a: Any, b: Any) -> Any:
        a["n"] += b["n"]
        return a

    def spoil(value: Any) -> Any:
        value["seen"] = True
        return value

    lane = OneLane(op("reduce", {"reduce": add}), op("map", {"map": spoil}))
    lane.rows(*[("a", {"n": n}, n) for n in range(1, 4)])
    lane.commit()
    lane.rows(("a", {"n": 10}, 4))
    assert lane.values() == [{"n": n, "seen": True} for n in (1, 3, 6, 16)]


def test_an_abort_undoes_what_was_changed_in_place() -> None:
    def add(a: Any, b: Any) -> Any:
        a.extend(b)
        return a

    lane = OneLane(op("reduce", {"reduce": add}))
    lane.rows(("a", [1], 0))
    lane.commit()
    lane.rows(("a", [2], 0), ("a", [3], 0), ("b", [9], 0))
    lane.abort()
    lane.rows(("a", [4], 0), ("b", [8], 0))
    assert lane.values() == [[1], [1, 4], [8]]


RECORDS: dict[str, Any] = {
    "row": lambda n: Row(k="x", n=n),
    "dict": lambda n: {"k": "x", "n": n},
    "tuple": lambda n: ("x", n),
    "list": lambda n: ["x", n],
    "named tuple": lambda n: Price("x", n),
    "number": lambda n: n,
}
FIELDS: dict[str, Any] = {"row": "n", "dict": "n", "tuple": 1, "list": 1, "named tuple": 1, "number": 0}
EXPECTED = {
    "sum": [3, 4, 9, 11],
    "min": [3, 1, 1, 1],
    "max": [3, 3, 5, 5],
    "min_by": [3, 1, 1, 1],
    "max_by": [3, 3, 5, 5],
}


@pytest.mark.parametrize("shape", RECORDS)
@pytest.mark.parametrize("kind", EXPECTED)
def test_aggregates_over_every_shape_of_record(kind: str, shape: str) -> None:
    lane = OneLane(op("aggregate", op=kind, field=FIELDS[shape]))
    lane.rows(*[("a", RECORDS[shape](n), 0) for n in (3, 1, 5, 2)])
    expected = [RECORDS[shape](n) for n in EXPECTED[kind]]
    assert lane.values() == expected
    assert [type(value) for value in lane.values()] == [type(value) for value in expected]


def test_a_row_can_be_summed_by_position() -> None:
    lane = OneLane(op("aggregate", op="sum", field=1))
    lane.rows(("a", Row("x", 1), 0), ("a", Row("y", 2), 0))
    assert lane.values() == [Row("x", 1), Row("x", 3)]


@pytest.mark.parametrize(("kind", "expected"), [("min_by", "first"), ("max_by", "first"), ("min", "first")])
def test_among_equals_the_earlier_record_stays(kind: str, expected: str) -> None:
    lane = OneLane(op("aggregate", op=kind, field="n"))
    lane.rows(("a", {"n": 1, "who": "first"}, 0), ("a", {"n": 1, "who": "second"}, 0))
    assert lane.values()[-1]["who"] == expected


def test_min_by_keeps_the_whole_record_and_min_the_other_fields_of_the_first() -> None:
    rows = [("a", {"n": 2, "who": "first"}, 0), ("a", {"n": 1, "who": "second"}, 0)]
    for kind, who in (("min_by", "second"), ("min", "first")):
        lane = OneLane(op("aggregate", op=kind, field="n"))
        lane.rows(*rows)
        assert lane.values()[-1] == {"n": 1, "who": who}


@pytest.mark.parametrize(
    ("record", "field"), [({"a": 1}, "n"), ((1,), 5), ((1,), "n"), (Row(1), "n"), (Row(a=1), "n"), ([1], "n")]
)
def test_a_field_that_is_not_there_is_named_with_the_record(record: Any, field: Any) -> None:
    lane = OneLane(op("aggregate", op="sum", field=field, name="sum(n)"))
    with pytest.raises(UserCodeError, match="has no such field") as caught:
        lane.rows(("a", record, 0), ("a", record, 0))
    assert caught.value.operator == "sum(n)"
