"""Schemas: how bytes of a Kafka record become a value, and the reverse. Encoders: how a value is written to files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation, Types

__all__ = ["ByteArraySchema", "DeserializationSchema", "Encoder", "SerializationSchema", "SimpleStringSchema"]


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


class Encoder(ABC):
    """How a value stands in a file of a FileSink. Derive from it for a form of your own."""

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """The bytes of ``value``, with whatever ends a record."""

    def params(self) -> dict[str, Any] | None:
        """One of the engine's own encoders as it stands in a JobGraph; None for those of a program."""
        return None

    @staticmethod
    def simple_string_encoder(charset_name: str = "UTF-8") -> Encoder:
        """``str(value)`` and a line end."""
        try:
            "\n".encode(charset_name)
        except (LookupError, TypeError):
            raise wrong(f"simple_string_encoder(): Python knows no charset {charset_name!r:.60}") from None
        return _LineEncoder({"kind": "text", "charset": charset_name})

    @staticmethod
    def json_encoder() -> Encoder:
        """JSON in one line: dicts, lists, Rows with names and plain values. Not in PyFlink."""
        return _LineEncoder({"kind": "json"})


class _LineEncoder(Encoder):
    """Written by the engine itself."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params

    def params(self) -> dict[str, Any]:
        return self._params

    def encode(self, value: Any) -> bytes:
        raise NotImplementedError("the engine's sinks write this form")
