"""The one node of the memory log: topics, transaction coordinator, groups. Thread-safe: one lock over all.

A transaction goes as in Kafka: records are in their partitions while it is open; its end is decided once
(PREPARE), then a marker is written to each partition it touched; only then the id may begin another.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from headrace.log.lane import Split
from headrace.log.memory.faults import Faults
from headrace.log.memory.partition import Headers, Partition, Record
from headrace.log.memory.time import RealTime, Time
from headrace.protocol.topics import partition_of

MESSAGE_BYTES_MAX = 1_000_000
#: Kafka's limit as it acts (offset.metadata.max.bytes, 4096 by default), in characters.
METADATA_CHARS_MAX = 4095
#: Kafka refuses record times further ahead than this (message.timestamp.after.max.ms).
AHEAD_MS_MAX = 3_600_000


class BrokerError(Exception):
    """An answer that is an error, by Kafka's name for it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


class NewRecord(NamedTuple):
    """A record on its way into a transaction. ``timestamp_ms`` 0: the time of its arrival."""

    split: Split
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    timestamp_ms: int


class TransactionState(Enum):
    EMPTY = "no transaction"
    ONGOING = "open"
    PREPARE = "outcome decided, markers being written"


@dataclass(frozen=True)
class Marker:
    """A marker that is decided and not written. ``due_ms`` None: nobody will write it."""

    committed: bool
    due_ms: int | None


@dataclass
class Transaction:
    """What the coordinator knows of one transactional id. ``producer`` stays, ``epoch`` counts owners."""

    producer: int
    timeout_ms: int
    epoch: int = -1
    state: TransactionState = TransactionState.EMPTY
    began_ms: int = 0
    committed: bool = False  #: the outcome of the last transaction that was decided
    touched: set[Split] = field(default_factory=set)
    unmarked: dict[Split, Marker] = field(default_factory=dict)


class MemoryBroker:
    """``sweep_ms``: how often the coordinator looks for transactions past their time-out."""

    def __init__(self, time: Time | None = None, faults: Faults | None = None, sweep_ms: int = 1000) -> None:
        self.time = time or RealTime()
        self.faults = faults or Faults()
        self.changed = threading.Condition(threading.RLock())  #: notified when something became readable
        self._topics: dict[str, list[Partition]] = {}
        self._transactions: dict[str, Transaction] = {}
        self._hints: dict[str, dict[Split, tuple[int, str]]] = {}
        self._producers = itertools.count(1)
        self._turn = itertools.count()  #: partition of the next record without a key
        self._sweep_ms, self._swept_ms = sweep_ms, self.time.now_ms()
        self._preparing: set[str] = set()

    # -- topics ------------------------------------------------------------------------------------------------

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create what is missing; an existing topic with the same count is success."""
        with self.changed:
            for name, partitions in topics.items():
                have = self._topics.get(name)
                if have is None:
                    self._topics[name] = [Partition(name, i) for i in range(partitions)]
                elif len(have) != partitions:
                    raise BrokerError("TOPIC_ALREADY_EXISTS", f"{name} has {len(have)} partitions")

    def add_partitions(self, topic: str, count: int) -> None:
        """Raise the partition count of a topic to ``count``."""
        with self.changed:
            have = self._topics[topic]
            have += [Partition(topic, i) for i in range(len(have), count)]

    def delete_topics(self, names: Iterable[str]) -> None:
        with self.changed:
            for name in names:
                self._topics.pop(name, None)

    def topics(self) -> dict[str, int]:
        with self.changed:
            return {name: len(partitions) for name, partitions in self._topics.items()}

    def partitions(self, topic: str) -> int | None:
        with self.changed:
            have = self._topics.get(topic)
            return None if have is None else len(have)

    def partition(self, split: Split) -> Partition:
        topic, index = split
        have = self._topics.get(topic)
        if have is None:
            raise BrokerError("UNKNOWN_TOPIC_OR_PART", f"no topic {topic!r}")
        if not 0 <= index < len(have):
            raise BrokerError("_UNKNOWN_PARTITION", f"{topic} has no partition {index}")
        return have[index]

    def choose(self, topic: str, partition: int, key: bytes | None) -> Split:
        """The partition of a record, as the murmur2_random partitioner gives it."""
        if partition < 0:
            count = self.partitions(topic)
            if count is None:
                raise BrokerError("UNKNOWN_TOPIC_OR_PART", f"no topic {topic!r}")
            partition = partition_of(key, count) if key is not None else next(self._turn) % count
        self.partition((topic, partition))
        return topic, partition

    # -- records -----------------------------------------------------------------------------------------------

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = -1,
        key: bytes | None = None,
        headers: Headers | None = None,
        timestamp_ms: int = 0,
    ) -> int:
        """Append one record outside any transaction; its offset."""
        with self.changed:
            now_ms = self.tick()
            _check(key, value, timestamp_ms, now_ms)
            at = self.partition(self.choose(topic, partition, key))
            offset = at.append(key, value, headers, timestamp_ms or now_ms, None)
            self.changed.notify_all()
            return offset

    def read_all(self, topic: str, *, committed: bool = True) -> list[Record]:
        """Every readable record of a topic, partition by partition."""
        with self.changed:
            self.tick()
            found: list[Record] = []
            for at in self._topics.get(topic, []):
                found += at.fetch(at.start, at.end - at.start, committed)[0]
            return found

    def delete_before(self, offsets: Mapping[Split, int]) -> None:
        with self.changed:
            for split, offset in offsets.items():
                if offset > self.partition(split).end:
                    raise BrokerError("OFFSET_OUT_OF_RANGE", f"{split[0]}/{split[1]} ends before {offset}")
            for split, offset in offsets.items():
                self.partition(split).delete_before(offset)

    # -- transactions ------------------------------------------------------------------------------------------

    def init(self, transactional_id: str, timeout_ms: int) -> int | None:
        """Make the caller the owner: its epoch. None: an older transaction is being ended; ask again."""
        with self.changed:
            self.tick()
            known = self._transactions.get(transactional_id)
            if known is None:
                known = self._transactions[transactional_id] = Transaction(next(self._producers), timeout_ms)
            if known.state is TransactionState.ONGOING:
                known.epoch += 1
                self._end(transactional_id, known, committed=False)
            if known.state is not TransactionState.EMPTY:
                return None
            known.epoch += 1
            known.timeout_ms = timeout_ms
            return known.epoch

    def append_in_transaction(self, transactional_id: str, epoch: int, records: list[NewRecord]) -> list[int] | None:
        """Append to the open transaction, or open one: the offsets.

        None: markers of the id's last transaction are still to be written; ask again.
        """
        with self.changed:
            now_ms = self.tick()
            known = self._owned(transactional_id, epoch)
            if known.state is TransactionState.PREPARE:
                return None
            if known.state is TransactionState.EMPTY:
                known.state, known.began_ms, known.touched = TransactionState.ONGOING, now_ms, set()
            offsets = []
            for new in records:
                _check(new.key, new.value, new.timestamp_ms, now_ms)
                at = self.partition(new.split)
                known.touched.add(new.split)
                offsets.append(at.append(new.key, new.value, new.headers, new.timestamp_ms or now_ms, known.producer))
            return offsets

    def end_transaction(self, transactional_id: str, epoch: int, committed: bool) -> None:
        """Decide the outcome. Decided so before by the same epoch: success again."""
        with self.changed:
            self.tick()
            known = self._owned(transactional_id, epoch)
            if known.state is TransactionState.ONGOING:
                self._end(transactional_id, known, committed)
            elif known.committed is not committed:
                raise BrokerError("INVALID_TXN_STATE", "the transaction was decided otherwise")

    def tick(self) -> int:
        """Do what has become due: delayed markers, transactions past their time-out. The time now."""
        with self.changed:
            now_ms = self.time.now_ms()
            for transactional_id in list(self._preparing) if self._preparing else ():
                self._mark_due(transactional_id, now_ms)
            if now_ms - self._swept_ms >= self._sweep_ms:
                self._swept_ms = now_ms
                for transactional_id, known in self._transactions.items():
                    if known.state is TransactionState.ONGOING and now_ms - known.began_ms > known.timeout_ms:
                        known.epoch += 1
                        self._end(transactional_id, known, committed=False)
            return now_ms

    def hanging(self) -> set[Split]:
        """Partitions that wait for a marker which nobody will write."""
        with self.changed:
            return {
                split
                for known in self._transactions.values()
                for split, marker in known.unmarked.items()
                if marker.due_ms is None
            }

    def repair(self) -> None:
        """Write the markers that were skipped, with the outcome that was decided."""
        with self.changed:
            for known in self._transactions.values():
                for split in [split for split, marker in known.unmarked.items() if marker.due_ms is None]:
                    self._write_marker(known, split)

    # -- groups ------------------------------------------------------------------------------------------------

    def commit_hints(self, group: str, hints: Mapping[Split, tuple[int, str]]) -> None:
        with self.changed:
            for split, (_, text) in hints.items():
                if split[0] not in self._topics:
                    raise BrokerError("UNKNOWN_TOPIC_OR_PART", f"no topic {split[0]!r}")
                if len(text) > METADATA_CHARS_MAX:
                    raise BrokerError("OFFSET_METADATA_TOO_LARGE", f"{len(text)} characters of metadata")
            self._hints.setdefault(group, {}).update(hints)

    def hints(self, group: str, splits: Iterable[Split]) -> dict[Split, tuple[int, str]]:
        with self.changed:
            have = self._hints.get(group, {})
            return {split: have[split] for split in splits if split in have}

    # -- inside ------------------------------------------------------------------------------------------------

    def _owned(self, transactional_id: str, epoch: int) -> Transaction:
        known = self._transactions[transactional_id]
        if epoch != known.epoch:
            raise BrokerError("_FENCED", f"{transactional_id}: epoch {epoch} is not the owner's, {known.epoch}")
        return known

    def _end(self, transactional_id: str, known: Transaction, committed: bool) -> None:
        known.state, known.committed = TransactionState.PREPARE, committed
        now_ms = self.time.now_ms()
        for split in sorted(known.touched):
            # A marker of an earlier transaction that was skipped here is overtaken by this one.
            delay_ms = self.faults.marker_delay_ms(transactional_id, split, committed)
            known.unmarked[split] = Marker(committed, None if delay_ms is None else now_ms + delay_ms)
        self._preparing.add(transactional_id)
        self._mark_due(transactional_id, now_ms)

    def _mark_due(self, transactional_id: str, now_ms: int) -> None:
        """Write what is due. A skipped marker does not hold the coordinator up: it believes it written."""
        known = self._transactions[transactional_id]
        waiting = False
        for split, marker in list(known.unmarked.items()):
            if marker.due_ms is None:
                continue
            if marker.due_ms <= now_ms:
                self._write_marker(known, split)
            else:
                waiting = True
        if not waiting:
            known.state = TransactionState.EMPTY
            self._preparing.discard(transactional_id)

    def _write_marker(self, known: Transaction, split: Split) -> None:
        marker = known.unmarked.pop(split)
        topic, index = split
        partitions = self._topics.get(topic, [])
        if index < len(partitions):  # else deleted meanwhile
            partitions[index].mark(known.producer, marker.committed, self.time.now_ms())
            self.changed.notify_all()


def _check(key: bytes | None, value: bytes | None, timestamp_ms: int, now_ms: int) -> None:
    size = len(key or b"") + len(value or b"")
    if size > MESSAGE_BYTES_MAX:
        raise BrokerError("MSG_SIZE_TOO_LARGE", f"{size} bytes")
    if timestamp_ms > now_ms + AHEAD_MS_MAX:
        raise BrokerError("INVALID_TIMESTAMP", f"{timestamp_ms} is more than an hour ahead")
