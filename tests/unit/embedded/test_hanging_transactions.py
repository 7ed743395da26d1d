"""The rule that decides what became of a transaction nobody owns; and the bytes it is read from."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from headrace.log import kafka_wire, transaction_wire
from headrace.log.hanging_transactions import Verdict, decide
from headrace.log.kafka_wire import Reader, WireError, string, varint
from headrace.log.transaction_wire import (
    PartitionProducer,
    TransactionDescription,
    TransactionRecord,
    TransactionStatus,
)

PRODUCER = PartitionProducer("t", 3, 7, 2, last_timestamp_ms=1_000, coordinator_epoch=5, start_offset=40)
SPLITS = frozenset({("t", 3), ("u", 0)})


def record(
    status: TransactionStatus, updated_ms: int, *, epoch: int = 2, partitions: frozenset[tuple[str, int]] = SPLITS
) -> TransactionRecord:
    return TransactionRecord("id", 7, epoch, status, partitions, updated_ms)


ONGOING = record(TransactionStatus.Ongoing, 900)
COMMITTED = [
    ONGOING,
    record(TransactionStatus.PrepareCommit, 1_001),
    record(TransactionStatus.CompleteCommit, 1_002, partitions=frozenset()),
]
EMPTY = TransactionDescription("id", 0, TransactionStatus.Empty, 7, 2, frozenset())


def verdict(*history: TransactionRecord, description: TransactionDescription | None = EMPTY) -> Verdict:
    return decide(PRODUCER, history, description)[0]


def test_the_outcome_is_the_one_that_was_prepared() -> None:
    assert verdict(*COMMITTED) is Verdict.COMMIT
    assert verdict(ONGOING, record(TransactionStatus.PrepareAbort, 1_001)) is Verdict.ABORT


def test_the_marker_has_the_epoch_of_the_decision() -> None:
    fenced = record(TransactionStatus.PrepareAbort, 1_500, epoch=3)
    assert decide(PRODUCER, [ONGOING, fenced], EMPTY)[:2] == (Verdict.ABORT, fenced)


def test_the_last_transaction_prepared_in_this_partition_counts() -> None:
    elsewhere = record(TransactionStatus.PrepareAbort, 1_900, partitions=frozenset({("u", 0)}))
    assert verdict(*COMMITTED, elsewhere) is Verdict.COMMIT
    assert verdict(*COMMITTED, record(TransactionStatus.PrepareAbort, 1_900)) is Verdict.ABORT


@pytest.mark.parametrize(
    "history",
    [
        [],
        [ONGOING],
        [ONGOING, record(TransactionStatus.PrepareCommit, 999)],  # the batch came after the end
        [ONGOING, record(TransactionStatus.PrepareCommit, 1_001, epoch=1)],
        [ONGOING, record(TransactionStatus.PrepareCommit, 1_001, epoch=4)],
        [ONGOING, record(TransactionStatus.PrepareCommit, 1_001, partitions=frozenset({("t", 2)}))],
    ],
)
def test_nothing_is_guessed(history: list[TransactionRecord]) -> None:
    found, decision, reason = decide(PRODUCER, history, EMPTY)
    assert (found, decision) == (Verdict.UNDECIDED, None) and "__transaction_state" in reason


@pytest.mark.parametrize(
    "status",
    [
        TransactionStatus.Ongoing,
        TransactionStatus.PrepareCommit,
        TransactionStatus.PrepareAbort,
        TransactionStatus.PrepareEpochFence,
    ],
)
def test_what_a_coordinator_owns_is_left_to_it(status: TransactionStatus) -> None:
    owning = replace(EMPTY, status=status, partitions=SPLITS)
    assert verdict(*COMMITTED, description=owning) is Verdict.OWNED
    assert verdict(*COMMITTED, description=replace(owning, epoch=9)) is Verdict.OWNED
    assert verdict(*COMMITTED, description=replace(owning, partitions=frozenset())) is Verdict.OWNED


def test_a_coordinator_that_went_on_or_forgot_owns_nothing() -> None:
    later = TransactionDescription("id", 0, TransactionStatus.Ongoing, 7, 3, frozenset({("u", 0)}))
    assert verdict(*COMMITTED, description=later) is Verdict.COMMIT
    assert verdict(*COMMITTED, description=replace(later, epoch=2, producer_id=8)) is Verdict.COMMIT
    assert verdict(*COMMITTED, description=replace(EMPTY, error=105, status=None)) is Verdict.COMMIT
    assert verdict(*COMMITTED, description=None) is Verdict.COMMIT


def test_records_of_both_versions_of_the_state_topic() -> None:
    key = struct.pack(">hh", 0, 2) + b"id"
    head = struct.pack(">qhib", 7, 2, 10_000, 2)
    tail = struct.pack(">qq", 1, 2)
    old = struct.pack(">ih1siih1sii", 2, 1, b"t", 1, 3, 1, b"u", 1, 0)
    new = varint(3) + string("t") + varint(2) + struct.pack(">i", 3) + b"\0" + string("u") + b"\2\0\0\0\0\0"
    expected = TransactionRecord("id", 7, 2, TransactionStatus.PrepareCommit, SPLITS, 77)
    for value in (b"\0\0" + head + old + tail, b"\0\1" + head + new + tail + b"\0"):
        assert transaction_wire.decode_transaction_record(key, value, 77) == expected
    for value in (b"\0\0" + head + struct.pack(">i", -1) + tail, b"\0\1" + head + b"\0" + tail + b"\0"):
        found = transaction_wire.decode_transaction_record(key, value, 77)
        assert found is not None and found.partitions == frozenset()
    assert transaction_wire.decode_transaction_record(key, None, 77) is None
    assert transaction_wire.decode_transaction_record(b"\0\1", b"", 77) is None


def test_an_answer_about_producers() -> None:
    producers = b"".join(
        struct.pack(">qiiqiq", pid, 2, 0, 1_000, 5, start) + b"\0" for pid, start in [(7, 40), (8, -1)]
    )
    partition = struct.pack(">ih", 3, 0) + b"\0" + varint(3) + producers + b"\0"
    body = struct.pack(">i", 0) + varint(2) + string("t") + varint(2) + partition + b"\0\0"
    answer = kafka_wire.response(struct.pack(">i", 1) + b"\0" + body)
    assert transaction_wire.decode_producers(answer) == [
        PRODUCER,
        replace(PRODUCER, producer_id=8, start_offset=-1),
    ]


def test_numbers_of_any_length_and_tagged_fields() -> None:
    for number in (0, 1, 127, 128, 300, 2**31):
        assert Reader(varint(number)).varint() == number
    read = Reader(varint(2) + varint(0) + varint(3) + b"abc" + varint(9) + varint(0) + b"\x05")
    read.tags()
    assert read.number("b") == 5


def test_cut_off_bytes_are_an_error() -> None:
    with pytest.raises(WireError):
        Reader(string("topic")[:-1]).string()
    with pytest.raises(WireError):
        Reader(b"\0\0\0").number("i")
