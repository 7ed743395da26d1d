"""The control log in memory: for in-process runs, unit tests and simulation.

A ``MemoryCluster`` stands for the brokers; any number of ``ControlMemory`` connect to it. It appends in order,
keeps tombstones until ``compact`` is called, and can be made unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from headrace import clock
from headrace.errors import UsageError
from headrace.log.control import ControlRecord, LogUnavailableError


@dataclass
class _Partition:
    records: list[ControlRecord] = field(default_factory=list)
    end: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryCluster:
    """The brokers. ``available`` False makes every call fail; tails wait."""

    def __init__(self, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self.now_ms = now_ms
        self.available = True
        self.topics: dict[str, list[_Partition]] = {}
        self.config: dict[str, dict[str, str]] = {}

    def compact(self, topic: str) -> None:
        """Keep the newest record of each key and drop tombstones: offsets get gaps."""
        for partition in self.topics[topic]:
            newest = {record.key: record.offset for record in partition.records}
            partition.records = [r for r in partition.records if newest[r.key] == r.offset and r.value is not None]


class ControlMemory:
    """``ControlLog`` on a ``MemoryCluster``."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    async def append(
        self, topic: str, partition: int, key: str, value: bytes | None, *, timeout_s: float = 10.0
    ) -> int:
        target = self._partition(topic, partition)
        offset = target.end
        target.records.append(ControlRecord(topic, partition, offset, key, value, self._cluster.now_ms()))
        target.end += 1
        target.grown.set()
        target.grown = asyncio.Event()
        return offset

    async def partitions(self, topic: str, *, timeout_s: float = 10.0) -> int | None:
        self._check()
        found = self._cluster.topics.get(topic)
        return None if found is None else len(found)

    async def end_offset(self, topic: str, partition: int, *, timeout_s: float = 10.0) -> int:
        return self._partition(topic, partition).end

    async def read(
        self, topic: str, partition: int, start: int, end: int, *, timeout_s: float = 30.0
    ) -> list[ControlRecord]:
        if end <= start:
            return []
        source = self._partition(topic, partition)
        if source.end < end:
            raise LogUnavailableError(f"{topic}/{partition} ends at {source.end}, before {end}")
        return [r for r in source.records if start <= r.offset < end]

    async def tail(self, topic: str, partition: int, start: int) -> AsyncIterator[ControlRecord]:
        position = start
        source = self._partition(topic, partition)
        while True:
            grown = source.grown
            for record in [r for r in source.records if r.offset >= position]:
                position = record.offset + 1
                yield record
            await grown.wait()

    async def ensure_topics(
        self, topics: dict[str, int], config: dict[str, dict[str, str]], *, timeout_s: float = 30.0
    ) -> None:
        self._check()
        for name, count in topics.items():
            existing = self._cluster.topics.get(name)
            if existing is None:
                self._cluster.topics[name] = [_Partition() for _ in range(count)]
                self._cluster.config[name] = dict(config.get(name, {}))
            elif len(existing) != count:
                raise UsageError(
                    "topic-partitions-differ",
                    f"topic {name} has {len(existing)} partitions, not {count}",
                    hint="use another namespace, or delete the topic if nothing needs it",
                )

    async def delete_topics(self, names: list[str], *, timeout_s: float = 30.0) -> None:
        self._check()
        for name in names:
            self._cluster.topics.pop(name, None)

    async def close(self) -> None:
        return None

    def _check(self) -> None:
        if not self._cluster.available:
            raise LogUnavailableError("made unavailable")

    def _partition(self, topic: str, partition: int) -> _Partition:
        self._check()
        partitions = self._cluster.topics.get(topic)
        if partitions is None or partition >= len(partitions):
            raise LogUnavailableError(f"{topic}/{partition} does not exist")
        return partitions[partition]
