"""The inbox with ownership in memory: for in-process runs, unit tests and simulation.

A ``MemoryGroup`` stands for the consumer group: it deals partitions out evenly among its members, delivers each
message at least once and lets its offset go when the member has taken it.
"""

from __future__ import annotations

import asyncio

from headrace.log.control_memory import ControlMemory, MemoryCluster
from headrace.log.job_log import Dispatching, InboxRecord


class MemoryGroup:
    """Members in the order they joined, and the offset up to which each partition was taken."""

    def __init__(self, cluster: MemoryCluster, topic: str, partitions: int) -> None:
        self.log = ControlMemory(cluster)
        self.topic = topic
        self.partitions = partitions
        self.members: list[MemoryJobLog] = []
        self.taken = dict.fromkeys(range(partitions), 0)

    def rebalance(self) -> None:
        """Deal anew: partition i goes to member i modulo their number."""
        for index, member in enumerate(self.members):
            member.assign(frozenset(p for p in range(self.partitions) if p % len(self.members) == index))


class MemoryJobLog:
    """``JobLog`` of one member."""

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group
        self._dispatching: Dispatching | None = None
        self._readers: dict[int, asyncio.Task[None]] = {}

    async def run(self, dispatching: Dispatching) -> None:
        self._dispatching = dispatching
        self._group.members.append(self)
        self._group.rebalance()
        try:
            await asyncio.Event().wait()
        finally:
            self._group.members.remove(self)
            self.assign(frozenset())
            self._group.rebalance()

    def assign(self, partitions: frozenset[int]) -> None:
        if self._dispatching is None:
            return
        for gone in self._readers.keys() - partitions:
            self._readers.pop(gone).cancel()
        self._dispatching.owned(partitions)
        for new in partitions - self._readers.keys():
            self._readers[new] = asyncio.create_task(self._read(self._dispatching, new))

    async def _read(self, dispatching: Dispatching, partition: int) -> None:
        async for record in self._group.log.tail(self._group.topic, partition, self._group.taken[partition]):
            await dispatching.inbox(InboxRecord(partition, record.offset, record.value))
            self._group.taken[partition] = record.offset + 1
