"""What a broker says of itself that confluent-kafka does not ask for: its release, its disks, its clock.

One request each over a connection of its own, plain text only. Reads only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from headrace.log.kafka_wire import Reader, ask, string, varint

API_VERSIONS = (18, 3)
DESCRIBE_LOG_DIRS = (35, 4)
DESCRIBE_QUORUM = (55, 1)
NO_TAGS = b"\0"
_FEATURE = "metadata.version"
#: The first level of the feature metadata.version that each release brought, newest first.
_RELEASES = ((34, "4.5 or later"), (31, "4.4"), (30, "4.3"), (28, "4.2"), (26, "4.1"), (22, "4.0"), (1, "3"))


@dataclass(frozen=True)
class LogDir:
    """One data directory of a broker. ``total`` and ``usable`` bytes of its file system, -1 when not told."""

    path: str
    total: int
    usable: int
    error: int  #: Kafka's error code, 0 for none


def release(host: str, port: int, timeout_s: float) -> str | None:
    """The broker's release as "4.2", by the newest metadata level it supports; None when it tells none.

    Raises OSError when it does not answer, WireError when it does not speak Kafka.
    """
    body = string("headrace") + string("1") + NO_TAGS
    read = ask(host, port, API_VERSIONS, body, timeout_s, tagged_header=False)
    if read.number("h"):
        return None
    read.array(lambda: _api(read))
    read.number("i")
    level = _supported(read).get(_FEATURE)
    return None if level is None else next((name for first, name in _RELEASES if level >= first), None)


def _api(read: Reader) -> None:
    """One request that the broker knows; of no interest here."""
    read.bytes(6)
    read.tags()


def _supported(read: Reader) -> dict[str, int]:
    """Feature to its highest supported level, out of the answer's tagged fields."""
    for _ in range(read.varint()):
        tag, field = read.varint(), Reader(read.bytes(read.varint()))
        if tag == 0:
            return dict(field.array(lambda f=field: _feature(f)))  # type: ignore[misc]
    return {}


def _feature(read: Reader) -> tuple[str, int]:
    name = read.string()
    read.number("h")
    highest = read.number("h")
    read.tags()
    return name, highest


def log_dirs(host: str, port: int, timeout_s: float) -> list[LogDir]:
    """The broker's data directories. Raises OSError, WireError."""
    read = ask(host, port, DESCRIBE_LOG_DIRS, varint(1) + NO_TAGS, timeout_s)  # of no topic
    read.number("i")
    if error := read.number("h"):
        return [LogDir("", -1, -1, error)]

    def directory() -> LogDir:
        error, path = read.number("h"), read.string()
        read.array(lambda: None)  # topics: none was asked for
        total, usable = read.number("q"), read.number("q")
        read.tags()
        return LogDir(path, total, usable, error)

    return read.array(directory)


def controller_clock_ms(host: str, port: int, timeout_s: float) -> int | None:
    """The clock of the cluster's active controller, which any broker asks on; None when it does not tell.

    Its own line in the quorum carries the present time. Raises OSError, WireError.
    """
    partition = varint(2) + struct.pack(">i", 0) + NO_TAGS
    body = varint(2) + string("__cluster_metadata") + partition + NO_TAGS + NO_TAGS
    read = ask(host, port, DESCRIBE_QUORUM, body, timeout_s)
    if read.number("h"):
        return None

    def replica() -> tuple[int, int]:
        number = read.number("i")
        read.number("q")
        read.number("q")
        seen_ms = read.number("q")
        read.tags()
        return number, seen_ms

    def quorum() -> int | None:
        read.number("i")
        error, leader = read.number("h"), read.number("i")
        read.number("i")
        read.number("q")
        voters = dict(read.array(replica))
        read.array(replica)
        read.tags()
        return None if error or voters.get(leader, -1) < 0 else voters[leader]

    def topic() -> list[int | None]:
        read.string()
        found = read.array(quorum)
        read.tags()
        return found

    return next((clock for of_topic in read.array(topic) for clock in of_topic), None)
