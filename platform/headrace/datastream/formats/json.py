"""JSON as records: to dicts, or to Rows of a declared type, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.common.call_site import wrong
from headrace.common.serialization import DeserializationSchema, SerializationSchema
from headrace.common.typeinfo import RowTypeInfo, TypeInformation, Types
from headrace.common.types import Row

__all__ = [
    "JsonDeserializationSchema",
    "JsonRowDeserializationSchema",
    "JsonRowSerializationSchema",
    "JsonSerializationSchema",
]


class JsonDeserializationSchema(DeserializationSchema):
    """Any JSON text to what Python has for it: dict, list, str, int, float, bool, None. Not in PyFlink.

    A record that is not JSON fails the job; topic, partition and offset are named. With ``ignore_parse_errors`` it is
    left out instead.
    """

    def __init__(self, *, ignore_parse_errors: bool = False) -> None:
        self._tolerant = ignore_parse_errors

    def format(self) -> dict[str, Any]:
        return {"kind": "json", **_tolerance(self._tolerant)}

    def produced_type(self) -> TypeInformation:
        return Types.PICKLED_BYTE_ARRAY()


class JsonRowDeserializationSchema(DeserializationSchema):
    """A JSON object to a Row of a declared type; only the fields of the type are decoded.

    A field that is missing is None. A record that cannot be decoded fails the job; topic, partition and offset are
    named. Make one with ``builder()``.
    """

    def __init__(self, type_info: RowTypeInfo, *, ignore_parse_errors: bool = False) -> None:
        self._type_info = type_info
        self._tolerant = ignore_parse_errors

    @staticmethod
    def builder() -> JsonRowDeserializationSchemaBuilder:
        return JsonRowDeserializationSchemaBuilder()

    def format(self) -> dict[str, Any]:
        return {"kind": "json_row", "fields": self._type_info.describe()["row"], **_tolerance(self._tolerant)}

    def produced_type(self) -> TypeInformation:
        return self._type_info


class JsonRowDeserializationSchemaBuilder:
    """Collects the settings of a JsonRowDeserializationSchema; the type is needed."""

    def __init__(self) -> None:
        self._type_info: RowTypeInfo | None = None
        self._tolerant = False

    def ignore_parse_errors(self) -> JsonRowDeserializationSchemaBuilder:
        """Leave out records that cannot be decoded, instead of failing the job."""
        self._tolerant = True
        return self

    def type_info(self, type_info: TypeInformation) -> JsonRowDeserializationSchemaBuilder:
        """The Row type, from ``Types.ROW_NAMED(names, types)``."""
        self._type_info = _checked_row(type_info)
        return self

    def build(self) -> JsonRowDeserializationSchema:
        if self._type_info is None:
            raise wrong(
                "a JsonRowDeserializationSchema needs a type",
                code="connector-incomplete",
                hint="call type_info(Types.ROW_NAMED([...], [...]))",
            )
        return JsonRowDeserializationSchema(self._type_info, ignore_parse_errors=self._tolerant)


class JsonSerializationSchema(SerializationSchema):
    """Dicts, lists, Rows with names and plain values to JSON, in UTF-8 without blanks. Not in PyFlink."""

    wire_format = "json"

    def serialize(self, value: Any) -> bytes | None:
        return None if value is None else msgspec.json.encode(value, enc_hook=_plain)

    def transform(self) -> Callable[[Any], Any] | None:
        return None


class JsonRowSerializationSchema(SerializationSchema):
    """Rows, tuples and lists of a declared Row type to JSON objects. Make one with ``builder()``."""

    wire_format = "json"

    def __init__(self, type_info: RowTypeInfo) -> None:
        self._type_info = type_info

    @staticmethod
    def builder() -> JsonRowSerializationSchemaBuilder:
        return JsonRowSerializationSchemaBuilder()

    def to_dict(self, value: Any) -> dict[str, Any] | None:
        """The value as the dict that becomes the JSON object."""
        row = self._type_info.convert(value)
        return None if row is None else row.as_dict(recursive=True)

    def serialize(self, value: Any) -> bytes | None:
        plain = self.to_dict(value)
        return None if plain is None else msgspec.json.encode(plain)

    def transform(self) -> Callable[[Any], Any] | None:
        return self.to_dict


class JsonRowSerializationSchemaBuilder:
    """Collects the settings of a JsonRowSerializationSchema; the type is needed."""

    def __init__(self) -> None:
        self._type_info: RowTypeInfo | None = None

    def with_type_info(self, type_info: TypeInformation) -> JsonRowSerializationSchemaBuilder:
        """The Row type, from ``Types.ROW_NAMED(names, types)``."""
        self._type_info = _checked_row(type_info)
        return self

    def build(self) -> JsonRowSerializationSchema:
        if self._type_info is None:
            raise wrong(
                "a JsonRowSerializationSchema needs a type",
                code="connector-incomplete",
                hint="call with_type_info(Types.ROW_NAMED([...], [...]))",
            )
        return JsonRowSerializationSchema(self._type_info)


def _checked_row(type_info: TypeInformation) -> RowTypeInfo:
    if not isinstance(type_info, RowTypeInfo):
        raise wrong(f"a Row type from Types.ROW_NAMED(names, types) is needed, not {type_info!r:.80}")
    return type_info


def _tolerance(tolerant: bool) -> dict[str, Any]:
    return {"tolerant": True} if tolerant else {}


def _plain(value: Any) -> Any:
    if isinstance(value, Row):
        return value.as_dict()
    raise TypeError(f"{type(value).__qualname__} has no form in JSON: {value!r:.100}")
