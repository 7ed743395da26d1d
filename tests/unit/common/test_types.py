"""Rows and declared types."""

from __future__ import annotations

import datetime as dt
import pickle
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from headrace.common import Duration, Instant, Row, Time, TypeInformation, Types
from headrace.common.typeinfo import RowTypeInfo, type_of


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


def test_row_by_position_name_and_attribute() -> None:
    row = Row(name="Alice", age=11)
    assert (row[0], row["age"], row.name, row[0:2]) == ("Alice", 11, "Alice", ["Alice", 11])
    row["age"] = 12
    row[0] = "Bob"
    assert list(row) == ["Bob", 12]
    assert (len(row), 12 in row, "age" in row) == (2, True, False)
    assert row.as_dict() == {"name": "Bob", "age": 12}


def test_row_text() -> None:
    assert repr(Row("a", 2)) == "<Row('a', 2)>"
    assert str(Row(f0=1, f1="hi")) == "Row(f0=1, f1='hi')"


def test_row_of_names_makes_rows() -> None:
    person = Row("name", "age")
    assert person("Alice", 11) == Row(name="Alice", age=11)
    with pytest.raises(ValueError, match="3 values for the fields of"):
        person(1, 2, 3)


def test_rows_compare_by_names_and_values() -> None:
    assert Row(1, 2) == Row(1, 2)
    assert Row(a=1) != Row(1)
    assert Row(a=1) != Row(b=1)
    assert Row(1) != (1,)
    assert Row(1, "a") < Row(1, "b") <= Row(1, "b")
    assert Row(2) > Row(1) >= Row(1)
    assert hash(Row(a=1)) == hash(Row(a=1))


def test_row_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="values or named fields, not both"):
        Row(1, a=2)
    with pytest.raises(KeyError, match="no field 'b' in a Row: it has a"):
        Row(a=1)["b"]
    with pytest.raises(AttributeError, match="no field 'b' in a Row: it has positions only"):
        _ = Row(1).b
    with pytest.raises(TypeError, match="has no field names"):
        Row(1).as_dict()
    with pytest.raises(ValueError, match="2 names for a Row of 1 values"):
        Row(1).set_field_names(["a", "b"])
    with pytest.raises(AttributeError):
        setattr(Row(a=1), "a", 2)  # noqa: B010


def test_row_nested_as_dict_and_pickle() -> None:
    row = Row(key=1, rows=[Row(a=2)], more={"x": Row(b=3)}, inner=Row(c=4))
    assert row.as_dict(recursive=True) == {"key": 1, "rows": [{"a": 2}], "more": {"x": {"b": 3}}, "inner": {"c": 4}}
    assert row.as_dict()["inner"] == Row(c=4)
    assert pickle.loads(pickle.dumps(row)) == row


@pytest.mark.parametrize(
    ("type_info", "value", "key"),
    [
        (Types.STRING(), Colour.RED, "red"),
        (Types.INT(), Level.LOW, 1),
        (Types.LONG(), True, 1),
        (Types.DOUBLE(), 1, 1.0),
        (Types.FLOAT(), Decimal("1.5"), 1.5),
        (Types.BIG_DEC(), 1, Decimal(1)),
        (Types.BOOLEAN(), False, False),
        (Types.SQL_DATE(), dt.datetime(2013, 1, 1, 5), dt.date(2013, 1, 1)),
        (Types.SQL_TIMESTAMP(), dt.datetime(2013, 1, 1, 5), dt.datetime(2013, 1, 1, 5)),
        (Types.PRIMITIVE_ARRAY(Types.BYTE()), bytearray(b"a"), b"a"),
        (Types.INSTANT(), Instant.of_epoch_milli(1500), 1_500_000_000),
        (Types.TUPLE([Types.STRING(), Types.INT()]), ["a", Level.LOW], ("a", 1)),
        (Types.ROW_NAMED(["a"], [Types.DOUBLE()]), (1,), Row(a=1.0)),
        (Types.PICKLED_BYTE_ARRAY(), "as it is", "as it is"),
    ],
    ids=str,
)
def test_keys_are_coerced(type_info: TypeInformation, value: Any, key: Any) -> None:
    coerced = type_info.coerce(value)
    assert (coerced, type(coerced)) == (key, type(key))


@pytest.mark.parametrize(
    ("type_info", "value", "says"),
    [
        (Types.STRING(), 5, "5 (a int) is not of the declared type STRING"),
        (Types.STRING(), None, "None (a NoneType) is not of the declared type STRING"),
        (Types.INT(), 1.0, "1.0 (a float) is not of the declared type INT"),
        (Types.INT(), "1", "'1' (a str) is not of the declared type INT"),
        (Types.DOUBLE(), "1", "'1' (a str) is not of the declared type DOUBLE"),
        (Types.BOOLEAN(), 1, "1 (a int) is not of the declared type BOOLEAN"),
        (Types.SQL_DATE(), "2013-01-01", "is not of the declared type SQL_DATE"),
        (Types.LIST(Types.INT()), [1], "[1] (a list) is not of the declared type LIST<INT>"),
        (Types.TUPLE([Types.INT()]), (1, 2), "(1, 2) (a tuple) is not of the declared type TUPLE<INT>"),
        (Types.ROW([Types.INT()]), Row(x=1), "is not of the declared type ROW<f0: INT>"),
    ],
)
def test_values_of_another_type_are_refused_as_keys(type_info: TypeInformation, value: Any, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        type_info.coerce(value)
    assert says in str(caught.value)


INNER = Types.ROW_NAMED(["x"], [Types.INT()])


@pytest.mark.parametrize(
    ("type_info", "value", "converted"),
    [
        (Types.ROW_NAMED(["a", "b"], [Types.INT(), Types.STRING()]), (1, "x"), Row(a=1, b="x")),
        (Types.ROW_NAMED(["a", "b"], [Types.INT(), Types.STRING()]), Row(b="x", a=1), Row(a=1, b="x")),
        (Types.ROW([Types.INT()]), [1], Row(f0=1)),
        (Types.ROW([INNER]), ((1,),), Row(f0=Row(x=1))),
        (Types.ROW([INNER]), (None,), Row(f0=None)),
        (Types.TUPLE([INNER, Types.INT()]), [[1], 2], (Row(x=1), 2)),
        (Types.LIST(INNER), [(1,), (2,)], [Row(x=1), Row(x=2)]),
        (Types.MAP(Types.STRING(), INNER), {"k": (1,)}, {"k": Row(x=1)}),
        (INNER, None, None),
        (Types.INT(), "left alone", "left alone"),
        (Types.LIST(Types.INT()), "left alone", "left alone"),
    ],
    ids=str,
)
def test_outputs_take_the_form_of_their_declared_type(type_info: TypeInformation, value: Any, converted: Any) -> None:
    assert type_info.convert(value) == converted


def test_an_output_of_another_form_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\(1, 2\) \(a tuple\) is not of the declared type ROW<x: INT>"):
        INNER.convert((1, 2))
    with pytest.raises(TypeError, match="is not of the declared type ROW<x: INT>"):
        INNER.convert({"x": 1})


ALL = [
    Types.STRING(),
    Types.PRIMITIVE_ARRAY(Types.BYTE()),
    Types.BASIC_ARRAY(Types.LONG()),
    Types.OBJECT_ARRAY(Types.STRING()),
    Types.MAP(Types.STRING(), Types.LIST(Types.DOUBLE())),
    Types.ROW_NAMED(["a", "b"], [Types.TUPLE([Types.INT(), Types.SQL_TIME()]), Types.ROW([Types.CHAR()])]),
]


@pytest.mark.parametrize("type_info", ALL, ids=str)
def test_a_description_gives_the_type_back(type_info: TypeInformation) -> None:
    assert type_of(type_info.describe()) == type_info
    assert pickle.loads(pickle.dumps(type_info)) == type_info
    assert hash(type_of(type_info.describe())) == hash(type_info)


def test_types_that_differ_are_unequal() -> None:
    assert len(set(ALL)) == len(ALL)
    assert Types.INT() != Types.LONG()
    with pytest.raises(ValueError, match="describes no type"):
        type_of({"set": "INT"})


def test_row_types_need_as_many_different_names() -> None:
    with pytest.raises(ValueError, match="2 field types need as many different names"):
        RowTypeInfo([Types.INT(), Types.INT()], ["a", "a"])


def test_time_and_duration() -> None:
    assert Duration.of_seconds(2) == Duration.of_millis(2000) < Duration.of_minutes(1) < Duration.of_hours(1)
    assert Duration.of_days(1).to_milliseconds() == 86_400_000
    assert [t.to_milliseconds() for t in (Time.milliseconds(5), Time.seconds(1), Time.minutes(1))] == [
        5,
        1000,
        60_000,
    ]
    assert Time.days(1) == Time.hours(24)
    assert Instant.of_epoch_milli(-1) == Instant(-1, 999_000_000)
    assert Instant(-1, 999_000_000).to_epoch_milli() == -1
