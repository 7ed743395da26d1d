"""The commit helper: runs one Kafka transaction at a time beside its lane's thread.

The lane hands over everything a commit means and goes on reading; the helper's outcome says what the lane
does next. Transaction calls release the interpreter lock, so that the lane computes meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue

import msgspec

from headrace.log.lane import Delivery, LaneProducer, LogError, Remedy, Split
from headrace.protocol.data import LaneLogRecord

CALL_TIMEOUT_S = 5.0
RETRY_PAUSE_S = 0.05


class Outcome(Enum):
    """How a commit ended."""

    COMMITTED = "committed"
    COMMITTED_AFTER_RETRY = "committed, after a call had to be repeated: rebuild the producer too"
    ABORTED = "aborted: undo and seek back"
    UNKNOWN = "the lane log knows: rebuild"
    FENCED = "another owner holds the id"


class SinkRecord(msgspec.Struct, frozen=True, gc=False):
    """One record for a topic meant for others. A struct: jobs make one for each result, maybe millions."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] | None
    timestamp_ms: int | None


@dataclass
class Commit:
    """One commit: what is written, and what it means for the lane."""

    record: LaneLogRecord
    log_split: Split
    log_messages: list[bytes]
    exchange_messages: list[tuple[str, int, bytes]]
    sink_records: list[SinkRecord]
    rows_out: int
    sent_bytes: list[tuple[Split, int]]
    began_s: float
    #: At least once: waits until what was sent before this commit is acknowledged.
    acknowledged: Callable[[float], None] | None = None
    delivery: Delivery = field(default_factory=Delivery)
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    error: BaseException | None = None
    ended_s: float = 0.0


def run_transaction(producer: LaneProducer, commit: Commit, pause: Callable[[float], object]) -> Outcome:
    """Write ``commit`` in one transaction. Never commits a part of it; never raises LogError."""
    try:
        if commit.acknowledged is not None:
            _repeat(commit.acknowledged, pause)
    except LogError as error:
        commit.error = error
        return Outcome.ABORTED
    try:
        producer.begin()
        for topic, partition, value in commit.exchange_messages:
            producer.produce(topic, value, partition=partition)
        for sink in commit.sink_records:
            producer.produce(
                sink.topic,
                sink.value,
                key=sink.key,
                headers=sink.headers,
                timestamp_ms=sink.timestamp_ms or 0,
            )
        log_topic, log_partition = commit.log_split
        for part, value in enumerate(commit.log_messages):
            producer.produce(
                log_topic, value, partition=log_partition, delivery=commit.delivery if part == 0 else None
            )
        retried = _repeat(producer.commit, pause)
    except LogError as error:
        commit.error = error
        return _give_up(producer, error, pause)
    return Outcome.COMMITTED_AFTER_RETRY if retried else Outcome.COMMITTED


def _repeat(call: Callable[[float], None], pause: Callable[[float], object]) -> bool:
    """The same call again while it asks for that; whether it had to. The lane's deadline bounds it from outside."""
    retried = False
    while True:
        try:
            call(CALL_TIMEOUT_S)
            return retried
        except LogError as error:
            if error.remedy is not Remedy.RETRY:
                raise
            retried = True
            pause(RETRY_PAUSE_S)


def _give_up(producer: LaneProducer, error: LogError, pause: Callable[[float], object]) -> Outcome:
    if error.remedy is Remedy.FENCED:
        return Outcome.FENCED
    if error.remedy is not Remedy.ABORT and error.remedy is not Remedy.RETRY:
        return Outcome.UNKNOWN
    try:
        _repeat(producer.abort, pause)
    except LogError as abort_error:
        return Outcome.FENCED if abort_error.remedy is Remedy.FENCED else Outcome.UNKNOWN
    return Outcome.ABORTED


class CommitHelper:
    """The thread that runs commits of one lane. At most one is in flight (the lane sees to that)."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queue: SimpleQueue[tuple[LaneProducer, Commit] | None] = SimpleQueue()
        self._pause = threading.Event()
        self.call_began_s: float | None = None  #: read by the worker's watchdog
        self._thread = threading.Thread(target=self._run, name=f"commit {name}", daemon=True)
        self._thread.start()

    def submit(self, producer: LaneProducer, commit: Commit) -> None:
        self.call_began_s = self._clock()
        self._queue.put((producer, commit))

    def close(self) -> None:
        self._pause.set()
        self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            producer, commit = job
            try:
                commit.outcome = run_transaction(producer, commit, self._pause.wait)
            except BaseException as error:  # noqa: BLE001 - handed to the lane's thread, which raises it
                commit.error = error
            commit.ended_s = self._clock()
            self.call_began_s = None
            commit.done.set()
