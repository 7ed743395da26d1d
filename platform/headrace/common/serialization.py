"""Schemas: how bytes of a Kafka record become a value, and the reverse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types

__all__ = ["ByteArraySchema", "DeserializationSchema", "SerializationSchema", "SimpleStringSchema"]


class DeserializationSchema(ABC):
    """One of the engine's decoders, with its settings.

    The engine decodes many records at once; so the decoders are its own, and a program's own decoding is a
    ``map`` after ``ByteArraySchema``.
    """

    @abstractmethod
    def format(self) -> dict[str, Any]:
        """The decoder as it stands in a JobGraph."""

    @abstractmethod
    def produced_type(self) -> TypeInformation:
        """The type of what it makes."""


class SerializationSchema(ABC):
    """Makes bytes of a value. Derive from it for a format of your own."""

    #: How the engine turns what ``transform`` gives into bytes: "bytes" as they are, "string" by UTF-8, "json".
    wire_format = "bytes"

    @abstractmethod
    def serialize(self, value: Any) -> bytes | None:
        """The bytes of ``value``; None for a record without them (as a record's value: a tombstone)."""

    def transform(self) -> Callable[[Any], Any] | None:
        """What is called with each value before ``wire_format`` applies; None for nothing."""
        return self.serialize


class SimpleStringSchema(DeserializationSchema, SerializationSchema):
    """UTF-8 text. Only a str can be written."""

    wire_format = "string"

    def __init__(self, charset: str = "UTF-8") -> None:
        if charset.upper() not in ("UTF-8", "UTF8"):
            raise wrong(
                f"SimpleStringSchema knows UTF-8 only, not {charset!r}",
                hint="read with ByteArraySchema() and decode in a map",
            )

    def format(self) -> dict[str, Any]:
        return {"kind": "string"}

    def produced_type(self) -> TypeInformation:
        return Types.STRING()

    def serialize(self, value: Any) -> bytes | None:
        return None if value is None else str.encode(value)

    def transform(self) -> None:
        return None


class ByteArraySchema(DeserializationSchema, SerializationSchema):
    """The bytes as they are."""

    def format(self) -> dict[str, Any]:
        return {"kind": "bytes"}

    def produced_type(self) -> TypeInformation:
        return Types.PRIMITIVE_ARRAY(Types.BYTE())

    def serialize(self, value: Any) -> bytes | None:
        return None if value is None else bytes(value)

    def transform(self) -> None:
        return None
