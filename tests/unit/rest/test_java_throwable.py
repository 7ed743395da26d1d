"""The serialized failure is read back by the rules of Java's stream format, not by those that wrote it."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from headrace.rest.java_throwable import modified_utf8, serialized_throwable


class JavaStream:
    """Reads objects of classes without write methods of their own, and of Throwable, which writes its fields only."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        assert self._take(">HH") == (0xACED, 5)

    def _take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _bytes(self, length: int) -> bytes:
        self._at += length
        return self._data[self._at - length : self._at]

    def _utf(self, form: str = ">H") -> str:
        data = self._bytes(self._take(form)[0]).replace(b"\xc0\x80", b"\0")
        surrogates = data.decode("utf-8", "surrogatepass")
        return surrogates.encode("utf-16-be", "surrogatepass").decode("utf-16-be")

    def read(self) -> Any:
        (tag,) = self._take(">B")
        match tag:
            case 0x70:
                return None
            case 0x74:
                return self._utf()
            case 0x7C:
                return self._utf(">Q")
            case 0x75:
                class_ = self._class()
                (length,) = self._take(">i")
                assert class_["name"].startswith("[L")
                return [self.read() for _ in range(length)]
            case 0x73:
                return self._object(self._class())
        raise AssertionError(f"tag {tag:#x} at {self._at - 1}")

    def _class(self) -> dict[str, Any]:
        assert self._take(">B") == (0x72,)
        name = self._utf()
        version, flags, count = self._take(">QBH")
        fields = []
        for _ in range(count):
            kind = self._bytes(1).decode()
            assert kind in "L["
            fields.append((self._utf(), self.read()))
        assert self._take(">B") == (0x78,)
        (parent,) = struct.unpack_from(">B", self._data, self._at)
        above = self._class() if parent == 0x72 else self.read()
        return {"name": name, "version": version, "flags": flags, "fields": fields, "parent": above}

    def _object(self, class_: dict[str, Any]) -> dict[str, Any]:
        chain = []
        while class_ is not None:
            chain.append(class_)
            class_ = class_["parent"]
        values: dict[str, Any] = {"class": chain[0]["name"], "versions": {c["name"]: c["version"] for c in chain}}
        for each in reversed(chain):  # the topmost class comes first
            for name, _type in each["fields"]:
                values[name] = self.read()
            if each["flags"] == 3:
                assert self._take(">B") == (0x78,)
        return values

    def at_end(self) -> bool:
        return self._at == len(self._data)


@pytest.mark.parametrize(
    ("error", "message", "stack"),
    [
        ("ValueError", "no number: 'x'", "Traceback\n  job.py, line 3"),
        ("KeyError", "", ""),
        ("ValueError", "größer als \N{SNOWMAN} \N{PILE OF POO} \0 end", "x" * 70_000 + "\N{PILE OF POO}"),
    ],
)
def test_it_reads_back(error: str, message: str, stack: str) -> None:
    stream = JavaStream(base64.b64decode(serialized_throwable(error, message, stack)))
    found = stream.read()
    assert stream.at_end()
    assert found["class"] == "org.apache.flink.util.SerializedThrowable"
    assert found["detailMessage"] == (f"{error}: {message}" if message else error)
    assert found["fullStringifiedStackTrace"] == stack
    assert found["originalErrorClassName"] == error
    assert (found["cause"], found["stackTrace"], found["serializedException"]) == (None, [], None)
    assert found["versions"]["java.lang.Throwable"] == 0xD5C635273977B8CB  # fixed by the Java API


def test_modified_utf8() -> None:
    assert modified_utf8("a\0é\N{SNOWMAN}") == b"a\xc0\x80\xc3\xa9\xe2\x98\x83"
    assert modified_utf8("\N{PILE OF POO}") == b"\xed\xa0\xbd\xed\xb2\xa9"
