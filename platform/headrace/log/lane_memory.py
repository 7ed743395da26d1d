"""The lane log port on the memory log. What the client library does in Kafka is done here: a producer's
states, its queue, which error a call shows, end-of-partition bookkeeping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from headrace.log.lane import Delivery, LogError, PositionLostError, Remedy, Split
from headrace.log.memory.broker import MESSAGE_BYTES_MAX, BrokerError, MemoryBroker, NewRecord
from headrace.log.memory.faults import CommitFault
from headrace.log.memory.partition import Record

T = TypeVar("T")


class ProducerState(Enum):
    NEW = "init not done"
    READY = "no transaction"
    OPEN = "in a transaction"
    ABORTABLE = "in a transaction that can only be aborted"
    COMMITTING = "commit asked for, not answered: only the same call is legal"
    ABORTING = "abort asked for, not answered"


class MemoryProducer:
    def __init__(self, broker: MemoryBroker, transactional_id: str, timeout_s: float) -> None:
        self._broker, self._id, self._timeout_ms = broker, transactional_id, round(timeout_s * 1000)
        self._state = ProducerState.NEW
        self._epoch = -1
        self._queue: list[NewRecord] = []
        self._asked: list[Delivery | None] = []  #: beside _queue
        self._delivered: list[tuple[Delivery, int]] = []
        self._failure: LogError | None = None  #: shown by commit in state ABORTABLE
        self._dead: LogError | None = None
        self._sent = False  #: the broker knows of this transaction
        self._fault: CommitFault | None = None  #: of the commit in progress

    def init(self, timeout_s: float) -> None:
        self._expect(ProducerState.NEW)

        def own() -> bool:
            epoch = self._broker.init(self._id, self._timeout_ms)
            if epoch is None:
                return False
            self._epoch = epoch
            return True

        if not _until(self._broker, own, timeout_s):
            name = "_TRANSPORT" if self._broker.faults.away else "CONCURRENT_TRANSACTIONS"
            raise LogError(name, "init_transactions did not end in time", Remedy.RETRY)
        self._state = ProducerState.READY

    def begin(self) -> None:
        self._expect(ProducerState.READY)
        self._state, self._failure, self._fault, self._sent = ProducerState.OPEN, None, None, False
        self._queue, self._asked, self._delivered = [], [], []

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
        self._expect(ProducerState.OPEN, ProducerState.ABORTABLE)
        if self._failure is not None:
            raise self._failure
        try:
            size = len(memoryview(key or b"")) + len(memoryview(value or b""))
            if size > MESSAGE_BYTES_MAX:
                raise BrokerError("MSG_SIZE_TOO_LARGE", f"{size} bytes")
            split = self._broker.choose(topic, partition, key)
        except BrokerError as refused:
            raise self._undelivered(refused) from refused
        except TypeError as wrong:
            self._undelivered(BrokerError("_INVALID_ARG", f"record not taken: {wrong}"))
            raise
        self._queue.append(NewRecord(split, key, value, headers, timestamp_ms))
        self._asked.append(delivery)
        # A failure of what is sent in the background shows in commit, as in the client of Kafka.
        if not self._broker.faults.away:
            self._send()

    def commit(self, timeout_s: float) -> None:
        self._expect(ProducerState.OPEN, ProducerState.ABORTABLE, ProducerState.COMMITTING)
        if self._failure is not None:
            raise self._failure
        self._state = ProducerState.COMMITTING
        if not _until(self._broker, self._send, timeout_s):
            raise LogError("_TIMED_OUT", "records are not delivered yet", Remedy.RETRY)
        if self._failure is not None:
            self._state = ProducerState.ABORTABLE
            raise self._failure
        fault = self._broker.faults.commit(self._id) if self._fault is None else CommitFault.NONE
        self._fault = fault
        if fault is CommitFault.ABORTABLE:
            raise self._undelivered(BrokerError("_INCONSISTENT", "1 message(s) failed delivery"))
        if fault is CommitFault.PRODUCER_LOST:
            raise self._died("_TRANSPORT", "producer lost before the commit", Remedy.REBUILD)
        if fault is CommitFault.RETRY:
            raise LogError("_TIMED_OUT", "no answer to EndTxn", Remedy.RETRY)
        self._end(committed=True)
        if fault is CommitFault.RETRY_DECIDED:
            raise LogError("_TIMED_OUT", "no answer to EndTxn", Remedy.RETRY)
        if fault is CommitFault.ANSWER_LOST:
            raise self._died("_TRANSPORT", "producer lost after the commit", Remedy.REBUILD)
        for delivery, offset in self._delivered:
            delivery.offset = offset
        self._state = ProducerState.READY

    def abort(self, timeout_s: float) -> None:
        self._expect(ProducerState.OPEN, ProducerState.ABORTABLE, ProducerState.ABORTING)
        self._state = ProducerState.ABORTING
        self._queue, self._asked = [], []
        if self._broker.faults.abort_lost(self._id):
            raise self._died("INVALID_TXN_STATE", "producer lost in the abort", Remedy.REBUILD)
        if not _until(self._broker, lambda: True, timeout_s):
            raise LogError("_TIMED_OUT", "no answer to EndTxn", Remedy.RETRY)
        self._end(committed=False)
        self._state = ProducerState.READY

    def close(self) -> None:
        self._dead = self._dead or LogError("_STATE", "producer closed", Remedy.REBUILD)

    def _send(self) -> bool:
        """Send what is queued; False while the broker is still ending the id's last transaction."""
        if not self._queue:
            return True
        try:
            offsets = self._broker.append_in_transaction(self._id, self._epoch, self._queue)
            if offsets is None:
                return False
            self._sent = True
            for delivery, offset in zip(self._asked, offsets, strict=True):
                if delivery is not None:
                    self._delivered.append((delivery, offset))
        except BrokerError as refused:
            self._sent = True  # those before the refused one arrived
            if refused.name == "_FENCED":
                self._failure = self._died(refused.name, refused.text, Remedy.FENCED)
            else:
                self._undelivered(refused)
        self._queue, self._asked = [], []
        return True

    def _end(self, committed: bool) -> None:
        if not self._sent:
            return  # nothing was added: the broker knows of no transaction
        try:
            self._broker.end_transaction(self._id, self._epoch, committed)
        except BrokerError as refused:
            cure = Remedy.FENCED if refused.name == "_FENCED" else Remedy.REBUILD
            raise self._died(refused.name, refused.text, cure) from refused

    def _undelivered(self, refused: BrokerError) -> LogError:
        self._state = ProducerState.ABORTABLE
        self._failure = LogError(refused.name, refused.text, Remedy.ABORT)
        return self._failure

    def _died(self, name: str, text: str, cure: Remedy) -> LogError:
        self._dead = LogError(name, text, cure)
        return self._dead

    def _expect(self, *states: ProducerState) -> None:
        if self._dead is not None:
            raise self._dead
        if self._state not in states:
            pending = self._state in (ProducerState.COMMITTING, ProducerState.ABORTING)
            raise self._died("_CONFLICT" if pending else "_STATE", self._state.value, Remedy.REBUILD)


class MemoryReader:
    def __init__(self, broker: MemoryBroker, committed: bool) -> None:
        self._broker, self._committed = broker, committed
        self._positions: dict[Split, int] = {}
        self._ends: dict[Split, int] = {}
        self._at_end: set[Split] = set()

    def assign(self, positions: Mapping[Split, int]) -> None:
        try:
            for split in positions:
                self._broker.partition(split)
        except BrokerError as refused:
            raise LogError(refused.name, refused.text, Remedy.REBUILD) from refused
        self._positions = dict(positions)
        self._ends.clear()
        self._at_end.clear()

    def read(self, messages_max: int, timeout_s: float) -> list[Record]:
        found: list[Record] = []

        def fetch() -> bool:
            self._broker.tick()
            for split in list(self._positions):
                if len(found) < messages_max:
                    found.extend(self._fetch(split, messages_max - len(found)))
            return bool(found)

        _until(self._broker, fetch, timeout_s)
        return found

    def at_end(self) -> set[Split]:
        return set(self._at_end)

    def end_offset_seen(self, split: Split) -> int:
        return self._ends.get(split, -1)

    def close(self) -> None:
        self._positions.clear()

    def _fetch(self, split: Split, messages_max: int) -> list[Record]:
        position = self._positions[split]
        try:
            at = self._broker.partition(split)
        except BrokerError as refused:
            raise LogError(refused.name, refused.text, Remedy.REBUILD) from refused
        if not at.start <= position <= at.end:
            raise PositionLostError(*split, position)
        records, position = at.fetch(position, messages_max, self._committed)
        # Next time another split comes first, so that a busy one cannot starve the others.
        del self._positions[split]
        self._positions[split] = position
        if records:
            self._at_end.discard(split)
        if position >= (at.stable_end if self._committed else at.end):
            self._ends[split] = position
            self._at_end.add(split)
        return records


class MemoryPlainProducer:
    """See PlainProducer: every record is in the log when ``produce`` returns."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

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
        try:
            self._broker.append(
                topic, value, partition=partition, key=key, headers=headers, timestamp_ms=timestamp_ms
            )
        except BrokerError as refused:
            raise LogError(refused.name, refused.text, Remedy.ABORT) from refused

    def cut(self) -> Callable[[float], None]:
        return lambda timeout_s: None

    def close(self) -> None: ...


class MemoryLaneConnection:
    """Thread-safe. Any number of connections may share one broker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def producer(self, transactional_id: str, transaction_timeout_s: float = 20.0) -> MemoryProducer:
        return MemoryProducer(self._broker, transactional_id, transaction_timeout_s)

    def plain_producer(self) -> MemoryPlainProducer:
        return MemoryPlainProducer(self._broker)

    def reader(
        self,
        *,
        committed: bool = True,
        wait_ms: int = 50,
        gather_bytes: int = 1,
        options: Mapping[str, str] | None = None,
    ) -> MemoryReader:
        return MemoryReader(self._broker, committed)

    def bounds(self, topic: str, partition: int, timeout_s: float) -> tuple[int, int]:
        def ask() -> tuple[int, int]:
            at = self._broker.partition((topic, partition))
            return at.start, at.end

        return self._ask(ask, timeout_s)

    def offsets_for_time(self, splits: Sequence[Split], timestamp_ms: int, timeout_s: float) -> dict[Split, int]:
        return self._ask(
            lambda: {split: self._broker.partition(split).offset_for_time(timestamp_ms) for split in splits},
            timeout_s,
        )

    def partitions(self, topic: str, timeout_s: float) -> int | None:
        return self._ask(lambda: self._broker.partitions(topic), timeout_s)

    def topics(self, timeout_s: float) -> dict[str, int]:
        return self._ask(self._broker.topics, timeout_s)

    def delete_before(self, offsets: Mapping[Split, int], timeout_s: float) -> None:
        self._ask(lambda: self._broker.delete_before(offsets), timeout_s)

    def commit_hints(self, group: str, hints: Mapping[Split, tuple[int, str]], timeout_s: float) -> None:
        self._ask(lambda: self._broker.commit_hints(group, hints), timeout_s)

    def hints(self, group: str, splits: Sequence[Split], timeout_s: float) -> dict[Split, tuple[int, str]]:
        return self._ask(lambda: self._broker.hints(group, splits), timeout_s)

    def close(self) -> None: ...

    def _ask(self, question: Callable[[], T], timeout_s: float) -> T:
        answers: list[Any] = []

        def ask() -> bool:
            self._broker.tick()
            answers.append(question())
            return True

        try:
            if not _until(self._broker, ask, timeout_s):
                raise LogError("_TRANSPORT", "the broker does not answer", Remedy.RETRY)
        except BrokerError as refused:
            raise LogError(refused.name, refused.text, Remedy.REBUILD) from refused
        answer: T = answers[0]
        return answer


def _until(broker: MemoryBroker, done: Callable[[], bool], timeout_s: float) -> bool:
    """Call ``done`` under the broker's lock until it is true; False when the time is up or nobody answers."""
    deadline_ms = broker.time.now_ms() + round(timeout_s * 1000)
    with broker.changed:
        while True:
            if not broker.faults.away and done():
                return True
            left_ms = deadline_ms - broker.time.now_ms()
            if left_ms <= 0:
                return False
            broker.time.wait(broker.changed, left_ms / 1000)
