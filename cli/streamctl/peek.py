"""Looking into a topic: records as a person can read them.

Bytes are shown as text where they are text, else in hexadecimal and cut. Messages that lanes send each other are
described, never dumped. Only committed records are read.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from headrace import clock
from headrace.protocol.data import LaneLogRecord, Packed, decode_lane_log, decode_packed
from streamctl.kafka import words
from streamctl.kafka_topics import Kind, Partition, Topic

if TYPE_CHECKING:
    from pydantic import JsonValue

    from streamctl.kafka import Connection

READ_S = 10.0
POLL_S = 0.2
#: From the end, a partition is searched so far back for records among transaction markers.
BACK_RECORDS_MAX = 20_000
BYTES_SHOWN_MAX = 48


@dataclass(frozen=True)
class Peeked:
    """One record as it lies in Kafka."""

    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    def json(self, kind: Kind) -> dict[str, JsonValue]:
        """Texts as they are, other bytes as base64; for messages between lanes what they are, as ``about``."""
        shown: dict[str, JsonValue] = {
            "partition": self.partition,
            "offset": self.offset,
            "timestamp_ms": self.timestamp_ms,
            **_json("key", self.key),
        }
        about = described(self.value, kind)
        shown |= {"about": about} if about else _json("value", self.value)
        headers: list[JsonValue] = [{"name": name, **_json("value", value)} for name, value in self.headers]
        return {**shown, "headers": headers}


def _json(name: str, data: bytes | None) -> dict[str, JsonValue]:
    text = as_text(data)
    if data is not None and text is None:
        return {f"{name}_base64": base64.b64encode(data).decode()}
    return {name: text}


def as_text(data: bytes | None) -> str | None:
    """The text that the bytes are in UTF-8; None when they are not, or hold control characters."""
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(sign.isprintable() or sign in "\n\r\t" for sign in text) else None


def shown(data: bytes | None) -> str:
    """Bytes on one line: text with its line ends escaped, else hexadecimal; "-" for none."""
    if data is None:
        return "-"
    text = as_text(data)
    if text is not None:
        return text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    cut = f"… ({len(data):,} bytes)" if len(data) > BYTES_SHOWN_MAX else ""
    return f"0x{data[:BYTES_SHOWN_MAX].hex()}{cut}"


def described(value: bytes | None, kind: Kind) -> str:
    """What a message between lanes is; "" for any other."""
    if value is None or kind not in (Kind.EXCHANGE, Kind.LANE_LOG):
        return ""
    try:
        if kind is Kind.EXCHANGE:
            return _packed(decode_packed(value), len(value))
        return _lane_log(decode_lane_log(value), len(value))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ""


def _packed(message: Packed, size: int) -> str:
    facts = [
        f"{message.rows} row{'s' * (message.rows != 1)} ({message.codec})" if message.rows else "no rows",
        f"from lane {message.source}, commit {message.c} after {message.previous}",
    ]
    if message.parts > 1:
        facts.append(f"part {message.part + 1} of {message.parts}")
    if message.marks:
        facts.append(f"watermark {message.marks[-1][1]}")
    facts += [name for name, said in (("idle", message.idle), ("end", message.end)) if said]
    return f"{', '.join(facts)}, {size:,} bytes"


def _lane_log(record: LaneLogRecord, size: int) -> str:
    facts = [f"commit {record.c} by {record.by}"]
    if record.parts > 1:
        facts.append(f"part {record.part + 1} of {record.parts}")
    if record.positions:
        facts.append("at " + " ".join(f"{name}:{offset}" for name, offset in sorted(record.positions.items())))
    if record.changes:
        facts.append(f"{len(record.changes)} state change{'s' * (len(record.changes) != 1)}")
    if record.mark:
        facts.append("a snapshot begins" if record.mark == 1 else "a snapshot ends")
    if record.finished:
        facts.append("finished")
    return f"{', '.join(facts)}, {size:,} bytes"


def peek(connection: Connection, topic: Topic, number: int, *, partition: int | None, from_end: bool) -> list[Peeked]:
    """The first ``number`` records that the topic holds, or the last, by their timestamps.

    Raises UnavailableError when Kafka stops answering.
    """
    found: list[Peeked] = []
    with _Reader(connection, topic.name) as reader:
        for each in topic.partitions:
            if partition in (None, each.number) and each.records:
                found += (
                    reader.last(each, number) if from_end else reader.read(each.number, each.first, each.end, number)
                )
    found.sort(key=lambda record: (record.timestamp_ms or 0, record.partition, record.offset))
    return found[-number:] if from_end else found[:number]


class _Reader:
    """Reads stretches of partitions, one after the other."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self._topic = topic
        self._consumer: Consumer = connection.reader()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def last(self, partition: Partition, number: int) -> list[Peeked]:
        """The last records, searched for in growing stretches: between them may lie markers."""
        back = number + 2
        while True:
            start = max(partition.first, partition.end - back)
            found = self.read(partition.number, start, partition.end, back)
            if len(found) >= number or start == partition.first or back >= BACK_RECORDS_MAX:
                return found[-number:]
            back *= 4

    def read(self, partition: int, start: int, end: int, number: int) -> list[Peeked]:
        """At most ``number`` records of this stretch, in order."""
        from streamctl.kafka import unreachable

        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        found: list[Peeked] = []
        deadline = clock.monotonic_s() + READ_S
        while len(found) < number:
            message = self._consumer.poll(POLL_S)
            if message is None:
                if clock.monotonic_s() > deadline:
                    raise unreachable(self._connection.bootstrap, f"no record of {self._topic} within {READ_S:.0f} s")
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    break  # also where an open transaction holds readers of committed records
                raise unreachable(self._connection.bootstrap, words(KafkaException(error)))
            if (message.offset() or 0) >= end:
                break
            found.append(_peeked(message))
        return found


def _peeked(message: Message) -> Peeked:
    kind, timestamp = message.timestamp()
    headers = message.headers() or []
    return Peeked(
        message.partition() or 0,
        message.offset() or 0,
        None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        _bytes(message.key()),
        _bytes(message.value()),
        [(name, _bytes(value)) for name, value in (headers.items() if isinstance(headers, dict) else headers)],
    )


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
