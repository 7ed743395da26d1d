"""A failure in the one form that Flink's Java client reads: a serialized ``SerializedThrowable``, base64.

The client ignores the readable fields of a failure and deserializes this one; without it, its user sees an error of
the client instead of the job's. Written after the Java Object Serialization Specification, protocol version 2.

Pure: no I/O.
"""

from __future__ import annotations

import base64
import struct

STREAM_HEADER = b"\xac\xed\x00\x05"
NULL, OBJECT, STRING, ARRAY, CLASS, END, LONG_STRING = (
    bytes([n]) for n in (0x70, 0x73, 0x74, 0x75, 0x72, 0x78, 0x7C)
)
SERIALIZABLE, WITH_WRITE_METHOD = 2, 3
SHORT_MAX = 0xFFFF
TEXT = "Ljava/lang/String;"

#: Classes by name with their serialVersionUID, which their authors fixed.
THROWABLE = "java.lang.Throwable", 0xD5C635273977B8CB
EXCEPTION = "java.lang.Exception", 0xD0FD1F3E1A3B1CC4
STACK = "[Ljava.lang.StackTraceElement;", 0x02462A3C3CFD2239
SERIALIZED = "org.apache.flink.util.SerializedThrowable", 0x65169DF51FA713F3


def serialized_throwable(class_name: str, message: str, stack_trace: str) -> str:
    """What ``SerializedThrowable`` holds of an exception: its class, message and printed stack trace."""
    throwable = _class(
        THROWABLE,
        WITH_WRITE_METHOD,
        [
            ("L", "cause", "Ljava/lang/Throwable;"),
            ("L", "detailMessage", TEXT),
            ("[", "stackTrace", "[Ljava/lang/StackTraceElement;"),
            ("L", "suppressedExceptions", "Ljava/util/List;"),
        ],
        parent=NULL,
    )
    exception = _class(EXCEPTION, SERIALIZABLE, [], parent=throwable)
    fields = [("L", "fullStringifiedStackTrace", TEXT), ("L", "originalErrorClassName", TEXT)]
    top = _class(SERIALIZED, SERIALIZABLE, [*fields, ("[", "serializedException", "[B")], parent=exception)
    no_frames = ARRAY + _class(STACK, SERIALIZABLE, [], parent=NULL) + struct.pack(">i", 0)
    whole_message = f"{class_name}: {message}" if message else class_name
    values_of_throwable = NULL + _string(whole_message) + no_frames + NULL + END
    values_of_top = _string(stack_trace) + _string(class_name) + NULL
    return base64.b64encode(STREAM_HEADER + OBJECT + top + values_of_throwable + values_of_top).decode()


def _class(class_: tuple[str, int], flags: int, fields: list[tuple[str, str, str]], *, parent: bytes) -> bytes:
    name, version = class_
    described = b"".join(kind.encode() + _utf(field) + _string(type_) for kind, field, type_ in fields)
    header = CLASS + _utf(name) + struct.pack(">Q", version) + bytes([flags]) + struct.pack(">H", len(fields))
    return header + described + END + parent


def _string(text: str) -> bytes:
    data = modified_utf8(text)
    if len(data) <= SHORT_MAX:
        return STRING + struct.pack(">H", len(data)) + data
    return LONG_STRING + struct.pack(">Q", len(data)) + data


def _utf(text: str) -> bytes:
    data = modified_utf8(text)
    return struct.pack(">H", len(data)) + data


def modified_utf8(text: str) -> bytes:
    """Java's: NUL as two bytes, and characters beyond 16 bits as two surrogates of three bytes each."""
    units = text.encode("utf-16-be", "surrogatepass")
    parts = [
        chr(unit).encode("utf-8", "surrogatepass") if unit else b"\xc0\x80"
        for (unit,) in struct.iter_unpack(">H", units)
    ]
    return b"".join(parts)
