"""Records of a Kafka source that cannot be decoded: the first fails the lane, or each goes to a dead-letter topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from headrace.log.lane import Message
from headrace.runtime.operators.formats import REFUSALS, Decode, locate
from headrace.runtime.ports import SinkWriter

Headers = list[tuple[str, bytes | None]]

#: A dead letter's value is cut here, so that headers fit into the record too.
VALUE_BYTES_MAX = 900_000
REASON_CHARS_MAX = 500
PREFIX = "headrace.error."


class Undecodable(Protocol):
    """What is done with a batch that was refused."""

    def values(self, decode: Decode, messages: Sequence[Message], split: str) -> list[Any]:
        """The values, None for each record that cannot be read; or raises UndecodableRecordError."""


class FailingJob:
    """The record is named, and the job ends: a restart would meet it again."""

    def values(self, decode: Decode, messages: Sequence[Message], split: str) -> list[Any]:
        raise locate(decode, [m.value() for m in messages], split, [m.offset() for m in messages])


class DeadLetters:
    """Each such record, as it was, with headers that say where it was and why; in the lane's next commit."""

    def __init__(self, topic: str, writer: SinkWriter, origin: dict[str, str], clock_ms: Callable[[], int]) -> None:
        """``origin``: more headers, without their prefix: job, operator."""
        self._topic = topic
        self._write = writer.write
        self._origin = [(PREFIX + name, text.encode()) for name, text in origin.items()]
        self._clock_ms = clock_ms

    def values(self, decode: Decode, messages: Sequence[Message], split: str) -> list[Any]:
        return [self._value(decode, message) for message in messages]

    def _value(self, decode: Decode, message: Message) -> Any:
        try:
            return decode([message.value()])[0]
        except REFUSALS as error:
            self._bury(message, str(error))
            return None

    def _bury(self, message: Message, reason: str) -> None:
        value: bytes | None = message.value()
        where = {
            "topic": message.topic(),
            "partition": str(message.partition()),
            "offset": str(message.offset()),
            "timestamp-ms": str(message.timestamp()[1]),
            "reason": reason[:REASON_CHARS_MAX],
            "at-ms": str(self._clock_ms()),
        }
        headers: Headers = list(message.headers() or [])
        headers += [(PREFIX + name, text.encode()) for name, text in where.items()]
        headers += self._origin
        if value is not None and len(value) > VALUE_BYTES_MAX:
            headers.append((PREFIX + "value-bytes", str(len(value)).encode()))
            value = value[:VALUE_BYTES_MAX]
        self._write(self._topic, message.key(), value, headers, None)
