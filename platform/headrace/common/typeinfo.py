"""Types: what a program may declare about its values.

A declaration is optional. Without one a value is any Python object and travels as it is. With one

    a key        is coerced to the type before it is compared and hashed (``key_by(..., key_type=...)``)
    an output    of a Row or tuple type is given its field names, its tuple form, level by level
                 (``map(..., output_type=...)``); other values stay as they are: Python's numbers do not wrap
    a JSON row   is decoded to a Row of that type

Flink's names. Pure, and imported by slot workers: keep it light.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from headrace.common.time import Instant
from headrace.common.types import Row

__all__ = [
    "BasicType",
    "ListTypeInfo",
    "MapTypeInfo",
    "RowTypeInfo",
    "TupleTypeInfo",
    "TypeInformation",
    "Types",
]


class TypeInformation:
    """A declared type. Equal when it describes the same values."""

    def coerce(self, value: Any) -> Any:
        """The value as this type holds it, for keys. Raises TypeError when it is no value of the type."""
        raise NotImplementedError

    def convert(self, value: Any) -> Any:
        """The value with Row names and tuple form of this type, for outputs; other values as they are."""
        return value

    @property
    def shapes(self) -> bool:
        """Whether ``convert`` can change anything."""
        return False

    def describe(self) -> Any:
        """The type as JSON, as it stands in a JobGraph: a name, or {"row": [[name, type]]} and its like."""
        raise NotImplementedError

    def _refuse(self, value: Any) -> NoReturn:
        raise TypeError(f"{value!r:.100} (a {type(value).__qualname__}) is not of the declared type {self}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeInformation) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))

    def __repr__(self) -> str:
        return str(self)


class BasicType(TypeInformation):
    """One value without parts."""

    def __init__(self, name: str, to_python: Callable[[Any], Any] | None) -> None:
        self._name = name
        self._to_python = to_python

    def coerce(self, value: Any) -> Any:
        if self._to_python is None:
            return value
        try:
            return self._to_python(value)
        except (TypeError, ValueError, ArithmeticError):
            self._refuse(value)

    def describe(self) -> Any:
        return self._name

    def __str__(self) -> str:
        return self._name

    def __reduce__(self) -> tuple[Any, ...]:
        return type_of, (self._name,)


class RowTypeInfo(TypeInformation):
    """A Row of fields. Without ``field_names`` they are f0, f1, ..."""

    def __init__(self, field_types: Sequence[TypeInformation], field_names: Sequence[str] | None = None) -> None:
        names = [f"f{i}" for i in range(len(field_types))] if field_names is None else list(field_names)
        if len(names) != len(field_types) or len(set(names)) != len(names):
            raise ValueError(f"{len(field_types)} field types need as many different names, not {names}")
        self._names = tuple(names)
        self._types = tuple(field_types)
        self._nested = any(field.shapes for field in field_types)

    def get_field_names(self) -> list[str]:
        return list(self._names)

    def get_field_types(self) -> list[TypeInformation]:
        return list(self._types)

    def coerce(self, value: Any) -> Any:
        return self._row(value, [field.coerce for field in self._types])

    def convert(self, value: Any) -> Any:
        if value is None:
            return None
        return self._row(value, [field.convert for field in self._types] if self._nested else None)

    def _row(self, value: Any, each: list[Callable[[Any], Any]] | None) -> Any:
        if not isinstance(value, (Row, tuple, list)) or len(value) != len(self._names):
            self._refuse(value)
        if isinstance(value, Row) and value.field_names() not in (None, self._names):
            if set(value.field_names() or ()) != set(self._names):
                self._refuse(value)
            value = [value[name] for name in self._names]
        if each is not None:
            value = [call(item) for call, item in zip(each, value, strict=True)]
        return Row.of(self._names, value)

    @property
    def shapes(self) -> bool:
        return True

    def describe(self) -> Any:
        return {"row": [[name, field.describe()] for name, field in zip(self._names, self._types, strict=True)]}

    def __str__(self) -> str:
        fields = (f"{name}: {field}" for name, field in zip(self._names, self._types, strict=True))
        return f"ROW<{', '.join(fields)}>"


class TupleTypeInfo(TypeInformation):
    """A tuple of fixed length."""

    def __init__(self, field_types: Sequence[TypeInformation]) -> None:
        self._types = tuple(field_types)

    def get_field_types(self) -> list[TypeInformation]:
        return list(self._types)

    def coerce(self, value: Any) -> Any:
        return self._tuple(value, [field.coerce for field in self._types])

    def convert(self, value: Any) -> Any:
        return None if value is None else self._tuple(value, [field.convert for field in self._types])

    def _tuple(self, value: Any, each: list[Callable[[Any], Any]]) -> Any:
        if not isinstance(value, (Row, tuple, list)) or len(value) != len(self._types):
            self._refuse(value)
        return tuple([call(item) for call, item in zip(each, value, strict=True)])

    @property
    def shapes(self) -> bool:
        return True

    def describe(self) -> Any:
        return {"tuple": [field.describe() for field in self._types]}

    def __str__(self) -> str:
        return f"TUPLE<{', '.join(map(str, self._types))}>"


class ListTypeInfo(TypeInformation):
    """A list of elements of one type."""

    def __init__(self, elem_type: TypeInformation) -> None:
        self.elem_type = elem_type

    def coerce(self, value: Any) -> Any:
        self._refuse(value)

    def convert(self, value: Any) -> Any:
        if value is None or not self.shapes:
            return value
        return [self.elem_type.convert(item) for item in value]

    @property
    def shapes(self) -> bool:
        return self.elem_type.shapes

    def describe(self) -> Any:
        return {"list": self.elem_type.describe()}

    def __str__(self) -> str:
        return f"LIST<{self.elem_type}>"


class MapTypeInfo(TypeInformation):
    """A dict from keys of one type to values of another."""

    def __init__(self, key_type_info: TypeInformation, value_type_info: TypeInformation) -> None:
        self.key_type_info = key_type_info
        self.value_type_info = value_type_info

    def coerce(self, value: Any) -> Any:
        self._refuse(value)

    def convert(self, value: Any) -> Any:
        if not isinstance(value, Mapping) or not self.shapes:
            return value
        return {key: self.value_type_info.convert(item) for key, item in value.items()}

    @property
    def shapes(self) -> bool:
        return self.value_type_info.shapes

    def describe(self) -> Any:
        return {"map": [self.key_type_info.describe(), self.value_type_info.describe()]}

    def __str__(self) -> str:
        return f"MAP<{self.key_type_info}, {self.value_type_info}>"


# ---- basic types


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str.__str__(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool) and type(value).__name__ not in ("bool_", "bool"):
        raise TypeError
    return bool(value)


def _int(value: Any) -> int:
    return int(operator.index(value))


def _float(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError
    return float(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, (str, bool)):
        raise TypeError
    return Decimal(value)


def _date(value: Any) -> dt.date:
    if not isinstance(value, dt.date):
        raise TypeError
    return dt.date(value.year, value.month, value.day)


def _time(value: Any) -> dt.time:
    if not isinstance(value, dt.time):
        raise TypeError
    return value


def _timestamp(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise TypeError
    return dt.datetime.combine(value.date(), value.timetz())


def _instant(value: Any) -> int:
    """Instants are keys by their nanoseconds."""
    if not isinstance(value, Instant):
        raise TypeError
    return value.seconds * 1_000_000_000 + value.nanos


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError
    return bytes(value)


_BASIC: dict[str, BasicType] = {
    name: BasicType(name, to_python)
    for name, to_python in {
        "STRING": _text,
        "BOOLEAN": _bool,
        "BYTE": _int,
        "SHORT": _int,
        "INT": _int,
        "LONG": _int,
        "BIG_INT": _int,
        "FLOAT": _float,
        "DOUBLE": _float,
        "CHAR": _text,
        "BIG_DEC": _decimal,
        "SQL_DATE": _date,
        "SQL_TIME": _time,
        "SQL_TIMESTAMP": _timestamp,
        "INSTANT": _instant,
        "BYTES": _bytes,
        "PICKLED": None,
    }.items()
}


def type_of(description: Any) -> TypeInformation:
    """The type that ``describe`` described. Raises ValueError for a description of another making."""
    match description:
        case str() if description in _BASIC:
            return _BASIC[description]
        case {"row": [*fields]}:
            return RowTypeInfo([type_of(field) for _, field in fields], [name for name, _ in fields])
        case {"tuple": [*fields]}:
            return TupleTypeInfo([type_of(field) for field in fields])
        case {"list": elem}:
            return ListTypeInfo(type_of(elem))
        case {"map": [key, value]}:
            return MapTypeInfo(type_of(key), type_of(value))
    raise ValueError(f"{description!r} describes no type")


class Types:
    """The types a program can declare."""

    @staticmethod
    def STRING() -> TypeInformation:
        return _BASIC["STRING"]

    @staticmethod
    def BOOLEAN() -> TypeInformation:
        return _BASIC["BOOLEAN"]

    @staticmethod
    def BYTE() -> TypeInformation:
        return _BASIC["BYTE"]

    @staticmethod
    def SHORT() -> TypeInformation:
        return _BASIC["SHORT"]

    @staticmethod
    def INT() -> TypeInformation:
        return _BASIC["INT"]

    @staticmethod
    def LONG() -> TypeInformation:
        return _BASIC["LONG"]

    @staticmethod
    def FLOAT() -> TypeInformation:
        return _BASIC["FLOAT"]

    @staticmethod
    def DOUBLE() -> TypeInformation:
        return _BASIC["DOUBLE"]

    @staticmethod
    def CHAR() -> TypeInformation:
        return _BASIC["CHAR"]

    @staticmethod
    def BIG_INT() -> TypeInformation:
        return _BASIC["BIG_INT"]

    @staticmethod
    def BIG_DEC() -> TypeInformation:
        return _BASIC["BIG_DEC"]

    @staticmethod
    def SQL_DATE() -> TypeInformation:
        return _BASIC["SQL_DATE"]

    @staticmethod
    def SQL_TIME() -> TypeInformation:
        return _BASIC["SQL_TIME"]

    @staticmethod
    def SQL_TIMESTAMP() -> TypeInformation:
        return _BASIC["SQL_TIMESTAMP"]

    @staticmethod
    def INSTANT() -> TypeInformation:
        return _BASIC["INSTANT"]

    @staticmethod
    def PICKLED_BYTE_ARRAY() -> TypeInformation:
        """Any Python value: what a stream holds when nothing is declared."""
        return _BASIC["PICKLED"]

    @staticmethod
    def ROW(field_types: Sequence[TypeInformation]) -> RowTypeInfo:
        return RowTypeInfo(field_types)

    @staticmethod
    def ROW_NAMED(field_names: Sequence[str], field_types: Sequence[TypeInformation]) -> RowTypeInfo:
        return RowTypeInfo(field_types, field_names)

    @staticmethod
    def TUPLE(field_types: Sequence[TypeInformation]) -> TupleTypeInfo:
        return TupleTypeInfo(field_types)

    @staticmethod
    def PRIMITIVE_ARRAY(element_type: TypeInformation) -> TypeInformation:
        """bytes for BYTE, else a list."""
        return _BASIC["BYTES"] if element_type == _BASIC["BYTE"] else ListTypeInfo(element_type)

    @staticmethod
    def BASIC_ARRAY(element_type: TypeInformation) -> ListTypeInfo:
        return ListTypeInfo(element_type)

    @staticmethod
    def OBJECT_ARRAY(element_type: TypeInformation) -> ListTypeInfo:
        return ListTypeInfo(element_type)

    @staticmethod
    def LIST(element_type_info: TypeInformation) -> ListTypeInfo:
        return ListTypeInfo(element_type_info)

    @staticmethod
    def MAP(key_type_info: TypeInformation, value_type_info: TypeInformation) -> MapTypeInfo:
        return MapTypeInfo(key_type_info, value_type_info)
