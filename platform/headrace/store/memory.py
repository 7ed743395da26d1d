"""The store in memory: for in-process runs, unit tests and simulation.

A ``MemoryServer`` stands for one Redis; any number of ``MemoryStore`` connect to it. It keeps the same guards
and time-outs, can be made unavailable, restarted and flushed, and reads time from a function it is given.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace import clock
from headrace.protocol.control import (
    JobRecord,
    LaneMetrics,
    SlotDeclaration,
    SlotGrants,
    TaskManagerRecord,
)
from headrace.protocol.redis_keys import RedisKeys
from headrace.store.port import (
    LEASE_TTL_MS,
    TASKMANAGER_TTL_MS,
    StoreUnavailableError,
    TaskManagers,
    Wake,
)
from headrace.store.redis_wakes import WakeSubscription


@dataclass
class _Job:
    graph: bytes | None = None
    record: JobRecord | None = None
    submitted_ms: int = 0


@dataclass
class _Values:
    """Everything that a flush takes away."""

    sentinel: str | None = None
    jobs: dict[str, _Job] = field(default_factory=dict)
    lanes: dict[str, dict[str, LaneMetrics]] = field(default_factory=dict)
    taskmanagers: dict[str, tuple[TaskManagerRecord, int]] = field(default_factory=dict)
    leases: dict[str, tuple[str, int]] = field(default_factory=dict)
    declarations: dict[str, SlotDeclaration] = field(default_factory=dict)
    grants: dict[str, SlotGrants] = field(default_factory=dict)


class MemoryServer:
    """One server. ``available`` False makes every call of every connection fail."""

    def __init__(self, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self.now_ms = now_ms
        self.available = True
        self.run_id = uuid.uuid4().hex
        self.values = _Values()
        self.subscriptions: set[WakeSubscription] = set()

    def flush(self) -> None:
        self.values = _Values()

    def restart(self) -> None:
        """A restart that keeps what was written, as with an append-only file."""
        self.run_id = uuid.uuid4().hex


class MemoryStore:
    """``Store`` on a ``MemoryServer``."""

    def __init__(self, server: MemoryServer, namespace: str = "headrace") -> None:
        self._server = server
        self._keys = RedisKeys(namespace)

    @property
    def keys(self) -> RedisKeys:
        return self._keys

    @property
    def _values(self) -> _Values:
        if not self._server.available:
            raise StoreUnavailableError("made unavailable")
        return self._server.values

    async def identity(self) -> str:
        values = self._values
        values.sentinel = values.sentinel or uuid.uuid4().hex
        return f"{self._server.run_id}/{values.sentinel}"

    # ---- jobs

    async def put_graph(self, job_id: str, graph: bytes, *, submitted_ms: int) -> None:
        job = self._values.jobs.setdefault(job_id, _Job(submitted_ms=submitted_ms))
        job.graph = graph

    async def graph(self, job_id: str) -> bytes | None:
        job = self._values.jobs.get(job_id)
        return job.graph if job else None

    async def put_record(self, record: JobRecord) -> bool:
        job = self._values.jobs.setdefault(record.job_id, _Job(submitted_ms=record.submitted_ms))
        if job.record is not None and job.record.epoch > record.epoch:
            return False
        job.record = record
        return True

    async def record(self, job_id: str) -> JobRecord | None:
        job = self._values.jobs.get(job_id)
        return job.record if job else None

    async def records(self, *, limit: int = 1000) -> list[JobRecord]:
        newest = sorted(self._values.jobs.items(), key=lambda item: (item[1].submitted_ms, item[0]), reverse=True)
        return [job.record for _, job in newest[:limit] if job.record is not None]

    async def forget_job(self, job_id: str) -> None:
        values = self._values
        for table in (values.jobs, values.lanes, values.declarations, values.grants):
            table.pop(job_id, None)

    # ---- lanes

    async def put_lane_metrics(self, job_id: str, metrics: dict[str, LaneMetrics]) -> None:
        self._values.lanes.setdefault(job_id, {}).update(metrics)

    async def lane_metrics(self, job_id: str) -> dict[str, LaneMetrics]:
        return dict(self._values.lanes.get(job_id, {}))

    # ---- TaskManagers

    async def put_taskmanager(self, record: TaskManagerRecord, *, replaces: str | None = None) -> bool:
        stored = self._living(record.id)
        if stored is not None and stored.instance not in (record.instance, replaces):
            return False
        self._values.taskmanagers[record.id] = (record, self._server.now_ms() + TASKMANAGER_TTL_MS)
        return True

    async def taskmanager(self, tm_id: str) -> TaskManagerRecord | None:
        return self._living(tm_id)

    async def taskmanagers(self, *, age_max_s: float = 0.0) -> TaskManagers:
        found = {tm_id: self._living(tm_id) for tm_id in sorted(self._values.taskmanagers)}
        records = {tm_id: record for tm_id, record in found.items() if record is not None}
        return TaskManagers(await self.identity(), records)

    async def remove_taskmanager(self, tm_id: str, instance: str) -> None:
        stored = self._living(tm_id)
        if stored is not None and stored.instance == instance:
            del self._values.taskmanagers[tm_id]

    def _living(self, tm_id: str) -> TaskManagerRecord | None:
        stored = self._values.taskmanagers.get(tm_id)
        return stored[0] if stored and self._server.now_ms() < stored[1] else None

    # ---- leases

    async def acquire(self, lease: str, holder: str, *, ttl_ms: int = LEASE_TTL_MS) -> bool:
        if await self.holder(lease) not in (None, holder):
            return False
        self._values.leases[lease] = (holder, self._server.now_ms() + ttl_ms)
        return True

    async def release(self, lease: str, holder: str) -> None:
        if await self.holder(lease) == holder:
            del self._values.leases[lease]

    async def holder(self, lease: str) -> str | None:
        stored = self._values.leases.get(lease)
        return stored[0] if stored and self._server.now_ms() < stored[1] else None

    # ---- slots

    async def declare(self, declaration: SlotDeclaration) -> bool:
        stored = self._values.declarations.get(declaration.job_id)
        if stored is not None and stored.epoch > declaration.epoch:
            return False
        if stored != declaration:
            self._values.declarations[declaration.job_id] = declaration
            await self.wake(Wake.DECLARED)
        return True

    async def withdraw(self, job_id: str, epoch: int) -> bool:
        stored = self._values.declarations.get(job_id)
        if stored is not None and stored.epoch > epoch:
            return False
        self._values.declarations.pop(job_id, None)
        self._values.grants.pop(job_id, None)
        await self.wake(Wake.SLOTS)
        return True

    async def declarations(self) -> dict[str, SlotDeclaration]:
        return dict(self._values.declarations)

    async def grant(self, leader: str, grants: list[SlotGrants], gone: list[str]) -> bool:
        if await self.holder(self._keys.resource_manager) != leader:
            return False
        for grant in grants:
            self._values.grants[grant.job_id] = grant
        for job_id in gone:
            self._values.grants.pop(job_id, None)
        await self.wake(Wake.GRANTED)
        return True

    async def grants(self, job_id: str) -> SlotGrants | None:
        return self._values.grants.get(job_id)

    async def all_grants(self) -> dict[str, SlotGrants]:
        return dict(self._values.grants)

    # ---- wake-ups

    async def wake(self, kind: Wake) -> None:
        for subscription in list(self._server.subscriptions):
            subscription.raise_for(kind)

    def subscribe(self, *kinds: Wake) -> WakeSubscription:
        subscription = WakeSubscription(frozenset(kinds), self._server.subscriptions)
        self._server.subscriptions.add(subscription)
        return subscription

    async def close(self) -> None:
        return None
