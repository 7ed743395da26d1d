"""Three admin requests that confluent-kafka does not have, in Kafka's own wire format: pure encoding and decoding.

    DescribeProducers     61 v0   what each partition's leader knows of transactional producers
    DescribeTransactions  65 v0   what the coordinator knows of a transactional id
    WriteTxnMarkers       27 v1   what a coordinator sends to end a transaction in a partition

Also the value of ``__transaction_state``: what a coordinator decided, in order. No I/O here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from headrace.log.kafka_wire import Reader, string, varint

DESCRIBE_PRODUCERS = (61, 0)
DESCRIBE_TRANSACTIONS = (65, 0)
WRITE_TXN_MARKERS = (27, 1)

Split = tuple[str, int]


class TransactionStatus(IntEnum):
    """States of a transaction as ``__transaction_state`` numbers them."""

    Empty = 0
    Ongoing = 1
    PrepareCommit = 2
    PrepareAbort = 3
    CompleteCommit = 4
    CompleteAbort = 5
    Dead = 6
    PrepareEpochFence = 7


#: The coordinator still has to act on a transaction in these states.
UNFINISHED = frozenset(
    {
        TransactionStatus.Ongoing,
        TransactionStatus.PrepareCommit,
        TransactionStatus.PrepareAbort,
        TransactionStatus.PrepareEpochFence,
    }
)


@dataclass(frozen=True)
class PartitionProducer:
    """A transactional producer in one partition. ``start_offset`` >= 0: its transaction is open there."""

    topic: str
    partition: int
    producer_id: int
    epoch: int
    last_timestamp_ms: int
    coordinator_epoch: int
    start_offset: int


@dataclass(frozen=True)
class TransactionDescription:
    """The coordinator's answer for one id; only ``error`` counts when it is not 0."""

    transactional_id: str
    error: int
    status: TransactionStatus | None
    producer_id: int
    epoch: int
    partitions: frozenset[Split]


@dataclass(frozen=True)
class TransactionRecord:
    """One record of ``__transaction_state``."""

    transactional_id: str
    producer_id: int
    epoch: int
    status: TransactionStatus
    partitions: frozenset[Split]
    updated_ms: int


def describe_producers(partitions: Mapping[str, Sequence[int]]) -> bytes:
    return _topics(partitions) + b"\0"


def describe_transactions(transactional_ids: Sequence[str]) -> bytes:
    return varint(len(transactional_ids) + 1) + b"".join(map(string, transactional_ids)) + b"\0"


def write_marker(producer_id: int, epoch: int, *, commit: bool, split: Split, coordinator_epoch: int) -> bytes:
    """One marker for one partition."""
    topic, partition = split
    marker = struct.pack(">qh?", producer_id, epoch, commit) + _topics({topic: [partition]})
    return varint(2) + marker + struct.pack(">i", coordinator_epoch) + b"\0\0"


def decode_producers(read: Reader) -> list[PartitionProducer]:
    """All producers of all partitions that answered; a partition with an error has none."""
    read.number("i")  # throttle time
    found: list[PartitionProducer] = []

    def topic() -> None:
        name = read.string()
        read.array(lambda: partition(name))
        read.tags()

    def partition(name: str) -> None:
        index, _error = read.number("i"), read.number("h")
        read.nullable_string()
        read.array(lambda: producer(name, index))
        read.tags()

    def producer(name: str, index: int) -> None:
        producer_id, epoch, _sequence = read.number("q"), read.number("i"), read.number("i")
        timestamp, coordinator_epoch, start = read.number("q"), read.number("i"), read.number("q")
        read.tags()
        found.append(PartitionProducer(name, index, producer_id, epoch, timestamp, coordinator_epoch, start))

    read.array(topic)
    return found


def decode_transactions(read: Reader) -> list[TransactionDescription]:
    read.number("i")  # throttle time

    def one() -> TransactionDescription:
        error, transactional_id, state = read.number("h"), read.string(), read.string()
        read.number("i")  # time-out
        read.number("q")  # start time
        producer_id, epoch = read.number("q"), read.number("h")
        partitions = read.array(topic)
        read.tags()
        status = TransactionStatus.__members__.get(state)
        splits = frozenset(split for of_topic in partitions for split in of_topic)
        return TransactionDescription(transactional_id, error, status, producer_id, epoch, splits)

    def topic() -> list[Split]:
        name = read.string()
        indexes = read.array(lambda: read.number("i"))
        read.tags()
        return [(name, index) for index in indexes]

    return read.array(one)


def decode_marker_errors(read: Reader) -> dict[Split, int]:
    """Error code of each partition a marker was sent to; 0 is success."""
    errors: dict[Split, int] = {}

    def marker() -> None:
        read.number("q")  # producer id
        read.array(topic)
        read.tags()

    def topic() -> None:
        name = read.string()
        read.array(lambda: partition(name))
        read.tags()

    def partition(name: str) -> None:
        index, error = read.number("i"), read.number("h")
        read.tags()
        errors[name, index] = error

    read.array(marker)
    return errors


def decode_transaction_record(key: bytes, value: bytes | None, timestamp_ms: int) -> TransactionRecord | None:
    """A record of ``__transaction_state``; None for a tombstone or a key of another kind."""
    if value is None or key[:2] != b"\0\0":
        return None
    name = Reader(key, 2)
    transactional_id = name.bytes(name.number("h")).decode()
    read = Reader(value)
    version, producer_id, epoch = read.number("h"), read.number("q"), read.number("h")
    read.number("i")  # time-out
    status = TransactionStatus(read.number("b"))
    flexible = version >= 1
    splits: list[Split] = []
    count = read.varint() - 1 if flexible else read.number("i")
    for _ in range(count):  # null is -1: no partitions
        topic = read.string() if flexible else read.bytes(read.number("h")).decode()
        partitions = read.varint() - 1 if flexible else read.number("i")
        splits += [(topic, read.number("i")) for _ in range(partitions)]
        if flexible:
            read.tags()
    return TransactionRecord(transactional_id, producer_id, epoch, status, frozenset(splits), timestamp_ms)


def _topics(partitions: Mapping[str, Sequence[int]]) -> bytes:
    out = [varint(len(partitions) + 1)]
    for topic, indexes in partitions.items():
        out += [string(topic), varint(len(indexes) + 1), struct.pack(f">{len(indexes)}i", *indexes), b"\0"]
    return b"".join(out)
