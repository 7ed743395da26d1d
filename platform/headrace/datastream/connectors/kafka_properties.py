"""Properties of a Kafka source: those of Kafka's consumer that may be set, under Kafka's names or librdkafka's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from headrace.common.call_site import wrong

T = TypeVar("T")

#: Ours: how often new partitions are looked for, in ms; 0 or less: never.
DISCOVERY_INTERVAL = "partition.discovery.interval.ms"
#: Ours, as in Flink: whether positions are written as offsets of the consumer group, for lag tools.
COMMIT_OFFSETS = "commit.offsets.on.checkpoint"


@dataclass(frozen=True)
class _Known:
    """A property that is passed to the reader. ``kind`` says what its text must be."""

    librdkafka: str
    kind: Callable[[str], object]
    expected: str


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _number(librdkafka: str) -> _Known:
    return _Known(librdkafka, _natural, "a whole number from 0")


_KNOWN = {
    "check.crcs": _Known("check.crcs", _switch, "true or false"),
    "client.rack": _Known("client.rack", str, "text"),
    "fetch.max.bytes": _number("fetch.max.bytes"),
    "fetch.max.wait.ms": _number("fetch.wait.max.ms"),
    "fetch.min.bytes": _number("fetch.min.bytes"),
    "fetch.wait.max.ms": _number("fetch.wait.max.ms"),
    "max.partition.fetch.bytes": _number("max.partition.fetch.bytes"),
    "metadata.max.age.ms": _number("metadata.max.age.ms"),
    "queued.max.messages.kbytes": _number("queued.max.messages.kbytes"),
    "queued.min.messages": _number("queued.min.messages"),
    "receive.buffer.bytes": _number("socket.receive.buffer.bytes"),
    "request.timeout.ms": _number("socket.timeout.ms"),
    "send.buffer.bytes": _number("socket.send.buffer.bytes"),
    "socket.receive.buffer.bytes": _number("socket.receive.buffer.bytes"),
    "socket.send.buffer.bytes": _number("socket.send.buffer.bytes"),
    "socket.timeout.ms": _number("socket.timeout.ms"),
}
#: What programs for other engines set, with what to do here instead.
_ELSEWHERE = {
    "auto.offset.reset": "set_starting_offsets() says where to start",
    "enable.auto.commit": f"the job keeps its positions itself; {COMMIT_OFFSETS} says whether lag tools see them",
    "isolation.level": "records of open and aborted transactions are never read",
    "key.deserializer": "set_value_only_deserializer() says how values are read",
    "value.deserializer": "set_value_only_deserializer() says how values are read",
}
_CONNECTION = ("sasl.", "security.", "ssl.")


@dataclass
class SourceProperties:
    """What ``set_property`` collected."""

    reader: dict[str, str] = field(default_factory=dict)  #: librdkafka's names
    discovery_interval_ms: int | None = None  #: None: not set
    commit_offsets: bool = True

    def put(self, key: str, value: str) -> None:
        """Take one property. Raises UsageError naming the user's line for one that cannot be set here."""
        if not isinstance(key, str) or not isinstance(value, str):
            raise wrong(f"set_property() takes two texts, not {key!r:.60} and {value!r:.60}")
        if key == DISCOVERY_INTERVAL:
            self.discovery_interval_ms = _checked(key, value, int, "a whole number of milliseconds")
        elif key == COMMIT_OFFSETS:
            self.commit_offsets = _checked(key, value, _switch, "true or false")
        elif key in _KNOWN:
            known = _KNOWN[key]
            _checked(key, value, known.kind, known.expected)
            self.reader[known.librdkafka] = value
        elif key in _ELSEWHERE:
            raise wrong(f"the property {key!r} cannot be set on a source", hint=_ELSEWHERE[key])
        elif key.startswith(_CONNECTION):
            raise wrong(
                f"the property {key!r} cannot be set on a source",
                hint="sources use the cluster that runs the job; how to connect to it is in HEADRACE_KAFKA",
            )
        else:
            names = ", ".join(sorted({*_KNOWN, DISCOVERY_INTERVAL, COMMIT_OFFSETS}))
            raise wrong(f"{key!r} is no property of a source", hint=f"these can be set: {names}")


def _checked(key: str, value: str, kind: Callable[[str], T], expected: str) -> T:
    try:
        return kind(value)
    except ValueError:
        raise wrong(f"the property {key} is {value!r:.60}; it must be {expected}") from None
