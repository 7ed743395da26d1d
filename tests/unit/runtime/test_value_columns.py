"""Values of exchange messages come back as they were."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.typed_row import row_class, untyped_row_class
from headrace.common.types import Row
from headrace.runtime.value_columns import decode_values, encode_values

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
OTHER = st.tuples(st.integers()) | st.just(dt.date(2020, 1, 1)) | st.lists(st.text()) | st.text("\ud800a")


def same(found: list[Any], given_values: list[Any]) -> bool:
    return found == given_values and [[type(v) for v in row] for row in found] == [
        [type(v) for v in row] for row in given_values
    ]


@given(st.lists(st.tuples(PLAIN, PLAIN, PLAIN | OTHER), min_size=1))
def test_typed_rows_come_back_with_their_types(values: list[tuple[Any, Any, Any]]) -> None:
    kind = row_class(["a", "b", "c"], [Any] * 3)
    rows = [kind(*each) for each in values]
    codec, data = encode_values(rows, "pickle")
    assert codec == "columns" and same(decode_values(codec, data), rows)


def test_a_value_that_is_set_later_comes_back_too() -> None:
    kind = row_class(["a", "b"], [int, str], all_plain=True)
    rows = [kind(1, "x"), kind(2, "y")]
    rows[1]["b"] = (1, "tuple")  # type: ignore[index]
    for _ in range(2):
        rows = decode_values(*encode_values(rows, "pickle"))
        assert same(rows, [Row(a=1, b="x"), Row(a=2, b=(1, "tuple"))])


@pytest.mark.parametrize("value", [2**70, "half \ud800", float("inf"), -(2**63), 2**64 - 1])
def test_what_msgpack_cannot_hold_is_pickled(value: Any) -> None:
    rows = [row_class(["a"], [Any], all_plain=True)(value)]
    assert same(decode_values(*encode_values(rows, "pickle")), [Row(a=value)])


def test_rows_of_different_kinds_are_pickled() -> None:
    rows = [untyped_row_class(("a",))(1), untyped_row_class(("b",))(1), Row(a=1)]
    codec, data = encode_values(rows, "pickle")
    assert codec == "pickle" and same(decode_values(codec, data), rows)


@pytest.mark.parametrize("values", [[1, "a"], [(1, 2)], [Row(a=1), Row(a=2)], [None]])
def test_other_values_are_pickled(values: list[Any]) -> None:
    codec, data = encode_values(values, "pickle")
    assert codec == "pickle" and decode_values(codec, data) == values
