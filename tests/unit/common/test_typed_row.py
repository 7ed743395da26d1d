"""Rows of a declared type: structs that do all that rows do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from headrace.common.typed_row import can_be_typed, row_class, untyped_row_class
from headrace.common.types import Row
from headrace.graph.keys import encode
from headrace.runtime.state.isolation import isolated

User = row_class(["name", "age"], [str | None, int | None])


def typed(name: Any, age: Any) -> Row:
    return User(name, age)  # type: ignore[return-value]


def test_it_is_a_row_and_equals_one() -> None:
    row = typed("Ada", 36)
    assert isinstance(row, Row) and row == Row(name="Ada", age=36) and Row(name="Ada", age=36) == row
    assert row != Row("Ada", 36) and row != Row(age=36, name="Ada") and row != ("Ada", 36)
    assert hash(row) == hash(Row(name="Ada", age=36)) and repr(row) == "Row(name='Ada', age=36)"
    assert row < Row(name="Bob", age=1) and sorted([typed("b", 1), typed("a", 2)])[0] == typed("a", 2)


def test_values_are_read_and_written_by_position_name_and_attribute() -> None:
    row = typed("Ada", 36)
    assert (row[0], row[-1], row["age"], row.name, row[:], list(row), len(row)) == (
        "Ada", 36, 36, "Ada", ["Ada", 36], ["Ada", 36], 2,
    )  # fmt: skip
    row["age"], row[0] = 37, "Eve"
    row.age += 1
    assert row.as_dict() == {"name": "Eve", "age": 38} and 38 in row and row(1, 2) == Row.of(["Eve", 38], (1, 2))
    with pytest.raises(KeyError, match="no field 'ago'"):
        row["ago"]
    with pytest.raises(AttributeError, match="no field 'ago'"):
        _ = row.ago
    with pytest.raises(IndexError):
        row[2]
    with pytest.raises(TypeError, match="declared"):
        row.set_field_names(["a", "b"])


def test_copies_and_pickles_are_equal_and_apart() -> None:
    row = typed("Ada", [1])
    for other in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row, 5)), isolated(row)):
        assert other == row and other is not row
    deep = isolated(row)
    row["age"].append(2)
    assert deep["age"] == [1]
    flat = typed("Ada", 1)
    mine = isolated(flat)
    flat["age"] = 2
    assert mine == Row(name="Ada", age=1)


def test_as_a_key_it_is_the_row() -> None:
    assert encode(typed("Ada", 1)) == encode(Row(name="Ada", age=1))


def test_msgspec_decodes_to_it() -> None:
    assert msgspec.json.decode(b'{"age":1,"more":true}', type=User) == Row(name=None, age=1)


def test_names_that_would_hide_a_rows_methods_have_no_class() -> None:
    for names in (["as_dict"], ["field_names"], ["a-b"], ["class"], ["__x"], ["_values"], []):
        assert not can_be_typed(names)
        with pytest.raises(ValueError, match="no class"):
            row_class(names, [Any] * len(names))
    assert untyped_row_class(("a", "b")) is untyped_row_class(("a", "b"))


def test_a_class_knows_whether_its_rows_hold_plain_values_only() -> None:
    kind = row_class(["a"], [int | None], all_plain=True)
    row = msgspec.json.decode(b'{"a":1}', type=kind)
    row["a"], row.a = "text", None
    assert kind.all_plain
    row["a"] = (1, 2)
    assert not kind.all_plain and not row_class(["a"], [list[int]]).all_plain
