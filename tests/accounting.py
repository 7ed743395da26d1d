"""Exact accounting for fault tests: known records in, every result row compared, nothing sampled.

    records = Records(keys=50)
    with Filler(kafka, topic, records, count=20_000, rate_per_s=4000):
        ... kill things ...
    expected = tumbling_counts(input_records(kafka, topic), size_ms=1000)
    account = compare(expected, rows)
    assert account.exact, account.story()

What is expected is computed from the input topic as it is, so that a filler that a dying broker made repeat
itself does not count against the job.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgspec
from confluent_kafka import Producer

from headrace.log.lane_kafka import KafkaLaneConnection

SAMPLES_MAX = 5
QUIET_POLL_S = 0.02


class Record(msgspec.Struct, gc=False, frozen=True):
    """One input record: ``t`` is its event time in ms, ``n`` its number in the sequence."""

    k: str
    v: int
    t: int
    n: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


@dataclass(frozen=True)
class Records:
    """An endless sequence of keyed records; number n is the same in every run with the same seed.

    Event time rises by one ms every ``per_ms`` records.
    """

    seed: int = 7
    keys: int = 100
    per_ms: int = 10
    base_ms: int = 1_700_000_000_000

    def __getitem__(self, number: int) -> Record:
        mixed = _mix(self.seed << 40 ^ number)
        return Record(
            f"key-{mixed % self.keys:05d}", (mixed >> 32) % 100, self.base_ms + number // self.per_ms, number
        )

    def closing(self, after_ms: int) -> Record:
        """A record of key "end" so late that every window before ``after_ms`` closes."""
        return Record("end", 0, after_ms, -1)


def _mix(x: int) -> int:
    """A 64-bit mixing function: neighbouring numbers give unrelated results."""
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)


class Filler:
    """Produces records 0 to ``count`` - 1 in the background, record n to partition n % partitions, in order.

    At the end of the block it has produced all of them, or those up to ``enough``, then one closing record per
    partition if ``closing_ms`` is given. Rides out broker restarts; raises what it could not deliver.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        records: Records,
        *,
        count: int,
        partitions: int,
        rate_per_s: float | None = None,
        closing_ms: int | None = None,
    ) -> None:
        self._topic, self._records, self._count = topic, records, count
        self._partitions, self._rate_per_s, self._closing_ms = partitions, rate_per_s, closing_ms
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": 300_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
        )
        self._failures: list[str] = []
        self._stopping = threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filler", daemon=True)
        self.sent = 0  #: records handed to the client so far

    def __enter__(self) -> Filler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stopping.set()
            self._enough.set()
        self._thread.join()
        if kind is None and self._failures:
            raise AssertionError(f"input not delivered: {self._failures[:SAMPLES_MAX]}")

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def enough(self) -> None:
        """Produce no further records; the closing ones follow."""
        self._enough.set()

    def _run(self) -> None:
        started = time.monotonic()
        for number in range(self._count):
            if self._rate_per_s and number % 50 == 0:
                ahead_s = started + number / self._rate_per_s - time.monotonic()
                self._enough.wait(max(0.0, ahead_s))
            if self._enough.is_set():
                break
            self._send(self._records[number], number % self._partitions)
            self.sent = number + 1
        if self._stopping.is_set():
            return
        if self._closing_ms is not None:
            for partition in range(self._partitions):
                self._send(self._records.closing(self._closing_ms), partition)
        if left := self._producer.flush(300):
            self._failures.append(f"{left} records after 300 s")

    def _send(self, record: Record, partition: int) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.produce(
                    self._topic,
                    _encode(record),
                    key=record.k.encode(),
                    partition=partition,
                    on_delivery=lambda error, _message: self._failures.append(str(error)) if error else None,
                )
            except BufferError:
                self._producer.poll(0.05)
            else:
                self._producer.poll(0)
                return


def read_committed(bootstrap: str, topic: str, *, timeout_s: float = 60.0) -> list[Any]:
    """Every committed message of a topic, partition by partition, up to its end as it is now.

    Fails when committed readers cannot reach the end: a transaction that is still open, or hangs.
    """
    connection = KafkaLaneConnection(bootstrap)
    reader = connection.reader(wait_ms=20)
    try:
        count = connection.partitions(topic, timeout_s)
        assert count is not None, f"no topic {topic}"
        bounds = {(topic, p): connection.bounds(topic, p, timeout_s) for p in range(count)}
        reader.assign({split: first for split, (first, _) in bounds.items()})
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while behind := {s: end for s, (_, end) in bounds.items() if reader.end_offset_seen(s) < end}:
            found += reader.read(10_000, QUIET_POLL_S)
            assert time.monotonic() < deadline, "; ".join(
                f"{topic}/{p}: readable to {reader.end_offset_seen((topic, p))} of {end}"
                for (topic, p), end in behind.items()
            )
        return sorted(found, key=lambda m: (m.partition(), m.offset()))
    finally:
        reader.close()
        connection.close()


def input_records(bootstrap: str, topic: str) -> list[Record]:
    """The input as the job could read it, closing records left out."""
    return [record for m in read_committed(bootstrap, topic) if (record := _decode(m.value())).n >= 0]


def await_rows(bootstrap: str, topic: str, done: Callable[[list[Any]], bool], *, timeout_s: float) -> list[Any]:
    """Committed messages of a sink, read again until ``done`` says they are enough; what was there at the deadline.

    The deadline is no failure here: comparing what is there says better what is missing.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = read_committed(bootstrap, topic)
        if done(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def tumbling_counts(records: Iterable[Record], size_ms: int) -> dict[tuple[str, int], int]:
    """(key, window start) to how many records."""
    return dict(Counter((record.k, record.t // size_ms * size_ms) for record in records))


def tumbling_sums(records: Iterable[Record], size_ms: int) -> dict[tuple[str, int], int]:
    """(key, window start) to the sum of values."""
    sums: Counter[tuple[str, int]] = Counter()
    for record in records:
        sums[record.k, record.t // size_ms * size_ms] += record.v
    return dict(sums)


@dataclass(frozen=True)
class Account:
    """What a comparison found. A result may be counted under one heading only."""

    expected: int
    lost: list[Hashable] = field(default_factory=list)  #: expected and never seen
    duplicated: list[Hashable] = field(default_factory=list)  #: seen again, once for each time too many
    wrong: list[tuple[Hashable, Any, Any]] = field(default_factory=list)  #: seen with another value
    unexpected: list[Hashable] = field(default_factory=list)  #: never to be seen at all

    @property
    def exact(self) -> bool:
        return self.expected > 0 and not (self.lost or self.duplicated or self.wrong or self.unexpected)

    def story(self) -> str:
        parts = [f"{self.expected} expected"]
        for name in ("lost", "duplicated", "wrong", "unexpected"):
            if found := getattr(self, name):
                parts.append(f"{len(found)} {name}, such as {found[:SAMPLES_MAX]}")
        return "; ".join(parts)


def compare(expected: Mapping[Any, Any], rows: Iterable[tuple[Hashable, Any]]) -> Account:
    """Results by key, each to be seen exactly once with exactly this value. Nothing expected is not exact."""
    seen: dict[Hashable, Any] = {}
    account = Account(len(expected))
    for key, value in rows:
        if key not in expected:
            account.unexpected.append(key)
        elif key in seen:
            account.duplicated.append(key)
        else:
            seen[key] = value
            if value != expected[key]:
                account.wrong.append((key, value, expected[key]))
    account.lost.extend(key for key in expected if key not in seen)
    return account


def gaps(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbours in a sequence that should rise by one and do not."""
    before: int | None = None
    for number in numbers:
        if before is not None and number != before + 1:
            yield before, number
        before = number
