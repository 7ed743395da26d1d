"""Port of the data plane to the log: what a lane needs from Kafka, in Kafka's own terms.

Implementations: ``lane_kafka`` (confluent-kafka) and ``lane_memory`` (honest: last init wins, prepare before
markers, last-stable-offset stalls, time-outs, DeleteRecords). One contract suite runs against both.

Synchronous: every lane is a thread of its own. ``Message`` is what confluent-kafka gives: ``value() key()
offset() partition() topic() timestamp() headers()``; the memory log's messages have the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

Message = Any
Split = tuple[str, int]  #: topic, partition


class Remedy(Enum):
    """What a lane must do after a failed call."""

    RETRY = "same call again until the deadline; it decides the outcome"
    ABORT = "abort_transaction, undo, seek back"
    REBUILD = "new producer, init, let the lane log tell the outcome"
    FENCED = "another owner: ask whether the lane is still ours, then rebuild or end"


class LogError(Exception):
    """A call to the log failed. ``name`` is Kafka's error name ("_FENCED", "_TIMED_OUT", ...)."""

    def __init__(self, name: str, text: str, remedy: Remedy) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.remedy = remedy


class PositionLostError(Exception):
    """A reader's position is outside the partition: records it had still to read are gone. Never retried."""

    def __init__(self, topic: str, partition: int, position: int) -> None:
        super().__init__(f"{topic}/{partition}: position {position} no longer exists")
        self.topic, self.partition, self.position = topic, partition, position


class Delivery:
    """Filled in by the commit: the offset the lane-log record got, -1 until then."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = -1


class LaneProducer(Protocol):
    """One transactional producer object. After a FENCED or REBUILD error it is dead: make a new one."""

    def init(self, timeout_s: float) -> None:
        """Fence every earlier producer of this id and abort its open transaction. Raises LogError."""

    def begin(self) -> None: ...

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = -1,
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp_ms: int = 0,
        delivery: Delivery | None = None,
    ) -> None:
        """Add one record to the open transaction; blocks while the local queue is full.

        Raises LogError; the record is then missing, and commit refuses until abort. A record that the broker
        will refuse (its time, its topic's rules) may be taken here and show in commit, with ABORT; then the
        next transaction may have to be aborted once more.
        """

    def commit(self, timeout_s: float) -> None:
        """Commit. A LogError with RETRY means: call commit again, nothing else."""

    def abort(self, timeout_s: float) -> None: ...

    def close(self) -> None:
        """Drop the object without waiting for anything."""


class PlainProducer(Protocol):
    """An idempotent producer outside any transaction, for at-least-once lanes."""

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = -1,
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """Send one record soon; blocks while the local queue is full. Raises LogError."""

    def cut(self) -> Callable[[float], None]:
        """A wait, for any thread, until everything produced up to now is acknowledged; what follows is not its.

        The wait takes its time-out in seconds and may be called again. It raises LogError with ABORT when a
        record was not delivered, with RETRY when the time is up.
        """

    def close(self) -> None:
        """Drop the object without waiting for anything."""


class LaneReader(Protocol):
    """Reads assigned splits in order. No group membership, no automatic commits, no offset reset."""

    def assign(self, positions: Mapping[Split, int]) -> None:
        """Replace the assignment; reading goes on at these offsets.

        Raises LogError (REBUILD) for a topic or partition that does not exist. No broker is no error.
        """

    def read(self, messages_max: int, timeout_s: float) -> list[Message]:
        """Up to ``messages_max`` messages; waits at most ``timeout_s`` and returns when there are some.

        Empty also earlier, when only an end of a partition came. Raises PositionLostError when records are
        gone, LogError (REBUILD) for what the client does not cure by itself (no permission, topic deleted).
        """

    def at_end(self) -> set[Split]:
        """Splits that have reached their (stable) end since the last message from them."""

    def end_offset_seen(self, split: Split) -> int:
        """Offset at which the last end-of-partition event of ``split`` came; -1 if none since assign.

        The end that this reader can reach: ``committed`` readers stop at the first open transaction.
        """

    def close(self) -> None: ...


class LaneConnection(Protocol):
    """What a worker opens once; hands out producers and readers. Thread-safe.

    Questions and orders raise LogError at their deadline: RETRY when nobody answered, REBUILD when asking
    again is pointless (no such topic, beyond the end, no permission).
    """

    def producer(self, transactional_id: str, transaction_timeout_s: float) -> LaneProducer: ...

    def plain_producer(self) -> PlainProducer: ...

    def reader(
        self,
        *,
        committed: bool = True,
        wait_ms: int = 50,
        gather_bytes: int = 1,
        options: Mapping[str, str] | None = None,
    ) -> LaneReader:
        """``committed``: records of open or aborted transactions are not seen. ``options``: more of librdkafka's.

        The broker answers a request for more when it has ``gather_bytes``, or after ``wait_ms`` with what it has.
        """

    def bounds(self, topic: str, partition: int, timeout_s: float) -> tuple[int, int]:
        """(first existing offset, end offset including open transactions), asked from the broker now."""

    def offsets_for_time(self, splits: Sequence[Split], timestamp_ms: int, timeout_s: float) -> dict[Split, int]:
        """First offset of each split whose record time is at or after ``timestamp_ms``; the end if none."""

    def partitions(self, topic: str, timeout_s: float) -> int | None: ...

    def topics(self, timeout_s: float) -> dict[str, int]:
        """All topics that this connection may see, with their partition counts."""

    def delete_before(self, offsets: Mapping[Split, int], timeout_s: float) -> None:
        """DeleteRecords: the partitions start at these offsets from now on."""

    def commit_hints(self, group: str, hints: Mapping[Split, tuple[int, str]], timeout_s: float) -> None:
        """Plain consumer-group commit of (offset, metadata): for lag tools and backpressure only."""

    def hints(self, group: str, splits: Sequence[Split], timeout_s: float) -> dict[Split, tuple[int, str]]:
        """The committed hints, missing splits left out."""

    def close(self) -> None: ...
