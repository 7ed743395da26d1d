"""Kafka's wire format, as far as the few requests need it that confluent-kafka does not have or not safely.

Flexible versions only (compact strings and arrays, tagged fields). ``ask`` sends one request over a connection of
its own: for rare questions to one broker, plain text.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TypeVar

RESPONSE_BYTES_MAX = 100_000_000
_CLIENT_ID = b"headrace"
T = TypeVar("T")


class WireError(Exception):
    """Bytes that are not what the protocol says; never retried."""


def ask(
    host: str, port: int, api: tuple[int, int], body: bytes, timeout_s: float, *, tagged_header: bool = True
) -> Reader:
    """One request to one broker: ``api`` is (key, version). The response behind its header.

    ``tagged_header`` False: the answer's header ends with the correlation id, as that of ApiVersions always does.

    Raises OSError when the broker does not answer within ``timeout_s`` per step; asking again is safe as far as
    the request is.
    """
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(request(api, body))
        (length,) = struct.unpack(">i", _receive(connection, 4))
        if not 0 <= length <= RESPONSE_BYTES_MAX:
            raise WireError(f"a response of {length} bytes")
        data = _receive(connection, length)
        return response(data) if tagged_header else Reader(data, 4)


def request(api: tuple[int, int], body: bytes) -> bytes:
    """A whole request with its length: header version 2 and body."""
    key, version = api
    head = struct.pack(">hhih", key, version, 1, len(_CLIENT_ID)) + _CLIENT_ID + b"\0"
    return struct.pack(">i", len(head) + len(body)) + head + body


def response(data: bytes) -> Reader:
    """Behind the correlation id and the header's tags."""
    read = Reader(data, 4)
    read.tags()
    return read


def _receive(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(min(65_536, length - len(data)))
        if not part:
            raise ConnectionError("closed by the broker")
        data += part
    return bytes(data)


class Reader:
    """A position in bytes."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._position = position

    def bytes(self, length: int) -> bytes:
        end = self._position + length
        if length < 0 or end > len(self._data):
            raise WireError(f"{length} bytes at {self._position} of {len(self._data)}")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def number(self, code: str) -> int:
        """One big-endian number: b, h, i or q as in ``struct``."""
        (value,) = struct.unpack(">" + code, self.bytes(struct.calcsize(code)))
        return int(value)

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.bytes(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def nullable_string(self) -> str | None:
        length = self.varint() - 1
        return None if length < 0 else self.bytes(length).decode()

    def string(self) -> str:
        return self.nullable_string() or ""

    def array(self, element: Callable[[], T]) -> list[T]:
        return [element() for _ in range(self.varint() - 1)]

    def tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.bytes(self.varint())


def varint(number: int) -> bytes:
    """An unsigned variable-length number."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def string(text: str) -> bytes:
    """A compact string."""
    data = text.encode()
    return varint(len(data) + 1) + data
